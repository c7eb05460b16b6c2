//! The lock around every queue of this module: held for a few dozen instructions, never across a
//! switch, and never while code of the user's runs. Whoever finds it held spins, and after that
//! gives the CPU to other OS threads.

use std::cell::UnsafeCell;
use std::hint;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Looks at a held lock before the OS thread gives the CPU away.
const SPINS: u32 = 100;

/// Looks and yields before the OS thread sleeps: a holder of lower priority may be kept from running
/// by the very thread that waits for it.
const PATIENCE: u32 = 200;

/// How long it sleeps then, at a time.
const NAP: Duration = Duration::from_micros(50);

/// A value that OS threads use one at a time, for moments.
pub(super) struct SpinLock<S> {
    held: Held,
    state: UnsafeCell<S>,
}

/// The lock without its value: who takes several at once takes them in the order of their addresses.
pub(crate) struct Held(AtomicBool);

// Nodes point into the value while their waits borrow the lock, so nobody can move it then.
impl<S> Unpin for SpinLock<S> {}

/// The right to use the value; it stays on its OS thread.
pub(super) struct Locked<'a, S> {
    lock: &'a SpinLock<S>,
    _not_send: PhantomData<*const ()>,
}

impl<S> SpinLock<S> {
    pub(super) const fn new(state: S) -> Self {
        Self {
            held: Held(AtomicBool::new(false)),
            state: UnsafeCell::new(state),
        }
    }

    #[inline(always)]
    pub(super) fn lock(&self) -> Locked<'_, S> {
        self.held.take();
        Locked {
            lock: self,
            _not_send: PhantomData,
        }
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// The value, for who has taken `held` by itself, and lets go of it by itself.
    ///
    /// # Safety
    ///
    /// The caller has the lock, and no other reference to the value while it uses this one.
    pub(super) unsafe fn locked(&self) -> ManuallyDrop<Locked<'_, S>> {
        ManuallyDrop::new(Locked {
            lock: self,
            _not_send: PhantomData,
        })
    }
}

impl Held {
    #[inline(always)]
    pub(super) fn take(&self) {
        if self.0.swap(true, Ordering::Acquire) {
            self.contend();
        }
    }

    /// The caller has taken it.
    #[inline(always)]
    pub(super) fn release(&self) {
        self.0.store(false, Ordering::Release);
    }

    #[cold]
    #[inline(never)]
    fn contend(&self) {
        let mut looks = 0_u32;
        loop {
            while self.0.load(Ordering::Relaxed) {
                looks = looks.saturating_add(1);
                match looks {
                    0..SPINS => hint::spin_loop(),
                    SPINS..PATIENCE => thread::yield_now(),
                    PATIENCE.. => thread::sleep(NAP),
                }
            }
            if !self.0.swap(true, Ordering::Acquire) {
                return;
            }
        }
    }
}

impl<S> Deref for Locked<'_, S> {
    type Target = S;

    #[inline(always)]
    fn deref(&self) -> &S {
        // SAFETY: invariant 71: whoever has a `Locked` is the only one.
        unsafe { &*self.lock.state.get() }
    }
}

impl<S> DerefMut for Locked<'_, S> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut S {
        // SAFETY: invariant 71: whoever has a `Locked` is the only one, and it is borrowed mutably.
        unsafe { &mut *self.lock.state.get() }
    }
}

impl<S> Drop for Locked<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.held.release();
    }
}

// SAFETY: invariant 71: it hands its value from one OS thread to another, one at a time. What the
// value holds of other threads' is judged where a lock is made part of a public type.
unsafe impl<S> Sync for SpinLock<S> {}
// SAFETY: as above.
unsafe impl<S> Send for SpinLock<S> {}
