//! `call_soon`, `call_later`, `call_at`: order, cancels, panics, and callbacks that block.

use std::cell::{Cell, RefCell};
use std::panic::catch_unwind;
use std::rc::Rc;

use crate::alone::alone;
use greenlit::event_loop::{Callback, call_at, call_later, call_soon};
use greenlit::sync::Event;
use greenlit::time::{Duration, Instant};
use greenlit::{future, run, thread};

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(2);

/// What was called, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<u32>>>);

impl Log {
    fn add(&self, number: u32) {
        self.0.borrow_mut().push(number);
    }

    /// A callback that notes a number.
    fn note(&self, number: u32) -> impl FnOnce() + 'static {
        let log = self.clone();
        move || log.add(number)
    }

    /// Waits until so many numbers are there.
    fn wait_for(&self, count: usize) -> Vec<u32> {
        while self.0.borrow().len() < count {
            thread::sleep(Duration::from_micros(100));
        }
        self.0.borrow().clone()
    }
}

#[test]
fn smoke() {
    run(|| {
        let log = Log::default();
        call_soon(log.note(2));
        let start = Instant::now();
        let late = call_later(SHORT, {
            let log = log.clone();
            move || {
                assert!(start.elapsed() >= SHORT);
                log.add(3);
            }
        });
        log.add(1);
        assert_eq!(log.wait_for(3), [1, 2, 3]);
        assert!(late.deadline() >= Some(start + SHORT));
        assert!(!late.is_cancelled());
    });
}

/// Behaviour 1: tasks and callbacks run in the order in which they were queued.
#[test]
fn callbacks_and_tasks_run_in_one_order() {
    run(|| {
        let log = Log::default();
        call_soon(log.note(1));
        let task = log.note(2);
        future::spawn(async move { task() });
        call_soon({
            let log = log.clone();
            move || {
                log.add(3);
                call_soon(log.note(5));
            }
        });
        call_soon(log.note(4));
        assert_eq!(log.wait_for(5), [1, 2, 3, 4, 5]);
    });
}

/// Behaviour 9: by deadline, equal ones as they were set, whatever the order of the calls.
#[test]
fn timed_callbacks_run_in_the_order_of_their_deadlines() {
    run(|| {
        let log = Log::default();
        let base = Instant::now() + Duration::from_millis(100);
        for (number, step) in (0..).zip([3_u32, 1, 2, 1, 3, 1, 2]) {
            call_at(base + step * Duration::from_micros(100), log.note(number));
        }
        assert_eq!(log.wait_for(7), [1, 3, 5, 2, 6, 0, 4]);
    });
}

/// As Python's `_run_once`: what is due is queued behind what is ready, before what that queues; and by
/// deadline, even where all have passed.
#[test]
fn a_deadline_that_has_passed_comes_after_what_is_queued_already() {
    run(|| {
        let log = Log::default();
        let now = Instant::now();
        call_later(Duration::ZERO, log.note(5));
        call_at(now - SHORT, log.note(4));
        call_at(now - HOUR, log.note(3));
        call_soon({
            let log = log.clone();
            move || {
                log.add(1);
                call_soon(log.note(6));
            }
        });
        call_soon(log.note(2));
        assert_eq!(log.wait_for(6), [1, 2, 3, 4, 5, 6]);
    });
}

/// Behaviour 2.
#[test]
fn callbacks_that_go_on_for_ever_starve_no_timer() {
    fn again(stop: &Rc<Cell<bool>>) {
        if !stop.get() {
            let stop = stop.clone();
            call_soon(move || again(&stop));
        }
    }
    run(|| {
        let (stop, log) = (Rc::new(Cell::new(false)), Log::default());
        again(&stop);
        call_later(SHORT, log.note(1));
        assert_eq!(log.wait_for(1), [1]);
        stop.set(true);
    });
}

