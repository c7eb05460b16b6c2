//! Letters from other OS threads: whom to unpark, what to cancel, what to do. They are read by the runtime's own
//! turns, and a batch of them costs one write to the notifier.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use super::Core;
use super::task::TaskRef;
use crate::reactor::Shared;
use crate::scheduler::Record;

/// Where other OS threads leave word for a runtime. It may outlive the runtime: then nobody reads
/// it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Whose sleep a letter ends; it goes with its runtime, and then nobody reads letters.
    reactor: Weak<Shared>,
    letters: Mutex<Letters>,
    /// The runtime's number; 0 for none.
    serial: u64,
}

#[derive(Debug, Default)]
struct Letters {
    unread: Vec<Letter>,
    /// Whether the runtime has gone.
    is_closed: bool,
}

pub(super) enum Letter {
    /// A record, as an address that only the runtime follows, and the number it had.
    Unpark(usize, u64),
    Wake(TaskRef),
    Parcel(Arc<dyn Parcel>),
    Errand(Box<dyn Errand>),
}

/// Every runtime's mailbox, by the runtime's number: for who wakes something from another OS thread, and
/// keeps no mailbox for the rare case.
static MAILBOXES: RwLock<BTreeMap<u64, Weak<Mailbox>>> = RwLock::new(BTreeMap::new());

/// What the upper layers send.
pub(crate) trait Parcel: Send + Sync {
    /// Called in a turn, on the runtime's OS thread. It runs no code of the user's.
    fn open(&self);
}

/// What is to be done in the runtime, by a task that it makes.
pub(crate) trait Errand: Send {
    /// As [`Parcel::open`]. One that is never opened is dropped on the runtime's OS thread.
    fn open(self: Box<Self>, core: &Core);
}

impl Mailbox {
    pub(crate) fn new(reactor: &Arc<Shared>, serial: u64) -> Arc<Self> {
        let mailbox = Arc::new(Self {
            reactor: Arc::downgrade(reactor),
            letters: Mutex::default(),
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
            letters: Mutex::new(Letters {
                unread: Vec::new(),
                is_closed: true,
            }),
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

    /// Has the runtime see to `errand`, if it is still there.
    pub(crate) fn commission<E: Errand + 'static>(&self, errand: E) -> Result<(), E> {
        let errand = Box::new(errand);
        let mut letters = self.letters();
        if letters.is_closed {
            return Err(*errand);
        }
        letters.unread.push(Letter::Errand(errand));
        self.call_reader(letters);
        Ok(())
    }

    fn leave(&self, letter: impl FnOnce() -> Letter) {
        let mut letters = self.letters();
        if !letters.is_closed {
            letters.unread.push(letter());
            self.call_reader(letters);
        }
    }

    /// One letter has been added: the first ends the runtime's sleep.
    fn call_reader(&self, letters: MutexGuard<'_, Letters>) {
        let is_first = letters.unread.len() == 1;
        drop(letters);
        // In a forked child the reactor is the parent's, who knows of no letter.
        if is_first
            && let Some(reactor) = self.reactor.upgrade()
            && reactor.is_ours()
        {
            reactor.notify();
        }
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are letters that were not read.
    pub(super) fn has_letters(&self) -> bool {
        !self.letters().unread.is_empty()
    }

    /// Takes all letters, in the order in which they came.
    #[cold]
    pub(super) fn take_letters(&self) -> Vec<Letter> {
        std::mem::take(&mut self.letters().unread)
    }

    /// Whether the runtime has gone: then it takes no letters.
    pub(crate) fn is_closed(&self) -> bool {
        self.letters().is_closed
    }

    /// The runtime goes. What was not read is dropped here, which may run code of the user's.
    pub(crate) fn close(&self) {
        let unread = {
            let mut letters = self.letters();
            letters.is_closed = true;
            std::mem::take(&mut letters.unread)
        };
        for letter in unread {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(letter))) {
                super::report(
                    &"what a runtime was sent",
                    "panicked when it was dropped",
                    payload,
                );
            }
        }
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
            Self::Errand(_) => "Errand",
        })
    }
}

/// How many there are who could start or cancel something from another OS thread.
static OUTSIDERS: AtomicUsize = AtomicUsize::new(0);

/// One of those: while it lives, no wait of a process is a deadlock for certain.
pub(crate) struct Outsider(());

impl Outsider {
    pub(crate) fn new() -> Self {
        OUTSIDERS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// Whether there is none.
    pub(super) fn is_nobody() -> bool {
        OUTSIDERS.load(Ordering::Acquire) == 0
    }
}

impl Clone for Outsider {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        OUTSIDERS.fetch_sub(1, Ordering::Release);
    }
}
