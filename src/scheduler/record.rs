//! The record of one green thread: where it left off, what state it is in, what it waits for.
//! Records lie off the stacks, so that handles may outlive the thread and its runtime.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::panic::Location;
use std::ptr;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::arena::Chunk;
use super::tally::Neighbours;
use super::{Cause, Links, Locals, Region, Tally};
use crate::arch::Context;
use crate::stack::Slot;

/// A green thread's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// The record belongs to no green thread.
    Free,
    /// In the run queue: it runs, or it can run.
    Ready,
    /// Switched away from, in no run queue.
    Parked,
    /// It has ended; its result may still lie in the record.
    Done,
}

/// Who could end a wait: what a deadlock report is decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wakers {
    /// Only green threads of the same runtime.
    Local,
    /// Whoever holds the lock that is waited for: `Reason::holder` names the thread.
    Holder,
    /// Any OS thread of the process: what is waited for may be shared with it.
    Process,
    /// The reactor, a timer or an offloaded job.
    Event,
    /// Any OS thread of the process that holds the green thread's handle.
    Anyone,
}

/// Why a green thread parks: shown in dumps, traces and deadlock reports.
#[derive(Clone, Copy)]
pub struct Reason {
    /// What the thread does, as a participle: `joining`, `sleeping`, `reading`.
    pub(crate) what: &'static str,
    /// The object's kind: `green thread #`, `fd `; empty where there is no object.
    pub(crate) kind: &'static str,
    /// The object's number.
    pub(crate) object: u64,
    /// Who could end the wait.
    pub(crate) wakers: Wakers,
    /// The word in which the lock that is waited for keeps its holder's number, shifted by
    /// `HOLDER_SHIFT`; null for other waits. It outlives the wait, which borrows the lock.
    holder: *const AtomicU64,
    /// Set when the thread is leaked in its wait, so that nobody hands anything to it; null where
    /// the queue sees that by itself.
    abandoned: *const AtomicBool,
}

/// How far to the left of its flags a lock keeps its holder's number.
pub(crate) const HOLDER_SHIFT: u32 = 2;
/// Among those flags: nobody is known to hold the lock, and the number is none.
pub(crate) const HOLDER_UNKNOWN: u64 = 2;

impl Reason {
    /// A wait that only green threads of this runtime can end, with what the thread does meanwhile
    /// as a participle: `Reason::new("waiting for a free seat")`.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self {
            what,
            kind: "",
            object: 0,
            wakers: Wakers::Local,
            holder: ptr::null(),
            abandoned: ptr::null(),
        }
    }

    /// A wait that any OS thread of the process might end: it alone is no deadlock.
    #[must_use]
    pub const fn shared(what: &'static str) -> Self {
        Self::new(what).woken_by(Wakers::Process)
    }

    /// Names the object that is waited for: its kind, with the space or sign that stands before the
    /// number, and its number.
    #[must_use]
    pub const fn on(self, kind: &'static str, object: u64) -> Self {
        Self {
            kind,
            object,
            ..self
        }
    }

    pub(crate) const fn woken_by(self, wakers: Wakers) -> Self {
        Self { wakers, ..self }
    }

    /// Names the lock that is waited for by the word that says who holds it, which is read when a
    /// report is written.
    ///
    /// # Safety
    ///
    /// The word outlives the wait.
    pub(crate) const unsafe fn held(self, holder: *const AtomicU64) -> Self {
        Self {
            wakers: Wakers::Holder,
            holder,
            ..self
        }
    }

    /// The number of the thread that holds what is waited for.
    pub(crate) fn holder(&self) -> Option<u64> {
        // SAFETY: `held` asks that the word lives as long as the wait.
        let word = unsafe { self.holder.as_ref() }?;
        let word = word.load(Ordering::Relaxed);
        match word >> HOLDER_SHIFT {
            0 => None,
            _ if word & HOLDER_UNKNOWN != 0 => None,
            number => Some(number),
        }
    }

    /// Where a leak of the waiting thread is noted.
    ///
    /// # Safety
    ///
    /// The flag outlives the wait.
    pub(crate) const unsafe fn abandoned_by(self, abandoned: *const AtomicBool) -> Self {
        Self { abandoned, ..self }
    }

    /// Notes that the waiting thread will never run again.
    pub(crate) fn abandon(&self) {
        // SAFETY: `abandoned_by` asks that the flag lives as long as the wait.
        if let Some(abandoned) = unsafe { self.abandoned.as_ref() } {
            abandoned.store(true, Ordering::Release);
        }
    }
}

