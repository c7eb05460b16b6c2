//! Symmetric coroutines: order, values, errors, panics, what dropping a family means, and parking.

use greenlit::coroutine::{Coroutine, Family, State, Switcher, Transfer, YieldErrorKind};
use greenlit::thread;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

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

/// The textbook's program.
#[test]
fn smoke_two_take_turns() {
    let order = log();
    let family = Family::new();
    let (a, b) = (family.declare(), family.declare());
    family.define(a, {
        let order = order.clone();
        move |here, ()| {
            let _noted = Noted(order.clone(), 100);
            order.borrow_mut().push(1);
            here.yield_to(b)?;
            order.borrow_mut().push(3);
            here.yield_to(b)?;
            order.borrow_mut().push(99);
            Ok(())
        }
    });
    family.define(b, {
        let order = order.clone();
        move |here, ()| {
            order.borrow_mut().push(2);
            here.yield_to(a)?;
            order.borrow_mut().push(4);
            Ok(())
        }
    });
    family.yield_to(a).unwrap();
    assert_eq!(*order.borrow(), [1, 2, 3, 4]);
    assert_eq!(
        (family.state(a), family.state(b)),
        (Some(State::Suspended), Some(State::Done))
    );
    drop(family);
    assert_eq!(*order.borrow(), [1, 2, 3, 4, 100]);
}

/// Behaviour 49.
#[test]
fn values_pass_on_every_switch_and_the_end_names_who_gets_its_value() {
    let family = Family::new();
    let (a, b, c) = (family.declare(), family.declare(), family.declare());
    let trail = log();
    family.define(a, {
        let trail = trail.clone();
        move |here, first: Vec<u32>| {
            trail.borrow_mut().extend(&first);
            let back = here.yield_to(b.with(vec![2, 2]))?;
            trail.borrow_mut().extend(&back);
            let from_main = here.yield_to(here.main().with(vec![4]))?;
            trail.borrow_mut().extend(&from_main);
            // Its end goes to `c`, not to main.
            Ok(c.with(vec![6]))
        }
    });
    family.define(b, {
        let trail = trail.clone();
        move |_, value| {
            trail.borrow_mut().extend(&value);
            a.with(vec![3])
        }
    });
    family.define(c, |here, value| here.main().with([value, vec![7]].concat()));
    assert_eq!(family.yield_to(a.with(vec![1])).unwrap(), [4]);
    assert_eq!(family.yield_to(a.with(vec![5])).unwrap(), [6, 7]);
    assert_eq!(*trail.borrow(), [1, 2, 2, 3, 5]);
}

