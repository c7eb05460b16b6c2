//! Whose turn it is at a standard stream: a lock that its holder may take again, between green
//! threads of any runtime and OS threads.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};

use super::polled::Awaiters;
use crate::park::Caller;
use crate::sync::Semaphore;

/// The lock.
pub(super) struct Turns {
    /// The number of the thread whose turn it is; 0 for nobody.
    holder: AtomicU64,
    /// How often the holder has taken it; the holder alone writes it.
    depth: AtomicU32,
    /// One permit, out while there is a holder.
    free: Semaphore,
    /// The tasks that poll until there is none.
    awaiters: Awaiters,
}

impl Turns {
    pub(super) const fn new() -> Self {
        Self {
            holder: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            free: Semaphore::new(1),
            awaiters: Awaiters::new(),
        }
    }

    /// Waits for the turn, or takes it once more.
    pub(super) fn take(&self) -> Turn<'_> {
        let number = Caller::current().number();
        // Only this thread can have written its own number, so what it reads is what holds.
        if self.holder.load(Ordering::Relaxed) != number {
            self.free.acquire().forget();
            self.holder.store(number, Ordering::Relaxed);
        }
        self.turn()
    }

    /// Takes the turn, or has the task woken when it may be free.
    pub(super) fn poll_take(&self, context: &Context<'_>) -> Poll<Turn<'_>> {
        let number = Caller::current().number();
        self.awaiters.poll(context, || {
            if self.holder.load(Ordering::Relaxed) != number {
                self.free.try_acquire()?.forget();
                self.holder.store(number, Ordering::Relaxed);
            }
            Some(self.turn())
        })
    }

    /// One more turn of the holder's.
    fn turn(&self) -> Turn<'_> {
        self.depth.fetch_add(1, Ordering::Relaxed);
        Turn {
            turns: self,
            _not_send: PhantomData,
        }
    }
}

/// A turn that was taken; it ends when the last of the holder's goes.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    _not_send: PhantomData<*const ()>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.turns.depth.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.turns.holder.store(0, Ordering::Relaxed);
            self.turns.free.add_permits(1);
            self.turns.awaiters.wake();
        }
    }
}
