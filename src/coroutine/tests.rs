//! Rule 1: what a body is given works only on the coroutine's own stack. Safe code reaches these
//! panics from a scoped green thread; here the borrow is stretched by hand.

use super::{Coroutine, Family, Generator, Suspender, Switcher, Yielder};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f` in a coroutine that is resumed from the caller's, and returns the message of its panic.
fn panic_in_another(f: impl FnOnce() + 'static) -> String {
    let other = Coroutine::<(), (), ()>::new(move |_, ()| f());
    let payload = catch_unwind(AssertUnwindSafe(|| other.resume(()))).unwrap_err();
    *payload
        .downcast::<String>()
        .expect("the message has an argument")
}

/// A reference that outlives the borrow checker's knowledge of it.
fn stretch<T>(reference: &T) -> &'static T {
    // SAFETY: each test uses it while the body that owns the referent waits.
    unsafe { &*std::ptr::from_ref(reference) }
}

#[test]
fn suspend_elsewhere_panics_and_harms_nothing() {
    let co = Coroutine::new(|co: &Suspender<(), u32>, ()| {
        let co_elsewhere = stretch(co);
        let text = panic_in_another(|| co_elsewhere.suspend(1));
        co.suspend(2);
        text
    });
    assert_eq!(co.resume(()).unwrap().yielded(), Some(2));
    let text = co.resume(()).unwrap().returned().unwrap();
    assert_eq!(text, "suspend outside of the coroutine that it belongs to");
}

#[test]
fn yield_elsewhere_panics_and_harms_nothing() {
    let mut generator = Generator::new(|g: &Yielder<String>| {
        let g_elsewhere = stretch(g);
        let text = panic_in_another(|| g_elsewhere.yield_(String::new()));
        g.yield_(text);
    });
    let text = generator.next().unwrap();
    assert_eq!(text, "suspend outside of the coroutine that it belongs to");
}

#[test]
fn yield_to_elsewhere_panics_and_harms_nothing() {
    let family = Family::new();
    let a = family.declare();
    family.define(a, |here: &Switcher<String>, _| {
        let here_elsewhere = stretch(here);
        let main = here.main();
        let text = panic_in_another(move || {
            let _ = here_elsewhere.yield_to(main.with(String::new()));
        });
        main.with(text)
    });
    let text = family.yield_to(a.with(String::new())).unwrap();
    assert_eq!(text, "yield_to outside of the coroutine that it belongs to");
}
