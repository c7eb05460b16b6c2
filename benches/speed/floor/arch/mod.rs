//! The hand-written switch, one file each CPU, and what it is called with.

#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod cpu;
#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod cpu;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "none.rs"]
mod cpu;

pub(super) use cpu::{START, switch};

/// Room for the partner's one frame, with much to spare.
pub(super) const STACK_BYTES: usize = 64 * 1024;

/// An execution that was left. It is continued once.
#[derive(Clone, Copy)]
pub(super) struct Left {
    /// Its stack pointer.
    sp: *mut u8,
    /// Where it continues.
    pc: *const (),
}

/// Makes a partner that switches back for ever, on a stack that ends at the given address, a
/// multiple of 16.
type Start = unsafe fn(*mut u8) -> Left;
