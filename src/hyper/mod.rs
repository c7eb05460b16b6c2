//! [hyper](https://docs.rs/hyper)'s runtime traits, by the feature `hyper`: its servers and clients run
//! on green threads and tasks.
//!
//! [`TcpStream`](crate::net::TcpStream) and [`UnixStream`](crate::os::unix::net::UnixStream) are what hyper
//! reads and writes, as they are; [`Io`] wraps whatever else is `AsyncRead` and `AsyncWrite`, such as TLS
//! over them. [`Executor`] spawns tasks, which need not be `Send`, and [`Timer`] sleeps. A connection is a
//! future: a green thread waits for it by [`block_on`](crate::future::block_on), a task of
//! [`spawn`](crate::future::spawn) has no stack. Nothing here starts an OS thread.
//!
//! The workspace `examples/async` has a whole server and a whole client. In short:
//!
//! ```ignore
//! let http = hyper::server::conn::http2::Builder::new(Executor);
//! let (stream, _) = listener.accept()?;
//! future::spawn(http.timer(Timer).serve_connection(stream, service));
//! ```
//!
//! # Examples
//!
//! ```
//! use greenlit::hyper::{Executor, Timer};
//! use greenlit::{future, sync::oneshot, time::Duration};
//! use hyper::rt::{Executor as _, Timer as _};
//! use std::rc::Rc;
//!
//! greenlit::run(|| {
//!     let (sender, receiver) = oneshot::channel();
//!     Executor.execute(async move {
//!         let local = Rc::new(5);
//!         Timer.sleep(Duration::from_millis(1)).await;
//!         sender.send(*local)
//!     });
//!     // The green thread waits, the task runs.
//!     assert_eq!(receiver.recv(), Ok(5));
//! });
//! ```

mod io;
mod runtime;
mod stream;

pub use io::Io;
pub use runtime::{Executor, Timer};
