//! `RwLock::read` and `RwLock::write` as futures.

use std::sync::LockResult;

use crate::park::Caller;
use crate::sync::rwlock::raw::{Access, RawRwLock, Wanted};
use crate::sync::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::waiters::Waiters;

impl<T: ?Sized> RwLock<T> {
    /// As [`read`](Self::read), for futures: waits in the same queue, without a thread.
    ///
    /// The guard stays on its OS thread, and so does a future that keeps it across an `await`.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue, and lets go of a lock that it was given already.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future::block_on, sync::RwLock};
    ///
    /// let limits = RwLock::new(10);
    /// block_on(async {
    ///     *limits.write_async().await.unwrap() += 1;
    ///     assert_eq!(*limits.read_async().await.unwrap(), 11);
    /// });
    /// ```
    pub fn read_async(&self) -> impl Future<Output = LockResult<RwLockReadGuard<'_, T>>> {
        Standing::new(Read(self))
    }

    /// As [`write`](Self::write), for futures: waits in the same queue, without a thread. The lock
    /// belongs to the task that has polled the future to its end.
    ///
    /// The guard stays on its OS thread, and so does a future that keeps it across an `await`.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue, and lets go of a lock that it was given already.
    pub fn write_async(&self) -> impl Future<Output = LockResult<RwLockWriteGuard<'_, T>>> {
        Standing::new(Write(self))
    }
}

struct Read<'a, T: ?Sized>(&'a RwLock<T>);

struct Write<'a, T: ?Sized>(&'a RwLock<T>);

impl<'a, T: ?Sized> Want for Read<'a, T> {
    type State = Waiters<Wanted>;
    type Note = Wanted;
    type Output = LockResult<RwLockReadGuard<'a, T>>;

    fn lock(&self) -> &SpinLock<Waiters<Wanted>> {
        &self.0.raw.queue
    }

    fn waiters(queue: &Waiters<Wanted>) -> &Waiters<Wanted> {
        queue
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, Waiters<Wanted>>> {
        enter(&self.0.raw, Access::Read).map(|_| self.0.read_guard())
    }

    fn note(&self, _: &mut Waiters<Wanted>, number: u64) -> Wanted {
        let access = Access::Read;
        Wanted { access, number }
    }

    fn chosen(&self) -> Option<Self::Output> {
        Some(self.0.read_guard())
    }

    fn left(&self) {
        self.0.raw.admit();
    }

    fn give_back(&self) {
        self.0.raw.unlock_read();
    }
}

impl<'a, T: ?Sized> Want for Write<'a, T> {
    type State = Waiters<Wanted>;
    type Note = Wanted;
    type Output = LockResult<RwLockWriteGuard<'a, T>>;

    fn lock(&self) -> &SpinLock<Waiters<Wanted>> {
        &self.0.raw.queue
    }

    fn waiters(queue: &Waiters<Wanted>) -> &Waiters<Wanted> {
        queue
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, Waiters<Wanted>>> {
        enter(&self.0.raw, Access::Write).map(|caller| self.0.write_guard(caller))
    }

    fn note(&self, _: &mut Waiters<Wanted>, number: u64) -> Wanted {
        let access = Access::Write;
        Wanted { access, number }
    }

    fn chosen(&self) -> Option<Self::Output> {
        let caller = Caller::current();
        // Whoever polled it before may have been another.
        self.0.raw.hold(caller.number());
        Some(self.0.write_guard(caller))
    }

    /// Those behind a writer that leaves may be let in at once.
    fn left(&self) {
        self.0.raw.admit();
    }

    fn give_back(&self) {
        self.0.raw.unlock_write();
    }
}

/// Takes the lock for the calling thread or task, or returns that of the queue.
fn enter(raw: &RawRwLock, access: Access) -> Result<Caller<'static>, Locked<'_, Waiters<Wanted>>> {
    let caller = Caller::current();
    if raw.try_lock(caller, access) {
        return Ok(caller);
    }
    let queue = raw.queue.lock();
    match raw.take_or_queue(caller, access, queue.first().is_none()) {
        true => Ok(caller),
        false => Err(queue),
    }
}
