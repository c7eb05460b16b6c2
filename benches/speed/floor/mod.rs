//! The floor: the cheapest switch that one can write by hand, in the same shape as the measurement
//! of greenlit's. An execution that is left is two registers. It cannot be announced to a
//! sanitizer, carries no value and ends nowhere.

mod arch;

use crate::Measure;

/// Times a switch from one execution to another; nothing on CPUs for which no floor was written.
pub(crate) fn switch(measure: &mut dyn Measure) {
    if let Some(start) = arch::START {
        let mut stack = vec![0_u128; arch::STACK_BYTES / 16];
        // SAFETY: the stack outlives the partner, which is left for good at the end of this
        // function.
        let mut partner = unsafe { start(stack.as_mut_ptr_range().end.cast()) };
        measure.time(1000, &mut || {
            for _ in 0..500 {
                // SAFETY: the partner was made by `start`, or left by its own switch.
                partner = unsafe { arch::switch(partner) };
            }
        });
    }
}
