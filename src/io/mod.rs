//! I/O on green threads: the one readiness loop, and `Source`, which puts any file descriptor on
//! it.

mod source;
mod ready;
mod accept;
mod outside;
mod pidfd;

pub use source::Source;

pub(crate) use accept::accept;
pub(crate) use pidfd::open_pidfd;
pub(crate) use ready::check_cancel;
pub(crate) use source::Kind;
