//! A receive from a broadcast as a future.

use crate::sync::broadcast::ring::{Ring, Taken};
use crate::sync::broadcast::{Receiver, RecvError, TryRecvError};
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::waiters::Waiters;

impl<T: Clone> Receiver<T> {
    /// As [`recv`](Self::recv), for futures: waits in the same queue, without a thread.
    ///
    /// # Errors
    ///
    /// Where it has fallen behind, or the senders have gone.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue, and the receiver's next item stays the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::broadcast, thread};
    ///
    /// greenlit::run(|| {
    ///     let (sender, mut receiver) = broadcast::channel(8);
    ///     let listener = future::spawn(async move { receiver.recv_async().await });
    ///     thread::yield_now();
    ///     sender.send("news").unwrap();
    ///     assert_eq!(listener.join().unwrap(), Ok("news"));
    /// });
    /// ```
    pub fn recv_async(&mut self) -> impl Future<Output = Result<T, RecvError>> {
        Standing::new(Next(self))
    }
}

struct Next<'a, T>(&'a mut Receiver<T>);

impl<T: Clone> Want for Next<'_, T> {
    type State = Ring<T>;
    type Note = u64;
    type Output = Result<T, RecvError>;

    fn lock(&self) -> &SpinLock<Ring<T>> {
        &self.0.shared.ring
    }

    fn waiters(ring: &Ring<T>) -> &Waiters<u64> {
        &ring.waiters
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, Ring<T>>> {
        let mut ring = self.lock().lock();
        let taken = ring.take(&self.0.position);
        if let Err(TryRecvError::Empty) = taken {
            return Err(ring);
        }
        drop(ring);
        Ok(taken.map(Taken::into_item).map_err(|end| match end {
            TryRecvError::Lagged(count) => RecvError::Lagged(count),
            TryRecvError::Closed | TryRecvError::Empty => RecvError::Closed,
        }))
    }

    fn note(&self, _: &mut Ring<T>, _: u64) -> u64 {
        self.0.position.get()
    }

    /// Its item is kept, or counted as lost.
    fn chosen(&self) -> Option<Self::Output> {
        None
    }
}