/// Behaviour 48.
#[test]
fn a_target_that_cannot_be_gone_to_is_an_error_and_harms_nothing() {
    let family = Family::new();
    let other = Family::<u32>::new();
    let stranger = other.declare();
    other.define(stranger, |here, n| here.main().with(n));
    let (done, worker, bodiless) = (family.declare(), family.declare(), family.declare());
    family.define(done, |here, n| here.main().with(n));
    family.define(worker, move |here, n: u32| {
        let kinds = [done, worker, bodiless, stranger].map(|target| {
            let error = here.yield_to(target.with(n)).unwrap_err();
            let text = format!("{:?}", error.kind());
            assert_eq!(error.into_value(), n);
            text
        });
        assert_eq!(kinds, ["Done", "Running", "Undefined", "Foreign"]);
        let n = here.yield_to(here.main().with(n + 1)).unwrap();
        here.main().with(n + 1)
    });
    assert_eq!(family.yield_to(done.with(1)).unwrap(), 1);
    let error = family.yield_to(done.with(2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot yield to a coroutine that is done"
    );
    assert_eq!(error.into_value(), 2);
    let error = family.yield_to(family.main().with(2)).unwrap_err();
    assert!(matches!(error.kind(), YieldErrorKind::Running));
    assert_eq!(family.yield_to(worker.with(10)).unwrap(), 11);
    assert!(matches!(
        family.yield_to(stranger.with(0)).unwrap_err().kind(),
        YieldErrorKind::Foreign
    ));
    assert_eq!(family.yield_to(worker.with(20)).unwrap(), 21);
    assert_eq!(family.state(worker), Some(State::Done));
    assert_eq!(family.state(stranger), None);
    assert_eq!(other.yield_to(stranger.with(5)).unwrap(), 5);
}

#[test]
fn a_panic_reaches_whoever_drives_the_family() {
    let family = Family::new();
    let (a, b) = (family.declare(), family.declare());
    family.define(a, move |here, ()| {
        here.yield_to(b)?;
        Ok(())
    });
    family.define(b, |_, ()| -> () { resume_unwind(Box::new(42_u8)) });
    let payload = catch_unwind(AssertUnwindSafe(|| family.yield_to(a))).unwrap_err();
    assert_eq!(*payload.downcast::<u8>().unwrap(), 42);
    assert_eq!(
        (family.state(a), family.state(b)),
        (Some(State::Suspended), Some(State::Done))
    );
    // The others can still be driven.
    family.yield_to(a).unwrap();
    assert_eq!(family.state(a), Some(State::Done));
}

#[test]
fn an_end_that_names_a_dead_one_is_a_panic_of_the_body() {
    let family = Family::new();
    let (a, b) = (family.declare(), family.declare());
    family.define(a, |_, ()| ());
    family.define(b, move |_, ()| Transfer::from(a));
    family.yield_to(a).unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| family.yield_to(b))).unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    assert_eq!(
        *text,
        "a coroutine ended: cannot yield to a coroutine that is done"
    );
    let error = family.yield_to(b).unwrap_err();
    assert!(matches!(error.kind(), YieldErrorKind::Done));
}

/// Behaviour 50.
#[test]
fn dropping_a_family_unwinds_its_members_once_in_reverse() {
    let drops = log();
    let family = Family::new();
    let members: Vec<_> = (0..4).map(|_| family.declare()).collect();
    for (number, member) in members.iter().enumerate() {
        let (noted, drops) = (Noted(drops.clone(), number as u32), drops.clone());
        family.define(*member, move |here, ()| {
            let _first = noted;
            let _second = Noted(drops, 10 + number as u32);
            here.yield_to(here.main())?;
            unreachable!("it is unwound");
            #[allow(unreachable_code, reason = "it tells the return type")]
            Ok(())
        });
    }
    // The third never begins: its body is dropped with what it holds.
    for number in [1, 3, 0] {
        family.yield_to(members[number]).unwrap();
    }
    drop(family);
    assert_eq!(*drops.borrow(), [13, 3, 2, 11, 1, 10, 0]);
}

/// Behaviour 50, and what a destructor may do meanwhile.
#[test]
fn one_that_catches_the_unwinding_is_told_again_and_a_destructor_is_told_no() {
    struct Yields<'a>(&'a Switcher, Rc<Cell<bool>>);
    impl Drop for Yields<'_> {
        fn drop(&mut self) {
            let refused = self.0.yield_to(self.0.main()).unwrap_err();
            self.1
                .set(matches!(refused.kind(), YieldErrorKind::Closing));
        }
    }
    let (told, refused) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let family = Family::new();
    let polite = family.declare();
    family.define(polite, {
        let (told, refused) = (told.clone(), refused.clone());
        move |here, ()| {
            let _yields = Yields(here, refused);
            for _ in 0..3 {
                if catch_unwind(AssertUnwindSafe(|| here.yield_to(here.main()))).is_err() {
                    told.set(told.get() + 1);
                }
            }
            here.yield_to(here.main())?;
            Ok(())
        }
    });
    family.yield_to(polite).unwrap();
    drop(family);
    assert_eq!((told.get(), refused.get()), (3, true));
}

#[test]
fn one_that_never_stops_catching_is_leaked() {
    // AddressSanitizer ends a process that leaks with an error.
    if cfg!(greenlit_sanitize = "address") {
        return;
    }
    let drops = log();
    let family = Family::new();
    let (first, stubborn) = (family.declare(), family.declare());
    for (member, number) in [(first, 1), (stubborn, 2)] {
        let noted = Noted(drops.clone(), number);
        family.define(member, move |here, ()| {
            let _noted = noted;
            while catch_unwind(AssertUnwindSafe(|| here.yield_to(here.main()))).is_ok()
                || number == 2
            {}
        });
        family.yield_to(member).unwrap();
    }
    drop(family);
    // The other is unwound all the same.
    assert_eq!(*drops.borrow(), [1]);
}

