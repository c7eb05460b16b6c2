//! A channel of which every receiver gets every item. The last items are kept in a ring; a receiver
//! that falls behind by more loses the oldest, and is told how many.

pub(super) mod ring;
mod arm;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::SendError;
use std::time::Duration;

use self::ring::Shared;
use crate::clock::{self, Instant};
use crate::park::Limit;

pub use arm::RecvArm;

/// A channel that keeps the last `capacity` items.
///
/// # Panics
///
/// If `capacity` is 0.
///
/// # Examples
///
/// ```
/// use greenlit::sync::broadcast::{RecvError, channel};
///
/// let (sender, mut first) = channel(2);
/// sender.send('a').unwrap();
/// let mut second = sender.subscribe();
/// sender.send('b').unwrap();
/// assert_eq!((first.recv(), first.recv(), second.recv()), (Ok('a'), Ok('b'), Ok('b')));
/// "cde".chars().for_each(|item| assert_eq!(sender.send(item), Ok(2)));
/// assert_eq!(first.recv(), Err(RecvError::Lagged(1)));
/// assert_eq!(first.recv(), Ok('d'));
/// ```
#[must_use]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "channel: a broadcast keeps at least one item");
    let shared = Arc::new(Shared::new(capacity));
    let position = Cell::new(shared.subscribe());
    let sender = Sender {
        shared: shared.clone(),
    };
    (sender, Receiver { shared, position })
}

/// The sending half: `Clone`, and `Send + Sync` where the items are `Send + Sync`.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A receiving half. It gets every item that was sent after it was made.
pub struct Receiver<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// The number of the next item that it gets.
    pub(super) position: Cell<u64>,
}

/// Why there is no next item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The receiver has got everything, and the senders have gone.
    Closed,
    /// The receiver has fallen behind, and so many items were lost to it. The next call gets the
    /// oldest that is kept.
    Lagged(u64),
}

/// Why there is no next item now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// The receiver has got everything, so far.
    Empty,
    /// As [`RecvError::Closed`].
    Closed,
    /// As [`RecvError::Lagged`].
    Lagged(u64),
}

/// Why there was no next item in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// Nothing was sent in time.
    Timeout,
    /// As [`RecvError::Closed`].
    Closed,
    /// As [`RecvError::Lagged`].
    Lagged(u64),
}

impl<T> Sender<T> {
    /// Sends an item to all receivers; returns how many there are. It never waits: the oldest item
    /// makes room.
    ///
    /// # Errors
    ///
    /// The item, where there are no receivers.
    pub fn send(&self, item: T) -> Result<usize, SendError<T>> {
        self.shared.send(item)
    }

    /// A receiver for what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver {
            position: Cell::new(self.shared.subscribe()),
            shared: self.shared.clone(),
        }
    }

    /// How many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers()
    }
}

impl<T: Clone> Receiver<T> {
    /// Receives the next item; parks while there is none.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// Where it has fallen behind, or the senders have gone.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and its next item stays the same. If it unwinds
    /// already and would have to wait, the error is `Closed`.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        let taken = self.shared.recv(&self.position, Limit::None);
        taken.map(ring::Taken::into_item).map_err(|end| match end {
            RecvTimeoutError::Lagged(count) => RecvError::Lagged(count),
            _ => RecvError::Closed,
        })
    }

    /// Receives the next item if there is one. It does not park, and no other green thread runs.
    ///
    /// # Errors
    ///
    /// Where there is none, where it has fallen behind, or the senders have gone.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let taken = self.shared.try_recv(&self.position);
        taken.map(ring::Taken::into_item)
    }

    /// As [`recv`](Self::recv), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// Where the time is over, or as [`recv`](Self::recv).
    ///
    /// # Cancellation
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let limit = Limit::After(clock::length(timeout));
        let taken = self.shared.recv(&self.position, limit);
        taken.map(ring::Taken::into_item)
    }

    /// As [`recv_timeout`](Self::recv_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        let taken = self
            .shared
            .recv(&self.position, Limit::At(deadline.nanos()));
        taken.map(ring::Taken::into_item)
    }

    /// A receive as an arm of a [`Select`](super::select::Select).
    pub fn recv_arm(&mut self) -> RecvArm<'_, T> {
        RecvArm::new(self)
    }
}

impl<T> Receiver<T> {
    /// A second receiver, for what is sent from now on.
    #[must_use]
    pub fn resubscribe(&self) -> Self {
        Self {
            position: Cell::new(self.shared.subscribe()),
            shared: self.shared.clone(),
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.add_sender();
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.remove_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.unsubscribe(self.position.get());
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

const CLOSED: &str = "receiving on a closed broadcast";

fn write_lag(f: &mut fmt::Formatter<'_>, count: u64) -> fmt::Result {
    write!(f, "receiver of a broadcast fell behind by {count} items")
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str(CLOSED),
            Self::Lagged(count) => write_lag(f, *count),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("receiving on an empty broadcast"),
            Self::Closed => f.write_str(CLOSED),
            Self::Lagged(count) => write_lag(f, *count),
        }
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timed out waiting on a broadcast"),
            Self::Closed => f.write_str(CLOSED),
            Self::Lagged(count) => write_lag(f, *count),
        }
    }
}

impl std::error::Error for RecvError {}
impl std::error::Error for TryRecvError {}
impl std::error::Error for RecvTimeoutError {}
