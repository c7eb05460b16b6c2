//! The acquires of `Semaphore` as futures.

use std::sync::Arc;

use crate::sync::semaphore::{OwnedPermit, Permit, Queue, Semaphore};
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::waiters::Waiters;

impl Semaphore {
    /// As [`acquire`](Self::acquire), for futures: waits in the same queue, without a thread.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue; permits that it was given already go to the next.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::Semaphore};
    ///
    /// static SLOTS: Semaphore = Semaphore::new(2);
    ///
    /// greenlit::run(|| {
    ///     let jobs = [(); 5].map(|()| future::spawn(async {
    ///         let _slot = SLOTS.acquire_async().await;
    ///         future::yield_now().await;
    ///         SLOTS.available_permits()
    ///     }));
    ///     jobs.into_iter().for_each(|job| assert!(job.join().unwrap() < 2));
    ///     assert_eq!(SLOTS.available_permits(), 2);
    /// });
    /// ```
    pub fn acquire_async(&self) -> impl Future<Output = Permit<'_>> {
        self.acquire_many_async(1)
    }

    /// As [`acquire_many`](Self::acquire_many), for futures.
    ///
    /// # Cancellation
    ///
    /// As [`acquire_async`](Self::acquire_async).
    pub fn acquire_many_async(&self, count: usize) -> impl Future<Output = Permit<'_>> {
        Standing::new(Acquire {
            semaphore: self,
            count,
        })
    }

    /// As [`acquire_owned`](Self::acquire_owned), for futures.
    ///
    /// # Cancellation
    ///
    /// As [`acquire_async`](Self::acquire_async).
    pub async fn acquire_owned_async(self: Arc<Self>) -> OwnedPermit {
        self.acquire_async().await.forget();
        self.owned()
    }
}

struct Acquire<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl<'a> Want for Acquire<'a> {
    type State = Queue;
    type Note = usize;
    type Output = Permit<'a>;

    fn lock(&self) -> &SpinLock<Queue> {
        self.semaphore.queue()
    }

    fn waiters(queue: &Queue) -> &Waiters<usize> {
        &queue.waiters
    }

    fn enter(&self) -> Result<Permit<'a>, Locked<'_, Queue>> {
        let mut queue = self.lock().lock();
        match queue.take_now(self.count) {
            true => Ok(self.semaphore.permit(self.count)),
            false => Err(queue),
        }
    }

    fn note(&self, _: &mut Queue, _: u64) -> usize {
        self.count
    }

    fn chosen(&self) -> Option<Permit<'a>> {
        Some(self.semaphore.permit(self.count))
    }

    /// Those behind one that wanted many may be served at once.
    fn left(&self) {
        self.semaphore.hand_out(self.lock().lock());
    }

    fn give_back(&self) {
        self.semaphore.add_permits(self.count);
    }
}
