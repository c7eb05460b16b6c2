//! A plain OS thread that waits in a queue of `sync`. It has a token of its own: that of
//! `std::thread::park` is the user's, and a lock must not use it up.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Limit, Outcome};
use crate::clock;

thread_local! {
    static CURRENT: Own = Own(ManuallyDrop::new(Arc::new(OsThread::new())));
    /// How many waits have its address.
    static LENT: Cell<usize> = const { Cell::new(0) };
    /// What is freed when they are over, since the local above has gone before; null most often.
    static LEFT: Cell<*const OsThread> = const { Cell::new(ptr::null()) };
}

/// What an OS thread has of itself.
struct Own(ManuallyDrop<Arc<OsThread>>);

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: it is not used again.
        let own = unsafe { ManuallyDrop::take(&mut self.0) };
        // A coroutine in the locals of the OS thread may be in the middle of a wait still.
        if LENT.get() != 0 {
            LEFT.set(Arc::into_raw(own));
        }
    }
}

/// One OS thread, as those know it who unpark it.
pub(super) struct OsThread {
    /// How often it was unparked. A count and no token: what a condition waits for itself must not
    /// use up what is meant for the wait that asks it.
    unparks: Mutex<u64>,
    changed: Condvar,
}

impl OsThread {
    const fn new() -> Self {
        Self {
            unparks: Mutex::new(0),
            changed: Condvar::new(),
        }
    }

    /// The calling one.
    pub(super) fn current() -> Arc<Self> {
        // In the destructors of thread-locals it may be gone already: then one for this wait does.
        CURRENT
            .try_with(|own| Arc::clone(&own.0))
            .unwrap_or_else(|_| Arc::new(Self::new()))
    }

    /// Where the calling one's lies; null in the destructors of its locals.
    #[inline]
    pub(super) fn address() -> *const Self {
        CURRENT
            .try_with(|own| Arc::as_ptr(&own.0))
            .unwrap_or(ptr::null())
    }

    /// Says that what `address` returned stays in use on the calling OS thread, which then does not free
    /// it at its end.
    pub(super) fn lend() {
        LENT.set(LENT.get() + 1);
    }

    /// What `lend` was called for is over.
    pub(super) fn give_back() {
        LENT.set(LENT.get() - 1);
        if LENT.get() == 0 {
            let left = LEFT.replace(ptr::null());
            if !left.is_null() {
                // SAFETY: it came from an `Arc`, and was put there once.
                drop(unsafe { Arc::from_raw(left) });
            }
        }
    }

    /// Another count of what `address` pointed at.
    ///
    /// # Safety
    ///
    /// It is lent.
    pub(super) unsafe fn at(address: *const Self) -> Arc<Self> {
        // SAFETY: it came from the `Arc` in the OS thread's local, which keeps it while it is lent.
        unsafe { Arc::increment_strong_count(address) };
        // SAFETY: as above; the count was added just now.
        unsafe { Arc::from_raw(address) }
    }

    pub(super) fn unpark(&self) {
        *self.unparks() += 1;
        self.changed.notify_one();
    }

    fn unparks(&self) -> MutexGuard<'_, u64> {
        self.unparks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks the OS thread, which is the calling one, until `done()` or the limit.
    #[cold]
    pub(super) fn park(&self, limit: Limit, mut done: impl FnMut() -> bool) -> Outcome {
        let deadline = match limit {
            Limit::None => u64::MAX,
            Limit::At(nanos) => nanos,
            Limit::After(nanos) => clock::now().saturating_add(nanos),
        };
        loop {
            let seen = *self.unparks();
            if done() {
                return Outcome::Woken;
            }
            let left = match deadline {
                u64::MAX => None,
                _ => Some(deadline.saturating_sub(clock::now())),
            };
            if left == Some(0) {
                return match done() {
                    true => Outcome::Woken,
                    false => Outcome::TimedOut,
                };
            }
            self.sleep(seen, left);
        }
    }

    /// Sleeps until it is unparked for another time than those that were `seen`, for so many
    /// nanoseconds at the most; it may end early.
    fn sleep(&self, seen: u64, nanos: Option<u64>) {
        let unparks = self.unparks();
        if *unparks != seen {
            return;
        }
        match nanos {
            None => drop(self.changed.wait(unparks)),
            Some(nanos) => {
                let timeout = Duration::from_nanos(nanos);
                drop(self.changed.wait_timeout(unparks, timeout));
            }
        }
    }
}
