//! Rule 1: what a body is given works only on the coroutine's own stack. Safe code reaches these
//! panics from a scoped green thread; here the borrow is stretched by hand.

use super::{Coroutine, Family, Generator, Suspender, Switcher, Yielder};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f` in a coroutine that is resumed from the caller's, and checks that it panics with the
/// news that `act` in this line of this file is misplaced.
fn assert_misplaced(act: &str, line: u32, f: impl FnOnce() + 'static) {
    let other = Coroutine::<(), (), ()>::new(move |_, ()| f());
    let payload = catch_unwind(AssertUnwindSafe(|| other.resume(()))).unwrap_err();
    let text = payload
        .downcast::<String>()
        .expect("the message has arguments");
    let place = format!("{act} at {}:{line}:", file!());
    assert!(text.starts_with(&place), "{text}");
    assert!(
        text.ends_with(" is outside of the coroutine that it belongs to"),
        "{text}"
    );
}

/// A reference that outlives the borrow checker's knowledge of it.
fn stretch<T>(reference: &T) -> &'static T {
    // SAFETY: each test uses it while the body that owns the referent waits.
    unsafe { &*std::ptr::from_ref(reference) }
}

#[test]
fn suspend_elsewhere_panics_and_harms_nothing() {
    let co = Coroutine::new(|co: &Suspender<(), u32>, ()| {
        let elsewhere = stretch(co);
        assert_misplaced("suspend", line!(), || elsewhere.suspend(1));
        co.suspend(2);
        3
    });
    assert_eq!(co.resume(()).unwrap().yielded(), Some(2));
    assert_eq!(co.resume(()).unwrap().returned(), Some(3));
}

#[test]
fn yield_elsewhere_panics_and_harms_nothing() {
    let mut generator = Generator::new(|g: &Yielder<u32>| {
        let elsewhere = stretch(g);
        assert_misplaced("suspend", line!(), || elsewhere.yield_(1));
        g.yield_(2);
    });
    assert_eq!((generator.next(), generator.next()), (Some(2), None));
}

#[test]
fn yield_to_elsewhere_panics_and_harms_nothing() {
    let family = Family::new();
    let a = family.declare();
    family.define(a, |here: &Switcher<u32>, n| {
        let (elsewhere, main) = (stretch(here), here.main());
        let yields = move || drop(elsewhere.yield_to(main.with(1)));
        assert_misplaced("yield_to", line!() - 1, yields);
        main.with(n + 1)
    });
    assert_eq!(family.yield_to(a.with(2)).unwrap(), 3);
}
