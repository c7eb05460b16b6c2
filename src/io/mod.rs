//! I/O on green threads: the one readiness loop, and `Source`, which puts any file descriptor on
//! it.

mod source;
mod ready;
mod accept;
mod outside;

pub use source::Source;

pub(crate) use accept::accept;
pub(crate) use source::Kind;
