//! What becomes of a coroutine that is dropped in the middle of its body.

use greenlit::coroutine::{Coroutine, Resumed, Suspender};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// AddressSanitizer ends a process that leaks with an error, and some tests mean to leak.
const LEAKS_ARE_REPORTED: bool = cfg!(greenlit_sanitize = "address");

/// Notes in a log that it was dropped.
struct Noted(Rc<RefCell<Vec<u32>>>, u32);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

fn log() -> Rc<RefCell<Vec<u32>>> {
    Rc::new(RefCell::new(Vec::new()))
}

/// Behaviour 50.
#[test]
fn dropping_a_suspended_coroutine_runs_its_destructors_once_in_reverse() {
    let drops = log();
    let co = Coroutine::new({
        let drops = drops.clone();
        move |co, ()| {
            let _one = Noted(drops.clone(), 1);
            let _two = Noted(drops.clone(), 2);
            co.suspend(());
            drops.borrow_mut().push(99);
        }
    });
    co.resume(()).unwrap();
    assert!(drops.borrow().is_empty());
    drop(co);
    assert_eq!(*drops.borrow(), [2, 1]);
}

/// Behaviour 50.
#[test]
fn dropping_one_that_never_began_drops_its_closure_only() {
    let drops = log();
    let noted = Noted(drops.clone(), 1);
    let co = Coroutine::<(), (), ()>::new(move |_, ()| {
        let _noted = noted;
        unreachable!("it never begins");
    });
    drop(co);
    assert_eq!(*drops.borrow(), [1]);
}

/// Behaviour 50: whether they have begun or not.
#[test]
fn a_chain_of_a_thousand_is_dropped_without_overflow() {
    for begun in [true, false] {
        let drops = log();
        let mut chain: Option<Coroutine<(), (), ()>> = None;
        for link in 0..1000 {
            let (next, noted) = (chain.take(), Noted(drops.clone(), link));
            let co = Coroutine::with_stack_size(16 * 1024, move |co, ()| {
                let _held = (noted, next);
                co.suspend(());
            });
            let co = co.unwrap();
            if begun {
                co.resume(()).unwrap();
            }
            chain = Some(co);
        }
        drop(chain);
        let expected: Vec<u32> = (0..1000).rev().collect();
        assert_eq!(*drops.borrow(), expected);
    }
}

/// Behaviour 50.
#[test]
fn one_that_catches_the_unwinding_is_told_again() {
    let told = Rc::new(Cell::new(0));
    let drops = log();
    let co = Coroutine::new({
        let (told, drops) = (told.clone(), drops.clone());
        move |co, ()| {
            let _noted = Noted(drops, 1);
            for _ in 0..3 {
                if catch_unwind(AssertUnwindSafe(|| co.suspend(()))).is_err() {
                    told.set(told.get() + 1);
                }
            }
        }
    });
    co.resume(()).unwrap();
    drop(co);
    assert_eq!((told.get(), drops.borrow().len()), (3, 1));
}

#[test]
fn one_that_never_stops_catching_is_leaked() {
    if LEAKS_ARE_REPORTED {
        return;
    }
    let told = Rc::new(Cell::new(0));
    let co = Coroutine::<(), (), ()>::new({
        let told = told.clone();
        move |co, ()| {
            loop {
                let _ = catch_unwind(AssertUnwindSafe(|| co.suspend(())));
                told.set(told.get() + 1);
            }
        }
    });
    co.resume(()).unwrap();
    drop(co);
    assert!(told.get() >= 3);
}

#[test]
fn a_panic_while_it_is_unwound_goes_no_further_than_the_drop() {
    let co = Coroutine::new(|co, ()| {
        if catch_unwind(AssertUnwindSafe(|| co.suspend(()))).is_err() {
            panic!("instead of unwinding (this message is expected)");
        }
    });
    co.resume(()).unwrap();
    drop(co);

    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in a destructor (this message is expected)");
        }
    }
    // A closure that never ran, and a value that is yielded to nobody.
    let bomb = PanicsInDrop;
    drop(Coroutine::<(), (), ()>::new(move |_, ()| drop(bomb)));
    let co = Coroutine::new(|co, ()| {
        let _ = catch_unwind(AssertUnwindSafe(|| co.suspend(None)));
        co.suspend(Some(PanicsInDrop));
    });
    co.resume(()).unwrap();
    drop(co);
}

/// A second unwinding must not start in a destructor: that would abort.
#[test]
fn one_that_was_suspended_by_a_destructor_in_a_panic_is_leaked() {
    if LEAKS_ARE_REPORTED {
        return;
    }
    struct Suspends<'a>(&'a Suspender<(), ()>);
    impl Drop for Suspends<'_> {
        fn drop(&mut self) {
            self.0.suspend(());
        }
    }
    let drops = log();
    let co = Coroutine::<(), (), ()>::new({
        let noted = Noted(drops.clone(), 1);
        move |co, ()| {
            let _noted = noted;
            let _suspends = Suspends(co);
            resume_unwind(Box::new("a panic"));
        }
    });
    assert_eq!(co.resume(()).unwrap(), Resumed::Yielded(()));
    drop(co);
    // Suspended in the middle of being unwound, as well.
    let co = Coroutine::<(), (), ()>::new({
        let noted = Noted(drops.clone(), 2);
        move |co, ()| {
            let _noted = noted;
            let _suspends = Suspends(co);
            co.suspend(());
        }
    });
    co.resume(()).unwrap();
    drop(co);
    assert!(drops.borrow().is_empty());
}

/// A coroutine that is dropped by an unwinding is unwound too.
#[test]
fn a_coroutine_on_an_unwinding_stack_is_unwound() {
    let drops = log();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        let noted = Noted(drops.clone(), 1);
        let co = Coroutine::new(move |co, ()| {
            let _noted = noted;
            co.suspend(());
        });
        co.resume(()).unwrap();
        resume_unwind(Box::new(7_u8));
    }));
    assert_eq!(*payload.unwrap_err().downcast::<u8>().unwrap(), 7);
    assert_eq!(*drops.borrow(), [1]);
}
