//! Asymmetric coroutines: states, values, panics, what dropping means, and bodies that park.

use greenlit::coroutine::{Coroutine, Generator, Resumed, State};
use greenlit::thread;
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::{Rc, Weak};

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

/// Behaviour 49.
#[test]
fn smoke_values_pass_both_ways() {
    let co = Coroutine::new(|co, first: u32| {
        let second = co.suspend(format!("got {first}"));
        let third = co.suspend(format!("got {second}"));
        u64::from(third) * 10
    });
    assert_eq!(co.resume(1).unwrap(), Resumed::Yielded("got 1".to_owned()));
    assert_eq!(co.resume(2).unwrap().yielded().as_deref(), Some("got 2"));
    assert_eq!(co.resume(3).unwrap().returned(), Some(30));
}

/// Behaviour 49: values that fit no register, and values of no size.
#[test]
fn values_of_any_size_pass() {
    let co = Coroutine::new(|co, mut numbers: [u64; 100]| {
        while numbers[0] != 0 {
            numbers = co.suspend(numbers.map(|n| n + 1));
        }
        vec![numbers[99]; 3]
    });
    assert_eq!(co.resume([5; 100]).unwrap().yielded(), Some([6; 100]));
    let mut last = [7; 100];
    last[0] = 0;
    assert_eq!(co.resume(last).unwrap().returned(), Some(vec![7; 3]));
    let units = Coroutine::new(|co, ()| co.suspend(()));
    assert_eq!(units.resume(()).unwrap(), Resumed::Yielded(()));
    assert_eq!(units.resume(()).unwrap(), Resumed::Returned(()));
}

#[test]
fn nothing_runs_before_the_first_resume() {
    let ran = Rc::new(Cell::new(false));
    let co = Coroutine::new({
        let ran = ran.clone();
        move |_: &greenlit::coroutine::Suspender<(), ()>, ()| ran.set(true)
    });
    assert!(!ran.get());
    co.resume(()).unwrap();
    assert!(ran.get());
}

/// Behaviour 48.
#[test]
fn there_are_four_states() {
    type Own = Coroutine<(), State, State>;
    let inner_saw = Rc::new(Cell::new(None));
    let outer = Rc::new_cyclic(|own: &Weak<Own>| {
        let (own, inner_saw) = (own.clone(), inner_saw.clone());
        Coroutine::new(move |co, ()| {
            let me = own.upgrade().unwrap();
            let inner = Coroutine::<(), (), ()>::new({
                let me = me.clone();
                move |_, ()| inner_saw.set(Some(me.state()))
            });
            inner.resume(()).unwrap();
            co.suspend(me.state());
            me.state()
        })
    });
    assert_eq!(outer.state(), State::Suspended);
    assert_eq!(outer.resume(()).unwrap(), Resumed::Yielded(State::Running));
    assert_eq!(inner_saw.get(), Some(State::Normal));
    assert_eq!(outer.state(), State::Suspended);
    assert_eq!(outer.resume(()).unwrap(), Resumed::Returned(State::Running));
    assert_eq!(outer.state(), State::Done);
}

/// Behaviour 48.
#[test]
fn resuming_what_is_not_suspended_is_an_error_and_harms_nothing() {
    type Own = Coroutine<u32, u32, u32>;
    let outer = Rc::new_cyclic(|own: &Weak<Own>| {
        let own = own.clone();
        Coroutine::new(move |co, first| {
            let me = own.upgrade().unwrap();
            let error = me.resume(10).unwrap_err();
            assert_eq!((error.state(), error.into_input()), (State::Running, 10));
            let inner = Coroutine::<(), (), ()>::new({
                let me = me.clone();
                move |_, ()| {
                    let error = me.resume(11).unwrap_err();
                    assert_eq!((error.state(), error.into_input()), (State::Normal, 11));
                }
            });
            inner.resume(()).unwrap();
            drop(me);
            co.suspend(first + 1) + 1
        })
    });
    assert_eq!(outer.resume(1).unwrap(), Resumed::Yielded(2));
    assert_eq!(outer.resume(3).unwrap(), Resumed::Returned(4));
    let error = outer.resume(12).unwrap_err();
    assert_eq!(error.to_string(), "cannot resume a coroutine that is done");
    assert_eq!((error.state(), error.into_input()), (State::Done, 12));
}

/// Behaviour 44.
#[test]
fn a_panic_reaches_the_resumer_with_its_payload() {
    let drops = log();
    let co = Coroutine::new({
        let drops = drops.clone();
        move |co, ()| {
            let _one = Noted(drops.clone(), 1);
            let _two = Noted(drops, 2);
            co.suspend(());
            resume_unwind(Box::new(42_u8))
        }
    });
    let co: Coroutine<(), (), ()> = co;
    assert!(co.resume(()).is_ok());
    let payload = catch_unwind(AssertUnwindSafe(|| co.resume(()))).unwrap_err();
    assert_eq!(*payload.downcast::<u8>().unwrap(), 42);
    assert_eq!(*drops.borrow(), [2, 1]);
    assert_eq!(co.state(), State::Done);
    assert!(co.resume(()).is_err());
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
    struct Suspends<'a>(&'a greenlit::coroutine::Suspender<(), ()>);
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

