//! `Condvar::wait` and `Condvar::wait_while` as futures.

use std::cell::Cell;
use std::mem;
use std::sync::LockResult;

use crate::sync::condvar::{Condvar, Queue};
use crate::sync::mutex::MutexGuard;
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::waiters::Waiters;

impl Condvar {
    /// As [`wait`](Self::wait), for futures: lets go of the lock at the first poll, waits for a
    /// notification and takes the lock again, in the same queues, without a thread.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped has let go of the lock, and does not take it again. A notification
    /// that had chosen it wakes another.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::{Condvar, Mutex}, thread};
    ///
    /// static READY: Mutex<bool> = Mutex::new(false);
    /// static CHANGED: Condvar = Condvar::new();
    ///
    /// greenlit::run(|| {
    ///     let waiter = future::spawn(async {
    ///         let mut ready = READY.lock_async().await.unwrap();
    ///         while !*ready {
    ///             ready = CHANGED.wait_async(ready).await.unwrap();
    ///         }
    ///     });
    ///     thread::yield_now();
    ///     *READY.lock().unwrap() = true;
    ///     CHANGED.notify_one();
    ///     waiter.join().unwrap();
    /// });
    /// ```
    pub async fn wait_async<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> LockResult<MutexGuard<'a, T>> {
        let mutex = guard.mutex();
        Standing::new(Notification {
            condvar: self,
            guard: Cell::new(Some(guard)),
        })
        .await;
        // It was notified, and if it goes before it has the lock, nobody has looked at the condition.
        let passed_on = PassedOn(self);
        let guard = mutex.lock_async().await;
        mem::forget(passed_on);
        guard
    }

    /// As [`wait_async`](Self::wait_async), again and again while `condition` holds.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`wait_async`](Self::wait_async).
    pub async fn wait_while_async<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait_async(guard).await?;
        }
        Ok(guard)
    }
}

/// Wakes another when it is dropped.
struct PassedOn<'a>(&'a Condvar);

impl Drop for PassedOn<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

struct Notification<'a, 'm, T: ?Sized> {
    condvar: &'a Condvar,
    /// The lock, until the future stands in the queue.
    guard: Cell<Option<MutexGuard<'m, T>>>,
}

impl<T: ?Sized> Want for Notification<'_, '_, T> {
    type State = Queue;
    type Note = u64;
    type Output = ();

    fn lock(&self) -> &SpinLock<Queue> {
        &self.condvar.queue
    }

    fn waiters(queue: &Queue) -> &Waiters<u64> {
        &queue.waiters
    }

    fn enter(&self) -> Result<(), Locked<'_, Queue>> {
        Err(self.condvar.queue.lock())
    }

    fn note(&self, queue: &mut Queue, _: u64) -> u64 {
        queue.ticket()
    }

    fn queued(&self) {
        drop(self.guard.take());
    }

    fn chosen(&self) -> Option<()> {
        Some(())
    }

    fn give_back(&self) {
        self.condvar.notify_one();
    }
}
