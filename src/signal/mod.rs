//! Signals: wait for them, or iterate over them, while other green threads run. std has nothing of
//! the kind; the shape is that of [`TcpListener`](crate::net::TcpListener). Holds no unsafe code.
//!
//! A [`Signals`] sees every delivery of its [`Signal`]s from its making on, and several of them each
//! see every delivery. It can be used in any number of runtimes and, as all of this crate, on plain
//! OS threads.
//!
//! # What becomes of a signal
//!
//! The first `Signals` for a signal installs a handler for the whole process. From then on the
//! signal does not do by itself what it did, such as end the process, and that stays so when the
//! `Signals` is dropped, for others may have built on the handler meanwhile. A handler that was
//! there before is still called. Children that are started by [`process`](crate::process) begin with
//! the default again.
//!
//! The kernel merges a standard signal that is sent while the same one is pending: each *delivery*
//! is seen, which may be fewer than were sent. It does not merge [real-time](Signal::real_time)
//! ones.
//!
//! # Examples
//!
//! A server that ends on Ctrl-C:
//!
//! ```no_run
//! use greenlit::{net::TcpListener, signal, thread};
//!
//! greenlit::run(|| -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:7000")?;
//!     thread::spawn(move || {
//!         for stream in listener.incoming() {
//!             // Serve it.
//!         }
//!     });
//!     signal::ctrl_c() // The end of the main closure ends the others.
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! `examples/graceful_server.rs` gives requests in flight time to end first.

use std::io;

pub use self::name::Signal;
pub use self::signals::{Iter, IterAsync, Signals};

mod name;
mod signals;

/// Waits for the next Ctrl-C (`SIGINT`).
///
/// Once it was called, Ctrl-C does not end the process any more, and what comes while nobody waits
/// is lost: to miss none, make a [`Signals`] and use it over again.
///
/// # Errors
///
/// As [`Signals::new`] and [`Signals::recv`].
///
/// # Cancellation
///
/// A cancelled green thread unwinds from here.
///
/// # Examples
///
/// ```no_run
/// greenlit::run(greenlit::signal::ctrl_c)?;
/// println!("good bye");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ctrl_c() -> io::Result<()> {
    Signals::new([Signal::INT])?.recv().map(drop)
}
