//! The lock around every queue of this module: held for a few dozen instructions, never across a
//! switch, and never while code of the user's runs. Whoever finds it held spins, and after that
//! gives the CPU to other OS threads.

use std::cell::UnsafeCell;
use std::hint;
use std::marker::PhantomData;
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
    held: AtomicBool,
    state: UnsafeCell<S>,
}

/// The right to use the value; it stays on its OS thread.
pub(super) struct Locked<'a, S> {
    lock: &'a SpinLock<S>,
    _not_send: PhantomData<*const ()>,
}

impl<S> SpinLock<S> {
    pub(super) const fn new(state: S) -> Self {
        Self {
            held: AtomicBool::new(false),
            state: UnsafeCell::new(state),
        }
    }

    #[inline(always)]
    pub(super) fn lock(&self) -> Locked<'_, S> {
        if self.held.swap(true, Ordering::Acquire) {
            self.contend();
        }
        Locked {
            lock: self,
            _not_send: PhantomData,
        }
    }

    #[cold]
    #[inline(never)]
    fn contend(&self) {
        let mut looks = 0_u32;
        loop {
            while self.held.load(Ordering::Relaxed) {
                looks = looks.saturating_add(1);
                match looks {
                    0..SPINS => hint::spin_loop(),
                    SPINS..PATIENCE => thread::yield_now(),
                    PATIENCE.. => thread::sleep(NAP),
                }
            }
            if !self.held.swap(true, Ordering::Acquire) {
                return;
            }
        }
    }

    #[expect(dead_code, reason = "for channels")]
    pub(super) fn get_mut(&mut self) -> &mut S {
        self.state.get_mut()
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
        self.lock.held.store(false, Ordering::Release);
    }
}

// SAFETY: invariant 71: it hands its value from one OS thread to another, one at a time. What the
// value holds of other threads' is judged where a lock is made part of a public type.
unsafe impl<S> Sync for SpinLock<S> {}
// SAFETY: as above.
unsafe impl<S> Send for SpinLock<S> {}
