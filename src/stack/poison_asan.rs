//! What AddressSanitizer must be told about stacks that are used again.
//! Frames that never return leave their red zones poisoned behind, and the next user of the stack would be blamed for them.

unsafe extern "C" {
    /// Marks `bytes` from `start` on as addressable.
    fn __asan_unpoison_memory_region(start: *const u8, bytes: usize);
}

/// Says that no frame is left between `from` and `to`.
pub(super) fn clear(from: *mut u8, to: *mut u8) {
    // SAFETY: the range is mapped memory of a stack on which nobody runs; only its shadow is written.
    unsafe { __asan_unpoison_memory_region(from, to.addr() - from.addr()) };
}
