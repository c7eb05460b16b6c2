//! Bugs of cancels that random programs (`property.rs`) and reviews have found; each test names one.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::time::Duration;

use greenlit::cancel::{self, Scope};
use greenlit::sync::mpsc;
use greenlit::{thread, time};

const LONG: Duration = Duration::from_secs(3600);

/// A second request, which gave less time than the first, was not told to those who were in the scope
/// already: they had the time of the first.
#[test]
fn a_request_may_take_time_back() {
    greenlit::run(|| {
        let scope = Scope::new();
        let waiter = thread::spawn({
            let scope = scope.clone();
            move || scope.run(|| thread::sleep(LONG))
        });
        thread::yield_now();
        scope.cancel_softly("take your time", LONG);
        thread::yield_now();
        scope.cancel_softly("no more time", Duration::ZERO);
        let error = waiter.join().unwrap().unwrap_err();
        assert_eq!(error.reason(), "take your time");
    });
}

/// A deadline that had passed while the green thread computed was not seen by who asked.
#[test]
fn a_deadline_that_has_passed_counts_as_a_request() {
    greenlit::run(|| {
        let scope = Scope::with_timeout(Duration::from_millis(1));
        let told = scope.run(|| {
            std::thread::sleep(Duration::from_millis(2));
            cancel::requested().is_some()
        });
        assert_eq!(told.ok(), Some(true));
    });
}

/// A wait that a request ends took a cancel that was aimed at a scope around it, where something further
/// out was asked to stop too.
#[test]
fn a_cancel_passes_through_a_wait_for_requests() {
    greenlit::run(|| {
        let scope = Scope::new();
        let worker = thread::spawn({
            let scope = scope.clone();
            move || {
                let result = scope.run(|| {
                    let _ = cancel::until_requested(|| thread::sleep(LONG));
                    "goes on"
                });
                result.map_err(|cancelled| cancelled.reason().to_owned())
            }
        });
        thread::yield_now();
        scope.cancel("stop");
        worker.cancel_softly("come to an end", LONG);
        assert_eq!(worker.join().unwrap(), Err("stop".to_owned()));
    });
}

/// The joins that wait for more than a result looked for a cancel twice, and lost a result that had
/// come together with it.
#[test]
fn a_join_that_is_over_returns_its_value_though_a_cancel_came_too() {
    greenlit::run(|| {
        let scope = Scope::new();
        let joined = scope.run(|| {
            thread::scope(|s| {
                let worker = s.spawn(|| {
                    scope.cancel("at the same time");
                    1
                });
                let value = worker.join();
                assert!(cancel::is_cancelled());
                value.unwrap()
            })
        });
        assert_eq!(joined.unwrap(), 1);

        let scope = Scope::new();
        let canceller = scope.clone();
        let joined = scope.run(|| {
            let worker = thread::spawn(move || {
                canceller.cancel("at the same time");
                2
            });
            worker.cancel_on_drop().join().unwrap()
        });
        assert_eq!(joined.unwrap(), 2);
    });
}

/// A cancel of the owner that he could not hear, behind a shield, was not told to those of his threads
/// that end their waits for a request: they, and he with them, waited for ever.
#[test]
fn a_cancel_of_a_shielded_owner_is_a_request_to_his_threads() {
    greenlit::run(|| {
        let (_sender, jobs) = mpsc::channel::<u32>();
        let owner = thread::spawn(move || {
            thread::scope(|s| {
                let worker = s.spawn(|| cancel::until_requested(|| jobs.recv()).is_err());
                cancel::shield(|| worker.join().unwrap())
            })
        });
        thread::yield_now();
        thread::yield_now();
        owner.cancel("stop");
        let ended = time::timeout(LONG, || owner.join());
        assert!(ended.unwrap().unwrap());
    });
}

/// The error of a scope, thrown by hand, passed for the own cancel of the green thread that threw it:
/// nobody heard of it.
#[test]
fn an_error_of_a_scope_that_is_thrown_is_a_panic() {
    greenlit::run(|| {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|s| {
                s.spawn(|| {
                    let scope = Scope::new();
                    scope.cancel("caught");
                    panic_any(scope.run(thread::yield_now).unwrap_err());
                });
            });
        }));
        assert!(outcome.is_err());
    });
}
