//! A plain OS thread that waits in a queue of `sync`. It has a token of its own: that of
//! `std::thread::park` is the user's, and a lock must not use it up.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Limit, Outcome};
use crate::clock;

thread_local! {
    static CURRENT: Arc<OsThread> = Arc::new(OsThread::new());
}

/// One OS thread, as those know it who unpark it.
pub(super) struct OsThread {
    /// Whether it was unparked since it last came back from a park.
    unparked: Mutex<bool>,
    changed: Condvar,
}

impl OsThread {
    const fn new() -> Self {
        Self {
            unparked: Mutex::new(false),
            changed: Condvar::new(),
        }
    }

    /// The calling one.
    pub(super) fn current() -> Arc<Self> {
        // In the destructors of thread-locals it may be gone already: then one for this wait does.
        CURRENT
            .try_with(Arc::clone)
            .unwrap_or_else(|_| Arc::new(Self::new()))
    }

    pub(super) fn unpark(&self) {
        *self.unparked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
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
            self.sleep(left);
        }
    }

    /// Sleeps until it is unparked, for so many nanoseconds at the most; it may end early.
    fn sleep(&self, nanos: Option<u64>) {
        let mut unparked = self.unparked.lock().unwrap_or_else(PoisonError::into_inner);
        if !*unparked {
            unparked = match nanos {
                None => self
                    .changed
                    .wait(unparked)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(nanos) => {
                    self.changed
                        .wait_timeout(unparked, Duration::from_nanos(nanos))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        *unparked = false;
    }
}
