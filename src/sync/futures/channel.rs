//! Receives and sends of `mpsc`, `mpmc` and `oneshot` as futures.

use std::sync::mpsc::{RecvError, SendError};

use crate::sync::channel::{Channel, Failure, Note, Queue, Rest, Slot};
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::waiters::Waiters;
use crate::sync::{mpmc, mpsc, oneshot};

impl<T> mpsc::Receiver<T> {
    /// As [`recv`](Self::recv), for futures: waits in the same queue, without a thread.
    ///
    /// # Errors
    ///
    /// Where there is no item and no sender.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped takes no item: one that it was given already goes to the next, or
    /// back to where it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::mpsc};
    ///
    /// greenlit::run(|| {
    ///     let (sender, receiver) = mpsc::sync_channel(1);
    ///     let task = future::spawn(async move {
    ///         let mut sum = 0;
    ///         while let Ok(item) = receiver.recv_async().await {
    ///             sum += item;
    ///         }
    ///         sum
    ///     });
    ///     future::block_on(async {
    ///         for item in 1..=4 {
    ///             sender.send_async(item).await.unwrap();
    ///         }
    ///     });
    ///     drop(sender);
    ///     assert_eq!(task.join().unwrap(), 10);
    /// });
    /// ```
    pub fn recv_async(&self) -> impl Future<Output = Result<T, RecvError>> {
        Standing::new(Receiving::new(&self.output))
    }
}

impl<T> mpsc::Sender<T> {
    /// As [`send`](Self::send), for futures. It never waits for a receiver, but lets others run now
    /// and then.
    ///
    /// # Errors
    ///
    /// The item, where the receiver has gone.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before it has completed sends nothing.
    pub fn send_async(&self, t: T) -> impl Future<Output = Result<(), SendError<T>>> {
        Standing::new(Sending::new(&self.input, t))
    }
}

impl<T> mpsc::SyncSender<T> {
    /// As [`send`](Self::send), for futures: waits in the same queue, without a thread.
    ///
    /// # Errors
    ///
    /// The item, where the receiver has gone.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped sends nothing, unless its item was taken already.
    pub fn send_async(&self, t: T) -> impl Future<Output = Result<(), SendError<T>>> {
        Standing::new(Sending::new(&self.input, t))
    }
}

impl<T> mpmc::Receiver<T> {
    /// As [`recv`](Self::recv), for futures: waits in the same queue, without a thread.
    ///
    /// # Errors
    ///
    /// Where there is no item and no sender.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped takes no item: one that it was given already goes to the next, or
    /// back to where it was.
    pub fn recv_async(&self) -> impl Future<Output = Result<T, RecvError>> {
        Standing::new(Receiving::new(&self.output))
    }
}

impl<T> mpmc::Sender<T> {
    /// As [`send`](Self::send), for futures: waits in the same queue, without a thread.
    ///
    /// # Errors
    ///
    /// The item, where there is no receiver.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped sends nothing, unless its item was taken already.
    pub fn send_async(&self, t: T) -> impl Future<Output = Result<(), SendError<T>>> {
        Standing::new(Sending::new(&self.input, t))
    }
}

impl<T> oneshot::Receiver<T> {
    /// As [`recv`](Self::recv), for futures: waits in the same queue, without a thread.
    ///
    /// # Errors
    ///
    /// Where the sender has gone without an item, or the item was received.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped takes no item: one that it was given already goes back to where it
    /// was.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future::block_on, sync::oneshot, thread};
    ///
    /// greenlit::run(|| {
    ///     let (sender, receiver) = oneshot::channel();
    ///     thread::spawn(move || sender.send(6 * 7));
    ///     assert_eq!(block_on(receiver.recv_async()), Ok(42));
    /// });
    /// ```
    pub fn recv_async(&self) -> impl Future<Output = Result<T, RecvError>> {
        Standing::new(Receiving::new(&self.output))
    }
}

struct Receiving<'a, T> {
    channel: &'a Channel<T>,
    slot: Slot<T>,
}

struct Sending<'a, T> {
    channel: &'a Channel<T>,
    slot: Slot<T>,
}

impl<'a, T> Receiving<'a, T> {
    fn new(channel: &'a Channel<T>) -> Self {
        Self {
            channel,
            slot: Slot::new(None),
        }
    }
}

impl<'a, T> Sending<'a, T> {
    fn new(channel: &'a Channel<T>, item: T) -> Self {
        Self {
            channel,
            slot: Slot::new(Some(item)),
        }
    }

    /// The item is gone where it was sent.
    fn result(&self) -> Result<(), SendError<T>> {
        match self.slot.take() {
            None => Ok(()),
            Some(item) => Err(SendError(item)),
        }
    }
}

impl<T> Want for Receiving<'_, T> {
    type State = Queue<T>;
    type Note = Note<T>;
    type Output = Result<T, RecvError>;

    fn lock(&self) -> &SpinLock<Queue<T>> {
        &self.channel.queue
    }

    fn waiters(queue: &Queue<T>) -> &Waiters<Note<T>> {
        &queue.receivers
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, Queue<T>>> {
        let mut rest = Rest::new();
        let mut queue = self.channel.queue.lock();
        let result = queue.try_recv(&mut rest);
        if let Err(Failure::NotYet) = result {
            return Err(queue);
        }
        drop(queue);
        rest.finish();
        Ok(result.map_err(|_| RecvError))
    }

    fn note(&self, _: &mut Queue<T>, _: u64) -> Note<T> {
        &raw const self.slot
    }

    /// It was chosen without an item where the senders have gone.
    fn chosen(&self) -> Option<Self::Output> {
        Some(self.slot.take().ok_or(RecvError))
    }

    fn give_back(&self) {
        self.channel.take_back(&self.slot);
    }
}

impl<T> Want for Sending<'_, T> {
    type State = Queue<T>;
    type Note = Note<T>;
    type Output = Result<(), SendError<T>>;

    fn lock(&self) -> &SpinLock<Queue<T>> {
        &self.channel.queue
    }

    fn waiters(queue: &Queue<T>) -> &Waiters<Note<T>> {
        &queue.senders
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, Queue<T>>> {
        let mut rest = Rest::new();
        let mut queue = self.channel.lock_to_send();
        if queue.try_send(&self.slot, &mut rest) == Err(Failure::NotYet) {
            return Err(queue);
        }
        drop(queue);
        rest.finish();
        Ok(self.result())
    }

    fn note(&self, _: &mut Queue<T>, _: u64) -> Note<T> {
        &raw const self.slot
    }

    /// Its item is still here where the receivers have gone.
    fn chosen(&self) -> Option<Self::Output> {
        Some(self.result())
    }
}