/// A family of a thousand, around and around.
#[test]
fn a_ring_of_a_thousand_passes_a_number_on() {
    const LENGTH: usize = 1000;
    let family = Family::with_stack_size(16 * 1024).unwrap();
    let ring: Rc<Vec<_>> = Rc::new((0..LENGTH).map(|_| family.declare()).collect());
    for place in 0..LENGTH {
        let ring = ring.clone();
        family.define(ring[place], move |here, mut n: usize| {
            while n < 10 * LENGTH {
                n = here.yield_to(ring[(place + 1) % LENGTH].with(n + 1))?;
            }
            Ok(here.main().with(n))
        });
    }
    assert_eq!(family.yield_to(ring[0].with(0)).unwrap(), 10 * LENGTH);
}

/// The body of a member parks the green thread that drives the family; siblings run meanwhile, and
/// cannot drive the family themselves.
#[test]
fn a_member_parks_the_green_thread_that_drives_it() {
    let order = log();
    greenlit::run(|| {
        let family = Rc::new(Family::new());
        let (a, b) = (family.declare(), family.declare());
        family.define(a, {
            let order = order.clone();
            move |here, ()| {
                order.borrow_mut().push(1);
                thread::park();
                order.borrow_mut().push(3);
                here.yield_to(b)?;
                Ok(())
            }
        });
        family.define(b, {
            let order = order.clone();
            move |_, ()| {
                thread::yield_now();
                order.borrow_mut().push(4);
            }
        });
        let driver = thread::spawn({
            let family = family.clone();
            move || family.yield_to(a).unwrap()
        });
        thread::yield_now();
        order.borrow_mut().push(2);
        assert_eq!(family.state(a), Some(State::Normal));
        assert!(matches!(
            family.yield_to(b).unwrap_err().kind(),
            YieldErrorKind::Driven
        ));
        driver.thread().unpark();
        driver.join().unwrap();
    });
    assert_eq!(*order.borrow(), [1, 2, 3, 4]);
}

/// The end of the run cancels a green thread that is parked on a member's stack.
#[test]
fn a_green_thread_is_cancelled_inside_a_member() {
    let drops = log();
    greenlit::run(|| {
        thread::spawn({
            let drops = drops.clone();
            move || {
                let _driver = Noted(drops.clone(), 2);
                let family = Family::new();
                let (a, b) = (family.declare(), family.declare());
                family.define(a, {
                    let drops = drops.clone();
                    move |here, ()| {
                        let _noted = Noted(drops, 1);
                        here.yield_to(b)?;
                        Ok(())
                    }
                });
                family.define(b, move |_, ()| {
                    let _noted = Noted(drops, 0);
                    thread::park();
                });
                family.yield_to(a).unwrap();
            }
        });
        thread::yield_now();
    });
    assert_eq!(*drops.borrow(), [0, 1, 2]);
}

/// One family's member drives another family, inside an asymmetric coroutine.
#[test]
fn families_and_coroutines_nest() {
    let outer = Family::new();
    let a = outer.declare();
    outer.define(a, |here, n: u32| {
        let co = Coroutine::new(move |co, n: u32| {
            let inner = Family::new();
            let x = inner.declare();
            inner.define(x, |here, n: u32| {
                let n = here.yield_to(here.main().with(n + 1))?;
                Ok(here.main().with(n + 1))
            });
            let n = co.suspend(inner.yield_to(x.with(n)).unwrap());
            inner.yield_to(x.with(n)).unwrap()
        });
        let n = co.resume(n).unwrap().yielded().unwrap();
        let n = here.yield_to(here.main().with(n)).unwrap();
        let n = co.resume(n).unwrap().returned().unwrap();
        here.main().with(n)
    });
    assert_eq!(outer.yield_to(a.with(1)).unwrap(), 2);
    assert_eq!(outer.yield_to(a.with(10)).unwrap(), 11);
}
