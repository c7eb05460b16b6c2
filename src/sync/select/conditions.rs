//! Arms that stand in no queue of `sync`: the end of a green thread, a point in time. Readiness is
//! `io`'s.

use std::fmt;
use std::thread::Result;
use std::time::Duration;

use super::{Operation, Wait};
use crate::clock::{self, Instant};
use crate::park::{Limit, Unparker};
use crate::thread::{EndWatch, JoinHandle};

/// The end of a green thread as an arm; see [`join`].
pub struct JoinArm<'a, T> {
    handle: &'a JoinHandle<T>,
    watch: EndWatch<'a>,
}

/// A point in time as an arm; see [`after`] and [`at`].
pub struct TimerArm {
    limit: Limit,
}

/// An arm that is done when the green thread has ended; it takes the result, and once that was taken
/// it is never done again.
pub fn join<T>(handle: &JoinHandle<T>) -> JoinArm<'_, T> {
    JoinArm {
        handle,
        watch: handle.watch(),
    }
}

/// An arm that is done after `timeout`, counted from the wait. What can be done at once comes before
/// it, even where the time is zero.
pub fn after(timeout: Duration) -> TimerArm {
    TimerArm {
        limit: Limit::After(clock::length(timeout)),
    }
}

/// An arm that is done at `deadline`. What can be done at once comes before it, even where the
/// deadline has passed.
pub fn at(deadline: Instant) -> TimerArm {
    TimerArm {
        limit: Limit::At(deadline.nanos()),
    }
}

impl<T> JoinArm<'_, T> {
    /// What the thread's closure did, as [`JoinHandle::join`] returns it.
    ///
    /// # Errors
    ///
    /// The payload of the panic that ended the thread; where this arm was not chosen, one of no
    /// meaning.
    pub fn finish(self) -> Result<T> {
        self.handle.take_result()
    }
}

impl TimerArm {
    /// Ends the arm.
    pub fn finish(self) {}
}

impl<T> Operation for JoinArm<'_, T> {
    unsafe fn attempt(&self, _: &mut Option<Unparker>) -> bool {
        self.watch.is_over()
    }

    unsafe fn stand(&self, _: *const Wait, _: usize) {
        // SAFETY: the caller's duty.
        unsafe { self.watch.stand() };
    }

    unsafe fn leave(&self) {
        self.watch.leave();
    }
}

impl Operation for TimerArm {
    unsafe fn attempt(&self, _: &mut Option<Unparker>) -> bool {
        false
    }

    unsafe fn stand(&self, _: *const Wait, _: usize) {}

    unsafe fn leave(&self) {}

    fn limit(&self) -> Option<Limit> {
        Some(self.limit)
    }
}

impl<T> fmt::Debug for JoinArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinArm").finish_non_exhaustive()
    }
}

impl fmt::Debug for TimerArm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerArm").finish_non_exhaustive()
    }
}
