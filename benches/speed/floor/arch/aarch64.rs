//! The floor on aarch64: a push, a pop, and a jump.

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
    // SAFETY: control comes back at the label with the stack pointer as it was after the push.
    unsafe {
        asm!(
            "stp x29, x19, [sp, #-16]!",
            "adr x3, 2f",
            "mov x2, sp",
            "mov sp, x0",
            "br x1",
            "2:",
            "ldp x29, x19, [sp], #16",
            inlateout("x0") to.sp => _,
            inlateout("x1") to.pc => _,
            lateout("x2") sp,
            lateout("x3") pc,
            lateout("x20") _, lateout("x21") _, lateout("x22") _, lateout("x23") _,
            lateout("x24") _, lateout("x25") _, lateout("x26") _, lateout("x27") _,
            lateout("x28") _, lateout("x30") _,
            lateout("v8") _, lateout("v9") _, lateout("v10") _, lateout("v11") _,
            lateout("v12") _, lateout("v13") _, lateout("v14") _, lateout("v15") _,
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

/// Calls the partner with what `switch` has left in x2 and x3.
#[unsafe(naked)]
unsafe extern "C" fn first_frame() {
    naked_asm!("mov x0, x2", "mov x1, x3", "bl {partner}", "brk #0", partner = sym partner)
}

/// Switches back for ever.
unsafe extern "C" fn partner(sp: *mut u8, pc: *const ()) -> ! {
    let mut other = Left { sp, pc };
    loop {
        // SAFETY: whoever continued this execution was left by `switch`.
        other = unsafe { switch(other) };
    }
}
