//! The function that suspends. Its caller has put a wait node on a queue, or knows another event
//! that ends the wait; the door adds the reason, the deadline, the fairness budget and the cancel.

use std::any::Any;
use std::cell::Cell;
use std::panic::resume_unwind;
use std::thread::panicking;

use super::cancelled::Mark;
use super::core::traced;
use super::region::CARRIER;
use super::region::Pending;
use super::slices::SliceEnd;
use super::{Cancelled, Core};
use crate::clock;
use crate::coroutine::carried;
use crate::scheduler::record::flag;
use crate::scheduler::{Reason, Record, State, TimerNode, Timers};

thread_local! {
    /// How many green threads of this OS thread unwind. Those that were leaked in the middle of it
    /// count for ever, as they do for std.
    static UNWINDING: Cell<usize> = const { Cell::new(0) };
}

/// Where a wait has more to do than to switch.
const PARK_WITH_CARE: u32 = flag::NEWS | flag::NO_SWITCH | flag::POLLING | flag::TIMED;

/// How long a wait may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// For ever.
    None,
    /// Until this point in time, in nanoseconds since the epoch; `u64::MAX` never comes.
    At(u64),
    /// For so many nanoseconds from now. No clock is read: the timer is stamped at the next
    /// reading, at most one budget later (rule 26).
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

/// A blocking call was not begun: its green thread is cancelled, and cannot be unwound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// It is in a destructor, while its thread unwinds.
    pub(crate) in_destructor: bool,
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

/// How a wait has ended, if it has; a value before a limit.
#[inline(always)]
fn ended(
    record: &Record,
    done: &mut impl FnMut() -> bool,
    past: &impl Fn() -> bool,
) -> Option<Outcome> {
    let outcome = if done() {
        Outcome::Woken
    } else if past() {
        Outcome::TimedOut
    } else {
        return None;
    };
    record.clear(flag::DEADLOCKED);
    Some(outcome)
}

impl Core {
    /// Parks the running green thread until `done()` says that what it waits for has happened.
    /// Whoever makes it so calls `unpark` on the thread's record; an unpark before the park is not
    /// lost, since `done` is asked first, and other wake-ups do no harm, since it is asked again.
    /// Once it has said yes it is not asked again, so it may be the very act that was waited for: a
    /// read, the taking of a token.
    ///
    /// A value wins: `done` is asked before the limit and the cancel are looked at. For a cancel
    /// that was there before, the caller has looked by `check_cancel`, before it linked its wait
    /// node: that yields.
    #[inline]
    pub(crate) fn park(
        &self,
        reason: &Reason,
        limit: Limit,
        mask: Mask,
        done: impl FnMut() -> bool,
    ) -> Outcome {
        let record = self.running();
        match limit {
            Limit::None => self.park_until(record, reason, mask, done, || false),
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
            // A limit that has passed already ends the wait at once, but after a yield and a look
            // at what has become ready (behaviours 9 and 36).
            if done() {
                return Outcome::Woken;
            }
            self.serve_now();
            record.clear(flag::WATCHED);
            self.before_others(record);
            if !record.has(flag::NO_SWITCH) {
                self.yield_plain();
            }
            return if done() {
                Outcome::Woken
            } else {
                Outcome::TimedOut
            };
        }
        self.park_until(record, reason, mask, done, || node.has_fired())
    }

