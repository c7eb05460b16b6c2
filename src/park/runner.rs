//! Runners: the green threads that poll tasks. One is on duty and takes them from the queue; where a
//! poll parks, it goes off duty, and another takes over.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr;
use std::task::{Context, Poll, Waker};
use std::thread::panicking;

use super::core::QUOTA;
use super::slices::SliceEnd;
use super::task::{borrowed_waker, is_task_waker, polled};
use super::{Cancelled, Cause, Core, Limit, Mask, is_panic, report, signal};
use crate::scheduler::record::{extra, flag};
use crate::scheduler::task::state;
use crate::scheduler::{Locals, Reason, Record, Task};

/// Counts one operation of a future's: takes a turn of the reactor if one is due, and has a future come
/// again after many, so that one that is always ready lets others run. A task has as many in each poll,
/// however long they take: in which order tasks run does not hang on the clock, and a future goes on
/// however slow its neighbours are.
#[inline]
pub(crate) fn proceed(context: &Context<'_>) -> Poll<()> {
    let Some(core) = Core::current() else {
        return Poll::Ready(());
    };
    if core.tick() {
        core.serve();
    }
    match core.poll_budget.get() {
        0 => {
            core.poll_budget.set(QUOTA);
            context.waker().wake_by_ref();
            Poll::Pending
        }
        left => {
            core.poll_budget.set(left - 1);
            Poll::Ready(())
        }
    }
}

impl Core {
    /// Wakes `waker` from inside the scheduler, where no code of the user's may run: what is ours is
    /// done at once, what is not is left to a runner.
    pub(crate) fn wake(&self, waker: Waker) {
        if is_task_waker(&waker) || signal::is_signal_waker(&waker) {
            return waker.wake();
        }
        let mut wakers = self.wakers.take();
        wakers.push_back(waker);
        self.wakers.set(wakers);
        self.call_runner();
    }

    /// Whether there is something to do for a runner.
    fn has_work(&self) -> bool {
        self.tasks.queued() > 0 || self.overdue.get() || self.has_wakers()
    }

    fn has_wakers(&self) -> bool {
        let wakers = self.wakers.take();
        let has_some = !wakers.is_empty();
        self.wakers.set(wakers);
        has_some
    }

    /// There is something to do for a runner.
    #[inline]
    pub(super) fn call_runner(&self) {
        let on_duty = self.on_duty.get();
        match on_duty.is_null() {
            // It does nothing to one that is not parked.
            false => self.unpark(on_duty),
            true => self.make_runner(),
        }
    }

    /// Makes a runner, which is on duty from now on.
    #[cold]
    fn make_runner(&self) {
        let stack = match self.pool().acquire(self.default_class()) {
            Ok(stack) => stack,
            Err(error) => {
                // It is tried again when there is more work, and when nothing else can run.
                if self.is_without_runner.replace(true) {
                    return;
                }
                let _ = writeln!(
                    io::stderr(),
                    "greenlit: there is no stack for a green thread that polls futures: {error}"
                );
                return;
            }
        };
        self.is_without_runner.set(false);
        let record = self.record(None, Location::caller(), 1);
        record.set(flag::RUNNER | self.timed());
        self.runners.set(self.runners.get() + 1);
        let base = stack.base();
        let top = base.wrapping_sub(base.addr() % 16);
        self.on_duty.set(record);
        // SAFETY: `root` asks for no data, and ends in `exit`; all of the stack is its own.
        unsafe { self.launch(record, stack, top, root, ptr::null_mut()) };
    }

    /// The running thread, a runner, parks in the middle of a poll, or will not come back from it:
    /// another takes over.
    #[cold]
    pub(super) fn leave_duty(&self, record: &Record) {
        if ptr::eq(self.on_duty.get(), record) {
            self.on_duty.set(ptr::null());
            self.look_for_runner();
        }
    }

    /// The running thread, in the middle of a poll, gives the CPU to others that can run: what is in the
    /// task queue is among them.
    #[cold]
    pub(super) fn yields_in_poll(&self, record: &Record) {
        if self.has_work() {
            self.leave_duty(record);
        }
    }

    /// Tries once more to get a runner where there is work for one, and there was no stack.
    #[inline]
    pub(super) fn look_for_runner(&self) {
        if self.on_duty.get().is_null() && self.has_work() {
            self.make_runner();
        }
    }

    /// The running thread, a runner, is given up in the middle of a poll, together with the task.
    #[cold]
    pub(super) fn give_up_poll(&self, record: &Record) {
        if let Some(task) = polled(record) {
            self.forget_task(task);
        }
        self.runners.set(self.runners.get() - 1);
        self.leave_duty(record);
    }

    /// Whether the runners have nothing to come any more.
    fn is_over_for_runners(&self) -> bool {
        self.ending.get() && self.tasks.live() == 0 && self.tasks.queued() == 0
    }

