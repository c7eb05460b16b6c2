//! Coroutines: in and out of an asymmetric one, beside corosensei's own, and between symmetric
//! ones.

use crate::Measure;
use corosensei::stack::DefaultStack;
use greenlit::coroutine::{Coroutine, Family};
use std::hint::black_box;

/// Times a resume with the suspend that answers it.
pub(crate) fn resume_and_suspend(measure: &mut dyn Measure) {
    let counter = Coroutine::<u64, u64, ()>::new(|co, mut number| {
        loop {
            number = co.suspend(number + 1);
        }
    });
    measure.time(1000, &mut || {
        for number in 0..1000 {
            let _ = black_box(counter.resume(black_box(number)));
        }
    });
}

/// Times the same of corosensei, on a stack of its own making.
pub(crate) fn resume_and_suspend_of_corosensei(measure: &mut dyn Measure) {
    let stack = DefaultStack::new(256 * 1024).expect("a stack");
    let mut counter =
        corosensei::Coroutine::<u64, u64, (), _>::with_stack(stack, |co, mut number| {
            loop {
                number = co.suspend(number + 1);
            }
        });
    measure.time(1000, &mut || {
        for number in 0..1000 {
            black_box(counter.resume(black_box(number)));
        }
    });
}

/// Times a yield from one symmetric coroutine to another; whoever drives them is not on the way.
pub(crate) fn yield_to(measure: &mut dyn Measure) {
    let family = Family::<()>::new();
    let (left, right) = (family.declare(), family.declare());
    let main = family.main();
    family.define(left, move |here, ()| {
        while black_box(true) {
            for _ in 0..500 {
                here.yield_to(right)?;
            }
            here.yield_to(main)?;
        }
        Ok(())
    });
    family.define(right, move |here, ()| {
        while black_box(true) {
            here.yield_to(left)?;
        }
        Ok(())
    });
    measure.time(1000, &mut || {
        family.yield_to(left).expect("left is suspended");
    });
}
