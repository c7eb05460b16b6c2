//! Letters from other OS threads: whom to unpark, what to cancel. They are read by the runtime's own
//! turns, and a batch of them costs one write to the notifier.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use super::task::TaskRef;
use crate::reactor::Shared;
use crate::scheduler::Record;

/// Where other OS threads leave word for a runtime. It may outlive the runtime: then nobody reads
/// it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Whose sleep a letter ends; it goes with its runtime, and then nobody reads letters.
    reactor: Weak<Shared>,
    letters: Mutex<Vec<Letter>>,
    /// The runtime's number; 0 for none.
    serial: u64,
}

pub(super) enum Letter {
    /// A record, as an address that only the runtime follows, and the number it had.
    Unpark(usize, u64),
    Wake(TaskRef),
    Parcel(Arc<dyn Parcel>),
}

/// Every runtime's mailbox, by the runtime's number: for who wakes something from another OS thread, and
/// keeps no mailbox for the rare case.
static MAILBOXES: RwLock<BTreeMap<u64, Weak<Mailbox>>> = RwLock::new(BTreeMap::new());

/// What the upper layers send.
pub(crate) trait Parcel: Send + Sync {
    /// Called in a turn, on the runtime's OS thread. It runs no code of the user's.
    fn open(&self);
}

impl Mailbox {
    pub(crate) fn new(reactor: &Arc<Shared>, serial: u64) -> Arc<Self> {
        let mailbox = Arc::new(Self {
            reactor: Arc::downgrade(reactor),
            letters: Mutex::new(Vec::new()),
            serial,
        });
        let mut mailboxes = MAILBOXES.write().unwrap_or_else(PoisonError::into_inner);
        mailboxes.insert(serial, Arc::downgrade(&mailbox));
        mailbox
    }

    /// The mailbox of the runtime with this number, if it is still there.
    pub(crate) fn of(serial: u64) -> Option<Arc<Self>> {
        let mailboxes = MAILBOXES.read().unwrap_or_else(PoisonError::into_inner);
        mailboxes.get(&serial)?.upgrade()
    }

    /// The mailbox of a thread whose run is over.
    pub(crate) fn closed() -> Self {
        Self {
            reactor: Weak::new(),
            letters: Mutex::new(Vec::new()),
            serial: 0,
        }
    }

    /// Asks the runtime to unpark the green thread `number`, whose record was at `record`.
    pub(crate) fn unpark(&self, record: *const Record, number: u64) {
        self.leave(|| Letter::Unpark(record.expose_provenance(), number));
    }

    /// Has the runtime open `parcel`.
    pub(crate) fn send(&self, parcel: Arc<dyn Parcel>) {
        self.leave(|| Letter::Parcel(parcel));
    }

    /// Asks the runtime to wake a task.
    pub(super) fn wake(&self, task: TaskRef) {
        self.leave(|| Letter::Wake(task));
    }

    fn leave(&self, letter: impl FnOnce() -> Letter) {
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        let mut letters = self.letters();
        letters.push(letter());
        let first = letters.len() == 1;
        drop(letters);
        if first {
            reactor.notify();
        }
    }

    fn letters(&self) -> MutexGuard<'_, Vec<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are letters that were not read.
    pub(super) fn has_letters(&self) -> bool {
        !self.letters().is_empty()
    }

    /// Takes all letters, in the order in which they came.
    #[cold]
    pub(super) fn take_letters(&self) -> Vec<Letter> {
        std::mem::take(&mut *self.letters())
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let mut mailboxes = MAILBOXES.write().unwrap_or_else(PoisonError::into_inner);
        mailboxes.remove(&self.serial);
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unpark(..) => "Unpark",
            Self::Wake(_) => "Wake",
            Self::Parcel(_) => "Parcel",
        })
    }
}

/// How many there are who could cancel something from another OS thread.
static CANCELLERS: AtomicUsize = AtomicUsize::new(0);

/// One of those: while it lives, no wait of a process is a deadlock for certain.
pub(crate) struct Canceller(());

impl Canceller {
    pub(crate) fn new() -> Self {
        CANCELLERS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// Whether there is none.
    pub(super) fn is_nobody() -> bool {
        CANCELLERS.load(Ordering::Acquire) == 0
    }
}

impl Clone for Canceller {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Canceller {
    fn drop(&mut self) {
        CANCELLERS.fetch_sub(1, Ordering::Release);
    }
}
