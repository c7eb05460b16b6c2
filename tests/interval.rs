//! `time::interval`: ticks are never early, do not drift, and what was missed follows a rule. Most
//! intervals here start hours in the past or the future, so that no machine is slow enough to
//! change what comes.

use std::cell::{Cell, RefCell};
use std::panic::catch_unwind;
use std::rc::Rc;

use greenlit::time::{self, Duration, Instant, Interval, MissedTicks};
use greenlit::{run, thread};

const HOUR: Duration = Duration::from_secs(3600);

/// What a test may take at most where an hour or more would be wrong.
const MARGIN: Duration = Duration::from_secs(1200);

/// An interval of an hour that has missed the ticks of three hours, and is half an hour late with
/// the fourth; and its start.
fn late(missed: MissedTicks) -> (Interval, Instant) {
    let start = Instant::now() - 7 * HOUR / 2;
    (time::interval_at(start, HOUR).missed_ticks(missed), start)
}

/// Runs `body`, which must not wait for a tick that is due in half an hour or more.
fn at_once(body: impl FnOnce()) {
    let start = Instant::now();
    run(body);
    assert!(start.elapsed() < MARGIN);
}

#[test]
fn smoke() {
    let period = Duration::from_millis(1);
    run(|| {
        let start = Instant::now();
        let ticks: Vec<_> = time::interval(period).take(3).collect();
        assert!(start.elapsed() >= 2 * period);
        assert!(ticks[0] >= start);
        assert_eq!(ticks[1] - ticks[0], period);
        assert_eq!(ticks[2] - ticks[1], period);
    });
}

#[test]
fn the_first_tick_comes_at_once() {
    at_once(|| {
        let before = Instant::now();
        let mut ticks = time::interval(HOUR);
        let due = ticks.deadline();
        assert!(before <= due && due <= Instant::now());
        let first = ticks.tick();
        assert_eq!(first, due);
        assert_eq!(ticks.deadline(), first + HOUR);
    });
}

#[test]
fn the_first_tick_comes_at_the_start_that_was_given() {
    run(|| {
        let start = Instant::now() + Duration::from_millis(3);
        let mut ticks = time::interval_at(start, HOUR);
        assert_eq!(ticks.deadline(), start);
        assert_eq!(ticks.tick(), start);
        assert!(Instant::now() >= start);
    });
}

/// Behaviour 10; and they do not drift, however late each of them is.
#[test]
fn ticks_are_never_early() {
    let period = Duration::from_micros(100);
    run(|| {
        for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            let start = Instant::now();
            let mut ticks = time::interval_at(start, period).missed_ticks(missed);
            let mut last = None;
            for count in 0..50 {
                let tick = ticks.tick();
                let now = Instant::now();
                assert!(now >= tick, "{missed:?}: {:?} early", tick - now);
                assert!(last < Some(tick), "{missed:?}");
                last = Some(tick);
                let next = ticks.deadline();
                let since = (next - start).as_nanos();
                match missed {
                    MissedTicks::Burst => assert_eq!(next, start + (count + 1) * period),
                    MissedTicks::Skip => assert_eq!(since % period.as_nanos(), 0),
                    MissedTicks::Delay => {
                        assert!(tick + period <= next && next <= now + period);
                    }
                }
            }
        }
    });
}

#[test]
fn missed_ticks_come_in_a_burst_unless_told_otherwise() {
    assert_eq!(MissedTicks::default(), MissedTicks::Burst);
    at_once(|| {
        let (mut ticks, start) = late(MissedTicks::Burst);
        for count in 0..4 {
            let due = start + count * HOUR;
            assert_eq!(ticks.deadline(), due);
            assert_eq!(ticks.tick(), due);
        }
        assert_eq!(ticks.deadline(), start + 4 * HOUR);

        let mut ticks = time::interval_at(start, HOUR);
        assert_eq!([ticks.tick(), ticks.tick()], [start, start + HOUR]);
    });
}

#[test]
fn missed_ticks_are_skipped_without_a_shift() {
    at_once(|| {
        let (mut ticks, start) = late(MissedTicks::Skip);
        assert_eq!(ticks.tick(), start);
        assert_eq!(ticks.deadline(), start + 4 * HOUR);
    });
}

