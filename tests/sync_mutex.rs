//! `sync::Mutex`: order, hand-over, poisoning, cancels, and other OS threads.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, TryLockError, mpsc};
use std::time::Duration;

use crate::kept;
use greenlit::sync::{Mutex, MutexGuard};
use greenlit::thread;
use greenlit::time::Instant;

static IN_A_STATIC: Mutex<u32> = Mutex::new(0);

#[test]
fn smoke() {
    greenlit::run(|| *IN_A_STATIC.lock().unwrap() += 1);
    *IN_A_STATIC.lock().unwrap() += 1;
    assert_eq!(*IN_A_STATIC.lock().unwrap(), 2);
}

/// Behaviour 13.
#[test]
fn threads_that_loop_on_a_lock_take_turns() {
    let log = greenlit::run(|| {
        let log = Rc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let log = log.clone();
                thread::spawn(move || {
                    for _ in 0..4 {
                        let mut log = log.lock().unwrap();
                        thread::yield_now();
                        log.push(number);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        Rc::into_inner(log).unwrap().into_inner().unwrap()
    });
    assert_eq!(log, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

/// Behaviour 13: who has just let go does not overtake the head of the queue, nor does a newcomer.
#[test]
fn unlock_hands_over_at_once() {
    greenlit::run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let held = mutex.lock().unwrap();
        let waiter = thread::spawn({
            let mutex = mutex.clone();
            move || drop(mutex.lock().unwrap())
        });
        thread::yield_now();
        drop(held);
        // The waiter has not run yet, but the lock is its.
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        waiter.join().unwrap();
        assert!(mutex.try_lock().is_ok());
    });
}

/// Behaviour 14: a waiter that is cancelled while it stands in the queue is skipped.
#[test]
fn a_cancelled_waiter_leaves_the_queue() {
    let mutex = Arc::new(Mutex::new(0));
    let mut runtime = greenlit::Runtime::builder().build().unwrap();
    let held: MutexGuard<'_, _> = runtime.run(|| {
        let held = mutex.lock().unwrap();
        for _ in 0..2 {
            let mutex = mutex.clone();
            thread::spawn(move || *mutex.lock().unwrap() += 1);
        }
        thread::yield_now();
        held
    });
    assert_eq!(*held, 0);
    drop(held);
    assert_eq!(mutex.try_lock().map(|value| *value).ok(), Some(0));
}

/// Behaviours 14 and 25: chosen first, cancelled before it ran: the lock is taken, and the cancel
/// comes at the next call.
#[test]
fn a_waiter_that_was_chosen_and_then_cancelled_takes_the_lock_and_lets_go_of_it() {
    let mutex = Arc::new(Mutex::new(Vec::new()));
    greenlit::run(|| {
        let held = mutex.lock().unwrap();
        let waiter = mutex.clone();
        thread::spawn(move || {
            let mut log = waiter.lock().unwrap();
            log.push("locked");
            thread::yield_now();
            log.push("not cancelled");
        });
        thread::yield_now();
        drop(held);
    });
    assert_eq!(
        *mutex.try_lock().expect("free, and not poisoned"),
        ["locked"]
    );
}

/// Behaviour 14: cancelled first, chosen before it ran.
#[test]
fn a_waiter_that_was_cancelled_and_then_chosen_does_not_lose_the_lock() {
    let mutex = Arc::new(Mutex::new(Vec::new()));
    greenlit::run(|| {
        for name in ["holder", "waiter", "last"] {
            let mutex = mutex.clone();
            thread::spawn(move || {
                let mut log = mutex.lock().unwrap();
                log.push(name);
                // The end of the run cancels all three, in this order; the lock goes on by it.
                thread::park();
            });
        }
        thread::yield_now();
    });
    let log = mutex.try_lock().expect("free, and not poisoned");
    // The last one left the queue while the second gave the CPU away at its cancelled call.
    assert_eq!(*log, ["holder", "waiter"]);
}

/// Behaviour 15.
#[test]
fn a_wait_that_gave_up_leaves_no_ghost_behind() {
    greenlit::run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let held = mutex.lock().unwrap();
        let gave_up = thread::spawn({
            let mutex = mutex.clone();
            move || mutex.lock_timeout(Duration::from_millis(1)).is_err()
        });
        assert!(gave_up.join().unwrap());
        let past = thread::spawn({
            let mutex = mutex.clone();
            move || mutex.lock_deadline(Instant::now()).is_err()
        });
        assert!(past.join().unwrap());
        drop(held);
        assert!(mutex.try_lock().is_ok(), "nobody waits, so it is free");
        assert!(mutex.lock_timeout(Duration::ZERO).is_ok());
    });
}

/// Behaviour 19.
#[test]
fn a_panic_poisons_as_in_std() {
    greenlit::run(|| {
        let mutex = Rc::new(Mutex::new(1));
        let panicked = thread::spawn({
            let mutex = mutex.clone();
            move || {
                let _held = mutex.lock().unwrap();
                panic!("with the lock");
            }
        });
        panicked.join().unwrap_err();
        assert!(mutex.is_poisoned());
        assert_eq!(**mutex.lock().unwrap_err().get_ref(), 1);
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
        mutex.clear_poison();
        assert_eq!(*mutex.lock().unwrap(), 1);
    });
}

/// Behaviour 19: parks in a destructor while it unwinds.
struct ParksOnDrop(thread::Thread);

impl Drop for ParksOnDrop {
    fn drop(&mut self) {
        self.0.unpark();
        thread::park();
    }
}

