//! Channels with many senders and many receivers, of which each item goes to one. std's own are not
//! stable yet; names and shapes are theirs, so that they can be swapped for each other later.

use std::fmt;
use std::time::Duration;

use super::channel::{self, Failure, Input, Output};
use super::select::{RecvArm, SendArm};
use crate::clock::{self, Instant};
use crate::park::Limit;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

/// A channel without bound: sending never waits.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::mpmc, thread};
///
/// greenlit::run(|| {
///     let (jobs, queue) = mpmc::channel();
///     let workers: Vec<_> = (0..2)
///         .map(|_| {
///             let queue = queue.clone();
///             thread::spawn(move || queue.iter().sum::<u32>())
///         })
///         .collect();
///     (1..=10).for_each(|job| jobs.send(job).unwrap());
///     drop(jobs);
///     let sums = workers.into_iter().map(|worker| worker.join().unwrap());
///     assert_eq!(sums.sum::<u32>(), 55);
/// });
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (input, output) = channel::channel(None);
    (Sender { input }, Receiver { output })
}

/// A channel in which `bound` items may lie. With a bound of 0 each send waits for its receiver.
///
/// # Panics
///
/// If there is no memory for so many items.
///
/// # Examples
///
/// ```
/// use greenlit::sync::mpmc;
///
/// let (sender, receiver) = mpmc::sync_channel(2);
/// sender.send('a').unwrap();
/// assert_eq!((sender.len(), sender.capacity(), sender.is_full()), (1, Some(2), false));
/// assert_eq!(receiver.recv(), Ok('a'));
/// ```
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (Sender<T>, Receiver<T>) {
    let (input, output) = channel::channel(Some(bound));
    (Sender { input }, Receiver { output })
}

/// A sending half: `Clone`, and `Send + Sync` where the items are `Send`.
pub struct Sender<T> {
    pub(super) input: Input<T>,
}

/// A receiving half, as shareable as the [`Sender`]. Each item goes to one receiver: to the one that
/// has waited the longest.
pub struct Receiver<T> {
    pub(super) output: Output<T>,
}

/// Why a send that is limited in time was not done; it has the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// There was no room in time.
    Timeout(T),
    /// The receivers have gone.
    Disconnected(T),
}

impl<T> Sender<T> {
    /// Sends an item; parks while there is no room for it.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// The item, where the receivers have gone.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here and sends nothing, unless its item was taken. If
    /// it unwinds already and would have to wait, it gets the error.
    #[inline]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.input
            .send(item, Limit::None)
            .map_err(|(_, item)| SendError(item))
    }

    /// Sends an item if there is room. It does not park, and no other green thread runs.
    ///
    /// # Errors
    ///
    /// The item, where there is no room, or where the receivers have gone.
    #[inline]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.input
            .try_send(item)
            .map_err(|(failure, item)| match failure {
                Failure::NotYet => TrySendError::Full(item),
                _ => TrySendError::Disconnected(item),
            })
    }

    /// As [`send`](Self::send), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// The item, where the time is over, or where the receivers have gone.
    ///
    /// # Cancellation
    ///
    /// As [`send`](Self::send); the error is `Disconnected`.
    pub fn send_timeout(&self, item: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_limited(item, Limit::After(clock::length(timeout)))
    }

    /// As [`send_timeout`](Self::send_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Self::send_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`send_timeout`](Self::send_timeout).
    pub fn send_deadline(&self, item: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_limited(item, Limit::At(deadline.nanos()))
    }

    fn send_limited(&self, item: T, limit: Limit) -> Result<(), SendTimeoutError<T>> {
        self.input
            .send(item, limit)
            .map_err(|(failure, item)| match failure {
                Failure::Disconnected => SendTimeoutError::Disconnected(item),
                _ => SendTimeoutError::Timeout(item),
            })
    }

    /// How many items lie in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.input.len()
    }

    /// Whether no item lies in the channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another item; always so with a bound of 0.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.input.is_full()
    }

    /// How many items may lie in the channel; `None` where there is no bound.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.input.capacity()
    }

    /// Whether both belong to one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        self.input.same_channel(&other.input)
    }

    /// A send as an arm of a [`Select`](super::select::Select).
    pub fn send_arm(&self, item: T) -> SendArm<'_, T> {
        SendArm::new(&self.input, item)
    }
}

impl<T> Receiver<T> {
    /// Receives the next item; parks while there is none. What was sent can be received after the
    /// senders have gone.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// Where there is no item and no sender.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here and takes no item. If it unwinds already and would
    /// have to wait, it gets the error.
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.output.recv(Limit::None).map_err(|_| RecvError)
    }

    /// Receives the next item if there is one. It does not park, and no other green thread runs.
    ///
    /// # Errors
    ///
    /// Where there is no item, and whether there are senders.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.output.try_recv().map_err(|failure| match failure {
            Failure::NotYet => TryRecvError::Empty,
            _ => TryRecvError::Disconnected,
        })
    }

    /// As [`recv`](Self::recv), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// Where the time is over, or where there is no item and no sender.
    ///
    /// # Cancellation
    ///
    /// As [`recv`](Self::recv); the error is `Disconnected`.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_limited(Limit::After(clock::length(timeout)))
    }

    /// As [`recv_timeout`](Self::recv_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_limited(Limit::At(deadline.nanos()))
    }

    fn recv_limited(&self, limit: Limit) -> Result<T, RecvTimeoutError> {
        self.output.recv(limit).map_err(|failure| match failure {
            Failure::Disconnected => RecvTimeoutError::Disconnected,
            _ => RecvTimeoutError::Timeout,
        })
    }

    /// An iterator that waits for each item, and ends when there is no item and no sender.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// An iterator over the items that are there; it never waits.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// How many items lie in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.output.len()
    }

    /// Whether no item lies in the channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another item; always so with a bound of 0.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.output.is_full()
    }

    /// How many items may lie in the channel; `None` where there is no bound.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.output.capacity()
    }

    /// Whether both belong to one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        self.output.same_channel(&other.output)
    }

    /// A receive as an arm of a [`Select`](super::select::Select).
    pub fn recv_arm(&self) -> RecvArm<'_, T> {
        RecvArm::new(&self.output)
    }
}

impl<T> SendTimeoutError<T> {
    /// The item that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(item) | Self::Disconnected(item) => item,
        }
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout(_) => "Timeout(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout(_) => "timed out waiting on send operation",
            Self::Disconnected(_) => "sending on a disconnected channel",
        })
    }
}

impl<T> std::error::Error for SendTimeoutError<T> {}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            input: self.input.clone(),
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self {
            output: self.output.clone(),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// What [`Receiver::iter`] returns.
///
/// # Cancellation
///
/// As [`Receiver::recv`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// What [`Receiver::try_iter`] returns.
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// A receiver as an iterator that owns it.
///
/// # Cancellation
///
/// As [`Receiver::recv`].
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
