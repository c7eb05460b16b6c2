//! A slab: one mapping cut into equal slots, with the slots' records off the stacks, and the list
//! of this OS thread's slabs. Called by the pool, which hands the slots out, and by the overflow
//! report, which looks a fault's address up.
//!
//! ```text
//! low addresses                                                                        high addresses
//! ┌───────┬──────────────────────────┬────────┬───────┬──────────────────────────┬────────┬─ …
//! │ guard │ ← the stack grows down   │ colour │ guard │ ← the stack grows down   │ colour │
//! └───────┴──────────────────────────┴────────┴───────┴──────────────────────────┴────────┴─ …
//!         limit of slot 0       base ┘                limit of slot 1       base ┘
//! ```

use super::pool::FreeList;
use super::size::{COLOUR_BYTES, SizeClass};
use super::{Owner, guard, sys, watermark};
use corosensei::stack::valgrind::ValgrindStackRegistration;
use std::alloc::{self, Layout};
use std::cell::Cell;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, compiler_fence};

/// Neighbouring slots begin this far apart in the cache: one line.
const COLOUR_STEP: usize = 64;

/// A slab reserves at most this much, unless a single slot is larger.
const MOST_SLAB_BYTES: usize = 1 << 30;

/// The first slab of a class has this many slots: few programs with one coroutine want a large
/// reservation.
pub(super) const FIRST_SLOTS: usize = 16;

thread_local! {
    /// The newest slab of this OS thread; the others hang from it. Without initialiser and
    /// destructor, so that a signal handler may read it.
    static NEWEST: Cell<Option<NonNull<Slab>>> = const { Cell::new(None) };
}

/// What is known about one stack. It lies outside the stack, in its slab's table.
pub(crate) struct Slot {
    /// The coloured end at high addresses, where frames begin.
    pub(super) base: *mut u8,
    /// The lowest usable address, just above the guard page.
    pub(super) limit: *mut u8,
    /// Where the watermark lies: in the lowest page that is known to be resident.
    pub(super) watermark: Cell<*mut watermark::Line>,
    /// The slot below this one in its free list; meaningless while the slot is out.
    pub(super) next_free: Cell<Option<NonNull<Slot>>>,
    /// The slab that this slot belongs to.
    pub(super) slab: NonNull<Slab>,
    /// Who runs on this stack, for the overflow report; `None` while nobody does or nobody said.
    pub(super) owner: Cell<Option<Owner>>,
    /// Tells valgrind that a stack pointer in here is a switch and no huge frame.
    _registration: ValgrindStackRegistration,
}

impl Slot {
    /// Whether `address` lies in its usable part.
    #[inline]
    pub(crate) fn holds(&self, address: *const u8) -> bool {
        (self.limit.addr()..self.base.addr()).contains(&address.addr())
    }
}

const _: () = assert!(
    size_of::<Slot>() <= 64,
    "a million records stay within 64 MB"
);

impl Slot {
    /// The end of the slot at high addresses, where its topmost page ends.
    pub(super) fn top(&self) -> *mut u8 {
        self.limit
            .wrapping_add(self.class().slot_bytes() - sys::page_size())
    }

    /// The size class that this slot serves.
    pub(super) fn class(&self) -> SizeClass {
        // SAFETY: a slab lives as long as its slots (invariant 36).
        unsafe { self.slab.as_ref() }.class
    }
}

/// One mapping of equal slots.
pub(super) struct Slab {
    /// Where the mapping begins: the guard page of the first slot.
    start: NonNull<u8>,
    /// The size of the slots.
    class: SizeClass,
    /// How many slots the mapping has room for.
    capacity: usize,
    /// The records of the slots, `capacity` of them; the first `made` are initialised.
    table: NonNull<Slot>,
    /// How many slots were ever handed out.
    made: Cell<usize>,
    /// How many slots have their guard page; never fewer than `made`.
    guarded: Cell<usize>,
    /// Where slots go when they come back; `None` once the pool is gone.
    list: Cell<Option<NonNull<FreeList>>>,
    /// How many slots have come back for good; counted only once the pool is gone.
    home: Cell<usize>,
    /// The slab that this OS thread made before this one.
    older: Cell<Option<NonNull<Slab>>>,
}

