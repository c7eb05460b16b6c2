//! The bare switch of `arch`, as the scheduler and the symmetric coroutines use it, and nothing around it.

use crate::Measure;
use crate::arch::{self, Context};
use std::ptr;

/// Room for the partner's one frame, with much to spare.
const STACK_BYTES: usize = 64 * 1024;

/// Two executions that switch to each other.
struct Pair {
    main: Context,
    partner: Context,
}

/// Times a switch from one execution to another.
pub(crate) fn one_way(measure: &mut dyn Measure) {
    let pair = Pair {
        main: Context::new(),
        partner: Context::new(),
    };
    let mut stack = vec![0_u128; STACK_BYTES / 16];
    let range = stack.as_mut_ptr_range();
    let data = ptr::from_ref(&pair).cast_mut().cast();
    // SAFETY: the stack is a multiple of 16, and it and the pair outlive the partner, which is left for good below.
    unsafe {
        arch::prepare(
            &pair.partner,
            range.end.cast(),
            range.start.cast(),
            back_and_forth,
            data,
        );
    }
    measure.time(1000, &mut || {
        for _ in 0..500 {
            // SAFETY: the partner was prepared, or left by its own switch.
            unsafe { arch::switch(&pair.main, &pair.partner, ptr::null_mut()) };
        }
    });
    // SAFETY: the partner is not switched to again; its frame owns nothing.
    unsafe { arch::release(&pair.partner) };
}

/// The partner: switches back for ever.
unsafe extern "C" fn back_and_forth(_arg: *mut (), pair: *mut ()) -> ! {
    // SAFETY: `one_way` passes its pair, which lives as long as this execution is switched to.
    let pair = unsafe { &*pair.cast::<Pair>() };
    loop {
        // SAFETY: whoever switched here waits in `main`.
        unsafe { arch::switch(&pair.partner, &pair.main, ptr::null_mut()) };
    }
}
