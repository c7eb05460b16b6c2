//! `std::process`'s shape on the reactor: waiting for a child, and reading or writing its pipes,
//! parks the green thread and lets the others run. Holds no unsafe code.
//!
//! A child that ends is an event like any other: [`Child::wait`] watches a pidfd, so that no OS
//! thread and no signal handler is needed for it. Where the kernel has none (Linux before 5.3, and
//! emulators), each wait takes an OS thread instead.
//!
//! Starting a program stalls the OS thread, as with std, until the child has called `exec`: nobody
//! else runs meanwhile.
//!
//! Outside a runtime each call blocks the OS thread, as std's does.
//!
//! # What differs from std
//!
//! - [`Command`], [`Child`] and its pipes are this module's own; all else is std's, re-exported.
//!   A [`Stdio`] can be made of this crate's types as of std's.
//! - `greenlit::os::unix::process` has [`Command`]'s Unix methods, as std's has.
//!
//! # Examples
//!
//! ```
//! use greenlit::process::Command;
//!
//! greenlit::run(|| {
//!     let output = Command::new("echo").arg("as in std").output()?;
//!     assert!(output.status.success());
//!     assert_eq!(output.stdout, b"as in std\n");
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

pub use std::process::*;

pub use self::child::Child;
pub use self::command::Command;
pub use self::pipes::{ChildStderr, ChildStdin, ChildStdout};

mod command;
mod child;
mod collect;
mod pipes;
