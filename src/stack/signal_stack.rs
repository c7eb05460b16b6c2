//! The alternate stack on which signals are handled when a stack has overflown.
//! Called by `overflow` once for each OS thread that has stacks of ours.

use super::sys;
use std::cell::RefCell;
use std::io;
use std::mem;
use std::ptr::{self, NonNull};

/// Room for the overflow report beyond the signal's frame. std's alternate stacks (8 KiB, or what
/// the signal's frame needs) do not hold it in debug builds.
const REPORT_BYTES: usize = 32 * 1024;

/// The size of a signal's frame where the kernel does not tell.
const DEFAULT_FRAME_BYTES: usize = 8 * 1024;

thread_local! {
    /// The alternate stack that was made for this OS thread, if it had none that is large enough.
    static MADE: RefCell<Option<SignalStack>> = const { RefCell::new(None) };
}

/// An alternate stack; it is unmapped when its OS thread ends.
struct SignalStack {
    /// Where the mapping begins.
    start: NonNull<u8>,
    /// Its size.
    bytes: usize,
}

/// Gives this OS thread an alternate stack that the overflow report fits on, unless it has one.
///
/// # Errors
///
/// The kernel refuses the memory.
pub(super) fn ensure() -> io::Result<()> {
    // SAFETY: getauxval looks a number up.
    let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    let needed = frame.max(DEFAULT_FRAME_BYTES) + REPORT_BYTES;
    let installed = current()?;
    if installed.ss_flags & libc::SS_DISABLE == 0 && installed.ss_size >= needed {
        return Ok(());
    }
    // An OS thread that ends keeps what it has: what were made now, nobody would unmap.
    MADE.try_with(|made| {
        let stack = SignalStack::map(needed)?;
        stack.install()?;
        made.replace(Some(stack));
        Ok(())
    })
    .unwrap_or(Ok(()))
}

/// The alternate stack that this OS thread has.
fn current() -> io::Result<libc::stack_t> {
    // SAFETY: all-zero bytes are a valid stack_t.
    let mut installed: libc::stack_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes the answer and changes nothing.
    match unsafe { libc::sigaltstack(ptr::null(), &raw mut installed) } {
        0 => Ok(installed),
        _ => Err(io::Error::last_os_error()),
    }
}

impl SignalStack {
    /// Maps an alternate stack of at least `needed` bytes, not installed yet.
    fn map(needed: usize) -> io::Result<SignalStack> {
        let bytes = needed.next_multiple_of(sys::page_size());
        let start = sys::map(bytes)?;
        Ok(SignalStack { start, bytes })
    }

    /// Makes it this OS thread's alternate stack.
    fn install(&self) -> io::Result<()> {
        let stack = libc::stack_t {
            ss_sp: self.start.as_ptr().cast(),
            ss_flags: 0,
            ss_size: self.bytes,
        };
        // SAFETY: the memory stays mapped until this OS thread ends, and is used for nothing else.
        match unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // Somebody else's, installed since, stays. std disables whatever is installed before it
        // ends a thread of its own.
        if let Ok(installed) = current()
            && installed.ss_sp == self.start.as_ptr().cast()
        {
            let none = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: self.bytes,
            };
            // SAFETY: from here on signals are handled on the stack that they interrupt.
            unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
        }
        // SAFETY: the mapping is this value's own, and signals use it no more.
        unsafe { sys::unmap(self.start, self.bytes) };
    }
}
