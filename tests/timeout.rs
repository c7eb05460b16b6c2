//! `timeout` and the deadlines of scopes: who says so, and when.

use std::cell::Cell;
use std::time::Duration;

use greenlit::cancel::{self, Scope};
use greenlit::sync::Mutex;
use greenlit::thread::{self, JoinHandle};
use greenlit::time::{Instant, timeout, timeout_at};

const LONG: Duration = Duration::from_secs(3600);

/// Lets a thread run that does something to the scope while the caller waits.
fn meanwhile(scope: &Scope, f: impl FnOnce(&Scope) + 'static) -> JoinHandle<()> {
    let scope = scope.clone();
    thread::spawn(move || f(&scope))
}

/// Computes until the clock says so, and calls nothing that blocks.
fn compute(length: Duration) {
    let start = Instant::now();
    while start.elapsed() < length {
        std::hint::spin_loop();
    }
}

/// Behaviour 28: whose deadline has passed says so, and nobody else.
#[test]
fn nested_deadlines() {
    greenlit::run(|| {
        let short = Duration::from_millis(1);
        // The inner one passes.
        let outer = timeout(LONG, || timeout(short, thread::park).is_err());
        assert_eq!(outer, Ok(true));
        // The outer one passes, inside the inner.
        let passed_through = Cell::new(true);
        let outer = timeout(short, || {
            let inner = timeout(LONG, thread::park);
            passed_through.set(false);
            inner
        });
        assert!(outer.is_err() && passed_through.get());
        // Both have: the outer one takes it.
        let deadline = Instant::now();
        let outer = timeout_at(deadline, || {
            let _inner = timeout_at(deadline, thread::park);
            passed_through.set(false);
        });
        assert!(outer.is_err() && passed_through.get());
    });
}

/// Behaviour 28.
#[test]
fn a_deadline_that_passed_during_computation_ends_the_next_call() {
    greenlit::run(|| {
        let lock = Mutex::new(());
        let calls: [&dyn Fn(); 5] = [
            &|| drop(lock.lock()),
            &thread::yield_now,
            &thread::park,
            &cancel::checkpoint,
            &|| drop(thread::spawn(|| ()).join()),
        ];
        for (number, call) in calls.into_iter().enumerate() {
            let result = timeout(Duration::from_millis(1), || {
                cancel::checkpoint();
                compute(Duration::from_millis(2));
                call();
            });
            assert!(result.is_err(), "call {number}");
        }
    });
}

/// Behaviour 28.
#[test]
fn a_deadline_can_be_moved() {
    greenlit::run(|| {
        // Nearer, while its body waits without one.
        let scope = Scope::new();
        meanwhile(&scope, |scope| scope.set_deadline(Some(Instant::now())));
        assert!(scope.run(thread::park).unwrap_err().is_deadline());

        // Nearer, while its body waits with a limit of its own.
        let scope = Scope::with_timeout(LONG);
        meanwhile(&scope, |scope| scope.set_deadline(Some(Instant::now())));
        assert!(scope.run(|| thread::sleep(LONG)).unwrap_err().is_deadline());

        // Away.
        let start = Instant::now();
        let (near, far) = (start + Duration::from_millis(300), start + LONG);
        let scope = Scope::with_deadline(near);
        let result = scope.run(|| {
            scope.set_deadline(Some(far));
            assert_eq!(cancel::current_deadline(), Some(far));
            thread::sleep_until(near + Duration::from_millis(2));
        });
        assert!(result.is_ok() && Instant::now() > near);
        scope.set_deadline(None);
        assert_eq!(scope.deadline(), None);
    });
}

/// Behaviour 29.
#[test]
fn a_timeout_waits_for_clean_up_and_starts_its_body() {
    struct Slow<'a>(&'a Cell<u32>);
    impl Drop for Slow<'_> {
        fn drop(&mut self) {
            thread::yield_now();
            thread::yield_now();
            self.0.set(self.0.get() + 1);
        }
    }
    greenlit::run(|| {
        let (begun, cleaned) = (Cell::new(0), Cell::new(0));
        let result = timeout(Duration::ZERO, || {
            let _slow = Slow(&cleaned);
            begun.set(1);
            thread::yield_now();
            begun.set(2);
        });
        assert!(result.is_err());
        assert_eq!((begun.get(), cleaned.get()), (1, 1));
    });
}
