//! Scopes, deadlines and shields that are entered in a coroutine belong to it: they stay behind when
//! it suspends, and come along when it is continued, by whomever (rule 25).

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenlit::cancel::{self, Cancelled, Scope};
use greenlit::coroutine::{Coroutine, Family, Generator, Resumed};
use greenlit::thread;
use greenlit::time::{Instant, timeout, timeout_at};

const LONG: Duration = Duration::from_secs(3600);

/// Lets the clock pass `deadline`, and the runtime see it.
fn pass(deadline: Instant) {
    thread::sleep_until(deadline);
}

#[test]
fn a_scope_stays_with_the_coroutine_that_entered_it() {
    greenlit::run(|| {
        let scope = Scope::new();
        let coroutine = Coroutine::<(), (), String>::new({
            let scope = scope.clone();
            move |co, ()| {
                let result = scope.run(|| {
                    co.suspend(());
                    thread::park();
                });
                result.unwrap_err().to_string()
            }
        });
        assert_eq!(coroutine.resume(()).unwrap(), Resumed::Yielded(()));
        scope.cancel("of the coroutine");
        assert!(!cancel::is_cancelled());
        thread::yield_now();
        let ended = coroutine.resume(()).unwrap();
        assert_eq!(
            ended,
            Resumed::Returned("cancelled: of the coroutine".into())
        );
    });
}

#[test]
fn a_deadline_that_passes_meanwhile_ends_the_coroutine_and_not_its_driver() {
    greenlit::run(|| {
        let deadline = Instant::now() + Duration::from_millis(1);
        let timed = Coroutine::<(), (), bool>::new(move |co, ()| {
            timeout_at(deadline, || {
                co.suspend(());
                thread::park();
            })
            .is_err()
        });
        timed.resume(()).unwrap();
        assert_eq!(cancel::current_deadline(), None);
        pass(deadline);
        thread::sleep(Duration::from_millis(1));
        assert_eq!(timed.resume(()).unwrap(), Resumed::Returned(true));

        // The other way round: what the driver has holds for the body, which passes it on.
        let sleeper = Coroutine::<(), (), ()>::new(|co, ()| {
            co.suspend(());
            let _inner = timeout(LONG, thread::park);
            unreachable!("the deadline is the driver's");
        });
        sleeper.resume(()).unwrap();
        assert!(timeout(Duration::from_millis(1), || sleeper.resume(())).is_err());
    });
}

#[test]
fn shields_and_regions_without_switches_stay_behind_too() {
    greenlit::run(|| {
        let holder = Coroutine::<(), (), ()>::new(|co, ()| {
            cancel::shield(|| co.suspend(()));
            thread::no_switch(|| co.suspend(()));
            cancel::no_unwind(|| co.suspend(()));
        });
        let scope = Scope::new();
        for _ in 0..3 {
            holder.resume(()).unwrap();
            thread::yield_now();
            let cancelled = scope.run(|| {
                scope.cancel("the driver's own");
                thread::yield_now();
            });
            assert!(cancelled.is_err());
        }
        assert_eq!(holder.resume(()).unwrap(), Resumed::Returned(()));
        thread::yield_now();
    });
}

/// Entered in one order, left in another.
#[test]
fn coroutines_leave_their_scopes_in_any_order() {
    greenlit::run(|| {
        let in_scope = |scope: &Scope| {
            let scope = scope.clone();
            Coroutine::<(), (), bool>::new(move |co, ()| {
                scope
                    .run(|| {
                        co.suspend(());
                        thread::yield_now();
                        co.suspend(());
                        thread::yield_now();
                    })
                    .is_err()
            })
        };
        let (outer, one, two) = (Scope::new(), Scope::new(), Scope::new());
        let (first, second) = (in_scope(&one), in_scope(&two));
        first.resume(()).unwrap();
        outer
            .run(|| {
                second.resume(()).unwrap();
                first.resume(()).unwrap();
            })
            .unwrap();
        one.cancel("one");
        outer.cancel("nobody is in it any more");
        assert_eq!(second.resume(()).unwrap(), Resumed::Yielded(()));
        assert_eq!(first.resume(()).unwrap(), Resumed::Returned(true));
        assert_eq!(second.resume(()).unwrap(), Resumed::Returned(false));
        thread::yield_now();
    });
}

