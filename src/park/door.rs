//! The function that suspends. Its caller has put a wait node on a queue, or knows another event that ends
//! the wait; the door adds the reason, the deadline, the fairness budget and the cancel.

use std::panic::resume_unwind;
use std::thread::panicking;

use super::core::traced;
use super::{Cancelled, Core};
use crate::clock;
use crate::scheduler::record::flag;
use crate::scheduler::{Reason, Record, State, TimerNode, Timers};

/// How long a wait may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// For ever.
    None,
    /// Until this point in time, in nanoseconds since the epoch; `u64::MAX` never comes.
    At(u64),
    /// For so many nanoseconds from now. No clock is read: the timer is stamped at the next reading, at
    /// most one budget later (rule 26).
    After(u64),
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What was waited for has happened.
    Woken,
    /// The limit has passed.
    TimedOut,
    /// The thread is cancelled, and could not be unwound: it is unwinding already, or panics abort.
    Cancelled,
}

/// Whether a cancel ends the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mask {
    /// It does.
    No,
    /// It does not: the cancel comes at the next call.
    Yes,
}

/// Takes the timer out again however the wait ends.
struct Timed<'a> {
    timers: &'a Timers,
    node: &'a TimerNode,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.timers.cancel(self.node);
    }
}

impl Core {
    /// Parks the running green thread until `done()` says that what it waits for has happened. Whoever
    /// makes it so calls `unpark` on the thread's record; an unpark before the park is not lost, since
    /// `done` is asked first, and other wake-ups do no harm, since it is asked again. Once it has said yes
    /// it is not asked again, so it may be the very act that was waited for: a read, the taking of a token.
    ///
    /// A value wins: `done` is asked before the limit and the cancel are looked at, except for a cancel
    /// that was there at entry.
    #[inline]
    pub(crate) fn park(
        &self,
        reason: &Reason,
        limit: Limit,
        mask: Mask,
        done: impl FnMut() -> bool,
    ) -> Outcome {
        let record = self.running();
        if mask == Mask::No
            && record.flags.get() != 0
            && let Some(outcome) = self.interrupt_at_entry(record)
        {
            return outcome;
        }
        match limit {
            Limit::None | Limit::At(u64::MAX) | Limit::After(u64::MAX) => {
                self.park_until(record, reason, mask, done, || false)
            }
            Limit::At(_) | Limit::After(_) => self.park_limited(record, reason, limit, mask, done),
        }
    }

    /// The park with a timer.
    fn park_limited(
        &self,
        record: &Record,
        reason: &Reason,
        limit: Limit,
        mask: Mask,
        mut done: impl FnMut() -> bool,
    ) -> Outcome {
        let node = TimerNode::new(record);
        let timed = Timed {
            timers: &self.timers,
            node: &node,
        };
        let past = match limit {
            Limit::After(0) => true,
            // SAFETY: invariant 44: `timed` cancels the timer before the node goes.
            Limit::After(length) => unsafe {
                self.timers.set_after(timed.node, length);
                false
            },
            Limit::At(deadline) if deadline <= clock::now() => true,
            // SAFETY: as above.
            Limit::At(deadline) => unsafe {
                self.timers.set_at(timed.node, deadline);
                false
            },
            Limit::None => unreachable!("park handles the wait without a limit"),
        };
        if past {
            // A limit that has passed already ends the wait at once, but after a yield and a look at what
            // has become ready (behaviours 9 and 36).
            if done() {
                return Outcome::Woken;
            }
            self.serve_now();
            self.yield_plain();
            return if done() {
                Outcome::Woken
            } else {
                Outcome::TimedOut
            };
        }
        self.park_until(record, reason, mask, done, || node.has_fired())
    }

    #[inline(always)]
    fn park_until(
        &self,
        record: &Record,
        reason: &Reason,
        mask: Mask,
        mut done: impl FnMut() -> bool,
        past: impl Fn() -> bool,
    ) -> Outcome {
        if self.tick() {
            self.serve();
        }
        // Asked before the switch: afterwards others may unwind.
        let may_unwind = may_unwind();
        loop {
            if done() {
                return Outcome::Woken;
            }
            if past() {
                return Outcome::TimedOut;
            }
            if record.flags.get() != 0 {
                if record.has(flag::DEADLOCKED) {
                    self.die_of_deadlock(record, Some(reason));
                }
                if mask == Mask::No
                    && let Some(outcome) = self.interrupt(record, may_unwind)
                {
                    return outcome;
                }
            }
            self.suspend(record, reason);
        }
    }

    /// Looks for a cancel at the entry of a blocking call, whether it will wait or not (rule 19).
    ///
    /// # Errors
    ///
    /// Where the thread is cancelled and cannot be unwound.
    #[inline]
    pub(crate) fn check_cancel(&self) -> Result<(), Cancelled> {
        let record = self.running();
        match record.flags.get() != 0 && self.interrupt_at_entry(record).is_some() {
            true => Err(Cancelled {
                number: record.id.get(),
            }),
            false => Ok(()),
        }
    }

    /// Switches away from the running thread until somebody unparks it.
    #[inline(always)]
    fn suspend(&self, record: &Record, reason: &Reason) {
        if traced() {
            self.trace_park(record, reason);
            self.leave_spans(record);
        }
        record.reason.set(reason);
        record.state.set(State::Parked);
        // SAFETY: the running thread is in the ring.
        unsafe { self.run_queue.remove(record) };
        let mut next = self.run_queue.head();
        if next.is_null() {
            next = self.idle();
            if std::ptr::eq(next, record) {
                // Its own event came: no switch at all.
                if record.has(flag::SPANS) {
                    self.enter_spans(record);
                }
                return;
            }
        }
        // SAFETY: the head of the ring is live and is not this thread, which is parked.
        unsafe { self.switch(record, next) };
    }

    /// As `interrupt`, before a call has waited.
    #[cold]
    pub(super) fn interrupt_at_entry(&self, record: &Record) -> Option<Outcome> {
        let may_unwind = may_unwind();
        // A loop that catches the unwinding and calls again must not hold the OS thread (rule 19).
        self.serve();
        self.yield_plain();
        self.interrupt(record, may_unwind)
    }

    /// Ends a blocking call of a cancelled thread: by unwinding, or where that is impossible by an outcome
    /// that the call turns into an error. `None` when there is no reason to end it.
    #[cold]
    fn interrupt(&self, record: &Record, may_unwind: bool) -> Option<Outcome> {
        if record.has(flag::DEADLOCKED) {
            self.die_of_deadlock(record, None);
        }
        if !record.has(flag::CANCELLED) {
            return None;
        }
        if !may_unwind {
            return Some(Outcome::Cancelled);
        }
        resume_unwind(Box::new(Cancelled {
            number: record.id.get(),
        }));
    }
}

/// Whether a cancel may unwind the running thread from the call that it has just made. A destructor that
/// blocks while its thread unwinds must not unwind again. std only knows whether some green thread of this
/// OS thread unwinds: while one is parked in the middle of that, the others' calls put their cancel off
/// (rule 20).
#[inline]
fn may_unwind() -> bool {
    !cfg!(panic = "abort") && !panicking()
}
