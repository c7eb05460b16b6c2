//! How a green thread ends: who waited for it goes on, it leaves its stack for good, and whoever runs
//! next gives that back.

use std::ptr;

use super::Core;
use super::core::traced;
use super::slices::SliceEnd;
use crate::arch;
use crate::scheduler::record::{extra, flag};
use crate::scheduler::{Record, State};
use crate::stack::Stack;

impl Core {
    /// Clean-up for a thread that ended by switching here: it only frees memory (rule 7).
    #[inline]
    pub(crate) fn bury(&self, dead: *mut ()) {
        let dead: *const Record = dead.cast();
        // SAFETY: invariant 48: what arrives here is the record of a thread that has left its stack
        // for good, and the scheduler's reference to it is still counted.
        let record = unsafe { &*dead };
        // SAFETY: as above: it will not be switched to again.
        unsafe { arch::release(&record.context) };
        if let Some(stack) = record.stack.take() {
            // SAFETY: the slot was put there by `spawn`, and was taken out just now.
            drop(unsafe { Stack::from_raw(stack) });
        }
        // SAFETY: the scheduler's reference is given up here, once.
        unsafe { self.arena.release(dead) };
    }

    /// Ends the running thread: wakes who joins it and leaves its stack for good. Inlined, since a
    /// call that never returns makes the CPU mispredict the returns of whoever runs next.
    #[inline(always)]
    pub(crate) fn exit(&self, record: &Record) -> ! {
        if traced() {
            self.trace_exit(record);
            // Spans that it left entered go with it.
            self.leave_spans(record);
            record.replace_spans(Vec::new());
        }
        if record.has(flag::UNWINDING | flag::TIMED) {
            self.exit_with_care(record);
        }
        record.drop_regions();
        record.state.set(State::Done);
        if record.has_extra(extra::AWAITED) {
            self.wake_awaiter(record);
        }
        self.live.set(self.live.get() - 1);
        if self.ending.get() && self.live.get() == 1 {
            self.unpark(self.main.get());
        }
        self.leave_to_joiner(record);
        let mut next = self.run_queue.head();
        if next.is_null() {
            next = self.idle();
        }
        let dead = ptr::from_ref(record).cast_mut().cast();
        // SAFETY: the head of the ring lives.
        let next = unsafe { &*next };
        // SAFETY: a member of the ring was switched away from or never run; this thread is in no
        // queue, so nobody switches to it again.
        unsafe { arch::switch_last(&record.context, &next.context, dead) }
    }

    #[cold]
    fn exit_with_care(&self, record: &Record) {
        self.unmark_unwinding(record);
        if record.has(flag::TIMED) {
            self.end_slice(record, SliceEnd::Exit);
        }
    }

    #[cold]
    fn wake_awaiter(&self, ended: &Record) {
        if let Some(waker) = ended.replace_awaiter(None) {
            self.wake(waker);
        }
    }

    /// Takes an ended thread out of the run queue, and puts who joins it there.
    #[inline(always)]
    fn leave_to_joiner(&self, ended: &Record) {
        let joiner = ended.joiners.pop();
        // SAFETY: a waiter's record lives.
        if joiner.is_null() || unsafe { (*joiner).state.get() } != State::Parked {
            // SAFETY: the running thread is in the ring.
            return unsafe { self.run_queue.remove(ended) };
        }
        // SAFETY: as above.
        let joiner = unsafe { &*joiner };
        joiner.state.set(State::Ready);
        // SAFETY: the ended thread is the ring's head; a parked one is in no ring.
        unsafe { self.run_queue.replace_head(joiner) };
        if traced() {
            self.trace_unpark(joiner);
        }
    }
}
