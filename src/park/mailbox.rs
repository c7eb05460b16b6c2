//! Letters from other OS threads: whom to unpark, what to cancel. They are read by the runtime's own
//! turns, and a batch of them costs one write to the notifier.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::reactor::Shared;
use crate::scheduler::Record;

/// Where other OS threads leave word for a runtime. It may outlive the runtime: then nobody reads
/// it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Whose sleep a letter ends; it goes with its runtime, and then nobody reads letters.
    reactor: Weak<Shared>,
    letters: Mutex<Vec<Letter>>,
}

enum Letter {
    /// A record, as an address that only the runtime follows, and the number it had.
    Unpark(usize, u64),
    Parcel(Arc<dyn Parcel>),
}

/// What the upper layers send.
pub(crate) trait Parcel: Send + Sync {
    /// Called in a turn, on the runtime's OS thread. It runs no code of the user's.
    fn open(&self);
}

impl Mailbox {
    pub(crate) fn new(reactor: &Arc<Shared>) -> Self {
        Self {
            reactor: Arc::downgrade(reactor),
            letters: Mutex::new(Vec::new()),
        }
    }

    /// The mailbox of a thread whose run is over.
    pub(crate) fn closed() -> Self {
        Self {
            reactor: Weak::new(),
            letters: Mutex::new(Vec::new()),
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

    /// Reads all letters, in the order in which they came; `each` is for those that unpark.
    #[cold]
    pub(super) fn deliver(&self, mut each: impl FnMut(*const Record, u64)) {
        let letters = std::mem::take(&mut *self.letters());
        for letter in letters {
            match letter {
                Letter::Unpark(record, number) => {
                    each(std::ptr::with_exposed_provenance(record), number);
                }
                Letter::Parcel(parcel) => parcel.open(),
            }
        }
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unpark(..) => "Unpark",
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
