//! What `select!` is made of: one of several receives, sends, joins, timers and waits for readiness,
//! whichever can be done first, and that one only.

mod arm;
mod conditions;

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::park::{Caller, Limit, Mask, Outcome, Reason};
use crate::sync::waiters::Wait;

pub use super::broadcast::RecvArm as BroadcastArm;
pub use super::channel::{RecvArm, SendArm};
pub use super::watch::ChangedArm;
pub use arm::Arm;
pub use conditions::{JoinArm, TimerArm, after, at, join};

pub(crate) use arm::Operation;
pub(in crate::sync) use arm::Place;

/// Arms whose order needs no allocation.
const FEW: usize = 8;

/// How often an OS thread without a runtime looks at file descriptors that it selects over together
/// with other things, in nanoseconds.
const SLICE: u64 = 1_000_000;

/// A choice between arms, of which exactly one is done: what [`select!`](crate::select) is made of,
/// for a number of arms that is not known beforehand.
///
/// Where several can be done, one of them is chosen at random. An arm that stands in the queue of a
/// channel is served in turn with all others that wait there. What an arm did, its own `finish`
/// says.
///
/// # Examples
///
/// ```
/// use greenlit::sync::mpsc;
/// use greenlit::sync::select::{Arm, Select};
///
/// greenlit::run(|| {
///     let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel()).unzip();
///     senders[1].send("hello").unwrap();
///     let mut arms: Vec<_> = receivers.iter().map(|receiver| receiver.recv_arm()).collect();
///     let mut refs: Vec<_> = arms.iter_mut().map(|arm| arm as &mut dyn Arm).collect();
///     let chosen = Select::new(&mut refs).wait();
///     assert_eq!((chosen, arms.swap_remove(chosen).finish()), (1, Ok("hello")));
/// });
/// ```
#[must_use = "a choice waits when it is told to"]
pub struct Select<'a> {
    arms: &'a mut [&'a mut dyn Arm],
}

