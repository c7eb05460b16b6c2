//! What a scope knows of its green threads: the list of those that have not ended, which is linked
//! through their records, and what was said to them. Pure data: `thread::scope` keeps it.

use std::any::Any;
use std::cell::Cell;
use std::ptr;

use super::region::{Kind, Region};
use super::{Cause, Links, Record};

/// What a scope does when one of its threads, or its closure, does not end well.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policy {
    /// The first panic of a thread cancels the others.
    pub(crate) cancels_on_panic: bool,
    /// The payload of the first panic that nobody joins is kept for the scope's owner.
    pub(crate) keeps_panic: bool,
    /// A closure that does not return in order takes the threads with it.
    pub(crate) cancels_with_body: bool,
}

/// The payload of a panic, and whose it was, in the words of reports.
pub(crate) struct Kept {
    pub(crate) who: String,
    pub(crate) payload: Box<dyn Any + Send>,
}

/// A scope's own account of its green threads. It lies in the frame of the scope's owner, and
/// whoever refers to it ends before that frame does.
pub(crate) struct Tally {
    /// Those that have not ended, in the order in which they were spawned; both null for none.
    first: Cell<*const Record>,
    last: Cell<*const Record>,
    /// Threads that have ended by a panic and were not joined.
    pub(crate) panics: Cell<usize>,
    /// The number of the first that did, joined or not; 0 for none.
    first_panic: Cell<u64>,
    /// What it panicked with, if that is to be kept and nobody has joined it.
    kept: Cell<Option<Kept>>,
    policy: Policy,
    /// How many may run at once.
    limit: usize,
    /// How many have a place, if there is a limit; one too many for each that a cancelled scope lets
    /// in.
    pub(crate) placed: Cell<usize>,
    /// Those who wait for a place, to spawn.
    pub(crate) spawners: Links,
    /// Those of them who are threads of this very scope, and keep their places meanwhile.
    pub(crate) own_spawners: Cell<usize>,
    /// Who waits for the last of them; null while nobody does.
    pub(crate) waiter: Cell<*const Record>,
    /// Whether something was said to them, which those who come later have to hear: they were cancelled,
    /// or asked to end.
    told: Cell<bool>,
    /// Whether they were cancelled, and with them whoever they spawn.
    cancelled: Cell<bool>,
    /// Why; `None` until they are cancelled.
    cause: Cell<Option<Cause>>,
    /// Why they were asked to end, and when they are cancelled; `None` until they are asked.
    grace: Cell<Option<(Cause, u64)>>,
    /// What the scope's owner is in, from the scope's beginning to its end: it says who that is, and
    /// what is around the scope. It is cancelled where the closure has to end with the threads.
    region: Region,
    /// Whether the scope's closure runs.
    pub(crate) body_runs: Cell<bool>,
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
    #[inline(always)]
    pub(crate) const fn new(policy: Policy, limit: Option<usize>) -> Self {
        Self {
            first: Cell::new(ptr::null()),
            last: Cell::new(ptr::null()),
            panics: Cell::new(0),
            first_panic: Cell::new(0),
            kept: Cell::new(None),
            policy,
            limit: match limit {
                Some(limit) => limit,
                None => usize::MAX,
            },
            placed: Cell::new(0),
            spawners: Links::new(),
            own_spawners: Cell::new(0),
            waiter: Cell::new(ptr::null()),
            told: Cell::new(false),
            cancelled: Cell::new(false),
            cause: Cell::new(None),
            grace: Cell::new(None),
            region: Region::new(Kind::Scope, u64::MAX),
            body_runs: Cell::new(false),
        }
    }

    /// Whether all have ended.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    /// Enters a thread. Afterwards it has to be told what the others were, if they `were_told`.
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
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    #[inline]
    pub(crate) fn were_told(&self) -> bool {
        self.told.get()
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
        self.told.set(true);
        let is_first = !self.cancelled.replace(true);
        if is_first {
            self.cause.set(Some(cause));
        }
        is_first
    }

    /// Why the threads were asked to end, and when they are cancelled.
    pub(crate) fn grace(&self) -> Option<(Cause, u64)> {
        let grace = self.grace.take();
        self.grace.set(grace.clone());
        grace
    }

    /// Notes that the threads were asked to end until `deadline`. The first cause stays, and the
    /// earliest deadline.
    pub(crate) fn note_request(&self, cause: Cause, deadline: u64) {
        self.told.set(true);
        self.grace.set(Some(match self.grace.take() {
            Some((first, earlier)) => (first, earlier.min(deadline)),
            None => (cause, deadline),
        }));
    }

    #[inline]
    pub(crate) fn policy(&self) -> Policy {
        self.policy
    }

    /// Whether no more than so many may run at once.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.limit != usize::MAX
    }

    /// Whether there is a place for one more.
    pub(crate) fn has_place(&self) -> bool {
        self.placed.get() < self.limit
    }

    /// Notes that `record`'s thread ends by a panic that nobody has seen.
    #[cold]
    pub(crate) fn note_panic(&self, record: &Record) {
        if self.first_panic.get() == 0 {
            self.first_panic.set(record.id.get());
        }
    }

    /// Whether a thread has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        self.first_panic.get() != 0
    }

    /// Whether `record`'s thread was the first that panicked.
    pub(crate) fn panicked_first(&self, record: &Record) -> bool {
        self.first_panic.get() == record.id.get()
    }

    pub(crate) fn keep(&self, kept: Kept) {
        self.kept.set(Some(kept));
    }

    pub(crate) fn has_kept(&self) -> bool {
        let kept = self.kept.take();
        let has_kept = kept.is_some();
        self.kept.set(kept);
        has_kept
    }

    pub(crate) fn take_kept(&self) -> Option<Kept> {
        self.kept.take()
    }
}