#[test]
fn a_cancelled_callback_is_dropped_by_the_runner() {
    run(|| {
        let kept = Rc::new(());
        let holds = |kept: &Rc<()>| {
            let kept = kept.clone();
            move || unreachable!("{kept:?} was cancelled")
        };
        let callbacks = [
            call_soon(holds(&kept)),
            call_later(Duration::ZERO, holds(&kept)),
            call_later(HOUR, holds(&kept)),
        ];
        assert_eq!(callbacks[0].deadline(), None);
        for callback in &callbacks {
            assert!(!callback.is_cancelled());
            callback.cancel();
            callback.cancel();
            assert!(callback.is_cancelled());
        }
        assert_eq!(Rc::strong_count(&kept), 4);
        while Rc::strong_count(&kept) > 1 {
            thread::yield_now();
        }
    });
}

#[test]
fn a_callback_that_has_begun_is_not_cancelled() {
    run(|| {
        let own: Rc<RefCell<Option<Callback>>> = Rc::default();
        let log = Log::default();
        let callback = call_soon({
            let (own, log) = (own.clone(), log.clone());
            move || {
                own.borrow().as_ref().unwrap().cancel();
                thread::yield_now();
                log.add(1);
            }
        });
        *own.borrow_mut() = Some(callback);
        assert_eq!(log.wait_for(1), [1]);
        let callback = own.borrow_mut().take().unwrap();
        callback.cancel();
        assert!(!callback.is_cancelled());
    });
}

/// Behaviour 44: reported once, and nobody else is harmed.
#[test]
fn a_callback_that_panics_is_reported_once() {
    let test = "event_loop_calls::a_callback_that_panics_is_reported_once";
    let output = alone(test, || {
        run(|| {
            let log = Log::default();
            call_soon(log.note(1));
            call_soon(|| std::panic::resume_unwind(Box::new("a callback's panic")));
            call_later(SHORT, || {
                std::panic::resume_unwind(Box::new("a timed callback's panic"))
            });
            call_soon(log.note(2));
            call_later(SHORT, log.note(3));
            assert_eq!(log.wait_for(3), [1, 2, 3]);
        });
    });
    if let Some(output) = output {
        let report = String::from_utf8_lossy(&output.stderr);
        for panic in ["a callback's panic", "a timed callback's panic"] {
            assert_eq!(report.matches(panic).count(), 1, "{report}");
        }
        assert!(report.contains(file!()), "{report}");
    }
}

#[test]
fn a_callback_that_blocks_does_not_hold_up_the_others() {
    run(|| {
        let (log, event) = (Log::default(), Rc::new(Event::new()));
        call_soon({
            let (log, event) = (log.clone(), event.clone());
            move || {
                log.add(1);
                event.wait();
                log.add(4);
            }
        });
        call_soon(log.note(2));
        call_later(SHORT, {
            let log = log.clone();
            move || {
                log.add(3);
                event.set();
            }
        });
        assert_eq!(log.wait_for(4), [1, 2, 3, 4]);
    });
}

/// Behaviour 53.
#[test]
fn the_end_of_the_run_cancels_those_that_have_not_run() {
    let kept = Rc::new(());
    let callbacks = run(|| {
        let holds = || {
            let kept = kept.clone();
            move || unreachable!("{kept:?}: the run has ended")
        };
        [call_soon(holds()), call_later(HOUR, holds())]
    });
    assert_eq!(Rc::strong_count(&kept), 1);
    for callback in callbacks {
        assert!(callback.is_cancelled());
        callback.cancel();
    }
}

#[test]
fn a_callback_outside_a_runtime_is_refused() {
    for call in [
        || drop(call_soon(|| ())),
        || drop(call_later(SHORT, || ())),
        || drop(call_at(Instant::now(), || ())),
    ] {
        let payload = catch_unwind(call).unwrap_err();
        let message = payload.downcast_ref::<String>().unwrap();
        assert!(message.contains("no runtime"), "{message}");
    }
}

/// Behaviour 11.
#[test]
fn callbacks_that_are_set_and_cancelled_leave_nothing_behind() {
    run(|| {
        let kept = Rc::new(());
        for _ in 0..100 {
            let callbacks: Vec<_> = (0..100_u32)
                .map(|n| {
                    let kept = kept.clone();
                    call_later(HOUR + n * SHORT, move || drop(kept))
                })
                .collect();
            assert_eq!(Rc::strong_count(&kept), 101);
            for callback in callbacks {
                callback.cancel();
            }
            while Rc::strong_count(&kept) > 1 {
                thread::yield_now();
            }
        }
    });
}
