//! `Mutex::lock` as a future.

use std::sync::LockResult;

use crate::park::Caller;
use crate::sync::mutex::{Mutex, MutexGuard};
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::waiters::Waiters;

impl<T: ?Sized> Mutex<T> {
    /// As [`lock`](Self::lock), for futures: waits in the same queue, without a thread. The lock
    /// belongs to the task that has polled it to its end. Two futures of one task may each wait for
    /// it: nothing looks whether the one holds what the other wants.
    ///
    /// The guard stays on its OS thread, and so does a future that keeps it across an `await`.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue; a lock that it was given already goes to the next.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::Mutex, thread};
    ///
    /// static COUNT: Mutex<u32> = Mutex::new(0);
    ///
    /// greenlit::run(|| {
    ///     let task = future::spawn(async { *COUNT.lock_async().await.unwrap() += 1 });
    ///     let thread = thread::spawn(|| *COUNT.lock().unwrap() += 1);
    ///     task.join().unwrap();
    ///     thread.join().unwrap();
    ///     assert_eq!(*COUNT.lock().unwrap(), 2);
    /// });
    /// ```
    pub fn lock_async(&self) -> impl Future<Output = LockResult<MutexGuard<'_, T>>> {
        Standing::new(Lock(self))
    }
}

struct Lock<'a, T: ?Sized>(&'a Mutex<T>);

impl<'a, T: ?Sized> Want for Lock<'a, T> {
    type State = Waiters<u64>;
    type Note = u64;
    type Output = LockResult<MutexGuard<'a, T>>;

    fn lock(&self) -> &SpinLock<Waiters<u64>> {
        self.0.raw().queue()
    }

    fn waiters(queue: &Waiters<u64>) -> &Waiters<u64> {
        queue
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, Waiters<u64>>> {
        let caller = Caller::current();
        match self.0.raw().lock_or_queue(caller) {
            None => Ok(self.0.guard_again(caller)),
            Some(queue) => Err(queue),
        }
    }

    fn note(&self, _: &mut Waiters<u64>, number: u64) -> u64 {
        number
    }

    fn chosen(&self) -> Option<Self::Output> {
        let caller = Caller::current();
        // Whoever polled it before may have been another.
        self.0.raw().hold(caller.number());
        Some(self.0.guard_again(caller))
    }

    fn give_back(&self) {
        self.0.raw().unlock();
    }
}
