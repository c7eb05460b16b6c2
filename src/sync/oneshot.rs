//! A channel for one item: the answer to a question, the result of a job. It is one allocation.

use std::fmt;
use std::time::Duration;

use super::channel::{self, Failure, Input, Output};
use super::select::RecvArm;
use crate::clock::{self, Instant};
use crate::park::Limit;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, TryRecvError};

/// A channel for one item. Sending never waits.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::oneshot, thread};
///
/// greenlit::run(|| {
///     let (sender, receiver) = oneshot::channel();
///     thread::spawn(move || sender.send(6 * 7));
///     assert_eq!(receiver.recv(), Ok(42));
/// });
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (input, output) = channel::channel(Some(1));
    (Sender { input }, Receiver { output })
}

/// The sending half, which goes with its item. It is `Send` where the item is.
pub struct Sender<T> {
    input: Input<T>,
}

/// The receiving half. The item can be received after the sender has gone; after it was received
/// the channel is disconnected.
pub struct Receiver<T> {
    pub(super) output: Output<T>,
}

impl<T> Sender<T> {
    /// Sends the item. It does not park, and no other green thread runs, so that it serves in
    /// destructors too.
    ///
    /// # Errors
    ///
    /// The item, where the receiver has gone.
    pub fn send(self, item: T) -> Result<(), T> {
        self.input.try_send(item).map_err(|(_, item)| item)
    }

    /// Whether the receiver has gone, so that nobody wants the item any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.input.receivers_gone()
    }
}

impl<T> Receiver<T> {
    /// Receives the item; parks until it is there.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// Where the sender has gone without an item, or the item was received.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here and takes no item. If it unwinds already and would
    /// have to wait, it gets the error.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.output.recv(Limit::None).map_err(|_| RecvError)
    }

    /// Receives the item if it is there. It does not park, and no other green thread runs.
    ///
    /// # Errors
    ///
    /// Where it is not there, and whether the sender is.
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
    /// Where the time is over, or as [`recv`](Self::recv).
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

    /// Whether the sender has gone, with or without having sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.output.senders_gone()
    }

    /// A receive as an arm of a [`Select`](super::select::Select).
    pub fn recv_arm(&self) -> RecvArm<'_, T> {
        RecvArm::new(&self.output)
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