/// Whoever continues it is the one whose park the cancel ends.
#[test]
fn a_scope_moves_to_the_thread_that_continues_the_coroutine() {
    greenlit::run(|| {
        let scope = Scope::new();
        let carried = Rc::new(Coroutine::<(), (), bool>::new({
            let scope = scope.clone();
            move |co, ()| {
                scope
                    .run(|| {
                        co.suspend(());
                        thread::park();
                    })
                    .is_err()
            }
        }));
        let first = thread::spawn({
            let carried = carried.clone();
            move || carried.resume(()).map(drop).unwrap()
        });
        first.join().unwrap();
        let second = thread::spawn({
            let carried = carried.clone();
            move || carried.resume(()).unwrap()
        });
        thread::yield_now();
        scope.cancel("wherever it is");
        assert_eq!(second.join().unwrap(), Resumed::Returned(true));
    });
}

#[test]
fn symmetric_coroutines_take_their_scopes_along() {
    greenlit::run(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let scope = Scope::new();
        let family = Family::<()>::new();
        let (a, b) = (family.declare(), family.declare());
        family.define(a, {
            let (log, scope) = (log.clone(), scope.clone());
            move |switcher, ()| {
                let result = scope.run(|| {
                    switcher.yield_to(b).unwrap();
                    thread::park();
                });
                log.borrow_mut()
                    .push(result.unwrap_err().reason().to_owned());
            }
        });
        family.define(b, {
            let (log, scope) = (log.clone(), scope.clone());
            move |switcher, ()| {
                scope.cancel("a's");
                thread::yield_now();
                log.borrow_mut().push("b is not in it".to_owned());
                switcher.yield_to(a).unwrap();
            }
        });
        family.yield_to(a).unwrap();
        assert_eq!(*log.borrow(), ["b is not in it", "a's"]);
        assert!(!cancel::is_cancelled());
    });
}

/// What is suspended in a scope may outlive the run, and is unwound outside it.
#[test]
fn a_suspended_scope_outlives_its_run() {
    let dropped = Rc::new(Cell::new(0));
    let scope = Scope::new();
    let left_over = greenlit::run(|| {
        let (dropped, scope) = (dropped.clone(), scope.clone());
        let generator = thread::spawn(move || {
            let mut generator = Generator::new(move |co: &greenlit::coroutine::Yielder<u32>| {
                struct Guard(Rc<Cell<u32>>);
                impl Drop for Guard {
                    fn drop(&mut self) {
                        self.0.set(self.0.get() + 1);
                    }
                }
                let _guard = Guard(dropped);
                let _ = scope.run(|| timeout(LONG, || cancel::shield(|| co.yield_(1))));
                co.yield_(2);
            });
            assert_eq!(generator.next(), Some(1));
            generator
        });
        generator.join().unwrap()
    });
    scope.cancel("nobody runs");
    drop(left_over);
    assert_eq!(dropped.get(), 1);
}

/// A coroutine of another crate does not say that it suspends. Then its scope stays with the thread
/// that entered it; and nothing refers to it once that thread has ended.
#[test]
fn a_foreign_coroutine_may_leave_a_scope_behind() {
    let scope = Scope::new();
    let mut foreign = corosensei::Coroutine::<(), (), ()>::new({
        let scope = scope.clone();
        move |yielder, ()| {
            let _ = scope.run(|| timeout(LONG, || yielder.suspend(())));
        }
    });
    let mut runtime = greenlit::Runtime::builder().build().unwrap();
    let foreign = runtime.run(|| {
        let thread = thread::spawn(move || {
            let _ = foreign.resume(());
            foreign
        });
        thread.join().unwrap()
    });
    // Another thread has the record now.
    runtime.run(|| thread::spawn(thread::yield_now).join().unwrap());
    drop(runtime);
    scope.cancel("it is in nobody's chain");
    drop(foreign);
}