    /// Polls tasks until there will be none, or another runner is on duty.
    fn run_tasks(&self, record: &Record) {
        let reason = Reason::new("waiting for a future to be woken");
        let timed = record.has(flag::TIMED);
        loop {
            // 1. What is queued by now, and no more, so that others get their turn.
            if self.overdue.get() {
                self.fire_overdue();
            }
            for _ in 0..self.tasks.queued() {
                // SAFETY: invariant 101: what was queued is counted.
                let Some(task) = (unsafe { self.tasks.pop().as_ref() }) else {
                    break;
                };
                match timed {
                    false => self.serve_task(record, task),
                    true => self.time_poll(record, task, || self.serve_task(record, task)),
                }
                if !self.stays_on_duty(record) {
                    return;
                }
                self.spend();
            }
            // 2. Wakers that are not ours.
            self.wake_others(record);
            if !self.stays_on_duty(record) {
                return;
            }
            // 3. The green threads that can run, or those that will.
            if self.has_work() {
                if timed {
                    self.end_slice(record, SliceEnd::Yield);
                }
                self.yield_plain();
            } else if self.is_over_for_runners() {
                return;
            } else {
                self.park(&reason, Limit::None, Mask::Yes, || {
                    self.has_work() || self.is_over_for_runners()
                });
            }
        }
    }

    /// Whether a runner goes on after it has run code of the user's: nobody has taken its place, and it
    /// was not told to end together with what it polled.
    fn stays_on_duty(&self, record: &Record) -> bool {
        if self.on_duty.get().is_null() {
            self.on_duty.set(record);
        }
        ptr::eq(self.on_duty.get(), record) && !record.has(flag::CANCELLED | flag::REQUESTED)
    }

    /// Does what is to be done for a task that was taken out of the queue.
    fn serve_task(&self, record: &Record, task: &Task) {
        if task.is(state::POLLING) {
            // Whoever polls it looks at it once more, perhaps only to give it up.
            task.set(state::AGAIN);
        } else if task.is(state::DONE) {
            // SAFETY: it has ended and is not queued: the runtime's reference is given up, once.
            unsafe { Task::release(task) };
        } else {
            task.runner.set(record);
            if task.is(state::REQUESTED)
                && let Some(cause) = task.cause()
            {
                // Whatever listens in the poll hears of it. The runner ends afterwards.
                record.request(cause, u64::MAX);
            }
            self.poll_task(record, task);
        }
    }

    /// Polls a task that is not queued in the running thread, which is no runner, before anybody else
    /// does.
    pub(crate) fn poll_now(&self, task: &Task) {
        self.poll_task(self.running(), task);
    }

    /// Polls a task, or drops its future if it is cancelled, and looks at what comes of it.
    fn poll_task(&self, record: &Record, task: &Task) {
        let (outer, was_polling) = (record.task(), record.has(flag::POLLING));
        let around = match record.has(flag::UNWINDING) && panicking() {
            true => record.mark(),
            false => 0,
        };
        let outer_budget = self.poll_budget.replace(QUOTA);
        task.set(state::POLLING);
        record.set_task(task);
        let others = take_locals(record);
        lend_locals(record, task);

        let mut done = false;
        if !task.is(state::CANCELLED) {
            let waker = borrowed_waker(task);
            // SAFETY: it has not ended, so its future is there, and the flag says that nobody else polls.
            done = unsafe { (task.vtable.poll)(task, &mut Context::from_waker(&waker)) };
            self.is_no_forked_child();
        }
        if !done && task.is(state::CANCELLED) {
            let cause = task.cause().unwrap_or(Cause::END_OF_RUN);
            let payload = Box::new(Cancelled::aimed(task.number, cause));
            // SAFETY: as above.
            unsafe { (task.vtable.cancel)(task, payload) };
            self.is_no_forked_child();
            done = true;
        }
        match around {
            // It was caught, whatever it was.
            0 if record.has(flag::UNWINDING) => self.unmark_unwinding(record),
            0 => {}
            // A destructor has spawned an eager task, and the unwinding around that goes on.
            mark => {
                self.mark_unwinding(record);
                record.put_mark(mark);
            }
        }
        if done {
            self.drop_locals(record);
            self.finish_task(task);
            self.is_no_forked_child();
            // What its result's destructor has made, or the waker of who awaited it.
            self.drop_locals(record);
        } else if let Some(locals) = take_locals(record) {
            task.with_extra(|extra| extra.locals = Some(locals));
        }
        if let Some(locals) = others {
            record.locals.swap(&locals);
            record.add_extra(extra::LOCALS);
        }
        record.set_task(outer);
        task.since.set(self.known_time.get());
        if was_polling {
            record.set(flag::POLLING);
        }
        self.poll_budget.set(outer_budget);
        task.runner.set(ptr::null());
        task.clear(state::POLLING);
        if task.is(state::DONE) {
            if !task.is(state::QUEUED) {
                // SAFETY: it has ended and is not queued: the runtime's reference is given up, once.
                unsafe { Task::release(task) };
            }
        } else if task.is(state::AGAIN) {
            task.clear(state::AGAIN);
            self.schedule(task);
        }
    }