impl<'a> Select<'a> {
    /// A choice between `arms`, which are known by their places among them.
    pub fn new(arms: &'a mut [&'a mut dyn Arm]) -> Self {
        Self { arms }
    }

    /// Does one of the arms; parks until one can be done.
    ///
    /// # Panics
    ///
    /// If there are no arms. In the main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and no arm is done. If it unwinds already and
    /// would have to wait, one of the sends and receives fails as though its channel were closed; if
    /// there are none, it waits.
    pub fn wait(self) -> usize {
        assert!(!self.arms.is_empty(), "select: there are no arms");
        loop {
            if let Some(index) = self.run(Some(Limit::None)) {
                return index;
            }
        }
    }

    /// Does one of the arms, if one can be done at once. It does not park, and no other green thread
    /// runs.
    #[must_use]
    pub fn try_wait(self) -> Option<usize> {
        self.run(None)
    }

    /// As [`wait`](Self::wait), but no longer than `timeout`; `None` where no arm was done in time.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[must_use]
    pub fn wait_timeout(self, timeout: Duration) -> Option<usize> {
        self.run(Some(Limit::After(clock::length(timeout))))
    }

    /// As [`wait_timeout`](Self::wait_timeout), until a point in time.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[must_use]
    pub fn wait_deadline(self, deadline: Instant) -> Option<usize> {
        self.run(Some(Limit::At(deadline.nanos())))
    }

    /// No limit at all means not to wait.
    fn run(&self, limit: Option<Limit>) -> Option<usize> {
        let caller = Caller::current();
        let cancelled = limit.is_some() && caller.check_cancel().is_err();

        // The arms' places: at first in a random order, later in that of their locks.
        let mut few = [0; FEW];
        let mut many;
        let order = match few.get_mut(..self.arms.len()) {
            Some(order) => order,
            None => {
                many = vec![0; self.arms.len()];
                &mut many[..]
            }
        };
        shuffle(order);

        if let Some(index) = order.iter().copied().find(|&index| self.try_arm(index)) {
            if limit.is_some() {
                caller.spend();
            }
            return Some(index);
        }
        let limit = limit?;
        let mask = match cancelled {
            true if let Some(index) = self.first_queued() => return Some(index),
            true => Mask::Yes,
            false => Mask::No,
        };
        self.wait_in_queues(caller, order, limit, mask)
    }

    /// Does the arm if it can be done at once.
    fn try_arm(&self, index: usize) -> bool {
        let arm = &*self.arms[index];
        arm.prepare();
        let mut unparker = None;
        let lock = arm.lock();
        if let Some(lock) = lock {
            lock.take();
        }
        // SAFETY: the lock was taken.
        let done = unsafe { arm.attempt(&mut unparker) };
        if let Some(lock) = lock {
            lock.release();
        }
        if let Some(unparker) = unparker {
            unparker.unpark();
        }
        done
    }

    fn first_queued(&self) -> Option<usize> {
        self.arms.iter().position(|arm| arm.lock().is_some())
    }

    /// Stands in all queues at once and parks.
    fn wait_in_queues(
        &self,
        caller: Caller<'_>,
        order: &mut [usize],
        limit: Limit,
        mask: Mask,
    ) -> Option<usize> {
        let (limit, timer) = self.earliest(limit);
        // SAFETY: it stays in this frame, which is part of the run.
        let wait = unsafe { Wait::new(caller) };
        let mut stands = Stands {
            select: self,
            wait: &wait,
            unwinds: true,
        };
        // Conditions first: to stand by them may take system calls, and fail.
        for (index, arm) in self.arms.iter().enumerate() {
            if arm.lock().is_none() {
                // SAFETY: the arm has no lock; it is borrowed, hence in place, until `stands` has
                // left.
                unsafe { arm.stand(&raw const wait, index + 1) };
            }
        }
        // Nothing was ready when each was asked by itself. Now nobody changes anything between the
        // last look and the moment in which the wait stands everywhere.
        if let Some(index) = self.stand(order, &wait) {
            stands.unwinds = false;
            drop(stands);
            caller.spend();
            return Some(index);
        }

        let mut holds = None;
        let outcome = self.park(caller, &wait, limit, mask, &mut holds);
        stands.unwinds = false;
        drop(stands);
        // Nobody can choose any more. What was handed over wins over what merely holds.
        match wait.chosen() {
            0 => match outcome {
                Outcome::Woken => holds,
                Outcome::TimedOut => timer,
                Outcome::Cancelled => self.first_queued(),
            },
            chosen => Some(chosen - 1),
        }
    }

    fn park(
        &self,
        caller: Caller<'_>,
        wait: &Wait,
        limit: Limit,
        mask: Mask,
        holds: &mut Option<usize>,
    ) -> Outcome {
        let mut done = || {
            if wait.chosen() != 0 {
                return true;
            }
            let conditions = (0..).zip(self.arms.iter());
            *holds = conditions
                .filter(|(_, arm)| arm.lock().is_none())
                // SAFETY: the arm has no lock.
                .find(|(_, arm)| unsafe { arm.attempt(&mut None) })
                .map(|(index, _)| index);
            holds.is_some()
        };
        let reason = Reason::shared("selecting");
        let mut park = |limit, mask| {
            wait.waiter
                .park_limited(caller, reason, limit, mask, &mut done)
        };
        if caller.is_green() || !self.arms.iter().any(|arm| arm.is_silent()) {
            return match park(limit, mask) {
                // It unwinds already, and has only joins and the like to wait for.
                Outcome::Cancelled if self.first_queued().is_none() => park(limit, Mask::Yes),
                outcome => outcome,
            };
        }
        let deadline = match limit {
            Limit::None => u64::MAX,
            Limit::At(nanos) => nanos,
            Limit::After(nanos) => clock::now().saturating_add(nanos),
        };
        loop {
            let slice = deadline.min(clock::now().saturating_add(SLICE));
            let outcome = park(Limit::At(slice), mask);
            if outcome != Outcome::TimedOut || slice == deadline {
                return outcome;
            }
        }
    }

    /// Takes the locks of all queues, looks once more, and if nothing can be done puts the wait into
    /// each of them. Returns what was done.
    fn stand(&self, order: &mut [usize], wait: &Wait) -> Option<usize> {
        let address = |index: usize| {
            self.arms[index]
                .lock()
                .map_or(0, |lock| &raw const *lock as usize)
        };
        let mut unparker = None;
        // The order in which they are looked at is random: the sorted one begins anywhere.
        let start = order.first().copied().unwrap_or(0);
        order.sort_unstable_by_key(|&index| address(index));
        let mut last = 0;
        for &index in order.iter() {
            if let Some(lock) = self.arms[index].lock()
                && address(index) != last
            {
                last = address(index);
                lock.take();
            }
        }
        let count = self.arms.len();
        let queued = |index: &usize| self.arms[*index].lock().is_some();
        let done = (0..count)
            .map(|step| (start + step) % count)
            .filter(queued)
            // SAFETY: all locks were taken.
            .find(|&index| unsafe { self.arms[index].attempt(&mut unparker) });
        if done.is_none() {
            for index in order.iter().copied().filter(queued) {
                // SAFETY: the lock was taken; `Stands` has the arm leave before this call's frame
                // goes.
                unsafe { self.arms[index].stand(wait, index + 1) };
            }
        }
        let mut last = 0;
        for &index in order.iter() {
            if let Some(lock) = self.arms[index].lock()
                && address(index) != last
            {
                last = address(index);
                lock.release();
            }
        }
        if let Some(unparker) = unparker {
            unparker.unpark();
        }
        done
    }

    /// The first of the timers' points in time and `limit`, and whose it is.
    fn earliest(&self, limit: Limit) -> (Limit, Option<usize>) {
        let mut earliest = (limit, None);
        let limits = self.arms.iter().enumerate();
        for (index, other) in limits.filter_map(|(index, arm)| Some((index, arm.limit()?))) {
            let sooner = match (earliest.0, other) {
                (Limit::None, _) => true,
                (_, Limit::None) => false,
                (Limit::After(first), Limit::After(other)) => other < first,
                (Limit::At(first), Limit::At(other)) => other < first,
                (first, other) => point(other) < point(first),
            };
            if sooner {
                earliest = (other, Some(index));
            }
        }
        earliest
    }
}

