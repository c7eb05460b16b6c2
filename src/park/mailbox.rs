//! Letters from other OS threads: whom to unpark. They are read by the runtime's own turns, and a
//! batch of them costs one write to the notifier.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::reactor::Shared;
use crate::scheduler::Record;

/// Where other OS threads leave word for a runtime. It may outlive the runtime: then nobody reads
/// it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Whose sleep a letter ends; it goes with its runtime, and then nobody reads letters.
    reactor: Weak<Shared>,
    /// Records, as addresses that only the runtime follows, and the number each had.
    letters: Mutex<Vec<(usize, u64)>>,
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
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.push((record.expose_provenance(), number));
        let first = letters.len() == 1;
        drop(letters);
        if first {
            reactor.notify();
        }
    }

    /// Whether there are letters that were not read.
    pub(super) fn has_letters(&self) -> bool {
        let letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        !letters.is_empty()
    }

    /// Reads all letters, in the order in which they came.
    #[cold]
    pub(super) fn deliver(&self, mut each: impl FnMut(*const Record, u64)) {
        let letters =
            std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner));
        for (record, number) in letters {
            each(std::ptr::with_exposed_provenance(record), number);
        }
    }
}
