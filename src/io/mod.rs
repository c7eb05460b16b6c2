//! std's `io`, and I/O on green threads: the one readiness loop, and [`Source`], which puts any file
//! descriptor on it.

mod shared;
mod source;
mod ready;
mod polled;
mod peer;
mod outside;
mod pidfd;
mod end;
mod cached;
mod pipe;
mod stdio;
mod split;
mod traits;
mod watch;
mod readiness;

// What this module has itself shadows what the glob brings.
pub use std::io::*;

/// The traits by which async code reads and writes; their methods for use are those of the extension
/// traits of `futures-util` and `futures-lite`.
pub use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};

pub use pipe::{PipeReader, PipeWriter, pipe};
pub use readiness::Readiness;
pub use source::Source;
pub use split::{ReadHalf, WriteHalf, copy_bidirectional, split};
#[doc(hidden)]
pub use stdio::{_eprint, _print};
pub use stdio::{
    IsTerminal, Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout,
};
pub use watch::{Pollable, ReadyArm, readable, writable};

pub(crate) use cached::{read_cached, read_cached_at};
pub(crate) use end::End;
pub(crate) use peer::{accept, receive_from};
pub(crate) use pidfd::open_pidfd;
pub(crate) use ready::{check_cancel, enter_call};
pub(crate) use source::Kind;
pub(crate) use traits::{polled_by_reference, polled_end_is_read, polled_end_is_written};