impl Slab {
    /// Maps a slab of `slots` slots, or of fewer where so large a reservation is refused.
    ///
    /// # Errors
    ///
    /// Not even a single slot could be reserved.
    pub(super) fn map(
        class: SizeClass,
        slots: usize,
        list: NonNull<FreeList>,
    ) -> io::Result<NonNull<Slab>> {
        let slot_bytes = class.slot_bytes();
        let mut capacity = slots.min(MOST_SLAB_BYTES / slot_bytes).max(1);
        let start = loop {
            match sys::map(capacity * slot_bytes) {
                Ok(start) => break start,
                Err(_) if capacity > 1 => capacity /= 2,
                Err(error) => return Err(refused(slot_bytes, &error)),
            }
        };
        // Huge pages would make a megabyte resident for a thread that needs a page. MAP_STACK says
        // the same from Linux 6.7 on, and where this is refused there are no huge pages.
        // SAFETY: the range was mapped above; the advice discards nothing.
        let _ =
            unsafe { sys::advise(start.as_ptr(), capacity * slot_bytes, libc::MADV_NOHUGEPAGE) };

        let Some(table) = allocate_table(capacity) else {
            // SAFETY: the range was mapped above, and nobody knows it yet.
            unsafe { sys::unmap(start, capacity * slot_bytes) };
            return Err(refused(slot_bytes, &io::ErrorKind::OutOfMemory.into()));
        };
        let slab = NonNull::from(Box::leak(Box::new(Slab {
            start,
            class,
            capacity,
            table,
            made: Cell::new(0),
            guarded: Cell::new(0),
            list: Cell::new(Some(list)),
            home: Cell::new(0),
            older: Cell::new(NEWEST.get()),
        })));
        // A signal handler on this OS thread sees the slab only once it is whole (invariant 39).
        compiler_fence(Ordering::Release);
        NEWEST.set(Some(slab));
        Ok(slab)
    }

    /// How many slots the slab has room for.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes a slot that was never used: guard, record, watermark. `None` if all slots have been
    /// made.
    ///
    /// # Errors
    ///
    /// The slot could not be guarded; it stays unmade.
    pub(super) fn make_slot(&self) -> io::Result<Option<NonNull<Slot>>> {
        let index = self.made.get();
        if index == self.capacity {
            return Ok(None);
        }
        let slot_bytes = self.class.slot_bytes();
        let bottom = self.start.as_ptr().wrapping_add(index * slot_bytes);
        if self.guarded.get() == index {
            // SAFETY: the slots from `index` on lie in this slab's mapping and were never handed
            // out.
            let guarded = unsafe { guard::install(bottom, slot_bytes, self.capacity - index) }?;
            self.guarded.set(index + guarded);
        }

        let limit = bottom.wrapping_add(sys::page_size());
        let top = bottom.wrapping_add(slot_bytes);
        let slot = Slot {
            base: top.wrapping_sub(index * COLOUR_STEP % COLOUR_BYTES),
            limit,
            watermark: Cell::new(ptr::null_mut()),
            next_free: Cell::new(None),
            slab: NonNull::from(self),
            owner: Cell::new(None),
            _registration: ValgrindStackRegistration::new(limit, slot_bytes - sys::page_size()),
        };
        // SAFETY: the topmost page of the slot is mapped, unused and the slot's own.
        unsafe { watermark::place(&slot, top.wrapping_sub(sys::page_size())) };
        // SAFETY: the table has `capacity` entries and `index` is below that.
        let record = unsafe { self.table.add(index) };
        // SAFETY: the entry is allocated, aligned, and not initialised yet.
        unsafe { record.write(slot) };
        // The overflow report looks only at records below `made` (invariant 39).
        compiler_fence(Ordering::Release);
        self.made.set(index + 1);
        Ok(Some(record))
    }

    /// Where slots of this slab go when they come back; `None` once the pool is gone.
    #[inline]
    pub(super) fn list(&self) -> Option<NonNull<FreeList>> {
        self.list.get()
    }

    /// Parts the slab from its pool: from now on it counts the slots that come home.
    pub(super) fn orphan(&self) {
        self.list.set(None);
    }

