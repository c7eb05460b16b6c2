//! The header of a task, which is a future that was spawned, and the queues of tasks. It is pure data:
//! what polls a task, and what its wakers do, is in `park`.

use std::cell::{Cell, UnsafeCell};
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Waker};

use super::{Cause, Links, Locals, Record};

/// What a task is and has: a set of bits.
pub(crate) mod state {
    /// It is in the task queue.
    pub(crate) const QUEUED: u8 = 1 << 0;
    /// A runner polls it, perhaps one that is parked in the middle of that.
    pub(crate) const POLLING: u8 = 1 << 1;
    /// It came to its turn while it was polled: it is queued again after the poll.
    pub(crate) const AGAIN: u8 = 1 << 2;
    /// It is cancelled: its future is dropped instead of polled.
    pub(crate) const CANCELLED: u8 = 1 << 3;
    /// It has ended, and its future has gone.
    pub(crate) const DONE: u8 = 1 << 4;
    /// Its result lies in it.
    pub(crate) const HAS_RESULT: u8 = 1 << 5;
    /// It has no handle any more.
    pub(crate) const DETACHED: u8 = 1 << 6;
    /// It was asked to come to an end, and may take its time.
    pub(crate) const REQUESTED: u8 = 1 << 7;
}

/// How the untyped part of the crate deals with a task's future and result.
pub(crate) struct Vtable {
    /// Polls the future. Where it is ready, or unwinds, the future is dropped, the result is there,
    /// and the answer is true.
    ///
    /// # Safety
    ///
    /// On the runtime's OS thread; the future is there, and nobody else uses it.
    pub(crate) poll: unsafe fn(&Task, &mut Context<'_>) -> bool,
    /// Drops the future, and leaves `Err` with the payload as the result.
    ///
    /// # Safety
    ///
    /// As for `poll`.
    pub(crate) cancel: unsafe fn(&Task, Payload),
    /// Where the result lies, or will lie: a `thread::Result` of the future's output.
    pub(crate) result: fn(&Task) -> *mut (),
    /// Drops the result; returns the payload if it was one.
    ///
    /// # Safety
    ///
    /// On the runtime's OS thread, once, where there is a result.
    pub(crate) drop_result: unsafe fn(&Task) -> Option<Payload>,
    /// Frees the memory of a task that has neither a future nor a result.
    ///
    /// # Safety
    ///
    /// Nobody uses the task any more.
    pub(crate) free: unsafe fn(*const Task),
}

/// What unwound.
pub(crate) type Payload = Box<dyn std::any::Any + Send>;

/// What every task has, whatever its future. It is used by its runtime's OS thread, except for what
/// its wakers look at on others: `serial`, `references` and `has_letter`.
#[repr(C)]
pub(crate) struct Task {
    pub(crate) vtable: &'static Vtable,
    /// The runtime's number.
    pub(crate) serial: u64,
    /// The wakers, the handle, the letter that is under way, and one for the runtime until the task has
    /// ended and is not queued.
    references: AtomicU32,
    /// Whether another OS thread has sent word to wake it, and the runtime has not read that yet.
    pub(crate) has_letter: AtomicBool,
    /// A set of `state`s.
    state: Cell<u8>,
    /// The one behind it in the task queue; meaningless unless it is queued.
    next: Cell<*const Self>,
    /// Its neighbours among all tasks of the runtime that have not ended.
    younger: Cell<*const Self>,
    older: Cell<*const Self>,
    /// No other task or thread of the process has it.
    pub(crate) number: u64,
    /// Where it was spawned.
    pub(crate) spawned_at: &'static Location<'static>,
    /// The number of the task or green thread that spawned it.
    pub(crate) parent: u64,
    /// The last known time at the end of its last poll, in nanoseconds since the epoch.
    pub(crate) since: Cell<u64>,
    /// Green threads that wait for its end.
    pub(crate) joiners: Links,
    /// Who awaits its end.
    awaiter: UnsafeCell<Option<Waker>>,
    /// The runner that polls it; null while none does.
    pub(crate) runner: Cell<*const Record>,
    /// What most tasks do not have.
    extra: UnsafeCell<Option<Box<Extra>>>,
}

/// What a task has when somebody asked for it.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) name: Option<Arc<str>>,
    /// Why it is cancelled, or asked to end.
    pub(crate) cause: Option<Cause>,
    /// Its values under local keys, while it is not polled.
    pub(crate) locals: Option<Locals>,
}

