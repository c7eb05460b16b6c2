//! `Cancelled`: what a cancel unwinds with, and what those get who ask afterwards.

use std::error::Error;
use std::fmt;
use std::io;

use super::Core;
use crate::scheduler::Cause;

/// Something was cancelled: a green thread, or what it did in a cancel scope.
///
/// It is the error of what could be ended by a cancel, the payload with which a cancelled green
/// thread unwinds, and so what [`JoinHandle::join`](crate::thread::JoinHandle::join) returns for one,
/// which tells a cancel from a panic. Nobody but a cancel makes one. Who catches it by
/// [`catch_unwind`](std::panic::catch_unwind) and does not go on with it by
/// [`resume_unwind`](std::panic::resume_unwind) is cancelled anew in the next blocking call.
///
/// # Examples
///
/// ```
/// use greenlit::cancel::Cancelled;
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let worker = thread::spawn(thread::park);
///     worker.cancel("nobody wants its result any more");
///     let payload = worker.join().unwrap_err();
///     let cancelled = payload.downcast_ref::<Cancelled>().expect("it did not panic");
///     assert_eq!(cancelled.reason(), "nobody wants its result any more");
/// });
/// ```
#[derive(Clone)]
pub struct Cancelled {
    /// The number of the green thread, or of the region of one, that was cancelled: who has it
    /// takes the payload. 0 for nobody's.
    pub(crate) target: u64,
    pub(crate) cause: Cause,
    /// Which unwinding it is the payload of.
    pub(super) mark: Mark,
}

/// Tells that an unwinding is over: its payload goes when somebody has caught it, and not before.
/// A clone is no payload.
pub(super) struct Mark(u64);

impl Mark {
    pub(super) const NONE: Self = Self(0);

    pub(super) fn is_of(&self, number: u64) -> bool {
        self.0 == number
    }

    /// The mark of the unwinding with this number.
    pub(super) fn new(number: u64) -> Self {
        Self(number)
    }
}

impl Clone for Mark {
    fn clone(&self) -> Self {
        Self::NONE
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if self.0 != 0
            && let Some(core) = Core::current()
        {
            core.has_caught(self.0);
        }
    }
}

impl Cancelled {
    /// The error of a scope that has taken the payload.
    pub(crate) fn of(cause: Cause) -> Self {
        Self::aimed(0, cause)
    }

    /// What a joiner is told of a thread that has left no result.
    pub(crate) fn without_result() -> Self {
        Self::of(Cause::Static("the green thread has left no result"))
    }

    /// A payload's words, before it is one.
    pub(super) fn aimed(target: u64, cause: Cause) -> Self {
        Self {
            target,
            cause,
            mark: Mark::NONE,
        }
    }

    /// Why: the words of whoever cancelled it, or greenlit's own where a deadline or the end of a run
    /// did.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.cause.as_str()
    }

    /// Whether a deadline has passed, and nobody cancelled it otherwise.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        matches!(self.cause, Cause::Deadline)
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled: {}", self.reason())
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("reason", &self.reason())
            .finish_non_exhaustive()
    }
}

impl Error for Cancelled {}

/// `TimedOut` where a deadline has passed, else `Other`; never `Interrupted`, after which std's loops
/// try again.
impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        let kind = match cancelled.is_deadline() {
            true => io::ErrorKind::TimedOut,
            false => io::ErrorKind::Other,
        };
        Self::new(kind, cancelled)
    }
}
