//! Timers ordered by (deadline, sequence): those of green threads, in the frames that wait, and those
//! of futures, in slots. It reads no clock: what is set by a length of time is stamped at the next
//! `stamp`, so a timed wait that ends before costs two list operations.

mod heap;
mod slots;

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomPinned;
use std::ptr;
use std::task::Waker;

use self::heap::{Entry, push, remove};
use self::slots::{Slot, Slots};
use super::Record;

/// `place` of a timer that is not set.
const IDLE: usize = usize::MAX;
/// `place` of a timer that waits for its stamp.
const UNSTAMPED: usize = usize::MAX - 1;
/// `place` of a timer whose deadline has passed.
const FIRED: usize = usize::MAX - 2;

/// The lowest bit of a sequence number: it is the timer of a future.
const OF_FUTURE: u64 = 1;

/// One green thread's timer. It lies on the stack of the thread that waits.
#[repr(C)]
pub(crate) struct TimerNode {
    /// Its index in the heap, or one of the three constants above.
    place: Cell<usize>,
    /// While it waits for its stamp: the length of time in nanoseconds.
    length: Cell<u64>,
    sequence: Cell<u64>,
    /// Its neighbours in the list of what waits for a stamp.
    prev: Cell<*const TimerNode>,
    next: Cell<*const TimerNode>,
    record: *const Record,
    _pinned: PhantomPinned,
}

/// Whose timer has fired.
#[derive(Debug)]
pub(crate) enum Fired {
    Thread(*const Record),
    Future(Waker),
}

/// All timers of a runtime.
pub(crate) struct Timers {
    heap: UnsafeCell<Vec<Entry>>,
    first_unstamped: Cell<*const TimerNode>,
    last_unstamped: Cell<*const TimerNode>,
    sequence: Cell<u64>,
    slots: Slots,
}

impl TimerNode {
    pub(crate) const fn new(record: *const Record) -> Self {
        Self {
            place: Cell::new(IDLE),
            length: Cell::new(0),
            sequence: Cell::new(0),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            record,
            _pinned: PhantomPinned,
        }
    }

