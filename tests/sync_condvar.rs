//! `sync::Condvar`: whom a notification is for, and what comes back with the lock. What all waits have
//! in common is in sync_waits.rs.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use greenlit::sync::{Condvar, Mutex};
use greenlit::thread;
use greenlit::time::Instant;

#[derive(Default)]
struct Stage {
    mutex: Mutex<u32>,
    condvar: Condvar,
    log: RefCell<Vec<u32>>,
}

impl Stage {
    fn wait_and_log(self: &Rc<Self>, number: u32) -> thread::JoinHandle<()> {
        let stage = self.clone();
        thread::spawn(move || {
            let held = stage.mutex.lock().unwrap();
            let _held = stage.condvar.wait(held).unwrap();
            stage.log.borrow_mut().push(number);
        })
    }
}

/// Behaviour 16: who has waited the longest is woken first.
#[test]
fn notify_one_wakes_one_in_order() {
    greenlit::run(|| {
        let stage = Rc::new(Stage::default());
        let threads: Vec<_> = (0..3).map(|n| stage.wait_and_log(n)).collect();
        thread::yield_now();
        for woken in 1..=3 {
            stage.condvar.notify_one();
            for _ in 0..4 {
                thread::yield_now();
            }
            assert_eq!(*stage.log.borrow(), (0..woken).collect::<Vec<_>>());
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}

/// Behaviour 16: a notification that nobody waits for is for nobody.
#[test]
fn a_late_waiter_is_not_woken_by_an_earlier_notification() {
    greenlit::run(|| {
        let stage = Rc::new(Stage::default());
        stage.condvar.notify_one();
        stage.condvar.notify_all();
        let held = stage.mutex.lock().unwrap();
        let (held, result) = stage
            .condvar
            .wait_timeout(held, Duration::from_millis(1))
            .unwrap();
        assert!(result.timed_out());
        drop(held);

        // Nor is one that comes while all are being notified.
        let late = Rc::new(Cell::new(false));
        let early = thread::spawn({
            let (stage, late) = (stage.clone(), late.clone());
            move || {
                let held = stage.mutex.lock().unwrap();
                let held = stage.condvar.wait(held).unwrap();
                let again = stage.condvar.wait_timeout(held, Duration::from_millis(1));
                late.set(!again.unwrap().1.timed_out());
            }
        });
        thread::yield_now();
        stage.condvar.notify_all();
        early.join().unwrap();
        assert!(!late.get());
    });
}

/// Behaviour 16: a waiter that comes back at once, on another OS thread, while the others are being
/// woken, is not woken again: or `notify_all` might never end.
#[test]
fn cross_thread_notify_all_is_for_those_who_wait_now() {
    const THREADS: usize = 4;
    let pair = Arc::new((Mutex::new((0_usize, false)), Condvar::new()));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let pair = pair.clone();
            std::thread::spawn(move || {
                let (mutex, condvar) = &*pair;
                let mut held = mutex.lock().unwrap();
                let mut woken = 0_usize;
                while !held.1 {
                    held.0 += 1;
                    held = condvar.wait(held).unwrap();
                    woken += 1;
                }
                woken
            })
        })
        .collect();
    let (mutex, condvar) = &*pair;
    let mut rounds = 0;
    while rounds < 50 {
        let mut held = mutex.lock().unwrap();
        if held.0 < THREADS {
            drop(held);
            std::thread::yield_now();
            continue;
        }
        rounds += 1;
        held.0 = 0;
        held.1 = rounds == 50;
        drop(held);
        condvar.notify_all();
    }
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 50);
    }
}

/// Behaviour 4.
#[test]
fn notify_all_wakes_100_000() {
    // Debug builds are slow, and emulated ones have no room for more stacks.
    const WAITERS: u32 = if cfg!(debug_assertions) {
        5_000
    } else {
        100_000
    };
    let mut runtime = greenlit::Runtime::builder()
        .stack_size(16 * 1024)
        .build()
        .unwrap();
    runtime.run(|| {
        let stage = Rc::new((Mutex::new(0_u32), Condvar::new(), Cell::new(0_u32)));
        let spawn = |number| {
            let stage = stage.clone();
            thread::spawn(move || {
                let held = stage.0.lock().unwrap();
                let mut held = stage.1.wait(held).unwrap();
                // They come in order.
                assert_eq!(*held, number);
                *held += 1;
            })
        };
        let threads: Vec<_> = (0..WAITERS).map(spawn).collect();
        thread::yield_now();
        stage.1.notify_all();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*stage.0.lock().unwrap(), WAITERS);
    });
}

