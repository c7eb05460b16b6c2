//! `future::sleep`: deadlines, their order, and who wakes whom where.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::by_hand::{Bell, block_on, poll};
use greenlit::future::{self, Sleep};
use greenlit::time::{Duration, Instant};
use greenlit::{Runtime, run, thread};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

/// Until when whoever is woken by no timer has been woken at least once, or has not.
fn pass_turns() {
    thread::sleep(Duration::from_millis(1));
}

#[test]
fn smoke() {
    run(|| {
        let start = Instant::now();
        future::block_on(future::sleep(SHORT));
        assert!(start.elapsed() >= SHORT);
    });
}

/// Behaviour 9: by deadline, equal ones as they were set, green threads among them.
#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    run(|| {
        // All are polled before the first is due; so much later is that.
        let base = Instant::now() + Duration::from_millis(300);
        let log = Rc::new(RefCell::new(Vec::new()));
        let deadlines = [3_u32, 1, 2, 1, 3, 1, 2];
        let mut handles = Vec::new();
        for (number, step) in deadlines.into_iter().enumerate() {
            let (log, deadline) = (log.clone(), base + step * Duration::from_millis(1));
            handles.push(future::spawn(async move {
                future::sleep_until(deadline).await;
                log.borrow_mut().push(number);
            }));
        }
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(*log.borrow(), [1, 3, 5, 2, 6, 0, 4]);
    });
}

/// Behaviour 10.
#[test]
fn a_sleep_counts_from_its_call_and_is_never_early() {
    run(|| {
        let start = Instant::now();
        let sleep = future::sleep(SHORT);
        thread::sleep(SHORT);
        let made_before = sleep.deadline();
        assert!(made_before >= start + SHORT && made_before <= Instant::now());
        future::block_on(sleep);
        for nanos in (0..2_000_000).step_by(61_803) {
            let start = Instant::now();
            future::block_on(future::sleep(Duration::from_nanos(nanos)));
            assert!(start.elapsed() >= Duration::from_nanos(nanos), "{nanos}");
        }
    });
}

/// Behaviour 9: a deadline that has passed is a yield.
#[test]
fn a_sleep_whose_deadline_has_passed_lets_others_run_once() {
    run(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let logs = |name: &'static str| {
            let log = log.clone();
            future::spawn(async move {
                log.borrow_mut().push((name, 1));
                future::sleep(Duration::ZERO).await;
                log.borrow_mut().push((name, 2));
                future::sleep_until(Instant::now() - SHORT).await;
                log.borrow_mut().push((name, 3));
            })
        };
        for handle in [logs("a"), logs("b")] {
            handle.join().unwrap();
        }
        let order = [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3), ("b", 3)];
        assert_eq!(*log.borrow(), order);
    });
}

/// Behaviour 12.
#[test]
fn a_sleep_past_the_clocks_end_never_ends() {
    run(|| {
        let bell = Bell::new();
        let mut sleep = future::sleep(Duration::MAX);
        assert!(poll(&mut sleep, &bell).is_pending());
        assert!(sleep.deadline() > Instant::now() + 1_000_000 * HOUR);
        pass_turns();
        assert!(poll(&mut sleep, &bell).is_pending() && !sleep.is_elapsed());
        assert_eq!(bell.rings(), 0);
    });
}

#[test]
fn a_sleep_that_was_ready_stays_so() {
    run(|| {
        let bell = Bell::new();
        let mut sleep = future::sleep(SHORT);
        block_on(&mut sleep);
        assert!(sleep.is_elapsed() && poll(&mut sleep, &bell).is_ready());
        assert_eq!(bell.wakers(), 0);
    });
}

#[test]
fn only_the_waker_of_the_last_poll_is_woken() {
    run(|| {
        let (first, second) = (Bell::new(), Bell::new());
        let mut sleep = future::sleep(SHORT);
        assert!(poll(&mut sleep, &first).is_pending());
        assert!(poll(&mut sleep, &second).is_pending());
        assert!(poll(&mut sleep, &second).is_pending());
        assert_eq!((first.wakers(), second.wakers()), (0, 1));
        second.wait_for(1);
        assert!(poll(&mut sleep, &second).is_ready());
        assert_eq!((first.rings(), second.rings()), (0, 1));
    });
}

#[test]
fn a_deadline_can_be_moved() {
    run(|| {
        let bell = Bell::new();
        // Nearer, and away again.
        let mut sleep = future::sleep(HOUR);
        assert!(poll(&mut sleep, &bell).is_pending());
        let near = Instant::now() + SHORT;
        sleep.reset(near);
        assert_eq!(sleep.deadline(), near);
        bell.wait_for(1);
        assert!(Instant::now() >= near);
        sleep.reset(Instant::now() + HOUR);
        assert!(poll(&mut sleep, &bell).is_pending());
        assert_eq!(bell.wakers(), 1);
        // To the past, from where it was ready, and before it was ever polled.
        sleep.reset(Instant::now() - SHORT);
        bell.wait_for(2);
        assert!(poll(&mut sleep, &bell).is_ready());
        sleep.reset(Instant::now() + SHORT);
        assert!(poll(&mut sleep, &bell).is_pending());
        bell.wait_for(3);
        let mut fresh = future::sleep(HOUR);
        fresh.reset(Instant::now() + SHORT);
        block_on(fresh);
    });
}