// SAFETY: invariant 100: other OS threads reach a task by its wakers and letters alone, which read
// fields that never change and use atomics; the last of them frees memory that holds nothing else.
unsafe impl Send for Task {}
// SAFETY: as above.
unsafe impl Sync for Task {}

impl Task {
    /// A task that is counted once for its runtime and once for its handle, and is in no queue.
    pub(crate) fn new(
        vtable: &'static Vtable,
        (serial, number, parent): (u64, u64, u64),
        spawned_at: &'static Location<'static>,
        name: Option<Arc<str>>,
    ) -> Self {
        let extra = name.map(|name| {
            Box::new(Extra {
                name: Some(name),
                ..Extra::default()
            })
        });
        Self {
            vtable,
            serial,
            references: AtomicU32::new(2),
            has_letter: AtomicBool::new(false),
            state: Cell::new(0),
            next: Cell::new(ptr::null()),
            younger: Cell::new(ptr::null()),
            older: Cell::new(ptr::null()),
            number,
            spawned_at,
            parent,
            since: Cell::new(0),
            joiners: Links::new(),
            awaiter: UnsafeCell::new(None),
            runner: Cell::new(ptr::null()),
            extra: UnsafeCell::new(extra),
        }
    }

    /// Whether any of `bits` is set.
    #[inline(always)]
    pub(crate) fn is(&self, bits: u8) -> bool {
        self.state.get() & bits != 0
    }

    #[inline(always)]
    pub(crate) fn set(&self, bits: u8) {
        self.state.set(self.state.get() | bits);
    }

    #[inline(always)]
    pub(crate) fn clear(&self, bits: u8) {
        self.state.set(self.state.get() & !bits);
    }

    /// Counts one more reference.
    #[inline]
    pub(crate) fn retain(&self) {
        let before = self.references.fetch_add(1, Ordering::Relaxed);
        // As `Arc` does: so many can only be leaked ones.
        if before > u32::MAX / 2 {
            std::process::abort();
        }
    }

    /// Gives up one reference; the last one frees the task.
    ///
    /// # Safety
    ///
    /// The caller owns one counted reference to the task, and does not use it afterwards.
    #[inline]
    pub(crate) unsafe fn release(task: *const Self) {
        // SAFETY: the caller's reference keeps it.
        let this = unsafe { &*task };
        // Release, and an acquire by the last: what others did with the task comes before its end.
        if this.references.fetch_sub(1, Ordering::Release) == 1 {
            this.references.load(Ordering::Acquire);
            // SAFETY: that was the last reference. The runtime has given up its own, so the task has
            // ended; its handle, if there was a result, has taken that along.
            unsafe { (this.vtable.free)(task) };
        }
    }

    /// How many references there are.
    pub(crate) fn references(&self) -> u32 {
        self.references.load(Ordering::Acquire)
    }

    /// Puts `waker` where the end of the task finds it, and returns what was there.
    pub(crate) fn replace_awaiter(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: invariant 100: one OS thread uses the cell, and no reference into it outlives a
        // statement.
        unsafe { self.awaiter.get().replace(waker) }
    }

    /// Looks at who awaits its end; `f` calls nothing that could replace it.
    pub(crate) fn with_awaiter<R>(&self, f: impl FnOnce(Option<&Waker>) -> R) -> R {
        // SAFETY: as above.
        f(unsafe { (*self.awaiter.get()).as_ref() })
    }

    pub(crate) fn has_extra(&self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.extra.get()).is_some() }
    }

    /// Uses what most tasks do not have; `f` runs no code of the user's.
    pub(crate) fn with_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        // SAFETY: as above; `f` does not come back here.
        let extra = unsafe { &mut *self.extra.get() };
        f(extra.get_or_insert_default())
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        match self.has_extra() {
            true => self.with_extra(|extra| extra.name.clone()),
            false => None,
        }
    }

    pub(crate) fn set_name(&self, name: Option<Arc<str>>) {
        drop(self.with_extra(|extra| std::mem::replace(&mut extra.name, name)));
    }

    /// Why it is cancelled, or asked to end.
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self.has_extra() {
            true => self.with_extra(|extra| extra.cause.clone()),
            false => None,
        }
    }
}

