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
use std::task::Waker;

use super::arena::Chunk;
use super::tally::Neighbours;
use super::{Cause, Links, Locals, Reason, Region, Tally, Task};
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

    /// It is a runner: a green thread that polls tasks.
    pub(crate) const RUNNER: u32 = 1 << 11;
    /// Its slices are timed.
    pub(crate) const TIMED: u32 = 1 << 13;
    /// It is a runner in the middle of a poll, or of other code of the user's.
    pub(crate) const POLLING: u32 = 1 << 12;

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
    /// A waker that awaits its end.
    pub(crate) const AWAITED: u8 = 1 << 4;
    /// Its result was given to who awaited it.
    pub(crate) const TAKEN: u8 = 1 << 5;
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
    /// The last known time at its last park, in nanoseconds since the epoch.
    pub(crate) since: Cell<u64>,
    /// Where it was spawned.
    pub(crate) spawned_at: Cell<&'static Location<'static>>,
    /// The number of its spawner; 0 for none.
    pub(crate) parent: Cell<u64>,
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
    /// The task that it polls, where it is a runner; null for none.
    task: Cell<*const Task>,
    /// Who awaits its end; `None` unless `extra::AWAITED` is there.
    awaiter: UnsafeCell<Option<Waker>>,
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
            since: Cell::new(0),
            parent: Cell::new(0),
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
            task: Cell::new(ptr::null()),
            awaiter: UnsafeCell::new(None),
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

    #[inline]
    pub(crate) fn remove_extra(&self, extra: u8) {
        self.extras.set(self.extras.get() & !extra);
    }

    /// The task that the thread polls, where it is a runner; null for none.
    #[inline]
    pub(crate) fn task(&self) -> *const Task {
        match self.has(flag::POLLING) {
            true => self.task.get(),
            false => ptr::null(),
        }
    }

    /// Says which task the thread polls from now on; null for none.
    #[inline]
    pub(crate) fn set_task(&self, task: *const Task) {
        self.task.set(task);
        match task.is_null() {
            true => self.clear(flag::POLLING),
            false => self.set(flag::POLLING),
        }
    }

    /// Puts `waker` where the end of the thread finds it, and returns what was there.
    pub(crate) fn replace_awaiter(&self, waker: Option<Waker>) -> Option<Waker> {
        match waker.is_some() {
            true => self.add_extra(extra::AWAITED),
            false => self.remove_extra(extra::AWAITED),
        }
        // SAFETY: as in `name`; nothing is dropped here.
        unsafe { self.awaiter.get().replace(waker) }
    }

    /// Looks at who awaits the thread's end; `f` calls nothing that could replace it.
    pub(crate) fn with_awaiter<R>(&self, f: impl FnOnce(Option<&Waker>) -> R) -> R {
        // SAFETY: as in `name`.
        f(unsafe { (*self.awaiter.get()).as_ref() })
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