/// Neither do two of them name each other: the one that was entered first may go first.
#[test]
fn foreign_coroutines_that_were_left_behind_go_in_any_order() {
    greenlit::run(|| {
        let mut around = corosensei::Coroutine::<(), (), ()>::new(|yielder, ()| {
            let _ = Scope::new().run(|| yielder.suspend(()));
        });
        let told = Rc::new(Cell::new(None));
        let mut inside = corosensei::Coroutine::<(), (), ()>::new({
            let told = told.clone();
            move |yielder, ()| {
                thread::scope(|s| {
                    s.spawn(|| {
                        thread::yield_now();
                        thread::yield_now();
                        // It looks at all that its scope is in.
                        told.set(Some(cancel::requested().is_some()));
                    });
                    yielder.suspend(());
                });
            }
        });
        let entered = thread::spawn(move || {
            let _ = around.resume(());
            let _ = inside.resume(());
            (around, inside)
        });
        let (around, mut inside) = entered.join().unwrap();
        // Its stack goes.
        drop(around);
        let _ = inside.resume(());
        assert_eq!(told.get(), Some(false));
    });
}

/// A cancel that a body catches by hand is over when its payload goes, also while another green
/// thread is parked in the middle of an unwinding: the next cancel unwinds again.
#[test]
fn a_cancel_that_is_caught_by_hand_is_over() {
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            cancel::shield(thread::park);
        }
    }
    greenlit::run(|| {
        let in_the_middle = thread::spawn(|| {
            let _parks = Parks;
            thread::park();
        });
        thread::yield_now();
        in_the_middle.cancel("and it parks");
        thread::yield_now();
        let scope = Scope::new();
        scope.cancel("once and again");
        let event = greenlit::sync::Event::new();
        let result = scope.run(|| {
            for _ in 0..3 {
                // A wait that would be masked if the thread seemed to unwind still.
                let call = AssertUnwindSafe(|| event.wait());
                assert!(catch_unwind(call).unwrap_err().is::<Cancelled>());
            }
        });
        assert!(result.is_ok());
        in_the_middle.thread().unpark();
        assert!(in_the_middle.join().is_err());
    });
}

/// A coroutine is left in a destructor that a cancel runs, and continued by another green thread: that
/// one unwinds from then on, and the first does not any more.
#[test]
fn an_unwinding_stays_with_the_coroutine() {
    struct Suspends<'a>(&'a dyn Fn());
    impl Drop for Suspends<'_> {
        fn drop(&mut self) {
            self.0();
        }
    }
    greenlit::run(|| {
        let scope = Scope::new();
        let carried = Rc::new(Coroutine::<(), (), bool>::new({
            let scope = scope.clone();
            move |co, ()| {
                let result = scope.run(|| {
                    let suspends = || {
                        co.suspend(());
                        // Nothing unwinds from here once more.
                        thread::yield_now();
                    };
                    let _suspends = Suspends(&suspends);
                    scope.cancel("over");
                    thread::yield_now();
                });
                // It is over: the next cancel unwinds.
                result.is_err() && scope.run(thread::yield_now).is_err()
            }
        }));
        let first = thread::spawn({
            let carried = carried.clone();
            move || {
                carried.resume(()).unwrap();
                thread::park();
            }
        });
        thread::yield_now();
        thread::yield_now();
        assert_eq!(carried.resume(()).unwrap(), Resumed::Returned(true));
        // It waits, and is unwound as any other.
        first.cancel("it does not unwind yet");
        assert!(first.join().unwrap_err().is::<Cancelled>());
    });
}
