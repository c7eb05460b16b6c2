//! The lock around each queue, as a mutex of loom's: a loop that spins has too many orders.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use std::cell::UnsafeCell;
use std::sync::OnceLock;

pub(super) struct SpinLock<S> {
    held: Held,
    state: UnsafeCell<S>,
}

pub(crate) struct Held(OnceLock<loom::sync::Mutex<()>>);

pub(super) struct Locked<'a, S> {
    lock: &'a SpinLock<S>,
    _guard: Option<loom::sync::MutexGuard<'a, ()>>,
    _not_send: PhantomData<*const ()>,
}

impl<S> SpinLock<S> {
    pub(super) const fn new(state: S) -> Self {
        Self {
            held: Held(OnceLock::new()),
            state: UnsafeCell::new(state),
        }
    }

    pub(super) fn lock(&self) -> Locked<'_, S> {
        let mutex = self.held.0.get_or_init(|| loom::sync::Mutex::new(()));
        Locked {
            lock: self,
            _guard: mutex.lock().ok(),
            _not_send: PhantomData,
        }
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    pub(super) unsafe fn locked(&self) -> ManuallyDrop<Locked<'_, S>> {
        unreachable!("no model takes several at once")
    }
}

impl<S> Deref for Locked<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        // SAFETY: whoever has a `Locked` has loom's mutex.
        unsafe { &*self.lock.state.get() }
    }
}

impl<S> DerefMut for Locked<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        // SAFETY: as above, and it is borrowed mutably.
        unsafe { &mut *self.lock.state.get() }
    }
}

// SAFETY: loom's mutex hands the value from one thread to the next.
unsafe impl<S> Sync for SpinLock<S> {}
// SAFETY: as above.
unsafe impl<S> Send for SpinLock<S> {}
