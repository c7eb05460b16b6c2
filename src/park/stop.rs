//! What remains when the main closure has returned: it is cancelled and waited for. What does not
//! stop is reported, and what cannot stop is leaked.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::ptr;
use std::time::Duration;

use super::snapshot::{Kind, Line};
use super::{Cause, Core, Limit, Mask, Outcome};
use crate::clock;
use crate::scheduler::record::flag;
use crate::scheduler::{Reason, Record, State};

/// Cancels that the end of a run delivers to a green thread before it gives it up. Where panics abort,
/// they are errors, and who goes on after them tells somebody each time.
const MOST_CANCELS: u32 = if cfg!(panic = "abort") { 500 } else { 10_000 };

/// How many green threads a report names.
const MOST_NAMED: usize = 100;

/// What the end of a run knows of those who have not ended.
pub(super) struct Stopping {
    /// For how long it waits before it speaks of them.
    patience: Cell<Duration>,
    /// Whether the timer for that is set: the main thread's, which can wake nobody else.
    is_timed: Cell<bool>,
    /// Whether it was found that nothing can wake them.
    pub(super) is_stuck: Cell<bool>,
}

impl Stopping {
    pub(super) fn new() -> Self {
        Self {
            patience: Cell::new(Duration::MAX),
            is_timed: Cell::new(false),
            is_stuck: Cell::new(false),
        }
    }
}

impl Core {
    /// Sets for how long the end of a run waits before it speaks of those for whom it does.
    pub(crate) fn set_stop_patience(&self, patience: Duration) {
        self.stopping.patience.set(patience);
    }

    /// What is spawned at the end of a run is cancelled; what is spawned in debug mode is timed.
    #[cold]
    pub(super) fn spawn_with_care(&self, record: &Record) {
        record.set(self.timed());
        if self.ending.get() {
            self.cancel_thread(record, Cause::END_OF_RUN);
        }
    }

    /// Cancels all green threads but the main one, and waits until each has unwound and ended. Where
    /// panics abort they end by the errors that their calls return, or are leaked.
    pub(super) fn stop_the_rest(&self, main: &Record) {
        self.ending.set(true);
        self.with_care.set(true);
        main.clear(flag::CANCELLED | flag::DEADLOCKED);
        // What was sent and has not begun is among what remains.
        self.read_letters();
        if self.live.get() == 1 && self.tasks.live() == 0 {
            return;
        }
        let patience = clock::length(self.stopping.patience.get());
        let mut limit = Limit::At(clock::now().saturating_add(patience));
        while self.live.get() > 1 || self.tasks.live() > 0 {
            let before = (self.live.get(), self.tasks.live());
            self.tasks
                .for_each(|task| self.cancel_task(task, Cause::END_OF_RUN));
            self.look_for_runner();
            if !self.on_duty.get().is_null() {
                // It may have nothing more to do.
                self.call_runner();
            } else if self.live.get() == 1 {
                // There is no stack for a runner.
                return self.leak(main);
            }
            self.arena.for_each_live(|record| {
                // A runner that polls nothing ends by itself.
                let is_idle = record.has(flag::RUNNER) && !record.has(flag::POLLING);
                if !ptr::eq(record, main) && !is_idle {
                    self.cancel_thread(record, Cause::END_OF_RUN);
                }
            });
            self.stopping.is_stuck.set(false);
            if self.wait_for_the_rest(limit) == Outcome::TimedOut {
                if cfg!(panic = "abort") {
                    return self.leak(main);
                }
                limit = Limit::None;
                let patience = self.stopping.patience.get();
                self.report_the_rest(|who| {
                    format!(
                        "the run has ended, and {who} have not stopped after {patience:?}; it goes on \
                         waiting for them"
                    )
                });
                continue;
            }
            // Some put off their cancel while another unwound: once more, unless nobody ended.
            if self.stopping.is_stuck.get() && (self.live.get(), self.tasks.live()) == before {
                return self.leak(main);
            }
        }
    }

    /// Waits until they have ended, or cannot, or the limit has passed.
    fn wait_for_the_rest(&self, limit: Limit) -> Outcome {
        let reason = Reason::new("ending the run");
        self.stopping.is_timed.set(limit != Limit::None);
        let outcome = self.park(&reason, limit, Mask::Yes, || {
            self.live.get() == 1 || self.stopping.is_stuck.get()
        });
        self.stopping.is_timed.set(false);
        outcome
    }