/// `future "name" (#7, spawned at src/main.rs:10:5)`: how every report calls a task.
impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("future ")?;
        if let Some(name) = self.name() {
            write!(f, "\"{name}\" ")?;
        }
        write!(f, "(#{}, spawned at {})", self.number, self.spawned_at)
    }
}

/// The tasks of one runtime: those that are to be polled, first in, first out, and all of them.
pub(crate) struct Tasks {
    first: Cell<*const Task>,
    last: Cell<*const Task>,
    queued: Cell<usize>,
    youngest: Cell<*const Task>,
    oldest: Cell<*const Task>,
    live: Cell<usize>,
}

impl Tasks {
    pub(crate) const fn new() -> Self {
        Self {
            first: Cell::new(ptr::null()),
            last: Cell::new(ptr::null()),
            queued: Cell::new(0),
            youngest: Cell::new(ptr::null()),
            oldest: Cell::new(ptr::null()),
            live: Cell::new(0),
        }
    }

    /// How many are queued.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.queued.get()
    }

    /// How many have not ended.
    #[inline]
    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    /// Puts `task` at the end of the queue.
    ///
    /// # Safety
    ///
    /// It is not queued, and is counted until it has been taken out.
    #[inline]
    pub(crate) unsafe fn push(&self, task: &Task) {
        task.set(state::QUEUED);
        task.next.set(ptr::null());
        let last = self.last.replace(task);
        match last.is_null() {
            true => self.first.set(task),
            // SAFETY: invariant 101: queued tasks are counted.
            false => unsafe { (*last).next.set(task) },
        }
        self.queued.set(self.queued.get() + 1);
    }

    /// Takes out the one that has been queued the longest; null for none.
    #[inline]
    pub(crate) fn pop(&self) -> *const Task {
        let first = self.first.get();
        // SAFETY: invariant 101: queued tasks are counted.
        let Some(task) = (unsafe { first.as_ref() }) else {
            return first;
        };
        let next = task.next.get();
        self.first.set(next);
        if next.is_null() {
            self.last.set(next);
        }
        task.clear(state::QUEUED);
        self.queued.set(self.queued.get() - 1);
        first
    }

    /// Notes a new task.
    ///
    /// # Safety
    ///
    /// It stays where it is until `remove` was called with it.
    #[inline]
    pub(crate) unsafe fn add(&self, task: &Task) {
        let youngest = self.youngest.replace(task);
        task.older.set(youngest);
        match youngest.is_null() {
            true => self.oldest.set(task),
            // SAFETY: invariant 101: what is in the list lives.
            false => unsafe { (*youngest).younger.set(task) },
        }
        self.live.set(self.live.get() + 1);
    }

    /// Forgets a task, which is in the list.
    #[inline]
    pub(crate) fn remove(&self, task: &Task) {
        let (younger, older) = (task.younger.get(), task.older.get());
        match younger.is_null() {
            true => self.youngest.set(older),
            // SAFETY: invariant 101: what is in the list lives.
            false => unsafe { (*younger).older.set(older) },
        }
        match older.is_null() {
            true => self.oldest.set(younger),
            // SAFETY: as above.
            false => unsafe { (*older).younger.set(younger) },
        }
        self.live.set(self.live.get() - 1);
    }

    /// Forgets all, as far as they are leaked.
    pub(crate) fn forget_all(&self) {
        for end in [&self.first, &self.last, &self.youngest, &self.oldest] {
            end.set(ptr::null());
        }
        self.queued.set(0);
        self.live.set(0);
    }

    /// Every task that has not ended, the oldest first. `f` ends none.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Task)) {
        let mut task = self.oldest.get();
        // SAFETY: invariant 101: what is in the list lives.
        while let Some(this) = unsafe { task.as_ref() } {
            f(this);
            task = this.younger.get();
        }
    }
}
