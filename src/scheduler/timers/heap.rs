//! The heap of the timers that are set, as a vector: its order, and what keeps each timer told where
//! its entry is.

use std::cell::Cell;

/// Children of a heap node: four keys share a cache line or two, and the heap is half as deep as
/// with two.
const ARITY: usize = 4;

/// The heap gives memory back when it is a quarter full, but keeps this much.
pub(super) const KEPT_CAPACITY: usize = 1024;

/// A heap entry: the key lies beside its siblings', apart from the nodes.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) deadline: u64,
    /// Unique, and its lowest bit says whose timer it is.
    pub(super) sequence: u64,
    /// The first field of a `TimerNode`, or of a `Slot`.
    pub(super) place: *const Cell<usize>,
}

const _: () = assert!(size_of::<Entry>() == 24);

impl Entry {
    /// In one number, whose comparison takes a compare and a subtraction: no branch that guesses.
    #[inline(always)]
    fn key(&self) -> u128 {
        u128::from(self.deadline) << 64 | u128::from(self.sequence)
    }

    #[inline(always)]
    fn before(&self, other: &Self) -> bool {
        self.key() < other.key()
    }
}

/// Puts `entry` where it belongs.
#[inline]
pub(super) fn push(heap: &mut Vec<Entry>, entry: Entry) {
    heap.push(entry);
    let last = heap.len() - 1;
    sift_up(heap, last);
}

/// Puts `entry` at `index` and tells its node.
#[inline]
fn place(heap: &mut [Entry], index: usize, entry: Entry) {
    heap[index] = entry;
    // SAFETY: invariants 44 and 116: a timer that is set lives.
    unsafe { (*entry.place).set(index) };
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

/// Takes out the entry at `index`.
pub(super) fn remove(heap: &mut Vec<Entry>, index: usize) {
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
