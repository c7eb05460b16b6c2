//! The heart of one runtime: its queues, and the switch from one green thread to the next. There is
//! no scheduler stack: who parks picks the next thread and switches straight to it.

use std::cell::{Cell, OnceCell};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::thread::panicking;

use tracing::level_filters::LevelFilter;

use super::numbers::take_numbers;
use super::signal::Spares;
use super::slices::Slices;
use super::stop::Stopping;
use super::{Mailbox, fork};
use crate::arch;
use crate::reactor::Reactor;
use crate::scheduler::record::flag;
use crate::scheduler::{Arena, Record, RunQueue, State, Tasks, Timers};
use crate::stack::{Owner, Pool, SizeClass, Stack};

/// Switches and operations between two looks at the clock, at the most.
pub(super) const QUOTA: u32 = 64;

/// The first budget after a sleep: it doubles as long as slices prove short.
pub(super) const FIRST_QUOTA: u32 = 4;

/// Where a yield has more to do than to switch.
const YIELD_WITH_CARE: u32 =
    flag::NEWS | flag::NO_SWITCH | flag::WATCHED | flag::POLLING | flag::TIMED;

thread_local! {
    /// The runtime that this OS thread runs; null outside, and in regions where parking is refused.
    static CURRENT: Cell<*const Core> = const { Cell::new(ptr::null()) };
    /// The same, regions included: what may unpark but not park looks here.
    static HERE: Cell<*const Core> = const { Cell::new(ptr::null()) };
}

/// One runtime's state. All of it belongs to the OS thread that made it. What every switch touches
/// comes first, in one cache line.
#[repr(C, align(64))]
pub(crate) struct Core {
    pub(super) run_queue: RunQueue,
    /// Switches and operations left until the clock is read.
    pub(super) budget: Cell<u32>,
    /// What `budget` was last set to: fewer than `QUOTA` when slices are long.
    pub(super) quota: Cell<u32>,
    /// What the future that is polled may do until it has to come again: a task's in one poll.
    pub(super) poll_budget: Cell<u32>,
    /// When the last turn was taken; 0 where that was not read.
    pub(super) last_turn: Cell<u64>,
    /// What the clock said when it was read last for a turn or a budget: what parks are dated by.
    pub(super) known_time: Cell<u64>,
    /// Green threads that have not ended, the main one included.
    pub(super) live: Cell<usize>,
    /// The main green thread; null outside a run.
    pub(super) main: Cell<*const Record>,
    /// Whether the main closure has returned: what is spawned now is cancelled from its start.
    pub(super) ending: Cell<bool>,
    /// Whether what is spawned now needs more than that: it is cancelled, or timed.
    pub(super) with_care: Cell<bool>,
    /// Empty where slices are not timed.
    pub(super) slices: OnceCell<Slices>,
    /// Jobs that run on other OS threads and will wake somebody here.
    pub(crate) offloaded: Cell<usize>,
    /// What the end of a run knows of those who have not ended.
    pub(super) stopping: Stopping,
    /// Whether a run left threads behind that would not stop: then the core is never freed.
    pub(crate) leaked: Cell<bool>,
    /// How often an `Unparker` reached this runtime, whether somebody was parked or not.
    pub(super) unparks: Cell<u64>,
    /// Whether the warning of a possible deadlock went out.
    pub(super) warned: Cell<bool>,
    /// No other runtime of the process has it.
    pub(crate) serial: u64,
    /// The numbers that it may give out next, from the first to before the second.
    pub(super) numbers: Cell<(u64, u64)>,
    /// The most green threads that may live at once, the main one not counted.
    max_threads: usize,
    /// The most tasks that may live at once where one more is spawned.
    pub(super) max_tasks: Cell<usize>,
    /// The size of a stack where the spawner names none.
    default_class: SizeClass,
    /// The runner that takes tasks from the queue; null while there is none.
    pub(super) on_duty: Cell<*const Record>,
    /// Whether a timer was set to a point in time that had passed: the runner fires it before what is
    /// queued later.
    pub(super) overdue: Cell<bool>,
    /// How many runners there are.
    pub(super) runners: Cell<usize>,
    /// Futures that were spawned.
    pub(crate) tasks: Tasks,
    /// Wakers that are not ours, which the runner wakes.
    pub(super) wakers: Cell<VecDeque<Waker>>,
    /// Whether there was no stack for a runner, as was told.
    pub(super) is_without_runner: Cell<bool>,
    pub(super) signals: Spares,
    pub(crate) timers: Timers,
    pub(crate) reactor: Reactor,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(super) arena: Arena,
    pool: Rc<Pool>,
}

