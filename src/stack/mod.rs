//! Stacks: pooled, guarded, coloured, trimmed. Green threads and coroutines run on them; this
//! module knows neither.
//! [`Pool::acquire`] hands a [`Stack`] out and dropping it gives it back, both without a system
//! call once the pool is warm.

mod size;
mod slab;
mod pool;
mod guard;
mod watermark;
mod overflow;
mod signal_stack;
mod os_stack;

#[cfg_attr(greenlit_sanitize = "address", path = "poison_asan.rs")]
mod poison;

#[cfg_attr(test, path = "sys_with_faults.rs")]
mod sys;

pub(crate) use self::os_stack::os_stack;
pub(crate) use self::overflow::install_overflow_handler;
pub(crate) use self::pool::Pool;
pub(crate) use self::size::{LEAST_BYTES, SizeClass, default_size};
pub(crate) use self::slab::Slot;

use self::slab::Slab;
use corosensei::stack::StackPointer;
use std::fmt;
use std::mem;
use std::ptr::NonNull;

/// Whether `address` lies in one of this OS thread's pooled stacks.
pub(crate) fn holds(address: *const u8) -> bool {
    slab::slot_around(address.addr()).is_some()
}

/// How many bytes are free below `address` on the stack that it lies in: a pooled one, or the OS
/// thread's own; 0 where it lies in neither.
pub(crate) fn room(address: *const u8) -> usize {
    let limit = match slab::slot_around(address.addr()) {
        // SAFETY: the slots of living slabs live (invariant 36).
        Some((slot, _)) => unsafe { slot.as_ref() }.limit.addr(),
        None => Some(os_stack())
            .filter(|own| own.contains(&address.addr()))
            .map_or(usize::MAX, |own| own.start),
    };
    address.addr().saturating_sub(limit)
}

/// A guarded stack, out of its pool until it is dropped. One pointer wide.
///
/// It is dropped by whoever runs after the last switch away from it, never by an execution that
/// stands on it.
pub(crate) struct Stack(NonNull<Slot>);

/// Who runs on a stack, for the overflow report.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// Handed to `describe`.
    pub(crate) data: *const (),
    /// Writes who it is, as `green thread "name" (#7, spawned at src/main.rs:10:5)`. It is called
    /// in a signal handler: it may neither allocate nor lock.
    pub(crate) describe: unsafe fn(*const (), &mut dyn fmt::Write) -> fmt::Result,
}

impl Stack {
    /// The coloured end at high addresses, where frames begin; a multiple of 16.
    #[inline]
    pub(crate) fn base(&self) -> *mut u8 {
        self.slot().base
    }

    /// The lowest usable address, above the guard.
    #[inline]
    pub(crate) fn limit(&self) -> *mut u8 {
        self.slot().limit
    }

    /// Lets go of the stack without giving it back. [`Stack::from_raw`] takes it up again; until
    /// then the slab stays mapped.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<Slot> {
        let slot = self.0;
        mem::forget(self);
        slot
    }

    /// Takes a stack up again.
    ///
    /// # Safety
    ///
    /// `slot` comes from [`Stack::into_raw`], and no other `Stack` was made from it since.
    #[inline]
    pub(crate) unsafe fn from_raw(slot: NonNull<Slot>) -> Stack {
        Stack(slot)
    }

    /// Says who runs on this stack, until it goes back or somebody else is named.
    ///
    /// # Safety
    ///
    /// For that long `owner.describe(owner.data, …)` may be called at any moment, from a signal
    /// handler.
    #[inline]
    pub(crate) unsafe fn set_owner(&self, owner: Owner) {
        self.slot().owner.set(Some(owner));
    }

    /// How many bytes were ever used since the stack was last trimmed, in whole pages, colour
    /// included.
    pub(crate) fn high_water(&self) -> usize {
        watermark::high_water(self.slot())
    }

    /// Gives the pages back to the kernel that a suspended execution once used and has left.
    ///
    /// # Safety
    ///
    /// The execution on this stack is suspended, and `stack_pointer` is where its frames end.
    pub(crate) unsafe fn trim(&self, stack_pointer: *mut u8) {
        // SAFETY: forwarded from the caller.
        unsafe { watermark::trim(self.slot(), stack_pointer) };
    }

    /// The record of this stack.
    #[inline]
    fn slot(&self) -> &Slot {
        // SAFETY: a slot that is out is alive (invariant 36), and its record is only ever shared.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Stack {
    #[inline]
    fn drop(&mut self) {
        let slot = self.slot();
        slot.owner.set(None);
        poison::clear(slot, slot.base);
        // SAFETY: the owner of a stack drops it only when nothing runs there any more.
        if !unsafe { watermark::is_intact(slot) } {
            // SAFETY: likewise.
            unsafe { watermark::settle(slot) };
        }

        // SAFETY: a slab lives as long as its slots (invariant 36).
        let slab = unsafe { slot.slab.as_ref() };
        match slab.list() {
            // SAFETY: a slab that names a list has a living pool (invariant 38).
            Some(list) => unsafe { list.as_ref() }.push(self.0),
            None => come_home(slot.slab),
        }
    }
}

/// Counts a slot whose pool is gone; the last takes its slab along.
#[cold]
#[inline(never)]
fn come_home(slab: NonNull<Slab>) {
    // SAFETY: the slot that just came back kept its slab alive (invariant 36).
    unsafe { slab.as_ref() }.count_home();
    // SAFETY: the slab is orphaned, and the slot was this call's last reference to it.
    unsafe { Slab::unmap_if_idle(slab) };
}

// SAFETY: the stack has a guard page below it (invariant 37) and at least 16 KiB of usable memory,
// and lives until the `Stack` is dropped.
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> StackPointer {
        StackPointer::new(self.slot().base.addr()).expect("a mapping is not at address zero")
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        // corosensei counts the guard page in.
        let guard = self.slot().limit.addr() - sys::page_size();
        StackPointer::new(guard).expect("a mapping is not at address zero")
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("base", &self.base())
            .field("limit", &self.limit())
            .finish()
    }
}