    /// Counts a slot of an orphaned slab that came back.
    pub(super) fn count_home(&self) {
        self.home.set(self.home.get() + 1);
    }

    /// Unmaps the slab if all slots that were ever handed out have come home.
    ///
    /// # Safety
    ///
    /// `slab` is alive and orphaned, and nobody refers to it or its slots but slots that are out.
    pub(super) unsafe fn unmap_if_idle(slab: NonNull<Slab>) {
        // SAFETY: the caller says that the slab is alive.
        let this = unsafe { slab.as_ref() };
        if this.home.get() < this.made.get() {
            return;
        }
        forget(slab);
        // SAFETY: Slab::map leaked this box, and no slot is out that could lead here again
        // (invariant 36).
        drop(unsafe { Box::from_raw(slab.as_ptr()) });
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        for index in 0..self.made.get() {
            // SAFETY: `made` is at most `capacity`.
            let record = unsafe { self.table.add(index) };
            // SAFETY: the records below `made` are initialised, and none is used any more.
            unsafe { record.drop_in_place() };
        }
        let layout = table_layout(self.capacity);
        // SAFETY: allocate_table allocated it with this layout.
        unsafe { alloc::dealloc(self.table.as_ptr().cast(), layout) };
        // SAFETY: start and size are those of Slab::map, and no slot is out (invariant 36).
        unsafe { sys::unmap(self.start, self.capacity * self.class.slot_bytes()) };
    }
}

/// The slot of this OS thread whose guard page `address` lies in. Safe to call in a signal handler.
pub(super) fn slot_guarded_at(address: usize) -> Option<NonNull<Slot>> {
    let (slot, offset) = slot_around(address)?;
    (offset < sys::page_size()).then_some(slot)
}

/// The slot of this OS thread that `address` lies in, and how far above its low end. Safe to call in
/// a signal handler.
pub(super) fn slot_around(address: usize) -> Option<(NonNull<Slot>, usize)> {
    let mut next = NEWEST.get();
    while let Some(slab) = next {
        // SAFETY: slabs in this OS thread's list are alive (invariant 39).
        let slab = unsafe { slab.as_ref() };
        let offset = address.wrapping_sub(slab.start.as_ptr().addr());
        let index = offset / slab.class.slot_bytes();
        if index < slab.made.get() {
            // SAFETY: `index` is below `made`, which is at most the table's length.
            let slot = unsafe { slab.table.add(index) };
            return Some((slot, offset % slab.class.slot_bytes()));
        }
        next = slab.older.get();
    }
    None
}

/// Takes a slab out of this OS thread's list.
fn forget(slab: NonNull<Slab>) {
    // SAFETY: the slab is alive until its box is dropped, after this.
    let older = unsafe { slab.as_ref() }.older.get();
    if NEWEST.get() == Some(slab) {
        NEWEST.set(older);
        compiler_fence(Ordering::Release);
        return;
    }
    let mut next = NEWEST.get();
    while let Some(newer) = next {
        // SAFETY: slabs in this OS thread's list are alive (invariant 39).
        let newer = unsafe { newer.as_ref() };
        if newer.older.get() == Some(slab) {
            newer.older.set(older);
            break;
        }
        next = newer.older.get();
    }
    compiler_fence(Ordering::Release);
}

/// Allocates the records of a slab, none of them initialised: their pages become resident as slots
/// are made. `None` where memory has run out.
fn allocate_table(capacity: usize) -> Option<NonNull<Slot>> {
    let layout = table_layout(capacity);
    // SAFETY: a slab has at least one slot, so the layout is not empty.
    let table = unsafe { alloc::alloc(layout) };
    NonNull::new(table.cast())
}

/// How the records of a slab lie in memory.
fn table_layout(capacity: usize) -> Layout {
    Layout::array::<Slot>(capacity).expect("a slab has at most a billion slots")
}

/// The error of a reservation that was refused even for a single slot.
fn refused(slot_bytes: usize, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!(
            "cannot reserve {slot_bytes} bytes for a stack: {error}: the address space (ulimit -v), the commit limit \
             (vm.overcommit_memory) or vm.max_map_count is used up; raise it, use smaller stacks or run fewer green threads"
        ),
    )
}