    /// Whether the deadline has passed.
    #[inline]
    pub(crate) fn has_fired(&self) -> bool {
        self.place.get() == FIRED
    }
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            heap: UnsafeCell::new(Vec::new()),
            first_unstamped: Cell::new(ptr::null()),
            last_unstamped: Cell::new(ptr::null()),
            sequence: Cell::new(0),
            slots: Slots::new(),
        }
    }

    /// Whether no timer is set.
    pub(crate) fn is_empty(&self) -> bool {
        // SAFETY: invariant 44: the vector is borrowed for single statements, by one OS thread.
        self.first_unstamped.get().is_null() && unsafe { (*self.heap.get()).is_empty() }
    }

    /// Whether one timer is set and no more, for a point in time.
    pub(crate) fn has_one(&self) -> bool {
        // SAFETY: invariant 44: as in `is_empty`.
        self.first_unstamped.get().is_null() && unsafe { (*self.heap.get()).len() == 1 }
    }

    fn next_sequence(&self) -> u64 {
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1 + OF_FUTURE);
        sequence
    }

    fn push(&self, entry: Entry) {
        // SAFETY: invariant 44.
        let heap = unsafe { &mut *self.heap.get() };
        push(heap, entry);
    }

    /// Sets `node` to a point in time.
    ///
    /// # Safety
    ///
    /// `node` is not set, stays where it is until it has fired or is cancelled, and its record
    /// lives until then.
    pub(crate) unsafe fn set_at(&self, node: &TimerNode, deadline: u64) {
        self.push(Entry {
            deadline,
            sequence: self.next_sequence(),
            place: ptr::from_ref(node).cast(),
        });
    }

    /// Sets `node` to `length` nanoseconds after the next stamp.
    ///
    /// # Safety
    ///
    /// As for `set_at`.
    #[inline]
    pub(crate) unsafe fn set_after(&self, node: &TimerNode, length: u64) {
        node.length.set(length);
        node.sequence.set(self.next_sequence());
        node.place.set(UNSTAMPED);
        let last = self.last_unstamped.replace(node);
        node.prev.set(last);
        node.next.set(ptr::null());
        match last.is_null() {
            true => self.first_unstamped.set(node),
            // SAFETY: invariant 44: a timer that is set lives.
            false => unsafe { (*last).next.set(node) },
        }
    }

    /// Unsets `node`; nothing of it is left behind.
    #[inline]
    pub(crate) fn cancel(&self, node: &TimerNode) {
        match node.place.get() {
            IDLE | FIRED => {}
            UNSTAMPED => self.unlink_unstamped(node),
            place => {
                // SAFETY: invariant 44.
                let heap = unsafe { &mut *self.heap.get() };
                remove(heap, place);
            }
        }
        node.place.set(IDLE);
    }

    fn unlink_unstamped(&self, node: &TimerNode) {
        let (prev, next) = (node.prev.get(), node.next.get());
        match prev.is_null() {
            true => self.first_unstamped.set(next),
            // SAFETY: invariant 44: a timer that is set lives.
            false => unsafe { (*prev).next.set(next) },
        }
        match next.is_null() {
            true => self.last_unstamped.set(prev),
            // SAFETY: as above.
            false => unsafe { (*next).prev.set(prev) },
        }
    }

    /// Turns lengths of time into deadlines. `now` was read after they were set, so none is early.
    pub(crate) fn stamp(&self, now: u64) {
        let mut node = self.first_unstamped.replace(ptr::null());
        self.last_unstamped.set(ptr::null());
        // SAFETY: invariant 44.
        let heap = unsafe { &mut *self.heap.get() };
        while !node.is_null() {
            // SAFETY: invariant 44: a timer that is set lives.
            let timer = unsafe { &*node };
            let deadline = now.saturating_add(timer.length.get());
            let entry = Entry {
                deadline,
                sequence: timer.sequence.get(),
                place: node.cast(),
            };
            push(heap, entry);
            node = timer.next.get();
        }
    }

    /// The earliest deadline of those that are stamped.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        // SAFETY: invariant 44.
        unsafe { (&(*self.heap.get())).first().map(|entry| entry.deadline) }
    }

    /// Takes out the first timer whose deadline is not after `now`, and says whose it was.
    #[inline]
    pub(crate) fn pop_due(&self, now: u64) -> Option<Fired> {
        // SAFETY: invariant 44.
        let heap = unsafe { &mut *self.heap.get() };
        let first = *heap.first().filter(|entry| entry.deadline <= now)?;
        remove(heap, 0);
        if first.sequence & OF_FUTURE != 0 {
            return Some(Fired::Future(fire_slot(first.place.cast())));
        }
        // SAFETY: invariant 44: a timer that is set lives.
        let node = unsafe { &*first.place.cast::<TimerNode>() };
        node.place.set(FIRED);
        Some(Fired::Thread(node.record))
    }
}

/// The timers of futures. A slot is named by its number, which its owner alone has.
impl Timers {
    /// Sets the timer of a future: `waker` is what it fires with. Returns the number of its slot, to
    /// be given to `free` at last, whether it has fired or not.
    pub(crate) fn set_future(&self, deadline: u64, waker: Waker) -> u32 {
        let number = self.slots.acquire();
        let slot = self.slots.get(number);
        slot.waker.set(Some(waker));
        self.push_slot(slot, deadline);
        number
    }

    fn push_slot(&self, slot: &Slot, deadline: u64) {
        self.push(Entry {
            deadline,
            sequence: self.next_sequence() | OF_FUTURE,
            place: ptr::from_ref(slot).cast(),
        });
    }

    /// Whether the timer has fired.
    #[inline]
    pub(crate) fn future_has_fired(&self, number: u32) -> bool {
        self.slots.get(number).place.get() == FIRED
    }

    /// Whether the timer, which is set, fires with what wakes the same as `waker`.
    #[inline]
    pub(crate) fn future_wakes(&self, number: u32, waker: &Waker) -> bool {
        let slot = self.slots.get(number);
        let own = slot.waker.take();
        let same = own.as_ref().is_some_and(|own| own.will_wake(waker));
        slot.waker.set(own);
        same
    }

