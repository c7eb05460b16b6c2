//! `std::sync::mpsc`'s shape: many senders, one receiver.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::RefUnwindSafe;
use std::time::Duration;

use super::channel::{self, Failure, Input, Output};
use super::select::{RecvArm, SendArm};
use crate::clock::{self, Instant};
use crate::park::Limit;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

/// A channel without bound, as [`std::sync::mpsc::channel`]. Sending never waits.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::mpsc, thread};
///
/// greenlit::run(|| {
///     let (sender, receiver) = mpsc::channel();
///     for name in ["one", "two"] {
///         let sender = sender.clone();
///         thread::spawn(move || sender.send(name));
///     }
///     drop(sender);
///     assert_eq!(receiver.iter().collect::<Vec<_>>(), ["one", "two"]);
/// });
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (input, output) = channel::channel(None);
    (Sender { input }, Receiver::new(output))
}

/// A channel in which `bound` items may lie, as [`std::sync::mpsc::sync_channel`]. With a bound of 0
/// each send waits for its receiver.
///
/// # Panics
///
/// If there is no memory for so many items.
///
/// # Examples
///
/// ```
/// use greenlit::sync::mpsc::{TrySendError, sync_channel};
///
/// let (sender, receiver) = sync_channel(1);
/// sender.try_send('a').unwrap();
/// assert_eq!(sender.try_send('b'), Err(TrySendError::Full('b')));
/// assert_eq!(receiver.recv(), Ok('a'));
/// ```
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let (input, output) = channel::channel(Some(bound));
    (SyncSender { input }, Receiver::new(output))
}

/// The sending half of [`channel`]: `Clone`, and `Send + Sync` where the items are `Send`.
pub struct Sender<T> {
    pub(super) input: Input<T>,
}

/// The sending half of [`sync_channel`].
pub struct SyncSender<T> {
    pub(super) input: Input<T>,
}

/// The receiving half: one thread at a time has it. It is not `Sync`:
///
/// ```compile_fail
/// fn assert_sync<T: Sync>() {}
/// assert_sync::<greenlit::sync::mpsc::Receiver<()>>();
/// ```
pub struct Receiver<T> {
    pub(super) output: Output<T>,
    _not_sync: PhantomData<Cell<()>>,
}

impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Sender<T> {
    /// Sends an item. It never waits, but lets other green threads run now and then.
    ///
    /// # Errors
    ///
    /// The item, where the receiver has gone.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here and sends nothing; if it unwinds already, it sends.
    #[inline]
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        self.input
            .send(t, Limit::None)
            .map_err(|(_, item)| SendError(item))
    }

    /// A send as an arm of a [`Select`](super::select::Select).
    pub fn send_arm(&self, item: T) -> SendArm<'_, T> {
        SendArm::new(&self.input, item)
    }
}

impl<T> SyncSender<T> {
    /// Sends an item; parks while there is no room for it.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// The item, where the receiver has gone.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here and sends nothing, unless its item was taken. If
    /// it unwinds already and would have to wait, it gets the error.
    #[inline]
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        self.input
            .send(t, Limit::None)
            .map_err(|(_, item)| SendError(item))
    }

    /// Sends an item if there is room. It does not park, and no other green thread runs.
    ///
    /// # Errors
    ///
    /// The item, where there is no room, or where the receiver has gone.
    #[inline]
    pub fn try_send(&self, t: T) -> Result<(), TrySendError<T>> {
        self.input
            .try_send(t)
            .map_err(|(failure, item)| match failure {
                Failure::NotYet => TrySendError::Full(item),
                _ => TrySendError::Disconnected(item),
            })
    }

    /// A send as an arm of a [`Select`](super::select::Select).
    pub fn send_arm(&self, item: T) -> SendArm<'_, T> {
        SendArm::new(&self.input, item)
    }
}

impl<T> Receiver<T> {
    fn new(output: Output<T>) -> Self {
        Self {
            output,
            _not_sync: PhantomData,
        }
    }

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
    #[inline]
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
    #[inline]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_limited(Limit::At(deadline.nanos()))
    }

    #[inline]
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

    /// A receive as an arm of a [`Select`](super::select::Select).
    pub fn recv_arm(&self) -> RecvArm<'_, T> {
        RecvArm::new(&self.output)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            input: self.input.clone(),
        }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        Self {
            input: self.input.clone(),
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
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