/// What a new green thread starts with.
pub(crate) struct Spawn {
    pub(crate) stack: Stack,
    pub(crate) entry: arch::Entry,
    /// The address under which the first frame may lie: what is above belongs to the closure.
    pub(crate) top: *mut u8,
    pub(crate) data: *mut (),
    pub(crate) name: Option<Arc<str>>,
    pub(crate) spawned_at: &'static Location<'static>,
    /// The spawner's number; 0 for none.
    pub(crate) parent: u64,
}

impl Core {
    pub(crate) fn new(max_threads: usize, default_class: SizeClass) -> io::Result<Box<Self>> {
        fork::watch();
        let reactor = Reactor::new()?;
        let serial = take_numbers(1);
        let mailbox = Mailbox::new(reactor.shared(), serial);
        Ok(Box::new(Self {
            run_queue: RunQueue::new(),
            budget: Cell::new(FIRST_QUOTA),
            quota: Cell::new(FIRST_QUOTA),
            poll_budget: Cell::new(QUOTA),
            last_turn: Cell::new(0),
            known_time: Cell::new(0),
            live: Cell::new(0),
            main: Cell::new(ptr::null()),
            ending: Cell::new(false),
            with_care: Cell::new(false),
            slices: OnceCell::new(),
            offloaded: Cell::new(0),
            stopping: Stopping::new(),
            leaked: Cell::new(false),
            unparks: Cell::new(0),
            warned: Cell::new(false),
            serial,
            numbers: Cell::new((0, 0)),
            max_threads,
            max_tasks: Cell::new(usize::MAX),
            default_class,
            on_duty: Cell::new(ptr::null()),
            overdue: Cell::new(false),
            runners: Cell::new(0),
            tasks: Tasks::new(),
            wakers: Cell::new(VecDeque::new()),
            is_without_runner: Cell::new(false),
            signals: Spares::default(),
            timers: Timers::new(),
            reactor,
            mailbox,
            arena: Arena::new(),
            pool: Pool::current(),
        }))
    }

    /// The runtime that this OS thread runs. `None` outside a runtime, and in regions where parking
    /// is refused (rule 8): what blocks there blocks the OS thread.
    #[inline(always)]
    pub(crate) fn current<'a>() -> Option<&'a Self> {
        let current = CURRENT.get();
        // SAFETY: invariant 47: the pointer is set for the length of a run, which the core
        // outlives, and all code that uses the reference runs within that run.
        unsafe { current.as_ref() }
    }

    /// As `current`, in regions where parking is refused too: for who only unparks, or takes a
    /// source off the reactor. There need be no running thread then.
    #[inline]
    pub(crate) fn here<'a>() -> Option<&'a Self> {
        // SAFETY: as in `current`.
        unsafe { HERE.get().as_ref() }
    }

    /// Says which runtime this OS thread runs from now on; null for none.
    pub(super) fn set_current(core: *const Self) {
        CURRENT.set(core);
        HERE.set(core);
    }