    /// Has a timer that is set fire with `waker`; returns what it had. The caller drops that when it
    /// holds nothing of the runtime.
    #[must_use = "what a foreign waker does when it is dropped is not for here"]
    pub(crate) fn replace_waker(&self, number: u32, waker: Waker) -> Option<Waker> {
        self.slots.get(number).waker.replace(Some(waker))
    }

    /// Takes the wakers of all timers that are set, which fire with none.
    pub(crate) fn take_wakers(&self) -> Vec<Waker> {
        // SAFETY: invariant 44: what is called below does not come back here.
        let heap = unsafe { &*self.heap.get() };
        let of_futures = heap.iter().filter(|entry| entry.sequence & OF_FUTURE != 0);
        let wakers = of_futures.filter_map(|entry| {
            // SAFETY: invariant 116: the slot of a timer that is set is used, and so its chunk lives.
            let slot = unsafe { &*entry.place.cast::<Slot>() };
            slot.waker.replace(Some(Waker::noop().clone()))
        });
        wakers.collect()
    }

    /// Moves a timer to another deadline, as if it had been set anew; false where it has fired.
    pub(crate) fn move_future(&self, number: u32, deadline: u64) -> bool {
        let slot = self.slots.get(number);
        if slot.place.get() == FIRED {
            return false;
        }
        self.take_out(slot);
        self.push_slot(slot, deadline);
        true
    }

    /// Unsets a timer if it has not fired, and gives up its slot. The caller drops what is returned
    /// when it holds nothing of the runtime.
    #[must_use = "what a foreign waker does when it is dropped is not for here"]
    pub(crate) fn free(&self, number: u32) -> Option<Waker> {
        let slot = self.slots.get(number);
        if slot.place.get() != FIRED {
            self.take_out(slot);
        }
        let waker = slot.waker.take();
        self.slots.release(number);
        waker
    }

    fn take_out(&self, slot: &Slot) {
        // SAFETY: invariant 44.
        let heap = unsafe { &mut *self.heap.get() };
        remove(heap, slot.place.get());
    }
}

/// What a future's timer fires with, which has just left the heap.
#[inline]
fn fire_slot(slot: *const Slot) -> Waker {
    // SAFETY: invariant 116: the slot of a timer that is set is used, and so its chunk lives.
    let slot = unsafe { &*slot };
    slot.place.set(FIRED);
    slot.waker.take().expect("a timer that is set has a waker")
}

#[cfg(test)]
mod tests {
    use std::task::{RawWaker, RawWakerVTable};

    use super::*;

