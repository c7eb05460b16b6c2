//! Timers ordered by (deadline, sequence). It reads no clock: what is set by a length of time is
//! stamped at the next `stamp`, so a timed wait that ends before costs two list operations.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomPinned;
use std::ptr;

use super::Record;

/// Children of a heap node: four keys share a cache line or two, and the heap is half as deep as
/// with two.
const ARITY: usize = 4;

/// The heap gives memory back when it is a quarter full, but keeps this much.
const KEPT_CAPACITY: usize = 1024;

/// `place` of a timer that is not set.
const IDLE: usize = usize::MAX;
/// `place` of a timer that waits for its stamp.
const UNSTAMPED: usize = usize::MAX - 1;
/// `place` of a timer whose deadline has passed.
const FIRED: usize = usize::MAX - 2;

/// One green thread's timer. It lies on the stack of the thread that waits.
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

/// A heap entry: the key lies beside its siblings', apart from the nodes.
#[derive(Clone, Copy)]
struct Entry {
    deadline: u64,
    sequence: u64,
    node: *const TimerNode,
}

impl Entry {
    #[inline]
    fn before(&self, other: &Self) -> bool {
        (self.deadline, self.sequence) < (other.deadline, other.sequence)
    }
}

/// All timers of a runtime.
pub(crate) struct Timers {
    heap: UnsafeCell<Vec<Entry>>,
    first_unstamped: Cell<*const TimerNode>,
    last_unstamped: Cell<*const TimerNode>,
    sequence: Cell<u64>,
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
        self.sequence.set(sequence + 1);
        sequence
    }

    /// Sets `node` to a point in time.
    ///
    /// # Safety
    ///
    /// `node` is not set, stays where it is until it has fired or is cancelled, and its record
    /// lives until then.
    pub(crate) unsafe fn set_at(&self, node: &TimerNode, deadline: u64) {
        let entry = Entry {
            deadline,
            sequence: self.next_sequence(),
            node,
        };
        // SAFETY: invariant 44.
        let heap = unsafe { &mut *self.heap.get() };
        heap.push(entry);
        let last = heap.len() - 1;
        sift_up(heap, last);
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
            heap.push(Entry {
                deadline,
                sequence: timer.sequence.get(),
                node,
            });
            let last = heap.len() - 1;
            sift_up(heap, last);
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
    pub(crate) fn pop_due(&self, now: u64) -> Option<*const Record> {
        // SAFETY: invariant 44.
        let heap = unsafe { &mut *self.heap.get() };
        let first = *heap.first().filter(|entry| entry.deadline <= now)?;
        remove(heap, 0);
        // SAFETY: invariant 44: a timer that is set lives.
        let node = unsafe { &*first.node };
        node.place.set(FIRED);
        Some(node.record)
    }
}

/// Puts `entry` at `index` and tells its node.
#[inline]
fn place(heap: &mut [Entry], index: usize, entry: Entry) {
    heap[index] = entry;
    // SAFETY: invariant 44: a timer that is set lives.
    unsafe { (*entry.node).place.set(index) };
}

fn sift_up(heap: &mut [Entry], mut index: usize) {
    let entry = heap[index];
    while index > 0 {
        let parent = (index - 1) / ARITY;
        if !entry.before(&heap[parent]) {
            break;
        }
        let above = heap[parent];
        place(heap, index, above);
        index = parent;
    }
    place(heap, index, entry);
}

fn sift_down(heap: &mut [Entry], mut index: usize) {
    let entry = heap[index];
    loop {
        let first = index * ARITY + 1;
        let children = first..(first + ARITY).min(heap.len());
        let Some(least) = children.reduce(|a, b| if heap[b].before(&heap[a]) { b } else { a })
        else {
            break;
        };
        if !heap[least].before(&entry) {
            break;
        }
        let below = heap[least];
        place(heap, index, below);
        index = least;
    }
    place(heap, index, entry);
}

fn remove(heap: &mut Vec<Entry>, index: usize) {
    let last = heap.pop().expect("a timer that is set is in the heap");
    if index < heap.len() {
        let removed = std::mem::replace(&mut heap[index], last);
        if last.before(&removed) {
            sift_up(heap, index);
        } else {
            sift_down(heap, index);
        }
    }
    if heap.capacity() > KEPT_CAPACITY && heap.len() < heap.capacity() / 4 {
        heap.shrink_to((heap.capacity() / 2).max(KEPT_CAPACITY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record's address stands for the thread; it is never followed.
    fn thread(number: usize) -> *const Record {
        ptr::without_provenance(number * 64)
    }

    fn fire_all(timers: &Timers, now: u64) -> Vec<usize> {
        std::iter::from_fn(|| timers.pop_due(now))
            .map(|record| record.addr() / 64)
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
        assert!(unsafe { (*timers.heap.get()).capacity() } <= 2 * KEPT_CAPACITY);
    }
}
