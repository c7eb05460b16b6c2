//! What a scope knows of its green threads: the list of those that have not ended, which is linked
//! through their records, and what was said to them. Pure data: `thread::scope` keeps it.

use std::cell::Cell;
use std::ptr;

use super::{Cause, Record};

/// A scope's own account of its green threads. It lies in the frame of the scope's owner, and
/// whoever refers to it ends before that frame does.
pub(crate) struct Tally {
    /// Those that have not ended, in the order in which they were spawned; both null for none.
    first: Cell<*const Record>,
    last: Cell<*const Record>,
    /// Threads that have ended by a panic and were not joined.
    pub(crate) panics: Cell<usize>,
    /// Who waits for the last of them; null while nobody does.
    pub(crate) waiter: Cell<*const Record>,
    /// Whether they were cancelled, and with them whoever they spawn.
    cancelled: Cell<bool>,
    /// Why; `None` until they are cancelled.
    cause: Cell<Option<Cause>>,
}

/// A record's neighbours in its scope's list; null at the ends, and meaningless in no list.
pub(crate) struct Neighbours {
    prev: Cell<*const Record>,
    next: Cell<*const Record>,
}

impl Neighbours {
    pub(super) const fn new() -> Self {
        Self {
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
        }
    }
}

impl Tally {
    pub(crate) const fn new() -> Self {
        Self {
            first: Cell::new(ptr::null()),
            last: Cell::new(ptr::null()),
            panics: Cell::new(0),
            waiter: Cell::new(ptr::null()),
            cancelled: Cell::new(false),
            cause: Cell::new(None),
        }
    }

    /// Whether all have ended.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    /// Enters a thread, which is cancelled from its start if the others are.
    ///
    /// # Safety
    ///
    /// The thread is in no scope yet, and calls `leave` before its record serves another. The tally
    /// stays where it is until then.
    #[inline]
    pub(crate) unsafe fn enter(&self, record: &Record) {
        let last = self.last.replace(record);
        record.neighbours.prev.set(last);
        record.neighbours.next.set(ptr::null());
        match last.is_null() {
            true => self.first.set(record),
            // SAFETY: invariant 95: who is in the list has not ended, so its record lives.
            false => unsafe { &*last }.neighbours.next.set(record),
        }
        record.set_scope(self);
        if self.cancelled.get() {
            self.cancel_late(record);
        }
    }

    #[cold]
    fn cancel_late(&self, record: &Record) {
        if let Some(cause) = self.cause() {
            record.cancel(cause);
        }
    }

    /// Takes a thread out that ends.
    ///
    /// # Safety
    ///
    /// The thread was entered here, and has not left.
    #[inline]
    pub(crate) unsafe fn leave(&self, record: &Record) {
        let (prev, next) = (record.neighbours.prev.get(), record.neighbours.next.get());
        match prev.is_null() {
            true => self.first.set(next),
            // SAFETY: invariant 95: as in `enter`.
            false => unsafe { &*prev }.neighbours.next.set(next),
        }
        match next.is_null() {
            true => self.last.set(prev),
            // SAFETY: the same.
            false => unsafe { &*next }.neighbours.prev.set(prev),
        }
    }

    /// Every thread that has not ended, in the order in which they were spawned. `f` switches to
    /// nobody, so that nobody leaves meanwhile.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Record)) {
        let mut at = self.first.get();
        // SAFETY: invariant 95: as in `enter`.
        while let Some(record) = unsafe { at.as_ref() } {
            f(record);
            at = record.neighbours.next.get();
        }
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    /// Why the threads are cancelled.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let cause = self.cause.take();
        self.cause.set(cause.clone());
        cause
    }

    /// Notes that the threads are cancelled. Returns whether they were not before: the first cause
    /// stays.
    pub(crate) fn note_cancel(&self, cause: Cause) -> bool {
        let is_first = !self.cancelled.replace(true);
        if is_first {
            self.cause.set(Some(cause));
        }
        is_first
    }
}
