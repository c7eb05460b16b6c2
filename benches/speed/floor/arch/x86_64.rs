//! The floor on x86_64: two pushes, two pops, and a jump.

use super::{Left, Start};
use std::arch::{asm, naked_asm};

/// Makes a partner.
pub(in super::super) const START: Option<Start> = Some(start);

/// Leaves the running execution for `to`; returns who switched back.
///
/// # Safety
///
/// `to` was made by `START` or left by this function, and was not continued since.
#[inline(always)]
pub(in super::super) unsafe fn switch(to: Left) -> Left {
    let (sp, pc);
    // SAFETY: control comes back at the label with the stack pointer as it was after the pushes.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "mov rsi, rsp",
            "mov rsp, rdx",
            "jmp rcx",
            "2:",
            "pop rbx",
            "pop rbp",
            inlateout("rdx") to.sp => _,
            inlateout("rcx") to.pc => _,
            lateout("rax") pc,
            lateout("rsi") sp,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("C"),
        );
    }
    Left { sp, pc }
}

unsafe fn start(base: *mut u8) -> Left {
    Left {
        sp: base,
        pc: first_frame as *const (),
    }
}

/// Calls the partner with what `switch` has left in rsi and rax.
#[unsafe(naked)]
unsafe extern "C" fn first_frame() {
    naked_asm!("mov rdi, rsi", "mov rsi, rax", "call {partner}", "ud2", partner = sym partner)
}

/// Switches back for ever.
unsafe extern "C" fn partner(sp: *mut u8, pc: *const ()) -> ! {
    let mut other = Left { sp, pc };
    loop {
        // SAFETY: whoever continued this execution was left by `switch`.
        other = unsafe { switch(other) };
    }
}