#[test]
fn a_missed_tick_delays_the_next_ones() {
    at_once(|| {
        let (mut ticks, start) = late(MissedTicks::Delay);
        let before = Instant::now();
        assert_eq!(ticks.tick(), start);
        let after = Instant::now();
        let next = ticks.deadline();
        assert!(before + HOUR <= next && next <= after + HOUR);
    });
}

/// Behaviour 9: each of a burst is a yield, so that who catches up starves nobody.
#[test]
fn a_tick_that_is_due_already_is_a_yield() {
    at_once(|| {
        let (mut ticks, _) = late(MissedTicks::Burst);
        let count = Rc::new(Cell::new(0));
        let other = {
            let count = count.clone();
            thread::spawn(move || {
                for _ in 0..4 {
                    count.set(count.get() + 1);
                    thread::yield_now();
                }
            })
        };
        for ticked in 1..=4 {
            ticks.tick();
            assert_eq!(count.get(), ticked);
        }
        other.join().unwrap();
    });
}

#[test]
fn others_run_while_a_tick_is_waited_for() {
    run(|| {
        let start = Instant::now() + Duration::from_millis(2);
        let ticked = Rc::new(Cell::new(false));
        let other = {
            let ticked = ticked.clone();
            thread::spawn(move || {
                time::interval_at(start, HOUR).tick();
                ticked.set(true);
            })
        };
        // Ends only if the ticking thread gives the CPU away, and gets it again.
        while !ticked.get() {
            thread::yield_now();
        }
        other.join().unwrap();
    });
}

/// Behaviour 12.
#[test]
fn a_tick_past_the_end_of_the_clock_never_comes() {
    let centuries = 500 * 365 * 24 * HOUR;
    let came = Rc::new(Cell::new(false));
    at_once(|| {
        for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            for period in [Duration::MAX, Duration::from_nanos(u64::MAX)] {
                let mut ticks = time::interval(period).missed_ticks(missed);
                assert_eq!(ticks.period(), period);
                ticks.tick();
                assert!(ticks.deadline() > Instant::now() + centuries);
                ticks.reset();
                assert!(ticks.deadline() > Instant::now() + centuries);
                let came = came.clone();
                thread::spawn(move || {
                    ticks.tick();
                    came.set(true);
                });
            }
        }
        // All of them wait, until the end of the run.
        thread::yield_now();
        time::sleep(Duration::from_millis(1));
    });
    assert!(!came.get());
}

#[test]
fn a_tick_that_a_cancel_took_is_still_to_come() {
    let start = Instant::now() + HOUR;
    let ticks = Rc::new(RefCell::new(time::interval_at(start, HOUR)));
    at_once(|| {
        let ticks = ticks.clone();
        thread::spawn(move || ticks.borrow_mut().tick());
        thread::yield_now();
    });
    assert_eq!(ticks.borrow().deadline(), start);
}

#[test]
fn a_reset_starts_anew_from_now() {
    at_once(|| {
        let (mut ticks, _) = late(MissedTicks::Burst);
        let before = Instant::now();
        ticks.reset();
        let after = Instant::now();
        let next = ticks.deadline();
        assert!(before + HOUR <= next && next <= after + HOUR);
    });
}

#[test]
fn it_blocks_the_os_thread_outside_a_runtime() {
    let period = Duration::from_millis(2);
    let start = Instant::now();
    let mut ticks = time::interval(period);
    let first = ticks.tick();
    assert_eq!(ticks.tick(), first + period);
    assert_eq!(ticks.next(), Some(first + 2 * period));
    assert!(start.elapsed() >= 2 * period);
}

#[test]
fn it_goes_from_runtime_to_runtime_and_to_other_threads() {
    fn is_send_and_sync<T: Send + Sync + 'static>() {}
    is_send_and_sync::<Interval>();

    let period = Duration::from_millis(1);
    let mut ticks = time::interval(period);
    let first = run(|| ticks.tick());
    let second = run(|| ticks.tick());
    assert_eq!(second, first + period);
}

#[test]
fn a_period_of_zero_is_refused() {
    let refused: [fn() -> Interval; 2] = [
        || time::interval(Duration::ZERO),
        || time::interval_at(Instant::now(), Duration::ZERO),
    ];
    for make in refused {
        let panic = catch_unwind(make).expect_err("it is refused");
        assert_eq!(
            panic.downcast_ref(),
            Some(&"interval: a period of zero"),
            "the message"
        );
    }
}