    /// The short way: nobody listens, and there is nothing that the thread has to look at.
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
        let may_unwind = self.may_unwind(record);
        loop {
            if let Some(outcome) = ended(record, &mut done, &past) {
                return outcome;
            }
            if record.has(PARK_WITH_CARE) || traced() {
                return self.park_with_care(record, reason, mask, may_unwind, done, past);
            }
            self.suspend(record, reason);
        }
    }

    /// The long way. In a region with a deadline it sets a timer, which moves with the deadline.
    #[cold]
    #[inline(never)]
    fn park_with_care(
        &self,
        record: &Record,
        reason: &Reason,
        mask: Mask,
        may_unwind: bool,
        mut done: impl FnMut() -> bool,
        past: impl Fn() -> bool,
    ) -> Outcome {
        let node = TimerNode::new(record);
        let timed = Timed {
            timers: &self.timers,
            node: &node,
        };
        let mut set_to = u64::MAX;
        loop {
            if let Some(outcome) = ended(record, &mut done, &past) {
                return outcome;
            }
            if node.has_fired() {
                self.expire(record);
            }
            let nearest = match mask {
                Mask::No => record.nearest_deadline(),
                Mask::Yes => u64::MAX,
            };
            if nearest != set_to {
                self.timers.cancel(timed.node);
                if nearest != u64::MAX {
                    // SAFETY: invariant 44: `timed` cancels the timer before the node goes.
                    unsafe { self.timers.set_at(timed.node, nearest) };
                }
                set_to = nearest;
            }
            if let Some(outcome) = self.look_before_wait(record, reason, mask, may_unwind) {
                return outcome;
            }
            if traced() {
                self.trace_park(record, reason);
                self.leave_spans(record);
                // The subscriber may have brought about what is waited for.
                if done() {
                    self.come_back(record);
                    return Outcome::Woken;
                }
            }
            let timed = record.has(flag::TIMED);
            if timed && self.end_slice(record, SliceEnd::Wait(reason)) && done() {
                self.begin_slice(record);
                return Outcome::Woken;
            }
            if record.has(flag::POLLING) {
                self.leave_duty(record);
            }
            self.suspend(record, reason);
            if timed {
                self.begin_after(reason);
            }
        }
    }

    /// What may keep a thread from waiting that has to.
    #[cold]
    fn look_before_wait(
        &self,
        record: &Record,
        reason: &Reason,
        mask: Mask,
        may_unwind: bool,
    ) -> Option<Outcome> {
        if record.has(flag::DEADLOCKED) {
            self.die_of_deadlock(record, reason, may_unwind);
        }
        if mask == Mask::No
            && let Some(outcome) = self.interrupt(record, may_unwind)
        {
            return Some(outcome);
        }
        if record.has(flag::NO_SWITCH) {
            self.refuse_switch(record, Some(reason));
        }
        None
    }

    /// Looks for a cancel at the entry of a blocking call, whether it will wait or not (rule 19).
    ///
    /// # Errors
    ///
    /// Where the thread is cancelled and cannot be unwound.
    #[inline]
    pub(crate) fn check_cancel(&self) -> Result<(), Refused> {
        let record = self.running();
        match record.has(flag::NEWS) && self.interrupt_at_entry(record).is_some() {
            true => Err(Refused {
                in_destructor: record.has(flag::UNWINDING)
                    && !record.has(flag::NO_UNWIND)
                    && !cfg!(panic = "abort"),
            }),
            false => Ok(()),
        }
    }

    /// What a thread does first when it runs again.
    #[inline(always)]
    pub(super) fn come_back(&self, record: &Record) {
        if record.has(flag::SPANS | flag::WATCHED | flag::TIMED) {
            self.come_back_to_more(record);
        }
    }

    #[cold]
    fn come_back_to_more(&self, record: &Record) {
        record.clear(flag::WATCHED);
        if record.has(flag::SPANS) {
            self.enter_spans(record);
        }
        if record.has(flag::TIMED) {
            self.begin_slice(record);
        }
    }

    /// Switches away from the running thread until somebody unparks it.
    #[inline(always)]
    fn suspend(&self, record: &Record, reason: &Reason) {
        record.reason.set(reason);
        record.since.set(self.known_time.get());
        record.state.set(State::Parked);
        // SAFETY: the running thread is in the ring.
        unsafe { self.run_queue.remove(record) };
        let mut next = self.run_queue.head();
        if next.is_null() {
            next = self.idle();
            if std::ptr::eq(next, record) {
                // Its own event came: no switch at all.
                return self.come_back(record);
            }
        }
        // SAFETY: the head of the ring is live and is not this thread, which is parked.
        unsafe { self.switch(record, next) };
    }

    /// As `interrupt`, before a call has waited.
    #[cold]
    pub(super) fn interrupt_at_entry(&self, record: &Record) -> Option<Outcome> {
        self.look_at_deadlines(record);
        if !record.has(flag::CANCELLED | flag::STOPPED) {
            return None;
        }
        let may_unwind = self.may_unwind(record);
        let pending = self.pending(record)?;
        if matches!(pending, Pending::Thread) && (may_unwind || cfg!(panic = "abort")) {
            self.count_cancel(record);
        }
        if !record.has(flag::NO_SWITCH) {
            // A loop that catches the unwinding and calls again must not hold the OS thread (rule
            // 19).
            self.serve();
            if record.has(flag::TIMED) {
                self.end_slice(record, SliceEnd::Yield);
            }
            self.yield_plain();
        }
        self.interrupt(record, may_unwind)
    }

    /// Ends a blocking call of a cancelled thread: by unwinding, or where that is impossible by an
    /// outcome that the call turns into an error. `None` when there is no reason to end it.
    #[cold]
    fn interrupt(&self, record: &Record, may_unwind: bool) -> Option<Outcome> {
        let pending = self.pending(record)?;
        if !may_unwind {
            return Some(Outcome::Cancelled);
        }
        self.unwind_by(record, pending);
    }

    /// Whether a cancel may unwind the running thread from the call that it has just made. A
    /// destructor that blocks while its thread unwinds must not unwind again. std only knows
    /// whether some green thread of this OS thread unwinds (rule 20), so those that do are marked:
    /// by the cancel that we start, or when they make a blocking call and nobody who is marked
    /// explains what std says.
    #[inline]
    pub(super) fn may_unwind(&self, record: &Record) -> bool {
        if cfg!(panic = "abort") {
            return false;
        }
        if !panicking() && !record.has(flag::UNWINDING | flag::NO_UNWIND) {
            return true;
        }
        self.may_unwind_in_doubt(record)
    }

    #[cold]
    fn may_unwind_in_doubt(&self, record: &Record) -> bool {
        if record.has(flag::NO_UNWIND) {
            return false;
        }
        if !panicking() {
            // It caught what it was marked for.
            self.unmark_unwinding(record);
            return true;
        }
        if record.has(flag::UNWINDING) {
            return false;
        }
        if UNWINDING.get() == 0 {
            self.mark_unwinding(record);
            return false;
        }
        true
    }

    /// Whether the running thread is one that unwinds, where std says that somebody does. It is
    /// marked if nobody else explains that.
    #[cold]
    pub(crate) fn unwinds(&self, record: &Record) -> bool {
        if UNWINDING.get() == 0 {
            self.mark_unwinding(record);
        }
        record.has(flag::UNWINDING)
    }

    /// Goes on with an unwinding that the running thread has caught: blocking calls in its
    /// destructors know of it.
    pub(crate) fn resume_unwind(&self, mut payload: Box<dyn Any + Send>) -> ! {
        let record = self.running();
        match payload.downcast_mut::<Cancelled>() {
            // In a destructor it ends before the unwinding around it; one that was not over goes on.
            Some(cancelled) if record.has(flag::UNWINDING) => {
                if !cancelled.mark.is_of(record.unwinding.get()) {
                    cancelled.mark = Mark::NONE;
                }
            }
            Some(cancelled) => cancelled.mark = self.mark_unwinding_by_cancel(record),
            // In a destructor that a cancel runs the unwinding around it stays one.
            None => self.mark_unwinding(record),
        }
        resume_unwind(payload);
    }

    /// Marks the running thread as one that a cancel unwinds, until the payload with the mark that is
    /// returned goes.
    pub(super) fn mark_unwinding_by_cancel(&self, record: &Record) -> Mark {
        self.mark_unwinding(record);
        record.set(flag::BY_CANCEL);
        let number = self.number();
        record.unwinding.set(number);
        Mark::new(number)
    }

    /// The payload of the unwinding `number` goes, perhaps that of the running thread.
    pub(super) fn has_caught(&self, number: u64) {
        let record = self.running();
        if record.unwinding.get() == number {
            self.unmark_unwinding(record);
        }
    }

    pub(super) fn mark_unwinding(&self, record: &Record) {
        if !record.has(flag::UNWINDING) {
            record.set(flag::UNWINDING);
            UNWINDING.set(UNWINDING.get() + 1);
            carried::add(&CARRIER);
        }
    }

    /// Whether the running thread is one that std's `panicking` speaks of, and by a panic.
    #[cold]
    pub(super) fn running_panics(&self) -> bool {
        let record = self.running();
        match record.has(flag::UNWINDING) {
            // Nobody else may explain what std says.
            true => !record.has(flag::BY_CANCEL) && UNWINDING.get() == 1,
            false => UNWINDING.get() == 0,
        }
    }

    /// The thread does not unwind any more: it has caught it, or has ended.
    pub(super) fn unmark_unwinding(&self, record: &Record) {
        if record.has(flag::UNWINDING) {
            record.clear(flag::UNWINDING | flag::BY_CANCEL);
            UNWINDING.set(UNWINDING.get() - 1);
            carried::remove();
        }
    }
}