    /// Whether no timer will wake any green thread; at the end of a run its own does not count.
    pub(super) fn awaits_no_timer(&self) -> bool {
        self.timers.is_empty() || self.stopping.is_timed.get() && self.timers.has_one()
    }

    /// Counts a cancel that the running thread meets at the entry of a call, when it stands in no queue. A
    /// thread that catches each and goes on would hold up the end of the run for ever: past a bound it
    /// is given up, and the others have their time.
    pub(super) fn count_cancel(&self, record: &Record) {
        if !self.ending.get() {
            return;
        }
        let cancels = record.cancels.get() + 1;
        record.cancels.set(cancels);
        if cancels > MOST_CANCELS && !ptr::eq(record, self.main.get()) {
            self.give_up(record);
        }
    }

    /// Gives up the running thread, which would not stop: it is left for good, with all that it has.
    #[cold]
    fn give_up(&self, record: &Record) -> ! {
        if !cfg!(panic = "abort") {
            let report = format!(
                "greenlit: the run has ended, but 1 of its green threads would not stop\n  \
                 {record}: goes on after each cancel\n"
            );
            // A closed stderr is no reason to end the process.
            let _ = io::stderr().write_all(report.as_bytes());
        }
        self.leaked.set(true);
        if record.has(flag::RUNNER) {
            self.give_up_poll(record);
        }
        record.drop_regions();
        self.live.set(self.live.get() - 1);
        if self.live.get() == 1 {
            self.unpark(self.main.get());
        }
        // SAFETY: the running thread is in the ring.
        unsafe { self.run_queue.remove(record) };
        record.state.set(State::Done);
        let mut next = self.run_queue.head();
        if next.is_null() {
            next = self.idle();
        }
        // SAFETY: the head of the ring is live and is not this thread, to which nobody switches again.
        unsafe { self.switch(record, next) };
        unreachable!("a thread that was given up runs on");
    }

    /// Gives up on threads that would not stop. Their stacks stay mapped for ever, since something
    /// may still borrow from them; their records say that they have ended, so nothing wakes them.
    #[cold]
    fn leak(&self, main: &Record) {
        if !cfg!(panic = "abort") {
            self.report_the_rest(|who| format!("the run has ended, but {who} would not stop"));
        }
        self.arena.for_each_live(|record| {
            if ptr::eq(record, main) {
                return;
            }
            if let Some(reason) = record.reason() {
                reason.abandon();
            }
            if record.state.get() == State::Ready {
                // SAFETY: ready threads are in the ring.
                unsafe { self.run_queue.remove(record) };
            }
            record.state.set(State::Done);
        });
        self.tasks.forget_all();
        self.on_duty.set(ptr::null());
        self.runners.set(0);
        // The queues that they wait in point at their stacks, and the timers too.
        self.leaked.set(true);
    }

    /// Says on stderr what `what` makes of how many there are, and then of each green thread and task that
    /// has not ended who it is, where it was spawned, and what it waits for.
    #[cold]
    fn report_the_rest(&self, what: impl FnOnce(&str) -> String) {
        // SAFETY: there is a main thread until all others have ended, and its record lives.
        let main = unsafe { &*self.main.get() }.id.get();
        let mut all = self.snapshots();
        all.retain(|one| one.number != main);
        let futures = all.iter().filter(|one| one.kind() == Kind::Task).count();
        let who = match (all.len() - futures, futures) {
            (threads, 0) => format!("{threads} of its green threads"),
            (0, futures) => format!("{futures} of its futures"),
            (threads, futures) => {
                format!("{threads} of its green threads and {futures} of its futures")
            }
        };
        let mut report = format!("greenlit: {}\n", what(&who));
        for one in all.iter().take(MOST_NAMED) {
            // Writing to a string does not fail.
            let _ = writeln!(report, "  {}", Line(one));
        }
        if all.len() > MOST_NAMED {
            let _ = writeln!(report, "  and {} more", all.len() - MOST_NAMED);
        }
        // A closed stderr is no reason to end the process.
        let _ = io::stderr().write_all(report.as_bytes());
    }
}
