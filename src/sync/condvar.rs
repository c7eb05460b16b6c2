//! `Condvar`: a queue of those who wait for a condition of a mutex's data. Each stands in it before
//! it lets go of the mutex, so that no notification falls between.

use std::fmt;
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

use super::mutex::MutexGuard;
use super::spin_lock::SpinLock;
use super::waiters::{How, Waiters};
use crate::clock::{self, Instant};
use crate::park::{Caller, Limit, Outcome};

/// A condition variable, as [`std::sync::Condvar`], between green threads of any runtime and plain
/// OS threads.
///
/// Whoever has waited the longest is notified first. It may be used with several
/// mutexes. As with std's, a wait may end without a notification: check the condition in a loop, or
/// use [`wait_while`](Self::wait_while).
///
/// # Examples
///
/// ```
/// use greenlit::{sync::{Condvar, Mutex}, thread};
///
/// static READY: Mutex<bool> = Mutex::new(false);
/// static CHANGED: Condvar = Condvar::new();
///
/// greenlit::run(|| {
///     let waiter = thread::spawn(|| {
///         let ready = CHANGED.wait_while(READY.lock().unwrap(), |ready| !*ready).unwrap();
///         assert!(*ready);
///     });
///     *READY.lock().unwrap() = true;
///     CHANGED.notify_one();
///     waiter.join().unwrap();
/// });
/// ```
pub struct Condvar {
    pub(super) queue: SpinLock<Queue>,
}

pub(super) struct Queue {
    /// How many have ever come to wait: each one's ticket is its number. A notification is for those
    /// with tickets from before it.
    tickets: u64,
    pub(super) waiters: Waiters<u64>,
}

impl Queue {
    /// The next one's.
    pub(super) fn ticket(&mut self) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        ticket
    }
}

/// Whether a wait with a limit ended because the limit had passed, as [`std::sync::WaitTimeoutResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the limit had passed.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

/// What a wait with a limit returns.
type Limited<'a, T> = LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>;

impl Condvar {
    /// A condition that nobody waits for.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue: SpinLock::new(Queue {
                tickets: 0,
                waiters: Waiters::new(),
            }),
        }
    }

    /// Lets go of the lock, waits for a notification and takes the lock again.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread leaves the queue and unwinds, without the lock, which it has no guard
    /// for any more. If it unwinds already, the wait may end early, with the lock, and one with a
    /// limit ends as though that had passed. A notification that had chosen it wakes another.
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_limited(guard, Limit::None).0
    }

    /// As [`wait`](Self::wait), again and again while `condition` holds.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Self::wait), for `timeout` at the most. Taking the lock again may take longer.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> Limited<'a, T> {
        let (guard, timed_out) = self.wait_limited(guard, Limit::After(clock::length(timeout)));
        with_result(guard, timed_out)
    }

    /// As [`wait_timeout`](Self::wait_timeout), until a point in time. std has no such method.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_deadline<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> Limited<'a, T> {
        let (guard, timed_out) = self.wait_limited(guard, Limit::At(deadline.nanos()));
        with_result(guard, timed_out)
    }

    /// As [`wait_timeout`](Self::wait_timeout), with the time in milliseconds; returns whether it was
    /// notified.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[deprecated(
        since = "0.1.0",
        note = "replaced by `Condvar::wait_timeout`, as in std"
    )]
    #[track_caller]
    pub fn wait_timeout_ms<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        ms: u32,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let notified = |(guard, result): (_, WaitTimeoutResult)| (guard, !result.timed_out());
        match self.wait_timeout(guard, Duration::from_millis(u64::from(ms))) {
            Ok(pair) => Ok(notified(pair)),
            Err(poisoned) => Err(PoisonError::new(notified(poisoned.into_inner()))),
        }
    }

    /// As [`wait_timeout`](Self::wait_timeout), again and again while `condition` holds, for `timeout`
    /// in all.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout_while<'a, T: ?Sized, F>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        condition: F,
    ) -> Limited<'a, T>
    where
        F: FnMut(&mut T) -> bool,
    {
        let limit = match Instant::now().checked_add(timeout) {
            Some(deadline) => Limit::At(deadline.nanos()),
            None => Limit::None,
        };
        self.wait_limited_while(guard, limit, condition)
    }

    /// As [`wait_timeout_while`](Self::wait_timeout_while), until a point in time. std has no such
    /// method.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_deadline_while<'a, T: ?Sized, F>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
        condition: F,
    ) -> Limited<'a, T>
    where
        F: FnMut(&mut T) -> bool,
    {
        self.wait_limited_while(guard, Limit::At(deadline.nanos()), condition)
    }

    #[track_caller]
    fn wait_limited_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Limit,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Limited<'a, T> {
        let mut timed_out = false;
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if timed_out {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            let (again, over) = self.wait_limited(guard, limit);
            timed_out = over;
            match again {
                Ok(again) => guard = again,
                poisoned => return with_result(poisoned, over),
            }
        }
    }

    /// The lock again, and whether the limit had passed.
    #[track_caller]
    fn wait_limited<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Limit,
    ) -> (LockResult<MutexGuard<'a, T>>, bool) {
        let caller = Caller::current();
        let mutex = guard.mutex();
        // Others may run here, with the lock still held, so it comes before the queue.
        let unwinds = caller.check_cancel().is_err();
        let outcome = if unwinds && limit != Limit::None {
            drop(guard);
            Outcome::Cancelled
        } else {
            let how = How::shared("waiting for a condition", limit).masked_if(unwinds);
            let mut queue = self.queue.lock();
            let ticket = queue.ticket();
            self.queue.wait_after(
                caller,
                queue,
                |queue| &queue.waiters,
                ticket,
                how,
                || self.notify_one(),
                || drop(guard),
            )
        };
        mutex.raw().lock_masked(caller);
        let is_over = match outcome {
            Outcome::Woken => false,
            Outcome::TimedOut => true,
            Outcome::Cancelled => limit != Limit::None,
        };
        (mutex.guard_again(caller), is_over)
    }

    /// Wakes who has waited the longest, if anybody waits.
    pub fn notify_one(&self) {
        let queue = self.queue.lock();
        if let Some(chosen) = queue.waiters.pop() {
            let unparker = chosen.release();
            drop(queue);
            unparker.unpark();
        }
    }

    /// Wakes all that wait now, in the order in which they came.
    pub fn notify_all(&self) {
        let queue = self.queue.lock();
        let now = queue.tickets;
        self.queue
            .release_while(queue, |queue| &queue.waiters, |ticket| *ticket < now);
    }
}

fn with_result<T: ?Sized>(guard: LockResult<MutexGuard<'_, T>>, timed_out: bool) -> Limited<'_, T> {
    let result = WaitTimeoutResult(timed_out);
    match guard {
        Ok(guard) => Ok((guard, result)),
        Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), result))),
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl std::panic::UnwindSafe for Condvar {}
impl std::panic::RefUnwindSafe for Condvar {}
