//! What holds for every wait of `sync`, shown for each type in turn: order, cancels and limits that
//! meet the end of the wait in either order, and that nothing is lost or left behind.

use std::time::Duration;

use crate::awaited::{
    Awaited, Deadline, Forever, Shared, Timeout, for_each_type, spawn_taker, stage, take_and_log,
};
use greenlit::sync::Event;
use greenlit::thread;
use greenlit::time::Instant;

/// Behaviour 13.
fn waiters_go_in_the_order_in_which_they_came<A: Awaited>() {
    greenlit::run(|| {
        let stage = stage::<A>();
        let takers: Vec<_> = (0..5).map(|n| spawn_taker(&stage, Forever, n)).collect();
        thread::yield_now();
        assert_eq!(*stage.log.borrow(), []);
        stage.awaited.grant();
        takers.into_iter().for_each(|t| assert!(t.join().unwrap()));
        assert_eq!(*stage.log.borrow(), [0, 1, 2, 3, 4]);
        assert!(stage.awaited.is_there());
    });
}

/// Behaviour 14: cancelled while it stands in the queue.
fn a_cancelled_waiter_leaves_nothing_behind<A: Awaited>() {
    let stage = greenlit::run(|| {
        let stage = stage::<A>();
        for number in 0..3 {
            spawn_taker(
                &stage,
                [Forever, Timeout(Duration::MAX)][number as usize % 2],
                number,
            );
        }
        thread::yield_now();
        stage
    });
    stage.awaited.grant();
    assert!(stage.awaited.is_there());
    assert_eq!(*stage.log.borrow(), []);
}

/// Behaviours 14 and 25: chosen, and cancelled before it ran.
fn chosen_and_then_cancelled_it_takes_it_and_passes_it_on<A: Awaited>() {
    let stage = greenlit::run(|| {
        let stage = stage::<A>();
        for number in [1, 3] {
            let stage = stage.clone();
            thread::spawn(move || {
                take_and_log(&stage, Forever, number);
                thread::yield_now();
                stage.log.borrow_mut().push(number + 1);
            });
        }
        thread::yield_now();
        stage.awaited.grant();
        stage
    });
    assert_eq!(stage.log.borrow().first(), Some(&1));
    assert!(
        !stage.log.borrow().iter().any(|n| [2, 4].contains(n)),
        "the cancel came"
    );
    assert!(stage.awaited.is_there());
}

/// Behaviours 14 and 25: cancelled, and chosen before it ran: a value wins.
fn cancelled_and_then_chosen_it_takes_it_and_passes_it_on<A: Awaited>() {
    struct Grants<A: Awaited>(Shared<A>);
    impl<A: Awaited> Drop for Grants<A> {
        fn drop(&mut self) {
            self.0.awaited.grant();
        }
    }
    let stage = greenlit::run(|| {
        let stage = stage::<A>();
        let grants = Grants(stage.clone());
        // The end of the run cancels in the order of the spawns.
        thread::spawn(move || {
            let _grants = grants;
            thread::park();
        });
        spawn_taker(&stage, Forever, 1);
        thread::yield_now();
        stage
    });
    assert_eq!(*stage.log.borrow(), [1]);
    assert!(stage.awaited.is_there());
}

/// Timers with equal deadlines fire in one turn, in the order in which they were set.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(1)
}

fn grant_at<A: Awaited>(stage: &Shared<A>, deadline: Instant) -> thread::JoinHandle<()> {
    let stage = stage.clone();
    thread::spawn(move || {
        assert!(!Event::new().wait_deadline(deadline));
        stage.awaited.grant();
    })
}

/// Behaviour 15.
fn chosen_and_then_timed_out_it_has_come<A: Awaited>() {
    greenlit::run(|| {
        let (stage, deadline) = (stage::<A>(), soon());
        let granter = grant_at(&stage, deadline);
        let taker = spawn_taker(&stage, Deadline(deadline), 1);
        granter.join().unwrap();
        assert!(taker.join().unwrap());
        assert!(stage.awaited.is_there());
    });
}

/// Behaviour 15.
fn timed_out_and_then_granted_nothing_is_lost<A: Awaited>() {
    greenlit::run(|| {
        let (stage, deadline) = (stage::<A>(), soon());
        let taker = spawn_taker(&stage, Deadline(deadline), 1);
        let granter = grant_at(&stage, deadline);
        assert!(!taker.join().unwrap());
        granter.join().unwrap();
        assert_eq!(*stage.log.borrow(), []);
        assert!(stage.awaited.is_there());
    });
}

/// Behaviours 9 and 15: limits that have passed end the wait at once, but after a yield.
fn limits_that_have_passed_end_the_wait_after_a_yield<A: Awaited>() {
    greenlit::run(|| {
        let stage = stage::<A>();
        let now = Instant::now();
        let limits = [
            Timeout(Duration::ZERO),
            Deadline(now),
            Deadline(now.checked_sub(Duration::from_secs(3600)).unwrap()),
        ];
        let taker = {
            let stage = stage.clone();
            thread::spawn(move || {
                for (round, within) in (0..).zip(limits) {
                    let log = stage.clone();
                    thread::spawn(move || log.log.borrow_mut().push(round));
                    assert!(!take_and_log(&stage, within, 100));
                    assert_eq!(stage.log.borrow().last(), Some(&round), "others ran");
                }
            })
        };
        taker.join().unwrap();
        stage.awaited.grant();
        assert!(stage.awaited.is_there(), "no ghost swallowed it");
    });
}

/// Behaviour 12.
fn limits_beyond_the_clock_never_come<A: Awaited>() {
    let far = Instant::now() + Duration::from_secs(100 * 365 * 86_400);
    for within in [
        Timeout(Duration::MAX),
        Timeout(Duration::from_nanos(u64::MAX)),
        Deadline(far),
    ] {
        greenlit::run(|| {
            let stage = stage::<A>();
            let taker = spawn_taker(&stage, within, 1);
            thread::sleep(Duration::from_millis(1));
            assert!(!taker.is_finished());
            stage.awaited.grant();
            assert!(taker.join().unwrap());
        });
    }
}

for_each_type! {
    [
        waiters_go_in_the_order_in_which_they_came,
        a_cancelled_waiter_leaves_nothing_behind,
        chosen_and_then_cancelled_it_takes_it_and_passes_it_on,
        cancelled_and_then_chosen_it_takes_it_and_passes_it_on,
        chosen_and_then_timed_out_it_has_come,
        timed_out_and_then_granted_nothing_is_lost,
        limits_that_have_passed_end_the_wait_after_a_yield,
        limits_beyond_the_clock_never_come,
    ]
}