/// Behaviour 16: the lock is let go while it waits, and held when it comes back, notified or late.
#[test]
fn the_lock_is_held_again_after_the_wait() {
    greenlit::run(|| {
        for limit in [Duration::ZERO, Duration::from_micros(1), Duration::MAX] {
            let stage = Rc::new(Stage::default());
            let waiter = thread::spawn({
                let stage = stage.clone();
                move || {
                    let held = stage.mutex.lock().unwrap();
                    let (held, _) = stage.condvar.wait_timeout(held, limit).unwrap();
                    let locked = stage.mutex.try_lock().is_err();
                    drop(held);
                    locked
                }
            });
            thread::yield_now();
            // Held for longer than the limit.
            let held = stage.mutex.lock().unwrap();
            thread::sleep(Duration::from_millis(1));
            stage.condvar.notify_one();
            assert!(!waiter.is_finished(), "it waits for the lock");
            drop(held);
            assert!(waiter.join().unwrap());
        }
    });
}

/// Behaviour 26: a destructor that waits for a condition while its thread unwinds does wait, and has
/// the lock again.
#[test]
fn a_destructor_waits_while_its_cancelled_thread_unwinds() {
    struct Waits(Rc<Stage>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let stage = &self.0;
            let held = stage.mutex.lock().unwrap();
            let held = stage.condvar.wait_while(held, |n| *n == 0).unwrap();
            stage.log.borrow_mut().push(*held);
        }
    }
    let stage = Rc::new(Stage::default());
    greenlit::run(|| {
        let waits = Waits(stage.clone());
        let notifies = stage.clone();
        thread::spawn(move || {
            let _waits = waits;
            thread::park();
        });
        struct Notifies(Rc<Stage>);
        impl Drop for Notifies {
            fn drop(&mut self) {
                *self.0.mutex.lock().unwrap() = 7;
                self.0.condvar.notify_all();
            }
        }
        let notifies = Notifies(notifies);
        thread::spawn(move || {
            let _notifies = notifies;
            thread::park();
        });
        thread::yield_now();
    });
    assert_eq!(*stage.log.borrow(), [7]);
    assert!(!stage.mutex.is_poisoned());
}

/// Behaviour 19, and std's rule for waits: the guard comes back as an error.
#[test]
fn a_poisoned_lock_says_so_after_the_wait() {
    greenlit::run(|| {
        let stage = Rc::new(Stage::default());
        let waiter = thread::spawn({
            let stage = stage.clone();
            move || {
                let held = stage.mutex.lock().unwrap();
                let waited = stage.condvar.wait_timeout(held, Duration::MAX);
                let (held, result) = waited.unwrap_err().into_inner();
                (*held, result.timed_out())
            }
        });
        thread::yield_now();
        let call = AssertUnwindSafe(|| {
            *stage.mutex.lock().unwrap() = 3;
            let _held = stage.mutex.lock().unwrap();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(catch_unwind(call).is_err());
        stage.condvar.notify_one();
        assert_eq!(waiter.join().unwrap(), (3, false));
        let timed_out = stage
            .condvar
            .wait_timeout_while(
                stage.mutex.lock().unwrap_err().into_inner(),
                Duration::ZERO,
                |_| true,
            )
            .map(|pair| pair.1)
            .map_err(|poisoned| poisoned.into_inner().1);
        assert!(timed_out.is_err_and(|result| result.timed_out()));
    });
}

/// What std has for a length of time only.
#[test]
fn a_condition_is_awaited_until_a_point_in_time() {
    let (stage, past) = (Mutex::new(0), Instant::now());
    let (never, seen) = (Condvar::new(), stage.lock().unwrap());
    let (seen, result) = never.wait_deadline_while(seen, past, |n| *n == 0).unwrap();
    assert!(result.timed_out());
    let (seen, result) = never.wait_deadline_while(seen, past, |n| *n == 1).unwrap();
    assert!(!result.timed_out());
    drop(seen);
    greenlit::run(|| {
        let far = Instant::now() + Duration::from_secs(3600);
        let held = stage.lock().unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                *stage.lock().unwrap() = 1;
                never.notify_one();
            });
            let (held, result) = never.wait_deadline_while(held, far, |n| *n == 0).unwrap();
            assert_eq!((*held, result.timed_out()), (1, false));
        });
    });
}

/// The methods with a condition, beside std's.
#[test]
fn conditions_are_asked_as_std_asks_them() {
    macro_rules! asked {
        ($($sync:tt)+) => {{
            let (mutex, condvar) = ($($sync)+::Mutex::new(0), $($sync)+::Condvar::new());
            let mut calls = 0;
            let held = condvar.wait_while(mutex.lock().unwrap(), |n| { *n += 1; *n < 1 });
            let first = *held.unwrap();
            let held = mutex.lock().unwrap();
            let (held, result) = condvar
                .wait_timeout_while(held, Duration::from_millis(1), |_| { calls += 1; true })
                .unwrap();
            let second = (*held, result.timed_out(), calls >= 1);
            let (held, result) = condvar
                .wait_timeout_while(held, Duration::ZERO, |_| false)
                .unwrap();
            let debug = format!("{condvar:?} {result:?} {mutex:?}");
            (first, second, *held, result.timed_out(), debug)
        }};
    }
    let stds = asked!(std::sync);
    assert_eq!(asked!(greenlit::sync), stds);
    assert_eq!(greenlit::run(|| asked!(greenlit::sync)), stds);
}
