//! What AddressSanitizer must be told about stacks that are used again. Frames that never return
//! leave their red zones poisoned behind, and the next user of the stack would be blamed for them.

use super::slab::Slot;
use super::watermark;

unsafe extern "C" {
    /// Marks `bytes` from `start` on as addressable.
    fn __asan_unpoison_memory_region(start: *const u8, bytes: usize);
}

/// Says that no frame is left on the stack of `slot` below `to`.
pub(super) fn clear(slot: &Slot, to: *mut u8) {
    // Frames leave poison only where they have been. The shadow of a whole terabyte would not fit
    // in memory.
    let from = watermark::lowest_resident(slot).min(to);
    // SAFETY: the range is mapped memory of a stack on which nobody runs; only its shadow is
    // written.
    unsafe { __asan_unpoison_memory_region(from, to.addr() - from.addr()) };
}