    /// Stands for a future, and does nothing.
    fn waker(number: usize) -> Waker {
        static VTABLE: RawWakerVTable =
            RawWakerVTable::new(|data| RawWaker::new(data, &VTABLE), |_| (), |_| (), |_| ());
        let data = ptr::without_provenance(number * 64);
        // SAFETY: the data are never followed.
        unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) }
    }

    /// A record's address stands for the thread; it is never followed.
    fn thread(number: usize) -> *const Record {
        ptr::without_provenance(number * 64)
    }

    fn fire_all(timers: &Timers, now: u64) -> Vec<usize> {
        std::iter::from_fn(|| timers.pop_due(now))
            .map(|fired| match fired {
                Fired::Thread(record) => record.addr() / 64,
                Fired::Future(waker) => waker.data().addr() / 64,
            })
            .collect()
    }

    /// Behaviour 9.
    #[test]
    fn fire_by_deadline_then_by_the_order_they_were_set() {
        let timers = Timers::new();
        let deadlines = [30_u64, 10, 20, 10, 30, 10, 20];
        let nodes: Vec<_> = (0..deadlines.len())
            .map(|n| TimerNode::new(thread(n)))
            .collect();
        for (node, deadline) in nodes.iter().zip(deadlines) {
            // SAFETY: the vector is not touched until all have fired.
            unsafe { timers.set_at(node, deadline) };
        }
        assert_eq!(fire_all(&timers, 9), []);
        assert_eq!(fire_all(&timers, 20), [1, 3, 5, 2, 6]);
        assert_eq!(timers.next_deadline(), Some(30));
        assert_eq!(fire_all(&timers, u64::MAX), [0, 4]);
        assert!(timers.is_empty() && nodes.iter().all(TimerNode::has_fired));
    }

    #[test]
    fn stamped_ones_keep_their_order_and_are_never_early() {
        let timers = Timers::new();
        let nodes: Vec<_> = (0..3).map(|n| TimerNode::new(thread(n))).collect();
        for node in &nodes {
            // SAFETY: as above.
            unsafe { timers.set_after(node, 5) };
        }
        assert!(!timers.is_empty() && timers.next_deadline().is_none());
        timers.cancel(&nodes[1]);
        timers.stamp(100);
        assert_eq!(fire_all(&timers, 104), []);
        assert_eq!(fire_all(&timers, 105), [0, 2]);
    }

    /// Behaviour 11, and the heap's order under random cancels.
    #[test]
    fn cancelled_timers_leave_nothing_behind() {
        let timers = Timers::new();
        let nodes: Vec<_> = (0..100_000).map(|n| TimerNode::new(thread(n))).collect();
        let mut random = 1_u64;
        for node in &nodes {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // SAFETY: as above.
            unsafe { timers.set_at(node, random >> 40) };
        }
        for node in nodes.iter().skip(1).step_by(2) {
            timers.cancel(node);
        }
        let mut last = 0;
        for _ in 0..50_000 {
            let next = timers.next_deadline().expect("half of them are left");
            assert!(next >= last && timers.pop_due(next).is_some());
            last = next;
        }
        assert!(timers.is_empty());
        // SAFETY: no other borrow lives.
        assert!(unsafe { (*timers.heap.get()).capacity() } <= 2 * heap::KEPT_CAPACITY);
    }

    /// Behaviour 9.
    #[test]
    fn futures_and_threads_fire_in_one_order() {
        let timers = Timers::new();
        let deadlines = [30_u64, 10, 20, 10, 30, 10, 20];
        let nodes: Vec<_> = (0..deadlines.len())
            .map(|n| TimerNode::new(thread(n)))
            .collect();
        let mut slots = Vec::new();
        for (n, (node, deadline)) in nodes.iter().zip(deadlines).enumerate() {
            if n % 2 == 0 {
                // SAFETY: the vector is not touched until all have fired.
                unsafe { timers.set_at(node, deadline) };
            } else {
                slots.push(timers.set_future(deadline, waker(n)));
            }
        }
        assert_eq!(fire_all(&timers, 20), [1, 3, 5, 2, 6]);
        assert_eq!(fire_all(&timers, 30), [0, 4]);
        for slot in slots {
            assert!(timers.future_has_fired(slot));
            assert!(!timers.move_future(slot, 40));
            assert!(timers.free(slot).is_none());
        }
        assert!(timers.is_empty());
    }

    #[test]
    fn a_futures_timer_moves_and_changes_its_waker() {
        let timers = Timers::new();
        let slots: Vec<_> = (0..3).map(|n| timers.set_future(10, waker(n))).collect();
        assert!(timers.move_future(slots[0], 10));
        assert!(timers.move_future(slots[1], 5));
        assert!(timers.future_wakes(slots[2], &waker(2)));
        assert!(!timers.future_wakes(slots[2], &waker(7)));
        let old = timers.replace_waker(slots[2], waker(7));
        assert!(old.is_some_and(|old| old.will_wake(&waker(2))));
        assert_eq!(fire_all(&timers, 5), [1]);
        // What has been moved was set last.
        assert_eq!(fire_all(&timers, 10), [7, 0]);
    }

    /// Behaviour 11.
    #[test]
    fn cancelled_timers_of_futures_leave_nothing_behind() {
        let timers = Timers::new();
        let mut slots: Vec<_> = (0..100_000_u64)
            .map(|n| timers.set_future(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), waker(1)))
            .collect();
        // In another order than that of the heap, and of the chunks.
        slots.sort_unstable_by_key(|slot| slot.wrapping_mul(0x9E37_79B9));
        for slot in slots {
            assert!(timers.free(slot).is_some());
        }
        assert!(timers.is_empty());
        assert_eq!(slots::tests::chunks(&timers.slots), 1);
        // SAFETY: no other borrow lives.
        assert!(unsafe { (*timers.heap.get()).capacity() } <= 2 * heap::KEPT_CAPACITY);
    }
}
