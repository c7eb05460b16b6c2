//! Asymmetric coroutines: states, values, panics, and bodies that park. What dropping means stands
//! in `coroutine_drop.rs`.

use greenlit::coroutine::{Coroutine, Generator, Resumed, State};
use greenlit::thread;
use std::cell::{Cell, RefCell};
use std::env;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::rc::{Rc, Weak};

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

/// Behaviour 42. The child is this test once more, in a process of its own.
#[test]
fn an_overflow_names_the_place_where_the_coroutine_was_created() {
    const IS_CHILD: &str = "GREENLIT_TEST_OVERFLOWS";
    if env::var_os(IS_CHILD).is_some() {
        let co = Coroutine::<(), (), u64>::new(|_, ()| deeper(0));
        co.resume(()).unwrap();
    }
    let line = line!() - 3;

    let name = "coroutine::an_overflow_names_the_place_where_the_coroutine_was_created";
    let mut child = Command::new(env::current_exe().unwrap());
    let child = child
        .args(["--exact", name, "--nocapture"])
        .env(IS_CHILD, "")
        .output()
        .unwrap();
    assert!(!child.status.success());
    let text = String::from_utf8_lossy(&child.stderr);
    let place = format!("stack overflow in coroutine created at {}:{line}:", file!());
    assert!(text.contains(&place), "{text}");
}

/// Calls itself until the stack is used up. The condition keeps the compiler from knowing that.
fn deeper(n: u64) -> u64 {
    let frame = black_box([n; 32]);
    if frame[0] == u64::MAX {
        return n;
    }
    deeper(n + 1) + black_box(frame)[1]
}
