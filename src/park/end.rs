//! The beginning and the end of a run: the main green thread, and the deadlock report.

use std::any::Any;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use tracing::{Level, event};

use super::runner::wake_caught;
use super::slices::SliceEnd;
use super::snapshot::Line;
use super::unclaimed::tell;
use super::{Cancelled, Core, Outsider, fork, watchdog};
use crate::arch;
use crate::clock;
use crate::scheduler::record::flag;
use crate::scheduler::task::state;
use crate::scheduler::{Reason, Record, State, Wakers};
use crate::stack;

impl Core {
    /// Runs `f` as the main green thread, on this stack, and then ends what remains.
    pub(crate) fn run<T>(&self, called_at: &'static Location<'static>, f: impl FnOnce() -> T) -> T {
        let main = self.begin_run(called_at);
        let result = catch_unwind(AssertUnwindSafe(f));
        self.end_run(main, result.as_ref().err().map(|payload| &**payload));
        match result {
            Ok(value) => value,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Makes the caller the main thread. This and the end are compiled once, and not for each closure.
    fn begin_run(&self, called_at: &'static Location<'static>) -> &Record {
        assert!(
            Self::here().is_none(),
            "run: this OS thread is already running a runtime"
        );
        // A coroutine's body could be suspended in the middle of the run, and continued by others.
        assert!(
            !stack::holds(arch::stack_pointer()),
            "run: called inside a coroutine or a green thread; call it outside"
        );
        assert!(
            self.reactor.shared().is_ours(),
            "run: this runtime was made before a fork and stayed with the parent; make a new one here"
        );
        let main = self.record(Some(Arc::from("main")), called_at, 1);
        main.parent.set(0);
        self.main.set(main);
        self.ending.set(false);
        main.set(self.timed());
        self.with_care.set(main.has(flag::TIMED));
        self.known_time.set(clock::coarse());
        // SAFETY: invariant 42: the record is new, and is removed below before it is released.
        unsafe { self.run_queue.push(main) };
        Self::set_current(self);
        // What was sent before comes before what the closure does.
        self.read_letters();
        if let Some(slices) = self.slices.get() {
            slices.watch();
            self.begin_with_care(main);
        }
        main
    }

    /// Ends the threads that are left, and then the main one, whose closure panicked with `payload` if
    /// there is one.
    fn end_run(&self, main: &Record, payload: Option<&(dyn Any + Send)>) {
        if Self::here().is_some() {
            self.end_locals(main);
        }
        // In a child that was forked in there the runtime has ended already; its green threads are its
        // parent's.
        if Self::here().is_none() {
            self.leaked.set(true);
            fork::left_run();
            if let Some(slices) = self.slices.get() {
                slices.leave_watchdog();
            }
        } else {
            // No hook has spoken of it, and no cancel is aimed at a whole run (rule 24).
            if let Some(payload) = payload.filter(|payload| payload.is::<Cancelled>()) {
                tell(main, "was unwound out of its run", payload);
            }
            if main.has(flag::TIMED) {
                self.end_slice(main, SliceEnd::Exit);
                self.begin_slice(main);
            }
            self.stop_the_rest(main);
            let waiters = self.take_waiters();
            if let Some(slices) = self.slices.get() {
                slices.unwatch();
            }
            Self::set_current(std::ptr::null());
            // SAFETY: the main thread is the only one left, and runs.
            unsafe { self.run_queue.remove(main) };
            main.drop_regions();
            main.state.set(State::Done);
            self.main.set(std::ptr::null());
            self.live.set(0);
            // SAFETY: the scheduler's own reference, given up once.
            unsafe { self.arena.release(main) };
            // After the end: what a waker starts is for the next run.
            waiters.into_iter().for_each(wake_caught);
        }
    }

    /// Nothing can run, and the reactor waits for nothing: is there anybody who could end a wait?
    #[cold]
    pub(super) fn look_for_deadlock(&self) {
        // At the end of a run all are cancelled already.
        let mut certain = self.ending.get() || Outsider::is_nobody();
        let awaits = self.awaits();
        let held = |number| awaits.get(&number).map_or(0, Vec::len);
        self.arena.for_each_live(|record| {
            // Nobody can unpark a thread that no handle was made for, or that alone holds its
            // handle.
            let reachable =
                record.with_handle(|handle| handle.is_some_and(|h| Arc::strong_count(h) > 1));
            certain &= match record.reason() {
                None => true,
                Some(reason) => match reason.wakers {
                    Wakers::Local => true,
                    // A lock that names who waits for it was handed over just now by another OS
                    // thread, whose letter is under way.
                    Wakers::Holder => reason
                        .holder()
                        .is_some_and(|holder| holder != record.id.get() && self.is_live(holder)),
                    Wakers::Process => false,
                    Wakers::Event | Wakers::Anyone => !reachable,
                    Wakers::Held(count) => count <= held(record.id.get()),
                },
            };
        });
        // Somebody else may have a task's waker, beside its handle, the runtime itself, and those that
        // are awaited.
        self.tasks.for_each(|task| {
            let known = if task.is(state::DETACHED) { 1 } else { 2 };
            certain &= task.references() as usize <= known + held(task.number);
        });
        let certain = certain || only_os_thread();
        // Whoever has let go of a handle, or has ended, may have left a letter before.
        fence(Ordering::Acquire);
        if self.mailbox.has_letters() {
            return;
        }
        // SAFETY: there is a main thread as long as anything parks, and its record lives.
        let main = unsafe { &*self.main.get() };
        if certain && self.ending.get() {
            self.stopping.is_stuck.set(true);
            self.unpark(main);
        } else if certain {
            main.set(flag::DEADLOCKED);
            self.unpark(main);
        } else if !self.warned.replace(true) {
            let report = self.deadlock_report(None);
            self.outside(|| event!(target: "greenlit", Level::WARN, "possible {report}"));
        }
    }

    /// Whether the green thread or task `number` is one of this runtime's, and has not ended.
    fn is_live(&self, number: u64) -> bool {
        let mut found = false;
        self.arena
            .for_each_live(|record| found |= record.id.get() == number);
        self.tasks.for_each(|task| found |= task.number == number);
        found
    }

    /// The main thread's blocking call ends with the deadlock report.
    #[cold]
    pub(super) fn die_of_deadlock(&self, main: &Record, waits_for: &Reason, may_unwind: bool) -> ! {
        main.clear(flag::DEADLOCKED);
        let report = self.deadlock_report(Some(waits_for));
        if !may_unwind {
            let _ = writeln!(io::stderr(), "greenlit: {report}");
            std::process::abort();
        }
        panic!("{report}");
    }

    /// A line for each green thread and task: its name, its number, where it was spawned, what it waits
    /// for. The main thread runs when it reports its own deadlock, and says itself what it waited for.
    fn deadlock_report(&self, main_waits_for: Option<&Reason>) -> String {
        // SAFETY: there is a main thread as long as anything parks, and its record lives.
        let main = unsafe { &*self.main.get() };
        let all = self.snapshots();
        let futures = match self.tasks.live() {
            0 => String::new(),
            count => format!(" and {count} futures"),
        };
        let count = all.len() - self.tasks.live();
        let mut report = format!(
            "deadlock: all {count} green threads{futures} are parked and nothing can wake them\n"
        );
        for one in all {
            let one = match main_waits_for {
                Some(reason) if one.number == main.id.get() => one.parked_as(main, reason),
                _ => one,
            };
            // Writing to a string does not fail.
            let _ = writeln!(report, "  {}", Line(&one));
        }
        report
    }
}

/// Whether this process has no other OS thread, watchdogs aside, so that nobody else could wake
/// anything.
fn only_os_thread() -> bool {
    let is_watchdog = |path: &Path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == watchdog::NAME)
    };
    fs::read_dir("/proc/self/task").is_ok_and(|threads| {
        let threads = threads.flatten().map(|thread| thread.path());
        threads.filter(|path| !is_watchdog(path)).count() == 1
    })
}
