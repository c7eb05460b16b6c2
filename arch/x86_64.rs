//! The switch on x86_64 (System V), by inline assembly.
//!
//! The contract stands in `mod.rs`, which is the only caller.

use std::arch::{asm, naked_asm};
use std::cell::Cell;
use std::mem::offset_of;

use super::Entry;

/// What a suspended execution needs to continue; all its other registers are on its stack.
#[repr(C)]
pub(super) struct Saved {
    /// rsp of the suspended execution. It points at what `switch` pushed, or at the three words
    /// that `prepare` wrote; null before the first switch.
    sp: Cell<*mut u8>,
    /// rip of the suspended execution: the label in `switch` where it was left, or `first_frame`.
    pc: Cell<*const ()>,
}

// The assembly below names these offsets.
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

/// The words that `first_frame` pops, in the order in which it pops them.
#[repr(C)]
struct FirstWords {
    /// What `first_frame` jumps to: `entry` itself, or the sanitizer's wrapper of it.
    first: *const (),
    /// To rdx, the third argument, which only the wrapper looks at.
    entry: Entry,
    /// To rsi, the second argument.
    data: *mut (),
    /// A frame record that ends the chain of frame pointers: no caller's rbp …
    caller_rbp: usize,
    /// … and no return address.
    return_address: usize,
}

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
    // `base` is a multiple of 16 and two words stay below it, so rsp is one when `first_frame`
    // calls.
    let words = base
        .wrapping_sub(size_of::<FirstWords>())
        .cast::<FirstWords>();
    let value = FirstWords {
        first,
        entry,
        data,
        caller_rbp: 0,
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
/// On entry rsp points at `FirstWords` and rdi holds the argument of the first switch. It is jumped
/// to, never called, and what it jumps to does not return.
#[unsafe(naked)]
unsafe extern "C" fn first_frame() {
    naked_asm!(
        ".cfi_startproc",
        // There is no caller: whatever unwinds or prints a backtrace ends here.
        ".cfi_undefined rip",
        "pop rax",
        "pop rdx",
        "pop rsi",
        // The chain of frame pointers, which perf follows, ends here too.
        "xor ebp, ebp",
        // A jump with a return address put there by hand, not a call: `entry` never returns, and a
        // call without its return makes the CPU mispredict every return of whoever runs next.
        "lea rcx, [rip + 2f]",
        "push rcx",
        "jmp rax",
        // Debug information is looked up for the byte before a return address.
        "2:",
        "ud2",
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
    // SAFETY: the block saves what the compiler cannot be told is lost (rsp, rip, rbp, rbx) and
    // declares the rest as lost. Control comes back at the label, through a switch to `from`, with
    // rsp as it was after the pushes, on this OS thread; so the pops find what was pushed. `to` is
    // as this block, or `prepare`, left it (invariant 30). The block is not `nostack`: it pushes.
    unsafe {
        asm!(
            // rbp and rbx are LLVM's own and cannot be declared as lost.
            "push rbp",
            "push rbx",
            // Remember where to continue.
            "lea rax, [rip + 2f]",
            "mov [rsi + 8], rax",
            "mov [rsi], rsp",
            // Continue the other: in the next line of its own copy of this block, or in
            // `first_frame`. An indirect jump is predicted by its site.
            "mov rsp, [rdx]",
            "jmp [rdx + 8]",
            // Somebody switched back; rdi holds what they passed, every other register is theirs.
            "2:",
            "pop rbx",
            "pop rbp",
            // Free choices, but `first_frame` needs rdi as the first argument, and rax must differ
            // from all three.
            inlateout("rdi") arg => result,
            in("rsi") from,
            in("rdx") to,
            // The callee-saved registers that the ABI below does not name. The compiler saves those
            // of them that are live, which is seldom any.
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
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
            "mov rsp, [rdx]",
            "jmp [rdx + 8]",
            in("rdi") arg,
            in("rdx") to,
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
    // SAFETY: prefetcht0 faults on no address and changes no memory.
    unsafe { asm!("prefetcht0 [{}]", in(reg) address, options(nostack, preserves_flags, readonly)) }
}

/// The value of rsp.
#[inline(always)]
pub(super) fn stack_pointer() -> *mut u8 {
    let sp;
    // SAFETY: reading rsp changes nothing.
    unsafe { asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Hands a request to valgrind; on the CPU itself it does nothing.
#[inline]
pub(super) fn ask_valgrind(request: &[usize; 6]) {
    // SAFETY: the rotations add up to a whole turn, and rbx is exchanged with itself. Valgrind
    // recognises the sequence, reads the request that rax points at, and answers in rdx.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") request.as_ptr(),
            inout("rdx") 0_usize => _,
            options(nostack),
        );
    }
}
