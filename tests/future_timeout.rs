//! `future::timeout`, and the ticks of an interval in async code.

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::by_hand::{Bell, block_on, poll};
use greenlit::future::{self, timeout, timeout_at};
use greenlit::time::{self, Duration, Elapsed, Instant, MissedTicks};
use greenlit::{run, thread};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

/// Computes until the clock says so.
fn compute(length: Duration) {
    let start = Instant::now();
    while start.elapsed() < length {
        std::hint::spin_loop();
    }
}

#[test]
fn smoke() {
    run(|| {
        let start = Instant::now();
        let late: Result<(), Elapsed> = future::block_on(timeout(SHORT, pending()));
        assert!(late.is_err() && start.elapsed() >= SHORT);
        assert_eq!(future::block_on(timeout(HOUR, ready(7))), Ok(7));
        assert_eq!(
            future::block_on(timeout_at(start, async { 7 })),
            Ok(7),
            "the future is polled first"
        );
    });
}

/// Behaviour 29: with zero the body runs up to where it first waits, and is dropped.
#[test]
fn a_timeout_of_zero_polls_once() {
    run(|| {
        let (polls, dropped) = (Rc::new(Cell::new(0)), Rc::new(()));
        for deadline in [Duration::ZERO, SHORT] {
            let counted = polls.clone();
            let kept = dropped.clone();
            let body = poll_fn(move |_| {
                let _kept = &kept;
                counted.set(counted.get() + 1);
                compute(SHORT);
                Poll::<()>::Pending
            });
            assert!(future::block_on(timeout(deadline, body)).is_err());
            assert_eq!(Rc::strong_count(&dropped), 1);
        }
        assert_eq!(polls.get(), 2);
    });
}

/// Behaviour 25.
#[test]
fn the_value_wins_where_both_are_ready() {
    run(|| {
        let bell = Bell::new();
        // So long that a slow machine has polled it by then.
        let deadline = Instant::now() + 50 * SHORT;
        let slow = async {
            future::sleep_until(deadline).await;
            "value"
        };
        let mut late = Box::pin(timeout_at(deadline, slow));
        assert!(poll(&mut late, &bell).is_pending());
        // Its own timer was set first, so the value is there.
        bell.wait_for(1);
        thread::sleep_until(deadline + SHORT);
        assert_eq!(poll(&mut late, &bell), Poll::Ready(Ok("value")));
        assert_eq!(bell.wakers(), 0);
    });
}

/// Behaviour 28.
#[test]
fn the_timeout_whose_deadline_has_passed_says_so() {
    run(|| {
        let inner = timeout(HOUR, pending::<()>());
        let outer = future::block_on(timeout(SHORT, inner));
        assert!(outer.is_err());
        let inner = timeout(SHORT, pending::<()>());
        assert!(matches!(future::block_on(timeout(HOUR, inner)), Ok(Err(_))));
    });
}

/// A body that is woken all the time, and spends the budget, cannot put off the deadline.
#[test]
fn a_busy_body_is_ended_in_time() {
    run(|| {
        let busy = async {
            loop {
                future::yield_now().await;
            }
        };
        let late: Result<(), Elapsed> = future::block_on(timeout(SHORT, busy));
        assert!(late.is_err());
    });
}

/// Behaviour 28.
#[test]
fn the_deadline_of_a_timeout_can_be_moved() {
    run(|| {
        let bell = Bell::new();
        let mut slow = pin!(timeout(HOUR, pending::<()>()));
        assert!(poll(&mut slow, &bell).is_pending());
        let near = Instant::now() + SHORT;
        slow.as_mut().reset(near);
        assert_eq!(slow.deadline(), near);
        bell.wait_for(1);
        assert_eq!(
            poll(&mut slow, &bell).map(|r| r.is_err()),
            Poll::Ready(true)
        );
    });
}

#[test]
fn a_timeout_ends_outside_a_runtime() {
    let start = Instant::now();
    assert!(block_on(timeout(SHORT, pending::<()>())).is_err());
    assert!(start.elapsed() >= SHORT);
    assert_eq!(block_on(timeout(HOUR, future::sleep(SHORT))), Ok(()));
}

#[test]
fn an_interval_ticks_in_async_code() {
    run(|| {
        future::block_on(async {
            let start = Instant::now() + SHORT;
            let mut ticks = time::interval_at(start, SHORT);
            for n in 0..3 {
                assert_eq!(ticks.tick_async().await, start + n * SHORT);
                assert!(Instant::now() >= start + n * SHORT);
            }
            // A tick that is given up is still to come.
            let due = ticks.deadline();
            assert!(timeout_at(start, ticks.tick_async()).await.is_err());
            assert_eq!(ticks.deadline(), due);
            assert_eq!(ticks.tick_async().await, due);

            let minute = Duration::from_secs(60);
            let start = Instant::now() - 5 * minute / 2;
            let mut ticks = time::interval_at(start, minute).missed_ticks(MissedTicks::Skip);
            assert_eq!(ticks.tick_async().await, start);
            assert_eq!(ticks.deadline(), start + 3 * minute);
        });
    });
}
