//! Turns of the reactor and the fairness budget: when the clock is read, when a turn is due, and
//! what happens when nothing can run.

use std::io::{self, Write};
use std::ptr;
use std::task::Waker;

use super::Core;
use super::core::{FIRST_QUOTA, QUOTA, traced};
use super::mailbox::Letter;
use crate::clock;
use crate::reactor::Timeout;
use crate::scheduler::{Fired, Record};

/// A turn is due so long after the last, in nanoseconds, even while threads can run.
const TURN_INTERVAL: u64 = 100_000;

/// How long a runtime that waits for no event waits for other OS threads before it looks for a
/// deadlock, in nanoseconds; twice as long before it looks again, and so on.
const PATIENCE: u64 = 20_000_000;

impl Core {
    /// The budget is used up: reads the clock, takes a turn if one is due, and sets the next
    /// budget.
    #[cold]
    pub(super) fn serve(&self) {
        let now = clock::now();
        self.known_time.set(now);
        let last = self.last_turn.get();
        let elapsed = now.saturating_sub(last);
        if last == 0 {
            // The last turn did not read the clock: count from here.
            self.last_turn.set(now);
        } else if elapsed >= TURN_INTERVAL {
            // Slices are long where even a small budget took more than the interval.
            let quota = u64::from(self.quota.get()) * TURN_INTERVAL / elapsed;
            self.quota
                .set(u32::try_from(quota).unwrap_or(QUOTA).clamp(1, QUOTA));
            self.turn(Timeout::Zero);
        } else {
            self.quota.set((self.quota.get() * 2).min(QUOTA));
        }
        self.budget.set(self.quota.get());
    }

    /// Takes a turn that does not block, whether it is due or not.
    pub(super) fn serve_now(&self) {
        self.turn(Timeout::Zero);
    }

    /// Nothing can run: takes turns, on the stack of whoever parked or ended last, until something
    /// can, and returns what runs next.
    #[cold]
    #[inline(never)]
    pub(super) fn idle(&self) -> *const Record {
        let mut patience = PATIENCE;
        loop {
            self.look_for_runner();
            if !self.run_queue.head().is_null() {
                return self.run_queue.head();
            }
            let awaits_nothing = self.awaits_no_timer()
                && self.reactor.waiting.get() == 0
                && self.offloaded.get() == 0;
            // Another OS thread may be about to unpark somebody, again and again: to look at all
            // green threads each time would cost more than they do.
            self.turn(match awaits_nothing {
                false => Timeout::Never,
                true => Timeout::Nanos(patience),
            });
            if awaits_nothing && self.run_queue.head().is_null() {
                // Where others might wake somebody, they may end without having done so: it looks
                // again, less and less often.
                self.look_for_deadlock();
                patience = patience.saturating_mul(2);
            }
            if !self.run_queue.head().is_null() {
                return self.run_queue.head();
            }
        }
    }

    /// One turn: collects what became ready, letters from other OS threads, and timers that are
    /// due.
    ///
    /// It lasts `at_most` so long: no time at all unless nothing can run. Nothing that it calls can
    /// park (rule 8).
    fn turn(&self, at_most: Timeout) {
        let timed = !self.timers.is_empty();
        let mut now = 0;
        if timed || at_most == Timeout::Zero {
            now = clock::now();
            self.timers.stamp(now);
        }
        let timeout = match self.timers.next_deadline() {
            Some(deadline) if at_most != Timeout::Zero => match deadline.saturating_sub(now) {
                0 => Timeout::Zero,
                left => match at_most {
                    Timeout::Nanos(most) => Timeout::Nanos(left.min(most)),
                    _ => Timeout::Nanos(left),
                },
            },
            _ => at_most,
        };
        let unpark = |record| self.unpark(record);
        let turn = match self.reactor.turn(timeout, unpark, |waker| self.wake(waker)) {
            Ok(turn) => turn,
            Err(error) => {
                let _ = writeln!(
                    io::stderr(),
                    "greenlit: the reactor's epoll_wait failed: {error}; \
                     some code closed a file descriptor that it does not own"
                );
                std::process::abort();
            }
        };
        if turn.notified {
            self.read_letters();
        }
        let mut fired = 0_usize;
        if timed {
            if timeout != Timeout::Zero {
                now = clock::now();
            }
            fired = self.fire_timers(now);
        }
        if at_most == Timeout::Zero {
            // From its end: a turn that is slow by itself must not make the next one due.
            now = clock::now();
        } else {
            // Whoever runs now may run for long: look at the clock soon.
            self.quota.set(FIRST_QUOTA);
            self.budget.set(FIRST_QUOTA);
        }
        self.last_turn.set(now);
        // A turn that waited without a limit has not read it: the coarse clock will do.
        self.known_time.set(match now {
            0 => clock::coarse().max(self.known_time.get()),
            _ => now,
        });
        if traced() {
            self.trace_turn(turn.events, fired);
        }
    }

    /// Fires those timers that are due, and counts them.
    fn fire_timers(&self, now: u64) -> usize {
        let mut fired = 0;
        while let Some(timer) = self.timers.pop_due(now) {
            fired += 1;
            match timer {
                Fired::Thread(record) => self.unpark(record),
                Fired::Future(waker) => self.wake(waker),
            }
        }
        fired
    }

    /// A timer that wakes a task was set to a point in time that has passed: the runner does not wait
    /// for a turn.
    pub(crate) fn note_overdue(&self) {
        self.overdue.set(true);
        self.call_runner();
    }

    /// Fires the timers that are due, where one was when it was set.
    #[cold]
    pub(super) fn fire_overdue(&self) {
        self.overdue.set(false);
        let now = clock::now();
        self.timers.stamp(now);
        self.fire_timers(now);
    }

    /// Does what other OS threads have asked for.
    #[cold]
    pub(super) fn read_letters(&self) {
        for letter in self.mailbox.take_letters() {
            match letter {
                Letter::Unpark(record, number) => {
                    self.unpark_numbered(ptr::with_exposed_provenance(record), number);
                }
                Letter::Wake(task) => self.read_word(&task),
                Letter::Parcel(parcel) => parcel.open(),
                Letter::Errand(errand) => errand.open(self),
            }
        }
    }

    /// Who still waits for a source or a point in time when the run ends, since no turn will come: futures
    /// of other executors, which may be polled elsewhere from now on.
    pub(super) fn take_waiters(&self) -> Vec<Waker> {
        let mut wakers = self.reactor.take_all_wakers();
        wakers.extend(self.timers.take_wakers());
        wakers.extend(self.wakers.take());
        wakers
    }

    /// Unparks the thread `number` if `record` still serves it.
    pub(super) fn unpark_numbered(&self, record: *const Record, number: u64) {
        self.unparks.set(self.unparks.get().wrapping_add(1));
        // SAFETY: invariant 41: letters name records of this core's arena, which lives.
        if unsafe { (*record).id.get() } == number {
            self.unpark(record);
        }
    }
}
