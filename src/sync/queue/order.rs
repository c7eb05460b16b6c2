//! In which order items leave a queue. They lie in memory that is made while the queue's lock is let
//! go, and no code of the user's compares them: priorities are of std's types.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::mem;

/// Items that fit before more memory is made.
const FIRST: usize = 16;

/// An order in which items leave a [`Queue`](super::Queue): [`Fifo`], [`Lifo`] or [`Heap`].
pub trait Order<T>: sealed::Items<T> {}

impl<T, O: sealed::Items<T>> Order<T> for O {}

/// First in, first out.
pub struct Fifo<T>(VecDeque<T>);

/// Last in, first out.
pub struct Lifo<T>(Vec<T>);

/// The least priority first, and those of equal priority in the order in which they came.
pub struct Heap<P, T> {
    entries: BinaryHeap<Entry<P, T>>,
    /// How many have come.
    came: u64,
}

struct Entry<P, T> {
    priority: P,
    number: u64,
    item: T,
}

/// What items may be ordered by in a [`PriorityQueue`](super::PriorityQueue): std's integers, `bool`,
/// `char`, strings, [`Duration`](std::time::Duration), [`Instant`](crate::time::Instant), and
/// [`Reverse`](std::cmp::Reverse), `Option` and pairs of these. They are compared under the queue's
/// lock, where no code of another kind may run; what has an order of its own says it by one of these.
pub trait Priority: Ord + sealed::OfStd {}

impl<P: Ord + sealed::OfStd> Priority for P {}

pub(super) mod sealed {
    use std::cmp::Reverse;
    use std::time::Duration;

    use crate::clock::Instant;

    /// What a queue's items lie in.
    pub trait Items<T>: Sized {
        fn len(&self) -> usize;
        /// How many fit without more memory.
        fn room(&self) -> usize;
        fn push(&mut self, item: T);
        fn pop(&mut self) -> Option<T>;
        /// An empty one in which so many fit.
        fn with_room(room: usize) -> Self;
        /// Takes the items of another over, for which it has the room.
        fn take_over(&mut self, other: &mut Self);
    }

    pub trait OfStd {}

    macro_rules! of_std {
        ($($name:ty),*) => { $(impl OfStd for $name {})* };
    }
    of_std!(
        u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize
    );
    of_std!((), bool, char, &'static str, String, Duration, Instant);
    impl<P: OfStd> OfStd for Reverse<P> {}
    impl<P: OfStd> OfStd for Option<P> {}
    impl<P: OfStd, Q: OfStd> OfStd for (P, Q) {}
}

/// How much room there is to be where `room` is used up.
pub(super) fn more(room: usize) -> usize {
    room.saturating_mul(2).max(FIRST)
}

impl<T> Fifo<T> {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> sealed::Items<T> for Fifo<T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn room(&self) -> usize {
        self.0.capacity()
    }

    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn with_room(room: usize) -> Self {
        Self(VecDeque::with_capacity(room))
    }

    fn take_over(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }
}

impl<T> Lifo<T> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }
}

impl<T> sealed::Items<T> for Lifo<T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn room(&self) -> usize {
        self.0.capacity()
    }

    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn with_room(room: usize) -> Self {
        Self(Vec::with_capacity(room))
    }

    fn take_over(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }
}

impl<P: Priority, T> Heap<P, T> {
    pub(super) const fn new() -> Self {
        Self {
            entries: BinaryHeap::new(),
            came: 0,
        }
    }
}

impl<P: Priority, T> sealed::Items<(P, T)> for Heap<P, T> {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn room(&self) -> usize {
        self.entries.capacity()
    }

    fn push(&mut self, (priority, item): (P, T)) {
        self.entries.push(Entry {
            priority,
            number: self.came,
            item,
        });
        self.came += 1;
    }

    fn pop(&mut self) -> Option<(P, T)> {
        let Entry { priority, item, .. } = self.entries.pop()?;
        Some((priority, item))
    }

    fn with_room(room: usize) -> Self {
        Self {
            entries: BinaryHeap::with_capacity(room),
            came: 0,
        }
    }

    fn take_over(&mut self, other: &mut Self) {
        // Not by the heap's own `append`, which keeps the memory of the fuller one.
        let mut entries = mem::take(&mut self.entries).into_vec();
        let mut old = mem::take(&mut other.entries).into_vec();
        entries.append(&mut old);
        self.entries = BinaryHeap::from(entries);
        self.came = other.came;
        // Its memory goes with it.
        other.entries = BinaryHeap::from(old);
    }
}

/// The greatest leaves a heap of std's first: here the least is to.
impl<P: Ord, T> Ord for Entry<P, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let priorities = other.priority.cmp(&self.priority);
        priorities.then_with(|| other.number.cmp(&self.number))
    }
}

impl<P: Ord, T> PartialOrd for Entry<P, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P: Ord, T> PartialEq for Entry<P, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<P: Ord, T> Eq for Entry<P, T> {}

impl<T> fmt::Debug for Fifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fifo").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Lifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifo").finish_non_exhaustive()
    }
}

impl<P, T> fmt::Debug for Heap<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}