    /// Runs `f` in a region where parking is refused: code of the user's that is called from inside
    /// the scheduler finds itself outside the runtime. A panic in it ends there: it must not unwind
    /// from the middle of a switch. The panic hook has told it.
    pub(super) fn outside(&self, f: impl FnOnce()) {
        if let Err(payload) = self.outside_caught(f) {
            // A payload may panic when it is dropped: that one is let go.
            if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(second);
            }
        }
    }

    /// As `outside`, for a caller who has a use for the result, or for the panic.
    pub(super) fn outside_caught<R>(&self, f: impl FnOnce() -> R) -> std::thread::Result<R> {
        let inside = CURRENT.replace(ptr::null());
        let result = catch_unwind(AssertUnwindSafe(f));
        // In a child that was forked in there the runtime has ended.
        if !HERE.get().is_null() {
            CURRENT.set(inside);
        }
        result
    }

    /// The record of the running green thread.
    #[inline(always)]
    pub(crate) fn running(&self) -> &Record {
        // SAFETY: invariant 42: while user code runs, the head of the ring is the running thread,
        // whose record lives at least until it has ended.
        unsafe { &*self.run_queue.head() }
    }

    #[inline]
    pub(crate) fn default_class(&self) -> SizeClass {
        self.default_class
    }

    #[inline]
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The runtime that `record`'s thread belongs to, if this OS thread runs it, in regions where parking
    /// is refused too.
    pub(crate) fn of<'a>(record: &Record) -> Option<&'a Self> {
        Self::here().filter(|core| core.owns(record))
    }

    /// The runtime with this number, if this OS thread runs it, in regions where parking is refused too.
    #[inline]
    pub(crate) fn numbered<'a>(serial: u64) -> Option<&'a Self> {
        Self::here().filter(|core| core.serial == serial)
    }

    /// Whether `record` lies in this runtime's arena.
    pub(crate) fn owns(&self, record: &Record) -> bool {
        self.arena.owns(record)
    }

    /// Every green thread that has not ended.
    pub(crate) fn for_each_live(&self, f: impl FnMut(&Record)) {
        self.arena.for_each_live(f);
    }

    /// Whether one more green thread may live.
    #[inline]
    pub(crate) fn admits(&self) -> bool {
        self.live.get() - self.runners.get() <= self.max_threads
    }

    /// A record for a new green thread, counted so many times.
    #[inline]
    pub(super) fn record(
        &self,
        name: Option<Arc<str>>,
        spawned_at: &'static Location<'static>,
        references: u32,
    ) -> &Record {
        let record = self.arena.acquire();
        // SAFETY: invariant 41: the arena lives as long as this core.
        let record = unsafe { &*record };
        record.id.set(self.number());
        record.references.set(references);
        record.spawned_at.set(spawned_at);
        if name.is_some() {
            record.set_name(name);
        }
        record.state.set(State::Ready);
        self.live.set(self.live.get() + 1);
        record
    }

    /// Makes a green thread and puts it at the end of the run queue. The record is counted once for
    /// the scheduler and once for the caller.
    ///
    /// # Safety
    ///
    /// `spawn.entry` may be called with `spawn.data` on `spawn.stack` below `spawn.top`, and never
    /// returns or unwinds: it ends in `exit`.
    #[inline]
    pub(crate) unsafe fn spawn(&self, spawn: Spawn) -> &Record {
        let record = self.record(spawn.name, spawn.spawned_at, 2);
        record.parent.set(spawn.parent);
        if self.with_care.get() {
            self.spawn_with_care(record);
        }
        // SAFETY: the caller's duty.
        unsafe { self.launch(record, spawn.stack, spawn.top, spawn.entry, spawn.data) };
        if traced() {
            self.trace_spawn(record);
        }
        record
    }

    /// Gives a new thread its stack, and puts it at the end of the run queue.
    ///
    /// # Safety
    ///
    /// `entry` may be called with `data` on `stack` below `top`, and never returns or unwinds: it ends in
    /// `exit`.
    #[inline]
    pub(super) unsafe fn launch(
        &self,
        record: &Record,
        stack: Stack,
        top: *mut u8,
        entry: arch::Entry,
        data: *mut (),
    ) {
        let owner = Owner {
            data: ptr::from_ref(record).cast(),
            describe,
        };
        // SAFETY: the record keeps its thread's name and place for as long as the thread has a
        // stack.
        unsafe { stack.set_owner(owner) };
        // SAFETY: the stack is owned by the record from here on, so it is not reused before the
        // thread has ended; the caller vouches for the entry.
        unsafe { arch::prepare(&record.context, top, stack.limit(), entry, data) };
        record.stack.set(Some(stack.into_raw()));
        // SAFETY: invariant 42: the record lives and is in no ring.
        unsafe { self.run_queue.push(record) };
    }

    /// Gives the CPU to the others that can run, and comes back after them.
    #[inline(always)]
    pub(crate) fn yield_now(&self) {
        self.before_yield();
        self.yield_plain();
    }

    /// As `yield_now`, without a look at the clock or at a cancel.
    #[inline(always)]
    pub(super) fn yield_plain(&self) {
        let running = self.running();
        let next = self.run_queue.next(running);
        if !ptr::eq(next, running) {
            // SAFETY: `next` is in the ring.
            unsafe { self.switch_ready(running, next) };
        }
    }

    /// Yields in a call that has what it waited for, and that its caller makes again.
    pub(super) fn yield_in_call(&self) {
        if !self.running().has(flag::NO_SWITCH) {
            self.yield_now();
        }
    }

    /// What a yield does before it switches: it counts, serves, and looks for a cancel. Others may
    /// run.
    #[inline(always)]
    pub(crate) fn before_yield(&self) {
        let running = self.running();
        if self.tick() || running.has(YIELD_WITH_CARE) {
            self.look_around(running);
        }
    }

    /// Gives the CPU to `target`, which is ready and not the running thread.
    pub(crate) fn yield_to(&self, target: &Record) {
        debug_assert_eq!(target.state.get(), State::Ready);
        let running = self.running();
        // SAFETY: a ready thread is in the ring, and the target is not its head.
        unsafe { self.run_queue.advance(target) };
        // SAFETY: as above.
        unsafe { self.switch_ready(running, target) };
    }

    /// Switches from a thread that stays ready. If it unwinds, it is marked first (rule 20).
    ///
    /// # Safety
    ///
    /// `next` is in the ring and is not `running`, which is its head.
    #[inline(always)]
    unsafe fn switch_ready(&self, running: &Record, next: *const Record) {
        if traced() {
            self.leave_spans(running);
        }
        if panicking() {
            self.unwinds(running);
        }
        // SAFETY: the caller's duty.
        unsafe { self.run_queue.set_head(next) };
        // SAFETY: as above; `running` has been left by the ring's head.
        unsafe { self.switch(running, next) };
    }

    /// Leaves `from` for `to`, and returns when somebody switches back.
    ///
    /// # Safety
    ///
    /// `from` is the running thread; `to` is a live thread other than it, switched away from or
    /// never run, and the head of the ring.
    #[inline(always)]
    pub(super) unsafe fn switch(&self, from: &Record, to: *const Record) {
        // SAFETY: the caller says that it lives, in the ring.
        let to = unsafe { &*to };
        // SAFETY: members of the ring have live neighbours.
        let next = unsafe { &*self.run_queue.next(to) };
        // SAFETY: the same.
        let soon = unsafe { &*self.run_queue.next(next) };
        // A switch to come will read the top of that stack: by then its two lines are here.
        let top = soon.context.stack_pointer();
        arch::prefetch(top);
        arch::prefetch(top.wrapping_add(64));
        // SAFETY: `to` has been left or prepared, and nobody else switches to it: there is one OS
        // thread.
        let dead = unsafe { arch::switch(&from.context, &to.context, ptr::null_mut()) };
        if !dead.is_null() {
            self.bury(dead);
        }
        self.come_back(from);
    }

    /// Makes a parked thread ready; does nothing to one that runs, is ready or has ended.
    ///
    /// `record` is that of a thread that has not been buried, or at least lies in this core's
    /// arena.
    #[inline]
    pub(crate) fn unpark(&self, record: *const Record) {
        // SAFETY: invariant 41: records of a living arena can be read.
        let record = unsafe { &*record };
        if record.state.get() != State::Parked {
            return;
        }
        record.state.set(State::Ready);
        // SAFETY: invariant 42: a parked thread is in no ring.
        unsafe { self.run_queue.push(record) };
        if traced() {
            self.trace_unpark(record);
        }
    }

    /// Counts one switch or operation; true when it is time to look at the clock.
    #[inline(always)]
    pub(super) fn tick(&self) -> bool {
        let budget = self.budget.get() - 1;
        self.budget.set(budget);
        budget == 0
    }

    /// After an operation that did not park: lets others run when the budget is used up.
    #[inline(always)]
    pub(crate) fn spend(&self) {
        if self.tick() {
            self.serve_and_yield();
        }
    }

    #[cold]
    #[inline(never)]
    fn serve_and_yield(&self) {
        self.serve();
        let running = self.running();
        self.before_others(running);
        if !running.has(flag::NO_SWITCH) {
            self.yield_plain();
        }
    }

    /// A yield that has more to do than to switch.
    #[cold]
    fn look_around(&self, running: &Record) {
        if self.budget.get() == 0 {
            self.serve();
        }
        running.clear(flag::WATCHED);
        self.interrupt_at_entry(running);
        if running.has(flag::NO_SWITCH) {
            self.refuse_switch(running, None);
        }
        self.before_others(running);
    }
}

/// Whether somebody listens to events or enters spans: one load.
#[inline(always)]
pub(super) fn traced() -> bool {
    LevelFilter::current() != LevelFilter::OFF
}

/// Names the green thread in a stack overflow report.
///
/// # Safety
///
/// `record` is that of the thread on whose stack the fault lies.
unsafe fn describe(record: *const (), out: &mut dyn std::fmt::Write) -> std::fmt::Result {
    // SAFETY: the caller's duty: the owner of a stack in use lives.
    write!(out, "{}", unsafe { &*record.cast::<Record>() })
}