    /// Destroys what a task has under local keys, or a waker has made there.
    fn drop_locals(&self, record: &Record) {
        if record.has_extra(extra::LOCALS) {
            self.end_locals(record);
            record.remove_extra(extra::LOCALS);
            self.is_no_forked_child();
        }
    }

    /// The task has ended, and its result is there.
    fn finish_task(&self, task: &Task) {
        task.set(state::DONE);
        self.forget_task(task);
        loop {
            let joiner = task.joiners.pop();
            if joiner.is_null() {
                break;
            }
            self.unpark(joiner);
        }
        if let Some(waker) = task.replace_awaiter(None) {
            wake_caught(waker);
        }
        if task.is(state::DETACHED) {
            drop_unclaimed(task);
        }
    }

    /// A task has ended, or will not be polled again.
    fn forget_task(&self, task: &Task) {
        self.tasks.remove(task);
        if self.ending.get() && self.tasks.live() == 0 && !self.on_duty.get().is_null() {
            // It may have nothing more to do.
            self.call_runner();
        }
    }

    /// Wakes those that were left to the runner, as many as there are by now.
    fn wake_others(&self, record: &Record) {
        let mut wakers = self.wakers.take();
        let mut left = wakers.len();
        while left > 0 {
            let waker = wakers.pop_front();
            // Where it parks, another runner takes over, and wakes the others.
            self.wakers.set(wakers);
            if let Some(waker) = waker {
                // As in a poll.
                record.set(flag::POLLING);
                wake_caught(waker);
                self.is_no_forked_child();
                self.drop_locals(record);
                record.clear(flag::POLLING);
                if record.has(flag::UNWINDING) {
                    self.unmark_unwinding(record);
                }
            }
            if !self.stays_on_duty(record) {
                return;
            }
            left -= 1;
            wakers = self.wakers.take();
        }
        self.wakers.set(wakers);
    }

    /// A child that was forked in a poll has no runtime to go on with.
    #[inline]
    fn is_no_forked_child(&self) {
        if Self::here().is_none() {
            let _ = writeln!(
                io::stderr(),
                "greenlit: a forked child came to the end of a future's poll, and there is no runtime to go \
                 on with; exec or exit in the child"
            );
            std::process::abort();
        }
    }
}

/// Takes out the values that a thread has under local keys, if it has any.
#[inline]
fn take_locals(record: &Record) -> Option<Locals> {
    if !record.has_extra(extra::LOCALS) {
        return None;
    }
    let locals = Locals::new();
    locals.swap(&record.locals);
    record.remove_extra(extra::LOCALS);
    Some(locals)
}

/// Puts a task's own where the code that is polled finds them.
#[inline]
fn lend_locals(record: &Record, task: &Task) {
    if task.has_extra()
        && let Some(locals) = task.with_extra(|extra| extra.locals.take())
    {
        record.locals.swap(&locals);
        record.add_extra(extra::LOCALS);
    }
}

/// Whether `payload` is of a cancel of the running thread, most often a runner: it had to leave what it
/// called.
fn is_own_cancel(payload: &(dyn Any + Send)) -> bool {
    Core::current().is_some_and(|core| !is_panic(core.running().id.get(), payload))
}

/// Wakes a waker of anybody's. If it panics, that is reported, and goes no further.
pub(super) fn wake_caught(waker: Waker) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake()))
        && !is_own_cancel(&*payload)
    {
        report(&"a waker", "panicked", payload);
    }
}

/// Drops the result of a task that has ended and that nobody joins. A panic is reported, once.
pub(crate) fn drop_unclaimed(task: &Task) {
    if !task.is(state::HAS_RESULT) {
        return;
    }
    // SAFETY: it is there; this clears the flag.
    if let Some(payload) = unsafe { (task.vtable.drop_result)(task) }
        && is_panic(task.number, &*payload)
        && !is_own_cancel(&*payload)
    {
        report(task, "panicked and nobody joined it", payload);
    }
}

/// The first frame of a runner.
///
/// # Safety
///
/// It is entered by a switch from another thread of the current runtime.
unsafe extern "C" fn root(dead: *mut (), _: *mut ()) -> ! {
    let Some(core) = Core::current() else {
        unreachable!("switches happen inside a run")
    };
    if !dead.is_null() {
        core.bury(dead);
    }
    let record = core.running();
    core.run_tasks(record);
    core.runners.set(core.runners.get() - 1);
    core.leave_duty(record);
    core.exit(record)
}