// SAFETY: what a reason points to are atomics, and whoever made it point there vouches for them.
unsafe impl Send for Reason {}
// SAFETY: as above.
unsafe impl Sync for Reason {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if !self.kind.is_empty() {
            write!(f, " {}{}", self.kind, self.object)?;
        }
        match self.holder() {
            Some(holder) => write!(f, ", held by thread #{holder}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({self})")
    }
}

/// What the next pass through the door, a yield or a switch has to look at.
pub(crate) mod flag {
    /// The green thread is cancelled: its next blocking call unwinds.
    pub(crate) const CANCELLED: u32 = 1 << 0;
    /// Nothing can wake the run any more: the main green thread's blocking call panics.
    pub(crate) const DEADLOCKED: u32 = 1 << 1;
    /// Spans were exited when it was switched away from and wait in `spans`.
    pub(crate) const SPANS: u32 = 1 << 2;
    /// It unwinds, as far as can be known from outside: no second unwinding is started.
    pub(crate) const UNWINDING: u32 = 1 << 3;
    /// What it unwinds of is a cancel, not a panic.
    pub(crate) const BY_CANCEL: u32 = 1 << 4;
    /// A region of it was cancelled or asked to end, perhaps one that it has left since.
    pub(crate) const STOPPED: u32 = 1 << 5;
    /// It is in a region with a deadline.
    pub(crate) const DEADLINE: u32 = 1 << 6;
    /// It is in a region that cannot be unwound.
    pub(crate) const NO_UNWIND: u32 = 1 << 7;
    /// It must not switch.
    pub(crate) const NO_SWITCH: u32 = 1 << 8;
    /// It was asked to come to an end, and may take its time.
    pub(crate) const REQUESTED: u32 = 1 << 10;
    /// Somebody wants to know whether it switches, and it has not yet.
    pub(crate) const WATCHED: u32 = 1 << 9;

    /// What a blocking call looks at.
    pub(crate) const NEWS: u32 = CANCELLED | DEADLOCKED | STOPPED | DEADLINE;
}

/// A thread's public handle, as far as the scheduler knows it.
pub(crate) trait Handle: Any + Send + Sync {
    /// Takes the token that another OS thread has left.
    fn take_token(&self) -> bool;
}

/// What the details of a record hold beyond what every green thread has.
pub(crate) mod extra {
    /// A name or a public handle.
    pub(crate) const NAMED: u8 = 1 << 0;
    /// Values under local keys.
    pub(crate) const LOCALS: u8 = 1 << 2;
    /// It belongs to a scope.
    pub(crate) const SCOPED: u8 = 1 << 1;
    /// Why it is cancelled.
    pub(crate) const CAUSE: u8 = 1 << 3;
}

/// The room for a result that needs no allocation: a `thread::Result` of three words' payload.
pub(crate) const RESULT_WORDS: usize = 4;

/// The record of one green thread: one cache line, which is all that a switch reads and writes, so
/// that a ring of a hundred thousand is walked line by line. The rest lies apart, in its `Details`,
/// to which it dereferences. Every field is a cell: nothing is borrowed across a switch (rule 5).
#[repr(C, align(64))]
pub(crate) struct Record {
    /// Its neighbours in the run queue's ring; meaningless unless `state` is `Ready`.
    pub(super) next: Cell<*const Record>,
    pub(super) prev: Cell<*const Record>,
    /// Where it was left; meaningless while it runs.
    pub(crate) context: Context,
    /// A set of `flag`s.
    pub(crate) flags: Cell<u32>,
    pub(crate) state: Cell<State>,
    /// `thread::park`'s token, apart from any wait node (rule 6).
    pub(crate) token: Cell<bool>,
    /// Whether the result lies in `result` (or in a box that `result` points to).
    pub(crate) has_result: Cell<bool>,
    /// A set of `extra`s: most threads have none, and the details that hold them are left alone.
    extras: Cell<u8>,
    /// Unique in the process, new for each green thread that the record serves: its generation.
    pub(crate) id: Cell<u64>,
    /// The stack it owns; `None` for the main green thread, which runs on the OS thread's own, and
    /// once the stack has been given back.
    pub(crate) stack: Cell<Option<NonNull<Slot>>>,
    /// What is touched at spawn, join and in reports; it lies in the record's own chunk.
    details: *const Details,
}

