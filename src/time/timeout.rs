//! `timeout`: a function that has to be done by a deadline.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::cancel;
use crate::clock::{self, Instant};

/// Runs `f`, and ends it when `length` has passed since this call: the blocking call that it is in,
/// or its next one, unwinds it up to here.
///
/// It is a [cancel scope](crate::cancel) with a deadline: `f`'s destructors have run when this
/// returns, a call that is complete returns its value, and where `f` returns, however late, its value
/// is returned. With a length of zero `f` runs up to its first blocking call. One that is past the
/// clock's end never passes. A function that neither blocks nor yields is not ended; let it call
/// [`checkpoint`](crate::cancel::checkpoint). Outside a runtime nothing ends `f`.
///
/// # Errors
///
/// [`Elapsed`] where this deadline ended `f`. Where it was another that is further out, or a cancel,
/// the unwinding passes through.
///
/// # Panics
///
/// With `f`'s payload where it panics.
///
/// # Cancellation
///
/// A cancelled green thread unwinds from `f`, and then from here.
///
/// # Examples
///
/// ```
/// use greenlit::sync::mpsc;
/// use greenlit::time::{Duration, timeout};
///
/// greenlit::run(|| {
///     let (sender, receiver) = mpsc::channel();
///     sender.send(1).unwrap();
///     let mut sum = 0;
///     let result = timeout(Duration::from_millis(1), || loop {
///         sum += receiver.recv().unwrap();
///     });
///     assert!(result.is_err());
///     assert_eq!(sum, 1);
/// });
/// ```
#[inline]
pub fn timeout<R>(length: Duration, f: impl FnOnce() -> R) -> Result<R, Elapsed> {
    let now = clock::now();
    let deadline = now.saturating_add(clock::length(length));
    cancel::before(deadline, now, f).map_err(|_| Elapsed(()))
}

/// Runs `f`, and ends it at `deadline`, as [`timeout`] does. With a deadline that has passed `f` runs
/// up to its first blocking call.
///
/// # Errors
///
/// As [`timeout`].
///
/// # Panics
///
/// As [`timeout`].
///
/// # Cancellation
///
/// As [`timeout`].
///
/// # Examples
///
/// ```
/// use greenlit::thread;
/// use greenlit::time::{Duration, Instant, timeout_at};
///
/// greenlit::run(|| {
///     let deadline = Instant::now() + Duration::from_secs(60);
///     // Both have to be done by the same point in time.
///     timeout_at(deadline, thread::yield_now)?;
///     timeout_at(deadline, thread::yield_now)
/// }).unwrap();
/// ```
#[inline]
pub fn timeout_at<R>(deadline: Instant, f: impl FnOnce() -> R) -> Result<R, Elapsed> {
    cancel::before(deadline.nanos(), clock::now(), f).map_err(|_| Elapsed(()))
}

/// The deadline of a [`timeout`], or of one for [futures](crate::future::timeout), has passed, and
/// ended what ran in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl Elapsed {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl Error for Elapsed {}

/// An error of kind `TimedOut`.
impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}
