//! Where records lie: chunks that are handed out record by record and reused, and that outlive
//! their runtime as long as a handle refers to one of their records.

use std::cell::{Cell, UnsafeCell};
use std::ptr;

use super::record::Details;
use super::{Record, State};

/// Records of the first chunk; each further one has twice as many, up to `MOST_RECORDS`, so that
/// the records of many threads lie side by side.
const FIRST_RECORDS: usize = 64;
const MOST_RECORDS: usize = 8192;

/// A block of records, freed as a whole.
pub(crate) struct Chunk {
    /// Empty only while the chunk is being made.
    records: Box<[Record]>,
    /// What the records point to, one for one.
    details: Box<[Details]>,
    /// The arena that hands them out; null once it has gone.
    arena: Cell<*const Arena>,
    /// Once the arena has gone: how many records handles still refer to. The last of them frees the
    /// chunk.
    held: Cell<usize>,
}

/// The records of one runtime.
pub(crate) struct Arena {
    /// Free records, linked by `next`, the latest first.
    free: Cell<*const Record>,
    /// Their arena's address is in them: an arena stays in place from the first one on.
    chunks: UnsafeCell<Vec<*const Chunk>>,
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self {
            free: Cell::new(ptr::null()),
            chunks: UnsafeCell::new(Vec::new()),
        }
    }

    /// Hands out a free record, with no reference counted yet.
    #[inline]
    pub(crate) fn acquire(&self) -> *const Record {
        if self.free.get().is_null() {
            self.grow();
        }
        let record = self.free.get();
        // SAFETY: invariant 41: what is in the free list is a live record of this arena.
        self.free.set(unsafe { (*record).next.get() });
        record
    }

    /// Whether `record` is one of this arena's.
    pub(crate) fn owns(&self, record: &Record) -> bool {
        // SAFETY: whoever shows a record keeps it, and with it its chunk.
        ptr::eq(unsafe { &*record.chunk }.arena.get(), self)
    }

    #[cold]
    fn grow(&self) {
        // SAFETY: the arena is used by one OS thread, and the vector is borrowed for this statement
        // only.
        let chunks = unsafe { (*self.chunks.get()).len() };
        let count = (FIRST_RECORDS << chunks.min(16)).min(MOST_RECORDS);
        let chunk = Box::into_raw(Box::<Chunk>::new_uninit()).cast::<Chunk>();
        let made = Chunk {
            records: Box::default(),
            details: (0..count).map(|_| Details::new(chunk)).collect(),
            arena: Cell::new(self),
            held: Cell::new(0),
        };
        // SAFETY: the box above has room for a chunk and holds none yet.
        unsafe { chunk.write(made) };
        // The records point to the details where these stay from now on.
        // SAFETY: the chunk was written just now, and nobody else knows it yet.
        let made = unsafe { &mut *chunk };
        made.records = made.details.iter().map(Record::new).collect();
        // SAFETY: as in the first line.
        unsafe { (*self.chunks.get()).push(chunk) };
        // SAFETY: the chunk was made above and is freed only when the arena has gone.
        let records = unsafe { &(*chunk).records };
        // Backwards, so that the list hands them out in the order in which they lie.
        for record in records.iter().rev() {
            record.next.set(self.free.get());
            self.free.set(record);
        }
    }

    /// Gives up one reference; the last one makes the record free, or frees an orphaned chunk.
    ///
    /// # Safety
    ///
    /// The caller owns one counted reference to `record` and does not use it afterwards. Where the
    /// record's arena lives, it is `self`.
    #[inline]
    pub(crate) unsafe fn release(&self, record: *const Record) {
        // SAFETY: the caller's reference keeps the record.
        let record = unsafe { &*record };
        let references = record.references.get() - 1;
        record.references.set(references);
        if references == 0 {
            record.reset();
            record.next.set(self.free.get());
            self.free.set(record);
        }
    }

    /// Every green thread that has not ended, in the order in which its records lie.
    pub(crate) fn for_each_live(&self, mut f: impl FnMut(&Record)) {
        // Indexed anew for each chunk, since `f` may spawn, which may grow the vector.
        let mut index = 0;
        loop {
            // SAFETY: the arena is used by one OS thread, and the borrow ends with this statement.
            let chunk = unsafe { (&(*self.chunks.get())).get(index).copied() };
            let Some(chunk) = chunk else { return };
            // SAFETY: chunks of a living arena are freed by nobody.
            for record in unsafe { &(*chunk).records }.iter() {
                if matches!(record.state.get(), State::Ready | State::Parked) {
                    f(record);
                }
            }
            index += 1;
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for &chunk in self.chunks.get_mut().iter() {
            // SAFETY: chunks of a living arena are freed by nobody else.
            let orphan = unsafe { &*chunk };
            let held = orphan
                .records
                .iter()
                .filter(|r| r.references.get() > 0)
                .count();
            orphan.arena.set(ptr::null());
            orphan.held.set(held);
            if held == 0 {
                // SAFETY: it came from a box, and nothing refers to its records.
                drop(unsafe { Box::from_raw(chunk.cast_mut()) });
            }
        }
    }
}

/// Gives up one reference to a record whose arena may have gone.
///
/// # Safety
///
/// The caller owns one counted reference to `record` and does not use it afterwards.
pub(crate) unsafe fn release(record: *const Record) {
    // SAFETY: the caller's reference keeps the record, and with it its chunk.
    let chunk = unsafe { &*record }.chunk;
    // SAFETY: as above.
    let arena = unsafe { (*chunk).arena.get() };
    if !arena.is_null() {
        // SAFETY: an arena that goes takes its address out of its chunks, so this one lives.
        let arena = unsafe { &*arena };
        // SAFETY: the caller's duty.
        return unsafe { arena.release(record) };
    }
    // SAFETY: as above.
    let record = unsafe { &*record };
    record.references.set(record.references.get() - 1);
    if record.references.get() > 0 {
        return;
    }
    record.reset();
    // SAFETY: as above.
    let held = unsafe { &(*chunk).held };
    held.set(held.get() - 1);
    if held.get() == 0 {
        // SAFETY: it came from a box; this was the last reference into it, and the arena has gone.
        drop(unsafe { Box::from_raw(chunk.cast_mut()) });
    }
}
