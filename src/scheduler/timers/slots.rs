//! Where the timers of futures lie: slots whose addresses do not change, in chunks that are freed
//! when nothing in them is used. A future knows its slot by number and never by address, so that it
//! may be sent to other OS threads and outlive the runtime.

use std::cell::{Cell, UnsafeCell};
use std::rc::Rc;
use std::task::Waker;

/// Slots in a chunk, which then takes 3 KiB.
const CHUNK: u32 = 128;

/// Numbers of chunks that are kept when no slot is used any more.
const KEPT_NUMBERS: usize = 64;

/// `next_free` of the last free slot of a chunk.
const NONE: usize = usize::MAX;

/// The timer of one future.
#[repr(C)]
pub(super) struct Slot {
    /// While it is used: what it is for every timer. While it is free: the place in the chunk of the
    /// next free one, or `NONE`.
    pub(super) place: Cell<usize>,
    /// Whom to wake; there while the timer is set.
    pub(super) waker: Cell<Option<Waker>>,
}

const _: () = assert!(size_of::<Slot>() == 24);

struct Chunk {
    slots: [Slot; CHUNK as usize],
    /// The place of the first that is free, or `NONE`.
    first_free: Cell<usize>,
    used: Cell<u32>,
}

impl Chunk {
    fn new() -> Rc<Self> {
        let slot = |place: usize| Slot {
            place: Cell::new(match place + 1 {
                end if end == CHUNK as usize => NONE,
                next => next,
            }),
            waker: Cell::new(None),
        };
        Rc::new(Self {
            slots: std::array::from_fn(slot),
            first_free: Cell::new(0),
            used: Cell::new(0),
        })
    }
}

/// All slots of a runtime. The number of one is that of its chunk, and its place there.
pub(super) struct Slots {
    table: UnsafeCell<Table>,
}

struct Table {
    /// By number; `None` where nothing in the chunk is used. Counted pointers, since unlike boxes they
    /// may be moved while the heap points into a chunk.
    chunks: Vec<Option<Rc<Chunk>>>,
    /// The numbers of chunks in which something is free, those that are not there included.
    roomy: Vec<u32>,
    /// A chunk in which nothing is used, for the next that is needed.
    spare: Option<Rc<Chunk>>,
    used: usize,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            table: UnsafeCell::new(Table {
                chunks: Vec::new(),
                roomy: Vec::new(),
                spare: None,
                used: 0,
            }),
        }
    }

    /// The slot with this number, which is used.
    #[inline]
    pub(super) fn get(&self, number: u32) -> &Slot {
        // SAFETY: invariant 116: the table is borrowed for single operations.
        let table = unsafe { &*self.table.get() };
        let chunk = table.chunks[(number / CHUNK) as usize].as_deref();
        let chunk = chunk.map(std::ptr::from_ref);
        let chunk = chunk.expect("a timer's slot that is used lies in a chunk");
        // SAFETY: invariant 116: a chunk lives while one of its slots is used.
        unsafe { &(*chunk).slots[(number % CHUNK) as usize] }
    }

    /// The number of a slot that was free, and is used from now on.
    ///
    /// # Panics
    ///
    /// Where 2^32 slots are used.
    pub(super) fn acquire(&self) -> u32 {
        // SAFETY: invariant 116: as in `get`.
        let table = unsafe { &mut *self.table.get() };
        if table.roomy.is_empty() {
            let number = u32::try_from(table.chunks.len()).ok();
            let number = number.filter(|number| *number < u32::MAX / CHUNK);
            table
                .roomy
                .push(number.expect("fewer than four thousand million timers"));
            table.chunks.push(None);
        }
        let number = table.roomy[table.roomy.len() - 1];
        let chunk = match &mut table.chunks[number as usize] {
            Some(chunk) => chunk,
            none => none.insert(table.spare.take().unwrap_or_else(Chunk::new)),
        };
        let place = chunk.first_free.get();
        chunk.first_free.set(chunk.slots[place].place.get());
        chunk.used.set(chunk.used.get() + 1);
        if chunk.first_free.get() == NONE {
            table.roomy.pop();
        }
        table.used += 1;
        // A place is below `CHUNK`.
        number * CHUNK + place as u32
    }

    /// Gives up a slot that is used, and has no waker.
    pub(super) fn release(&self, number: u32) {
        // SAFETY: invariant 116: as in `get`; there is no waker that could be dropped.
        let table = unsafe { &mut *self.table.get() };
        let home = &mut table.chunks[(number / CHUNK) as usize];
        let chunk = home
            .as_ref()
            .expect("a timer's slot that is used lies in a chunk");
        let place = (number % CHUNK) as usize;
        let next = chunk.first_free.replace(place);
        chunk.slots[place].place.set(next);
        if next == NONE {
            table.roomy.push(number / CHUNK);
        }
        chunk.used.set(chunk.used.get() - 1);
        if chunk.used.get() == 0 {
            // All its slots are chained, in whatever order.
            let empty = home.take();
            if table.spare.is_none() {
                table.spare = empty;
            }
        }
        table.used -= 1;
        if table.used == 0 && table.chunks.len() > KEPT_NUMBERS {
            table.chunks = Vec::new();
            table.roomy = Vec::new();
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// How many chunks there are.
    pub(crate) fn chunks(slots: &Slots) -> usize {
        // SAFETY: invariant 116: the table is borrowed for single operations.
        let table = unsafe { &*slots.table.get() };
        table.chunks.iter().flatten().count() + usize::from(table.spare.is_some())
    }

    #[test]
    fn slots_that_are_used_are_all_different_and_stay_where_they_are() {
        let slots = Slots::new();
        let numbers: Vec<u32> = (0..1_000).map(|_| slots.acquire()).collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 1_000);
        let places: Vec<_> = numbers
            .iter()
            .map(|n| std::ptr::from_ref(slots.get(*n)))
            .collect();
        for number in numbers.iter().step_by(2) {
            slots.release(*number);
        }
        for _ in 0..5_000 {
            slots.acquire();
        }
        for (number, place) in numbers.iter().zip(places).skip(1).step_by(2) {
            assert!(std::ptr::eq(slots.get(*number), place));
        }
    }

    /// Behaviour 11.
    #[test]
    fn chunks_that_nobody_uses_go() {
        let slots = Slots::new();
        let numbers: Vec<u32> = (0..100 * CHUNK).map(|_| slots.acquire()).collect();
        assert_eq!(chunks(&slots), 100);
        // All but one of each chunk: none goes.
        for number in numbers.iter().filter(|n| *n % CHUNK != 0) {
            slots.release(*number);
        }
        assert_eq!(chunks(&slots), 100);
        for number in numbers.iter().filter(|n| *n % CHUNK == 0) {
            slots.release(*number);
        }
        assert_eq!(chunks(&slots), 1);
        // A slot that is used again and again costs no chunk each time.
        for _ in 0..3 {
            slots.release(slots.acquire());
            assert_eq!(chunks(&slots), 1);
        }
    }
}