/// Behaviour 19: std's `panicking` speaks of the whole OS thread.
#[test]
fn a_panic_does_not_poison_a_lock_that_another_holds() {
    greenlit::run(|| {
        let (other, own) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
        let main = thread::current();
        let panics = thread::spawn({
            let own = own.clone();
            move || {
                let _held = own.lock().unwrap();
                let _parks = ParksOnDrop(main);
                panic!("parks while it unwinds");
            }
        });
        let held = other.lock().unwrap();
        thread::park();
        assert!(std::thread::panicking(), "or the test shows nothing");
        drop(held);
        assert!(!other.is_poisoned());
        panics.thread().unpark();
        panics.join().unwrap_err();
        assert!(own.is_poisoned());
    });
}

/// Rule 20: a cancel unwinds, but never poisons.
#[test]
fn a_cancel_does_not_poison() {
    let mutex = Arc::new(Mutex::new(()));
    let never_ran = Arc::new(Mutex::new(()));
    greenlit::run(|| {
        let mutex = mutex.clone();
        thread::spawn(move || {
            let _held = mutex.lock().unwrap();
            thread::park();
        });
        thread::yield_now();
        let mutex: &'static Mutex<()> = kept::kept(Mutex::new(()));
        let held = mutex.lock().unwrap();
        let witness = never_ran.clone();
        thread::spawn(move || {
            let _both = (held, witness.lock());
        });
    });
    assert!(!mutex.is_poisoned() && !never_ran.is_poisoned());
    assert!(mutex.try_lock().is_ok());
}

/// Behaviour 20: two runtimes and a plain OS thread on one lock.
#[test]
fn green_threads_of_two_runtimes_and_an_os_thread_share_a_lock() {
    const ROUNDS: u32 = 2_000;
    let count = Arc::new(Mutex::new(0_u32));
    let add = |count: &Mutex<u32>| {
        for _ in 0..ROUNDS {
            let mut count = count.lock().unwrap();
            let seen = *count;
            std::hint::black_box(&mut count);
            *count = seen + 1;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                greenlit::run(|| {
                    let threads: Vec<_> = (0..3)
                        .map(|_| {
                            let count = count.clone();
                            thread::spawn(move || {
                                for _ in 0..ROUNDS {
                                    let mut count = count.lock().unwrap();
                                    let seen = *count;
                                    thread::yield_now();
                                    *count = seen + 1;
                                }
                            })
                        })
                        .collect();
                    threads.into_iter().for_each(|t| t.join().unwrap());
                });
            });
        }
        scope.spawn(|| add(&count));
    });
    assert_eq!(*count.lock().unwrap(), 7 * ROUNDS);
}

/// Behaviour 20: a green thread waits for a lock that an OS thread holds, and sleeps in the kernel
/// meanwhile.
#[test]
fn an_os_thread_hands_over_to_a_green_thread_and_back() {
    let mutex = Mutex::new("os");
    let (locked, is_locked) = mpsc::channel();
    let (wanted, is_wanted) = mpsc::channel();
    std::thread::scope(|scope| {
        let mutex = &mutex;
        scope.spawn(move || {
            let mut held = mutex.lock().unwrap();
            locked.send(()).unwrap();
            is_wanted.recv().unwrap();
            *held = "handed over";
        });
        is_locked.recv().unwrap();
        greenlit::run(|| {
            // It runs when the main one has parked.
            thread::spawn(move || wanted.send(()).unwrap());
            assert_eq!(*mutex.lock().unwrap(), "handed over");
        });
    });
}

#[test]
fn a_lock_that_its_own_thread_holds_is_refused() {
    greenlit::run(|| {
        let mutex = Mutex::new(());
        let _held = mutex.lock().unwrap();
        let again = catch_unwind(AssertUnwindSafe(|| drop(mutex.lock())));
        assert!(again.is_err());
    });
}

/// A guard may be held across a call that parks, which a std lock's must not be.
#[test]
fn a_guard_may_be_held_across_a_sleep() {
    greenlit::run(|| {
        let log = Rc::new(Mutex::new(RefCell::new(Vec::new())));
        let sleeper = thread::spawn({
            let log = log.clone();
            move || {
                let log = log.lock().unwrap();
                thread::sleep(Duration::from_millis(1));
                log.borrow_mut().push("sleeper");
            }
        });
        thread::yield_now();
        log.lock().unwrap().borrow_mut().push("main");
        sleeper.join().unwrap();
        assert_eq!(*log.lock().unwrap().borrow(), ["sleeper", "main"]);
    });
}

#[test]
fn its_other_methods_are_those_of_std() {
    let mut mutex = Mutex::from(3);
    *mutex.get_mut().unwrap() += 1;
    assert_eq!(
        format!("{mutex:?}"),
        "Mutex { data: 4, poisoned: false, .. }"
    );
    let held = mutex.lock().unwrap();
    assert_eq!(format!("{held:?} {held}"), "4 4");
    assert_eq!(
        format!("{mutex:?}"),
        "Mutex { data: \"<locked>\", poisoned: false, .. }"
    );
    drop(held);
    assert_eq!(mutex.into_inner().unwrap(), 4);
    let unsized_data: Box<Mutex<[u8]>> = Box::new(Mutex::new([1, 2, 3]));
    assert_eq!(unsized_data.lock().unwrap().len(), 3);
    assert_eq!(*Mutex::<u8>::default().lock().unwrap(), 0);
}