// Sanitizers' marks make contexts larger.
const _: () = assert!(size_of::<Record>() == 64 || size_of::<Context>() > 16);

/// The part of a record that no switch touches.
#[repr(C, align(64))]
pub(crate) struct Details {
    /// Those who wait for its end.
    pub(crate) joiners: Links,
    /// The scheduler's own reference while the thread lives, and one for its `JoinHandle`.
    pub(crate) references: Cell<u32>,
    /// The result, from the end of the thread until its handle takes it.
    pub(crate) result: UnsafeCell<MaybeUninit<[usize; RESULT_WORDS]>>,
    /// What it waits for, in the frame of its park; dangling unless it is parked.
    pub(crate) reason: Cell<*const Reason>,
    /// Where it was spawned.
    pub(crate) spawned_at: Cell<&'static Location<'static>>,
    /// Its name, if the spawner gave one.
    name: UnsafeCell<Option<Arc<str>>>,
    /// What upper layers keep with the thread: its public handle, once somebody asked for it.
    handle: UnsafeCell<Option<Arc<dyn Handle>>>,
    /// The spans that were entered when it was switched away from, innermost first.
    spans: UnsafeCell<Vec<tracing::span::Id>>,
    /// The scope that it was spawned in, in the frame of the scope's owner; null for none.
    scope: Cell<*const Tally>,
    /// Its siblings there.
    pub(super) neighbours: Neighbours,
    /// How many cancels it met since the end of the run began.
    pub(crate) cancels: Cell<u32>,
    /// The number of the cancel's unwinding that it was in last; 0 for none.
    pub(crate) unwinding: Cell<u64>,
    /// When it is cancelled as a whole, in nanoseconds since the epoch; `u64::MAX` for never.
    pub(super) deadline: Cell<u64>,
    /// The region that it is in, the innermost; null for none.
    pub(super) innermost: Cell<*const Region>,
    /// Why it is cancelled; `None` unless `extra::CAUSE` is there.
    pub(super) cause: UnsafeCell<Option<Cause>>,
    /// Its values under local keys; empty unless `extra::LOCALS` is there.
    pub(crate) locals: Locals,
    /// The chunk that it lies in.
    pub(super) chunk: *const Chunk,
}

impl Deref for Record {
    type Target = Details;

    #[inline(always)]
    fn deref(&self) -> &Details {
        // SAFETY: invariant 41: a record and its details lie in the same chunk, and live as long.
        unsafe { &*self.details }
    }
}

impl Details {
    pub(super) fn new(chunk: *const Chunk) -> Self {
        Self {
            joiners: Links::new(),
            references: Cell::new(0),
            result: UnsafeCell::new(MaybeUninit::uninit()),
            reason: Cell::new(ptr::null()),
            spawned_at: Cell::new(Location::caller()),
            name: UnsafeCell::new(None),
            handle: UnsafeCell::new(None),
            spans: UnsafeCell::new(Vec::new()),
            scope: Cell::new(ptr::null()),
            neighbours: Neighbours::new(),
            cancels: Cell::new(0),
            unwinding: Cell::new(0),
            deadline: Cell::new(u64::MAX),
            innermost: Cell::new(ptr::null()),
            cause: UnsafeCell::new(None),
            locals: Locals::new(),
            chunk,
        }
    }
}