/// Behaviour 11.
#[test]
fn a_sleep_that_is_dropped_leaves_nothing_behind() {
    run(|| {
        let bell = Bell::new();
        let mut sleeps: Vec<_> = (0..10_000_u64)
            .map(|n| future::sleep(HOUR + Duration::from_nanos(n)))
            .collect();
        for sleep in &mut sleeps {
            assert!(poll(sleep, &bell).is_pending());
        }
        assert_eq!(bell.wakers(), 10_000);
        drop(sleeps);
        assert_eq!(bell.wakers(), 0);
    });
}

/// Drops `sleep` on another OS thread.
fn drop_elsewhere(sleep: Sleep) {
    let dropped = std::thread::spawn(move || drop(sleep));
    dropped.join().expect("it does not panic");
}

#[test]
fn a_sleep_that_is_dropped_on_another_os_thread_leaves_nothing_behind() {
    run(|| {
        let bell = Bell::new();
        let mut sleep = future::sleep(HOUR);
        assert!(poll(&mut sleep, &bell).is_pending());
        drop_elsewhere(sleep);
        while bell.wakers() > 0 {
            pass_turns();
        }
        // One that has fired already.
        let mut sleep = future::sleep(SHORT);
        let seen = bell.rings();
        assert!(poll(&mut sleep, &bell).is_pending());
        bell.wait_for(seen + 1);
        drop_elsewhere(sleep);
        pass_turns();
        block_on(future::sleep(SHORT));
    });
}

#[test]
fn a_deadline_that_is_moved_on_another_os_thread_wakes() {
    run(|| {
        let bell = Bell::new();
        let mut sleep = future::sleep(HOUR);
        assert!(poll(&mut sleep, &bell).is_pending());
        let other = std::thread::spawn(move || {
            sleep.reset(Instant::now());
            sleep
        });
        bell.wait_for(1);
        let mut sleep = other.join().unwrap();
        assert!(poll(&mut sleep, &bell).is_pending(), "it yields once");
        bell.wait_for(2);
        assert!(poll(&mut sleep, &bell).is_ready());
    });
}

#[test]
fn a_sleep_ends_outside_a_runtime() {
    for _ in 0..3 {
        let start = Instant::now();
        block_on(future::sleep(SHORT));
        assert!(start.elapsed() >= SHORT);
    }
    let start = Instant::now();
    future::block_on(future::sleep(SHORT));
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn sleeps_outside_a_runtime_are_moved_and_dropped() {
    let bell = Bell::new();
    let mut sleeps: Vec<_> = (0..100).map(|_| future::sleep(HOUR)).collect();
    for sleep in &mut sleeps {
        assert!(poll(sleep, &bell).is_pending());
        assert!(poll(sleep, &bell).is_pending());
    }
    assert_eq!(bell.wakers(), 100);
    sleeps[7].reset(Instant::now() + SHORT);
    bell.wait_for(1);
    assert!(poll(&mut sleeps[7], &bell).is_ready());
    // The OS thread that woke it lets go of its waker right after.
    while bell.wakers() > 99 {
        thread::yield_now();
    }
    drop(sleeps);
    assert_eq!(bell.wakers(), 0);
}

#[test]
fn a_sleep_goes_from_one_runtime_to_another_and_outside() {
    let deadline = Instant::now() + 50 * SHORT;
    let mut sleep = future::sleep_until(deadline);
    let bell = Bell::new();
    let mut runtime = Runtime::builder().build().unwrap();
    runtime.run(|| assert!(poll(&mut sleep, &bell).is_pending()));
    // Its runtime does not run any more: who awaits it is told to poll it elsewhere.
    assert_eq!((bell.rings(), bell.wakers()), (1, 0));
    let outside = Bell::new();
    assert!(poll(&mut sleep, &outside).is_pending());
    // It reads the letter that was sent.
    runtime.run(pass_turns);
    let sleep = std::thread::spawn(move || {
        run(|| block_on(&mut sleep));
        sleep
    });
    assert!(sleep.join().unwrap().is_elapsed() && Instant::now() >= deadline);
    assert_eq!(outside.wakers(), 0);
}

#[test]
fn a_sleep_outlives_its_runtime() {
    let bell = Bell::new();
    let mut sleep = future::sleep(HOUR);
    run(|| assert!(poll(&mut sleep, &bell).is_pending()));
    assert_eq!(bell.wakers(), 0);
    sleep.reset(Instant::now() + SHORT);
    block_on(&mut sleep);

    let mut sleep = future::sleep(HOUR);
    run(|| assert!(poll(&mut sleep, &bell).is_pending()));
    drop(sleep);
}

/// A waker that panics harms nobody else, in a runtime or outside.
#[test]
fn a_waker_that_panics_is_survived() {
    struct Panics(AtomicBool);
    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, Ordering::Release);
            panic!("a waker of a test's");
        }
    }
    let scene = || {
        let panics = std::sync::Arc::new(Panics(AtomicBool::new(false)));
        let waker = std::task::Waker::from(panics.clone());
        let mut context = std::task::Context::from_waker(&waker);
        let mut sleep = future::sleep(SHORT);
        assert!(std::pin::pin!(&mut sleep).poll(&mut context).is_pending());
        block_on(future::sleep_until(sleep.deadline() + SHORT));
        while !panics.0.load(Ordering::Acquire) {
            thread::yield_now();
        }
    };
    run(scene);
    scene();
}
