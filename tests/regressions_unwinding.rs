//! Bugs of cancels that meet other unwindings, coroutines and the end of a run; each test names one.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::alone::{self, alone_as};
use greenlit::cancel::{self, Scope};
use greenlit::coroutine::Coroutine;
use greenlit::sync::{Mutex, mpsc};
use greenlit::time::{Instant, timeout};
use greenlit::{Runtime, run, thread};

const LONG: Duration = Duration::from_secs(3600);

/// Runs its closure when it goes.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A panic that was caught inside of a destructor's timeout made the cancel around it look like a
/// panic, and its locks were poisoned.
#[test]
fn a_panic_caught_in_a_destructor_does_not_turn_a_cancel_into_one() {
    run(|| {
        let (scope, lock) = (Scope::new(), Mutex::new(1));
        let result = scope.run(|| {
            let _held = lock.lock();
            let _catches = OnDrop(|| {
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    let _ = timeout(Duration::ZERO, || panic!("caught"));
                }));
                thread::yield_now();
            });
            scope.cancel("over");
            thread::yield_now();
        });
        assert!(result.is_err() && !lock.is_poisoned());
    });
}

/// A spawn failed, its closure's destructor panicked, and the place that it had was gone for good.
#[test]
fn a_failed_spawn_gives_its_place_back_though_its_closure_panics() {
    // The error of the failed spawn is lost, since rustc drops no value that a function was about to
    // return when something else of it panicked.
    let options = std::env::var("ASAN_OPTIONS").unwrap_or_default();
    let mut again = alone::again("a_failed_spawn_gives_its_place_back_though_its_closure_panics");
    again.env("ASAN_OPTIONS", format!("{options}:detect_leaks=0"));
    alone_as(&mut again, || {
        let mut runtime = Runtime::builder().max_threads(1).build().unwrap();
        runtime.run(|| {
            let only = thread::spawn(thread::park);
            thread::ScopeBuilder::new().at_most(1).scope(|s| {
                let panics = OnDrop(|| panic!("in its destructor"));
                let spawn = AssertUnwindSafe(|| {
                    s.spawn(move || drop(panics));
                });
                assert!(catch_unwind(spawn).is_err());
                only.cancel("there is room for one");
                assert!(only.join().is_err());
                assert_eq!(timeout(LONG, || s.spawn(|| 5).join().unwrap()), Ok(5));
            });
        });
    });
}

/// A request to an owner whose scope is in a suspended coroutine never reached the scope's threads.
#[test]
fn a_request_reaches_a_scope_in_a_coroutine_later() {
    run(|| {
        let coroutine = Rc::new(Coroutine::<(), (), bool>::new(|co, ()| {
            let (_sender, receiver) = mpsc::channel::<()>();
            thread::scope(|s| {
                let listens = s.spawn(|| cancel::until_requested(|| receiver.recv()).is_err());
                co.suspend(());
                cancel::shield(|| listens.join().unwrap())
            })
        }));
        let owner = thread::spawn({
            let coroutine = coroutine.clone();
            move || {
                coroutine.resume(()).unwrap();
                thread::park();
                coroutine.resume(()).unwrap()
            }
        });
        thread::yield_now();
        thread::yield_now();
        owner.cancel_softly("please", LONG);
        thread::yield_now();
        owner.thread().unpark();
        assert_eq!(owner.join().unwrap().returned(), Some(true));
    });
}

/// A scope whose deadline had passed could be entered again once the deadline was moved.
#[test]
fn a_deadline_that_has_passed_cannot_be_moved() {
    run(|| {
        let scope = Scope::with_timeout(Duration::ZERO);
        assert!(scope.run(thread::park).is_err());
        scope.set_deadline(Some(Instant::now() + LONG));
        assert!(scope.is_cancelled());
        assert!(scope.run(thread::park).unwrap_err().is_deadline());
        let result = scope.run(|| {
            assert!(catch_unwind(AssertUnwindSafe(thread::park)).is_err());
            scope.set_deadline(None);
            assert!(cancel::is_cancelled() && scope.is_cancelled());
        });
        assert!(result.is_ok());
    });
}

/// One green thread that caught every cancel at the end of a run had all others given up with it, in
/// the middle of what they had to finish. Behaviour 53.
#[test]
fn one_that_catches_every_cancel_takes_nobody_along() {
    // The stack of what is given up is leaked.
    let options = std::env::var("ASAN_OPTIONS").unwrap_or_default();
    let mut again = alone::again("one_that_catches_every_cancel_takes_nobody_along");
    again.env("ASAN_OPTIONS", format!("{options}:detect_leaks=0"));
    let child = alone_as(&mut again, || {
        let finished = Rc::new(Cell::new(0));
        run(|| {
            drop(thread::spawn(|| {
                loop {
                    let _ = catch_unwind(thread::park);
                }
            }));
            for _ in 0..3 {
                let finished = finished.clone();
                drop(thread::spawn(move || {
                    cancel::shield(|| thread::sleep(Duration::from_millis(300)));
                    let _counts = OnDrop(|| finished.set(finished.get() + 1));
                    thread::park();
                }));
            }
            thread::yield_now();
        });
        assert_eq!(finished.get(), 3);
    });
    if let Some(child) = child {
        let report = String::from_utf8_lossy(&child.stderr);
        assert!(
            report.contains("1 of its green threads would not stop"),
            "{report}"
        );
        assert!(report.contains("goes on after each cancel"), "{report}");
    }
}