impl Record {
    pub(super) fn new(details: &Details) -> Self {
        Self {
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            context: Context::new(),
            flags: Cell::new(0),
            state: Cell::new(State::Free),
            token: Cell::new(false),
            has_result: Cell::new(false),
            extras: Cell::new(0),
            id: Cell::new(0),
            stack: Cell::new(None),
            details,
        }
    }

    /// Whether any of `flags` is set.
    #[inline(always)]
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.flags.get() & flags != 0
    }

    #[inline]
    pub(crate) fn set(&self, flags: u32) {
        self.flags.set(self.flags.get() | flags);
    }

    #[inline]
    pub(crate) fn clear(&self, flags: u32) {
        self.flags.set(self.flags.get() & !flags);
    }

    /// Whether any of `extras` is there.
    #[inline(always)]
    pub(crate) fn has_extra(&self, extras: u8) -> bool {
        self.extras.get() & extras != 0
    }

    #[inline]
    pub(crate) fn add_extra(&self, extra: u8) {
        self.extras.set(self.extras.get() | extra);
    }

    /// The scope that the thread was spawned in; null for none.
    #[inline]
    pub(crate) fn scope(&self) -> *const Tally {
        match self.has_extra(extra::SCOPED) {
            true => self.scope.get(),
            false => ptr::null(),
        }
    }

    #[inline]
    pub(super) fn set_scope(&self, scope: *const Tally) {
        self.add_extra(extra::SCOPED);
        self.scope.set(scope);
    }

    /// What the thread waits for, if it is parked.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        if self.state.get() != State::Parked {
            return None;
        }
        // SAFETY: invariant 49: the frame that it points into stays while the thread is parked.
        unsafe { self.reason.get().as_ref() }
    }

    /// The name that the spawner gave.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        // SAFETY: invariant 40: the record is used by one OS thread, and no reference into the cell
        // outlives this statement.
        unsafe { (*self.name.get()).clone() }
    }

    pub(crate) fn set_name(&self, name: Option<Arc<str>>) {
        self.add_extra(extra::NAMED);
        // SAFETY: as in `name`; the old value is moved out before it is dropped.
        drop(unsafe { self.name.get().replace(name) });
    }

    /// Looks at the public handle that was made for this green thread, if one was. `f` does not
    /// replace it.
    #[inline]
    pub(crate) fn with_handle<R>(&self, f: impl FnOnce(Option<&Arc<dyn Handle>>) -> R) -> R {
        if !self.has_extra(extra::NAMED) {
            return f(None);
        }
        // SAFETY: as in `name`; the callers' closures only read and clone.
        f(unsafe { (*self.handle.get()).as_ref() })
    }

    pub(crate) fn set_handle(&self, handle: Option<Arc<dyn Handle>>) {
        self.add_extra(extra::NAMED);
        // SAFETY: as in `name`; the old value is moved out before it is dropped.
        drop(unsafe { self.handle.get().replace(handle) });
    }

    /// Takes the saved spans, and leaves `spans` in their place.
    pub(crate) fn replace_spans(&self, spans: Vec<tracing::span::Id>) -> Vec<tracing::span::Id> {
        // SAFETY: as in `name`; nothing is dropped here.
        unsafe { self.spans.get().replace(spans) }
    }

    /// Makes the record ready to serve another green thread.
    #[inline]
    pub(super) fn reset(&self) {
        self.state.set(State::Free);
        self.flags.set(0);
        self.id.set(0);
        self.token.set(false);
        if self.extras.get() != 0 {
            if self.has_extra(extra::NAMED) {
                self.set_handle(None);
                self.set_name(None);
            }
            if self.has_extra(extra::CAUSE) {
                self.forget_cause();
            }
            self.scope.set(ptr::null());
            self.extras.set(0);
        }
    }
}

/// `green thread "name" (#7, spawned at src/main.rs:10:5)`: how every report calls a green thread.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("green thread ")?;
        // SAFETY: as in `name`; formatting a str runs no code that could replace it.
        if let Some(name) = unsafe { (*self.name.get()).as_deref() } {
            write!(f, "\"{name}\" ")?;
        }
        write!(
            f,
            "(#{}, spawned at {})",
            self.id.get(),
            self.spawned_at.get()
        )
    }
}
