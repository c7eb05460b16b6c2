//! A value that is watched: receivers see the latest, and are told that it has changed, but not how
//! often.

pub(super) mod version;
mod arm;

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::mpsc::SendError;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use self::version::Versions;
use super::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::clock::{self, Instant};
use crate::park::Limit;

pub use arm::ChangedArm;
pub use std::sync::mpsc::{RecvError, RecvTimeoutError};

/// A watched value.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::watch, thread};
///
/// greenlit::run(|| {
///     let (sender, mut receiver) = watch::channel("starting");
///     let watcher = thread::spawn(move || {
///         let mut seen = vec![*receiver.borrow_and_update()];
///         while receiver.changed().is_ok() {
///             seen.push(*receiver.borrow_and_update());
///         }
///         seen
///     });
///     thread::yield_now();
///     sender.send("running").unwrap();
///     sender.send("stopping").unwrap();
///     drop(sender);
///     assert_eq!(watcher.join().unwrap(), ["starting", "stopping"]);
/// });
/// ```
#[must_use]
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        value: RwLock::new(value),
        versions: Versions::new(),
    });
    let receiver = Receiver {
        seen: Cell::new(shared.versions.subscribe()),
        shared: shared.clone(),
    };
    (Sender { shared }, receiver)
}

pub(super) struct Shared<T> {
    value: RwLock<T>,
    /// Counted up while the value is locked for writing.
    pub(super) versions: Versions,
}

impl<T> Shared<T> {
    fn read(&self) -> RwLockReadGuard<'_, T> {
        // A panic in a closure that changes the value is told by that panic.
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.value.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn read_async(&self) -> RwLockReadGuard<'_, T> {
        let guard = self.value.read_async().await;
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn write_async(&self) -> RwLockWriteGuard<'_, T> {
        let guard = self.value.write_async().await;
        guard.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The half that changes the value: `Clone`, and `Send + Sync` where the value is `Send + Sync`.
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
}

/// A half that sees the value, and knows which version it has seen.
pub struct Receiver<T> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) seen: Cell<u64>,
}

/// The value, locked against changes: who sends meanwhile waits. Copy or clone what is needed for
/// longer, and do not borrow a second time from the same thread: a sender that waits comes first.
#[must_use = "the value is locked until it is dropped"]
pub struct Ref<'a, T> {
    guard: RwLockReadGuard<'a, T>,
    changed: bool,
}

impl<'a, T> Ref<'a, T> {
    /// A value that was seen before.
    pub(super) fn seen(guard: RwLockReadGuard<'a, T>) -> Self {
        let changed = false;
        Self { guard, changed }
    }

    /// Whether the receiver had not seen this version before.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> Sender<T> {
    /// Replaces the value, and tells the receivers. It waits while the value is borrowed.
    ///
    /// # Errors
    ///
    /// The new value, where there are no receivers; the old one stays.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        self.send_replace(value);
        Ok(())
    }

    /// Replaces the value, whether there are receivers or not, and returns the old one.
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|current| mem::swap(current, &mut value));
        value
    }

    /// Changes the value in place. `change` runs while the value is locked: it must neither borrow
    /// nor send here. If it panics, nobody is told.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// As [`send_modify`](Self::send_modify); the receivers are told if `change` says so. Returns
    /// what it said.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        self.change(self.shared.write(), change)
    }

    /// Changes the value, which is locked, and tells the receivers when it is not any more.
    pub(super) fn change(
        &self,
        mut value: RwLockWriteGuard<'_, T>,
        change: impl FnOnce(&mut T) -> bool,
    ) -> bool {
        let changed = change(&mut value);
        let version = changed.then(|| self.shared.versions.advance());
        drop(value);
        if let Some(version) = version {
            self.shared.versions.tell(version);
        }
        changed
    }

    /// The latest value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref::seen(self.shared.read())
    }

    /// A receiver that has seen the latest value.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver {
            seen: Cell::new(self.shared.versions.subscribe()),
            shared: self.shared.clone(),
        }
    }

    /// How many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.versions.receivers()
    }

    /// Whether there are no receivers.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }
}

impl<T> Receiver<T> {
    /// The latest value; whether it was seen stays as it is.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.see(self.shared.read(), false)
    }

    /// The latest value, which is locked, and counts as seen from here on if `updates` says so.
    pub(super) fn see<'a>(&self, guard: RwLockReadGuard<'a, T>, updates: bool) -> Ref<'a, T> {
        // No sender counts up while the value is borrowed.
        let latest = self.shared.versions.latest();
        let changed = latest != self.seen.get();
        if updates {
            self.seen.set(latest);
        }
        Ref { guard, changed }
    }

    /// The latest value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.see(self.shared.read(), true)
    }

    /// Whether there is a value that was not seen.
    ///
    /// # Errors
    ///
    /// Where there is none, and the senders have gone.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        self.shared.versions.has_changed(self.seen.get())
    }

    /// Waits until there is a value that was not seen, and counts it as seen.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// Where there is none, and the senders have gone.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here. If it unwinds already and would have to wait, it
    /// gets the error.
    pub fn changed(&mut self) -> Result<(), RecvError> {
        let changed = self.shared.versions.changed(&self.seen, Limit::None);
        changed.map_err(|_| RecvError)
    }

    /// As [`changed`](Self::changed), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// Where the time is over, or where the senders have gone.
    ///
    /// # Cancellation
    ///
    /// As [`changed`](Self::changed); the error is `Disconnected`.
    pub fn changed_timeout(&mut self, timeout: Duration) -> Result<(), RecvTimeoutError> {
        let limit = Limit::After(clock::length(timeout));
        self.shared.versions.changed(&self.seen, limit)
    }

    /// As [`changed_timeout`](Self::changed_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`changed_timeout`](Self::changed_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`changed_timeout`](Self::changed_timeout).
    pub fn changed_deadline(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        let limit = Limit::At(deadline.nanos());
        self.shared.versions.changed(&self.seen, limit)
    }

    /// A wait for a change as an arm of a [`Select`](super::select::Select).
    pub fn recv_arm(&mut self) -> ChangedArm<'_> {
        ChangedArm::new(&self.shared.versions, &self.seen)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.versions.add_sender();
        Self {
            shared: self.shared.clone(),
        }
    }
}

/// The clone has seen what the original has.
impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.versions.subscribe();
        Self {
            shared: self.shared.clone(),
            seen: self.seen.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.versions.remove_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.versions.unsubscribe();
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
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
