//! Rule 1: what a body is given works only on the coroutine's own stack. Safe code reaches these
//! panics from a scoped green thread; here the borrow is stretched by hand.

use super::{Coroutine, Family, Generator, Suspender, Switcher, Yielder};
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// The line of the last panic of this OS thread.
    static LINE: Cell<u32> = const { Cell::new(0) };
}

/// Runs `f` in a coroutine that is resumed from the caller's. Returns the message of its panic, and the
/// line it names.
fn panic_in_another(f: impl FnOnce() + 'static) -> (String, u32) {
    static NOTE_LINES: Once = Once::new();
    NOTE_LINES.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            LINE.set(info.location().map_or(0, |place| place.line()));
            before(info);
        }));
    });
    let other = Coroutine::<(), (), ()>::new(move |_, ()| f());
    let payload = catch_unwind(AssertUnwindSafe(|| other.resume(()))).unwrap_err();
    let text = payload
        .downcast::<String>()
        .expect("the message has an argument");
    (*text, LINE.get())
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
        let (text, line) = panic_in_another(|| co_elsewhere.suspend(1));
        assert_eq!(line, line!() - 1);
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
        let (text, line) = panic_in_another(|| g_elsewhere.yield_(String::new()));
        assert_eq!(line, line!() - 1);
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
        let main = here.main().with(String::new());
        let (text, line) = panic_in_another(|| drop(here_elsewhere.yield_to(main)));
        assert_eq!(line, line!() - 1);
        here.main().with(text)
    });
    let text = family.yield_to(a.with(String::new())).unwrap();
    assert_eq!(text, "yield_to outside of the coroutine that it belongs to");
}
