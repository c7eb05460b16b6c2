//! Poisoning: a lock that was let go by a panic says so to those who take it later, as std's. A
//! cancel does not poison, nor does the panic of a green thread that does not hold the lock.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::park::Caller;

/// Whether a lock is poisoned.
pub(super) struct Poison(AtomicBool);

/// Whether the thread was panicking when it took the lock: then it does not poison it.
#[derive(Clone, Copy)]
pub(super) struct Entered {
    panicking: bool,
}

impl Poison {
    pub(super) const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    #[inline(always)]
    pub(super) fn is_poisoned(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// The lock was taken.
    #[inline(always)]
    pub(super) fn enter(caller: Caller<'_>) -> Entered {
        Entered {
            panicking: caller.panics(),
        }
    }

    /// The lock is about to be let go.
    #[inline(always)]
    pub(super) fn leave(&self, entered: Entered) {
        if std::thread::panicking() && !entered.panicking && Caller::current().panics() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// `value` as std's locks return it.
    #[inline(always)]
    pub(super) fn judge<T>(&self, value: T) -> Result<T, PoisonError<T>> {
        match self.is_poisoned() {
            true => Err(PoisonError::new(value)),
            false => Ok(value),
        }
    }
}