#[test]
fn closures_of_any_size_and_alignment_fit_the_smallest_stack() {
    #[repr(align(128))]
    struct Aligned([u8; 128]);
    let large = [3_u8; 1 << 17];
    let co = Coroutine::with_stack_size(16 * 1024, move |co, ()| {
        co.suspend(usize::from(large[black_box(99_999)]));
        large.len()
    });
    let co = co.unwrap();
    assert_eq!(co.resume(()).unwrap(), Resumed::Yielded(3));
    assert_eq!(co.resume(()).unwrap(), Resumed::Returned(1 << 17));
    let aligned = Aligned([5; 128]);
    let co = Coroutine::<(), (), _>::new(move |_, ()| {
        let aligned = &aligned;
        (std::ptr::from_ref(aligned).addr() % 128, aligned.0[17])
    });
    assert_eq!(co.resume(()).unwrap(), Resumed::Returned((0, 5)));
}

#[test]
fn a_stack_size_that_cannot_be_served_is_an_error() {
    for bytes in [0, 100, usize::MAX] {
        let co = Coroutine::<(), (), ()>::with_stack_size(bytes, |_, ()| ());
        assert_eq!(
            co.unwrap_err().kind(),
            std::io::ErrorKind::InvalidInput,
            "{bytes}"
        );
    }
}

/// A body may park the green thread that drives it; the siblings run meanwhile.
#[test]
fn a_body_parks_the_green_thread_that_drives_it() {
    let order = log();
    greenlit::run(|| {
        let sibling = thread::spawn({
            let order = order.clone();
            move || {
                order.borrow_mut().push(2);
                thread::yield_now();
                order.borrow_mut().push(4);
            }
        });
        let worker = thread::spawn(|| {
            thread::park();
            "unparked"
        });
        let waker = worker.thread().clone();
        let co = Coroutine::new({
            let order = order.clone();
            move |co, ()| {
                order.borrow_mut().push(1);
                thread::yield_now();
                order.borrow_mut().push(3);
                co.suspend("yielded");
                sibling.join().unwrap();
                order.borrow_mut().push(5);
                waker.unpark();
                worker.join().unwrap()
            }
        });
        assert_eq!(co.resume(()).unwrap(), Resumed::Yielded("yielded"));
        assert_eq!(co.resume(()).unwrap(), Resumed::Returned("unparked"));
    });
    assert_eq!(*order.borrow(), [1, 2, 3, 4, 5]);
}

/// The coroutine is normal for others while the green thread that drives it is parked in its body.
#[test]
fn a_coroutine_whose_green_thread_is_parked_cannot_be_resumed_by_another() {
    greenlit::run(|| {
        let co = Rc::new(Coroutine::<(), (), u32>::new(|_, ()| {
            thread::park();
            5
        }));
        let driver = thread::spawn({
            let co = co.clone();
            move || co.resume(()).unwrap().returned()
        });
        thread::yield_now();
        assert_eq!(co.state(), State::Normal);
        assert_eq!(co.resume(()).unwrap_err().state(), State::Normal);
        driver.thread().unpark();
        assert_eq!(driver.join().unwrap(), Some(5));
    });
}

/// Begun by one green thread, continued by another, dropped by a third.
#[test]
fn a_coroutine_moves_between_green_threads() {
    let drops = log();
    greenlit::run(|| {
        let co = Rc::new(Coroutine::new({
            let noted = Noted(drops.clone(), 1);
            move |co, mut n: u32| {
                let _noted = noted;
                loop {
                    thread::yield_now();
                    n = co.suspend(n + 1);
                }
                #[allow(unreachable_code, reason = "it tells the return type")]
                ()
            }
        }));
        let resume = |n: u32| {
            let co = co.clone();
            thread::spawn(move || co.resume(n).unwrap().yielded())
                .join()
                .unwrap()
        };
        assert_eq!(resume(1), Some(2));
        assert_eq!(resume(5), Some(6));
        thread::spawn(move || drop(co)).join().unwrap();
    });
    assert_eq!(*drops.borrow(), [1]);
}

/// The end of the run cancels a green thread that is parked inside a coroutine's body.
#[test]
fn a_green_thread_is_cancelled_inside_a_body() {
    let drops = log();
    greenlit::run(|| {
        thread::spawn({
            let drops = drops.clone();
            move || {
                let _outer = Noted(drops.clone(), 2);
                let co = Coroutine::<(), (), ()>::new(move |_, ()| {
                    let _inner = Noted(drops, 1);
                    thread::park();
                });
                co.resume(()).unwrap();
            }
        });
        thread::yield_now();
    });
    assert_eq!(*drops.borrow(), [1, 2]);
}

#[test]
fn coroutines_outlive_the_runtime_that_they_were_made_in() {
    let (co, mut numbers) = greenlit::run(|| {
        let co = Coroutine::new(|co, n: u32| co.suspend(n) + 1);
        assert_eq!(co.resume(1).unwrap(), Resumed::Yielded(1));
        (co, Generator::new(|g| (1..4).for_each(|n| g.yield_(n))))
    });
    assert_eq!(co.resume(2).unwrap(), Resumed::Returned(3));
    assert_eq!(numbers.next(), Some(1));
}
