//! `sync::Semaphore`, `Event`, `WaitGroup`, `Barrier`: what is their own. What all waits have in common
//! is in sync_waits.rs.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::kept;
use greenlit::sync::{Barrier, Event, Semaphore, WaitGroup};
use greenlit::thread;
use greenlit::time::Instant;

/// The forms of a permit that goes elsewhere.
#[test]
fn an_owned_permit_is_waited_for_as_a_borrowed_one_is() {
    let semaphore = Arc::new(Semaphore::new(1));
    let ask = || semaphore.clone();
    let owned = ask().acquire_owned_timeout(Duration::MAX);
    assert_eq!(semaphore.available_permits(), 0);
    assert!(ask().try_acquire_owned().is_none());
    assert!(ask().acquire_owned_timeout(Duration::ZERO).is_none());
    assert!(ask().acquire_owned_deadline(Instant::now()).is_none());
    drop(owned);
    assert!(ask().acquire_owned_deadline(Instant::now()).is_some());
    greenlit::run(|| {
        let owned = ask().acquire_owned();
        let far = Instant::now() + Duration::from_secs(3600);
        let asked = ask();
        let waiter = thread::spawn(move || asked.acquire_owned_deadline(far).is_some());
        thread::yield_now();
        assert!(!waiter.is_finished());
        drop(owned);
        assert!(waiter.join().unwrap());
    });
    assert_eq!(semaphore.available_permits(), 1);
}

/// Behaviour 13: one that asks for many is not overtaken by others that ask for few.
#[test]
fn permits_are_handed_out_in_order_whatever_their_number() {
    greenlit::run(|| {
        let semaphore = Rc::new(Semaphore::new(2));
        let log = Rc::new(RefCell::new(Vec::new()));
        let threads: Vec<_> = [3, 1, 2]
            .into_iter()
            .map(|count| {
                let (semaphore, log) = (semaphore.clone(), log.clone());
                thread::spawn(move || {
                    let permit = semaphore.acquire_many(count);
                    log.borrow_mut().push(count);
                    permit.forget();
                })
            })
            .collect();
        thread::yield_now();
        assert!(semaphore.try_acquire().is_none(), "somebody waits");
        assert!(log.borrow().is_empty() && semaphore.available_permits() == 2);
        let mut given = Vec::new();
        for _ in 0..4 {
            semaphore.add_permits(1);
            thread::yield_now();
            given.push(log.borrow().clone());
        }
        assert_eq!(given, [vec![3], vec![3, 1], vec![3, 1], vec![3, 1, 2]]);
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(semaphore.available_permits(), 0);
    });
}

/// Behaviours 14 and 15: those behind one that wanted more than there is are served when it gives up.
#[test]
fn one_that_wants_many_and_gives_up_lets_the_others_through() {
    static SEMAPHORE: Semaphore = Semaphore::new(1);
    greenlit::run(|| {
        let greedy = thread::spawn(|| {
            SEMAPHORE
                .acquire_many_timeout(2, Duration::from_millis(1))
                .is_none()
        });
        thread::yield_now();
        let modest = thread::spawn(|| SEMAPHORE.acquire_timeout(Duration::from_secs(20)).is_some());
        thread::yield_now();
        assert!(!modest.is_finished());
        assert!(greedy.join().unwrap() && modest.join().unwrap());
    });
    // The same by a cancel; the modest one is of another OS thread, which is not cancelled.
    let modest = greenlit::run(|| {
        thread::spawn(|| drop(SEMAPHORE.acquire_many(2)));
        thread::yield_now();
        assert!(SEMAPHORE.try_acquire().is_none());
        std::thread::spawn(|| SEMAPHORE.acquire_timeout(Duration::from_secs(20)).is_some())
    });
    assert!(modest.join().unwrap());
    assert_eq!(SEMAPHORE.available_permits(), 1);
}

#[test]
fn permits_come_back_when_they_are_dropped_and_not_when_they_are_forgotten() {
    let semaphore = Arc::new(Semaphore::new(3));
    let (one, two) = (semaphore.acquire(), semaphore.try_acquire_many(2).unwrap());
    assert_eq!((one.count(), two.count()), (1, 2));
    assert!(semaphore.try_acquire().is_none() && semaphore.try_acquire_many(0).is_some());
    drop(two);
    one.forget();
    let owned = semaphore.clone().acquire_owned();
    let given = std::thread::spawn(move || drop(owned));
    given.join().unwrap();
    let owned = semaphore.clone().try_acquire_owned().unwrap();
    assert_eq!(semaphore.available_permits(), 1);
    owned.forget();
    assert_eq!(semaphore.available_permits(), 1);
    let much = catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(usize::MAX)));
    assert!(much.is_err() && semaphore.available_permits() == 1);
    assert_eq!(Arc::strong_count(&semaphore), 1);
}

