//! Bugs of cancels that random programs (`property.rs`) have found; each test names one.

use std::time::Duration;

use greenlit::cancel::{self, Scope};
use greenlit::thread;

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
