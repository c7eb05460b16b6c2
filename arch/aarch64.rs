//! The switch on aarch64 (AAPCS64), by inline assembly.
//!
//! The contract stands in `mod.rs`, which is the only caller. `x86_64.rs` is its twin: what is the
//! same there is not explained twice.

use std::arch::{asm, naked_asm};
use std::cell::Cell;
use std::mem::offset_of;

use super::Entry;

/// What a suspended execution needs to continue; all its other registers are on its stack.
#[repr(C)]
pub(super) struct Saved {
    /// sp of the suspended execution. It points at what `switch` pushed, or at the words that
    /// `prepare` wrote; null before the first switch.
    sp: Cell<*mut u8>,
    /// pc of the suspended execution: the label in `switch` where it was left, or `first_frame`.
    pc: Cell<*const ()>,
}

// The assembly below loads and stores both as a pair.
const _: () = assert!(offset_of!(Saved, sp) == 0 && offset_of!(Saved, pc) == 8);

impl Saved {
    pub(super) const fn new() -> Self {
        Self {
            sp: Cell::new(std::ptr::null_mut()),
            pc: Cell::new(std::ptr::null()),
        }
    }

    pub(super) fn stack_pointer(&self) -> *mut u8 {
        self.sp.get()
    }
}

/// The words that `first_frame` takes off the stack, in the order in which it does.
#[repr(C)]
struct FirstWords {
    /// What `first_frame` jumps to: `entry` itself, or the sanitizer's wrapper of it.
    first: *const (),
    /// To x2, the third argument, which only the wrapper looks at.
    entry: Entry,
    /// To x1, the second argument.
    data: *mut (),
    /// sp must be a multiple of 16 whenever memory is reached through it.
    padding: usize,
    /// A frame record that ends the chain of frame pointers: no caller's x29 …
    caller_x29: usize,
    /// … and no return address.
    return_address: usize,
}

const _: () = assert!(size_of::<FirstWords>().is_multiple_of(16));

/// Writes the first words of a new stack.
///
/// # Safety
///
/// As for `super::prepare`; `first` is a function with `Entry`'s arguments and `entry` as a third.
#[inline]
pub(super) unsafe fn prepare(
    saved: &Saved,
    base: *mut u8,
    _limit: *mut u8,
    first: *const (),
    entry: Entry,
    data: *mut (),
) {
    let words = base
        .wrapping_sub(size_of::<FirstWords>())
        .cast::<FirstWords>();
    let value = FirstWords {
        first,
        entry,
        data,
        padding: 0,
        caller_x29: 0,
        return_address: 0,
    };
    // SAFETY: the words lie in [limit, base), which is 4 KiB at least, writable and unused; the
    // size of `FirstWords` and `base` are multiples of its alignment.
    unsafe { words.write(value) };
    saved.sp.set(words.cast());
    saved.pc.set(first_frame as *const ());
}

/// The root frame of every execution that was prepared.
///
/// On entry sp points at `FirstWords` and x0 holds the argument of the first switch. It is jumped
/// to, never called, and what it jumps to does not return.
#[unsafe(naked)]
unsafe extern "C" fn first_frame() {
    naked_asm!(
        ".cfi_startproc",
        // There is no caller: whatever unwinds or prints a backtrace ends here.
        ".cfi_undefined x30",
        "ldp x3, x2, [sp], #16",
        "ldr x1, [sp], #16",
        // The chain of frame pointers, which perf follows, ends here too.
        "mov x29, xzr",
        // A jump with a return address put there by hand, not a call: `entry` never returns, and a
        // call without its return makes the CPU mispredict every return of whoever runs next.
        "adr x30, 2f",
        "br x3",
        // Debug information is looked up for the byte before a return address.
        "2:",
        "brk #0",
        ".cfi_endproc",
    )
}

/// Saves the running execution in `from` and continues `to`.
///
/// # Safety
///
/// As for `super::switch`.
#[inline(always)]
pub(super) unsafe fn switch(from: &Saved, to: &Saved, arg: *mut ()) -> *mut () {
    let result: *mut ();
    // SAFETY: the block saves what the compiler cannot be told is lost (sp, pc, x29, x19) and
    // declares the rest as lost. Control comes back at the label, through a switch to `from`, with
    // sp as it was after the push, on this OS thread; so the pop finds what was pushed. `to` is as
    // this block, or `prepare`, left it (invariant 30). The block is not `nostack`: it pushes.
    unsafe {
        asm!(
            // x29 and x19 are LLVM's own and cannot be declared as lost.
            "stp x29, x19, [sp, #-16]!",
            // Remember where to continue.
            "mov x3, sp",
            "adr x4, 2f",
            "stp x3, x4, [x1]",
            // Continue the other. An indirect jump is predicted by its site.
            "ldp x3, x4, [x2]",
            "mov sp, x3",
            "br x4",
            // Somebody switched back; x0 holds what they passed, every other register is theirs.
            "2:",
            "ldp x29, x19, [sp], #16",
            inlateout("x0") arg => result,
            in("x1") from,
            in("x2") to,
            // The callee-saved registers that the ABI below does not name; it does name all of the
            // vector registers, of which a callee keeps halves.
            lateout("x20") _, lateout("x21") _, lateout("x22") _, lateout("x23") _,
            lateout("x24") _, lateout("x25") _, lateout("x26") _, lateout("x27") _,
            lateout("x28") _,
            clobber_abi("C"),
        );
    }
    result
}

/// Continues `to` and forgets the running execution.
///
/// # Safety
///
/// As for `super::switch_last`.
#[inline(always)]
pub(super) unsafe fn switch_last(_from: &Saved, to: &Saved, arg: *mut ()) -> ! {
    // SAFETY: as in `switch`; nothing is saved since nothing comes back.
    unsafe {
        asm!(
            "ldp x3, x4, [x2]",
            "mov sp, x3",
            "br x4",
            in("x0") arg,
            in("x2") to,
            options(noreturn),
        )
    }
}

/// Nothing to give back: a context of this CPU holds no memory.
///
/// # Safety
///
/// None here; `portable.rs` has some.
#[inline(always)]
pub(super) unsafe fn release(_saved: &Saved) {}

/// Fetches a cache line.
#[inline(always)]
pub(super) fn prefetch(address: *const u8) {
    // SAFETY: prfm faults on no address and changes no memory.
    unsafe {
        asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
}

/// The value of sp.
#[inline(always)]
pub(super) fn stack_pointer() -> *mut u8 {
    let sp;
    // SAFETY: reading sp changes nothing.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Hands a request to valgrind; on the CPU itself it does nothing.
#[inline]
pub(super) fn ask_valgrind(request: &[usize; 6]) {
    // SAFETY: the rotations add up to two whole turns, and x10 is combined with itself. Valgrind
    // recognises the sequence, reads the request that x4 points at, and answers in x3.
    unsafe {
        asm!(
            "ror x12, x12, #3",
            "ror x12, x12, #13",
            "ror x12, x12, #51",
            "ror x12, x12, #61",
            "orr x10, x10, x10",
            in("x4") request.as_ptr(),
            inout("x3") 0_usize => _,
            options(nostack),
        );
    }
}