/// Behaviour 17.
#[test]
fn an_event_that_is_set_and_cleared_lets_go_those_who_waited() {
    greenlit::run(|| {
        let event = Rc::new(Event::new());
        let spawn = || {
            let event = event.clone();
            thread::spawn(move || event.wait())
        };
        let early = [spawn(), spawn()];
        thread::yield_now();
        event.set();
        event.clear();
        let late = spawn();
        for thread in early {
            thread.join().unwrap();
        }
        assert!(!late.is_finished() && !event.is_set());
        event.set();
        late.join().unwrap();
        assert!(event.is_set() && event.wait_timeout(Duration::ZERO));
    });
}

/// Behaviour 4.
#[test]
fn an_event_lets_100_000_go() {
    // Debug builds are slow, and emulated ones have no room for more stacks.
    let count = if cfg!(debug_assertions) {
        5_000
    } else {
        100_000
    };
    let mut runtime = greenlit::Runtime::builder()
        .stack_size(16 * 1024)
        .build()
        .unwrap();
    runtime.run(|| {
        let event = Rc::new(Event::new());
        let threads: Vec<_> = (0..count)
            .map(|_| {
                let event = event.clone();
                thread::spawn(move || event.wait())
            })
            .collect();
        thread::yield_now();
        event.set();
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}

#[test]
fn a_wait_group_waits_for_what_was_entered_and_for_no_later_round() {
    greenlit::run(|| {
        let group = kept::kept(WaitGroup::new());
        group.wait();
        let member = group.enter();
        group.add(2);
        let waiter = thread::spawn(|| group.wait());
        thread::yield_now();
        group.done();
        group.done();
        thread::yield_now();
        assert!(!waiter.is_finished() && group.count() == 1);
        drop(member);
        // A new round begins before the waiter has run.
        let _next = group.enter();
        waiter.join().unwrap();
        group.done();
        assert!(catch_unwind(|| group.done()).is_err());
        assert_eq!(format!("{group:?}"), "WaitGroup { count: 0, .. }");
        group.add(1);
        let far = catch_unwind(|| group.add(usize::MAX));
        assert!(far.is_err() && group.count() == 1);
    });
}

/// A member is done however its thread ends.
#[test]
fn a_member_that_panics_is_done() {
    greenlit::run(|| {
        let group = kept::kept(WaitGroup::new());
        let member = group.enter();
        let panics = thread::spawn(move || {
            let _member = member;
            thread::yield_now();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(group.wait_timeout(Duration::from_secs(20)));
        panics.join().unwrap_err();
    });
}

/// Behaviour 18: in both orders of its cancel and the last arrival.
#[test]
fn a_party_that_is_cancelled_neither_opens_nor_wedges_a_barrier() {
    static BARRIER: Barrier = Barrier::new(3);
    // Two come and are cancelled: it is as if nobody had come.
    greenlit::run(|| {
        for _ in 0..2 {
            thread::spawn(|| BARRIER.wait());
        }
        thread::yield_now();
    });
    // It opens for three, and two of them are cancelled before they have run.
    let passed = Rc::new(RefCell::new(0));
    greenlit::run(|| {
        for _ in 0..2 {
            let passed = passed.clone();
            thread::spawn(move || {
                assert!(!BARRIER.wait().is_leader());
                *passed.borrow_mut() += 1;
            });
        }
        thread::yield_now();
        assert!(BARRIER.wait().is_leader());
    });
    assert_eq!(*passed.borrow(), 2);
    // One comes and is cancelled, while one of another OS thread waits; two more open it.
    let waits = || std::thread::spawn(|| BARRIER.wait().is_leader());
    let first = greenlit::run(|| {
        thread::spawn(|| BARRIER.wait());
        thread::yield_now();
        waits()
    });
    let others = [waits(), waits()];
    let leaders = [first].into_iter().chain(others).map(|t| t.join().unwrap());
    assert_eq!(leaders.filter(|leads| *leads).count(), 1);
}

/// std's own example of a barrier for nobody and for one, and its debug output.
#[test]
fn barriers_for_few_are_as_std_s() {
    macro_rules! few {
        ($barrier:path) => {
            [0, 1].map(|parties| {
                let barrier = <$barrier>::new(parties);
                format!("{:?} {:?} {barrier:?}", barrier.wait(), barrier.wait())
            })
        };
    }
    assert_eq!(few!(Barrier), few!(std::sync::Barrier));
}

/// Behaviour 20: parties of two runtimes and OS threads, again and again.
#[test]
fn cross_thread_a_barrier_opens_for_all_at_once() {
    const ROUNDS: usize = 30;
    const PARTIES: usize = 5;
    let barrier = Barrier::new(PARTIES);
    let (arrived, leaders) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let party = || {
        for round in 1..=ROUNDS {
            arrived.fetch_add(1, Ordering::Relaxed);
            if barrier.wait().is_leader() {
                leaders.fetch_add(1, Ordering::Relaxed);
            }
            assert!(arrived.load(Ordering::Relaxed) >= round * PARTIES);
            barrier.wait();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(party);
        for _ in 0..2 {
            scope.spawn(|| {
                greenlit::run(|| {
                    thread::scope(|scope| {
                        scope.spawn(party);
                        scope.spawn(party);
                    });
                });
            });
        }
    });
    assert_eq!(leaders.load(Ordering::Relaxed), ROUNDS);
}