fn point(limit: Limit) -> u64 {
    match limit {
        Limit::None => u64::MAX,
        Limit::At(nanos) => nanos,
        Limit::After(nanos) => clock::now().saturating_add(nanos),
    }
}

/// Takes the wait out of all queues, however it ends.
struct Stands<'s, 'a> {
    select: &'s Select<'a>,
    wait: &'s Wait,
    /// Whether the wait ends by an unwinding: then what was done for it is undone.
    unwinds: bool,
}

impl Drop for Stands<'_, '_> {
    fn drop(&mut self) {
        for arm in self.select.arms.iter() {
            // The chosen one's lock too: whoever chose it may still have it.
            let lock = arm.lock();
            if let Some(lock) = lock {
                lock.take();
            }
            // SAFETY: the lock was taken.
            unsafe { arm.leave() };
            if let Some(lock) = lock {
                lock.release();
            }
        }
        if self.unwinds && self.wait.chosen() != 0 {
            self.select.arms[self.wait.chosen() - 1].give_back();
        }
    }
}

/// Fills in the places in a random order.
fn shuffle(order: &mut [usize]) {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    let mut state = STATE.get();
    if state == 0 {
        // Any odd number will do: each OS thread goes its own way from it.
        state = Caller::current().number() << 1 | 1;
    }
    for place in 0..order.len() {
        // xorshift64, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The high half, multiplied into the range: no division.
        let range = place as u64 + 1;
        let other = (((state >> 32) * range) >> 32) as usize;
        order[place] = order[other];
        order[other] = place;
    }
    STATE.set(state);
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("arms", &self.arms.len())
            .finish_non_exhaustive()
    }
}
