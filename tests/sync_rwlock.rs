//! `sync::RwLock`: who comes in with whom, downgrades, poisoning beside std's. What all waits have in
//! common is in sync_waits.rs.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::TryLockError;
use std::time::Duration;

use greenlit::sync::{RwLock, RwLockWriteGuard};
use greenlit::thread;

#[test]
fn smoke() {
    static LOCK: RwLock<u32> = RwLock::new(1);
    greenlit::run(|| *LOCK.write().unwrap() += 1);
    assert_eq!((*LOCK.read().unwrap(), *LOCK.read().unwrap()), (2, 2));
    assert!(matches!(LOCK.try_write(), Ok(guard) if *guard == 2));
}

/// Behaviour 13: readers between two writers come in together, and nobody overtakes.
#[test]
fn readers_come_in_together_and_writers_alone_in_order() {
    greenlit::run(|| {
        let lock = Rc::new(RwLock::new(()));
        let log = Rc::new(RefCell::new(Vec::new()));
        let held = lock.write().unwrap();
        let threads: Vec<_> = "rrwrrwr"
            .chars()
            .map(|kind| {
                let (lock, log) = (lock.clone(), log.clone());
                thread::spawn(move || {
                    let say = |what: String| log.borrow_mut().push(what);
                    match kind {
                        'r' => {
                            let _held = lock.read().unwrap();
                            say("+r".to_owned());
                            thread::yield_now();
                            say("-r".to_owned());
                        }
                        _ => {
                            let _held = lock.write().unwrap();
                            say("+w".to_owned());
                            thread::yield_now();
                            say("-w".to_owned());
                        }
                    }
                })
            })
            .collect();
        thread::yield_now();
        drop(held);
        threads.into_iter().for_each(|t| t.join().unwrap());
        let log = log.borrow().join(" ");
        assert_eq!(log, "+r +r -r -r +w -w +r +r -r -r +w -w +r -r",);
    });
}

/// Behaviour 13: a reader that comes after a writer waits behind it, though others read.
#[test]
fn a_writer_that_waits_keeps_new_readers_out() {
    greenlit::run(|| {
        let lock = Rc::new(RwLock::new(0));
        let reads = lock.read().unwrap();
        let writer = thread::spawn({
            let lock = lock.clone();
            move || *lock.write().unwrap() += 1
        });
        thread::yield_now();
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
        let reader = thread::spawn({
            let lock = lock.clone();
            move || *lock.read().unwrap()
        });
        thread::yield_now();
        drop(reads);
        // It has been handed over, and the writer has not run.
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
        assert_eq!(reader.join().unwrap(), 1);
        writer.join().unwrap();
    });
}

/// Behaviours 14 and 15: those behind a writer that gives up come in at once.
#[test]
fn a_writer_that_gives_up_lets_in_the_readers_behind_it() {
    greenlit::run(|| {
        let lock = Rc::new(RwLock::new(()));
        let reads = lock.read().unwrap();
        let writer = thread::spawn({
            let lock = lock.clone();
            move || lock.write_timeout(Duration::from_millis(1)).is_err()
        });
        thread::yield_now();
        let reader = thread::spawn({
            let lock = lock.clone();
            move || lock.read_timeout(Duration::from_secs(20)).is_ok()
        });
        thread::yield_now();
        assert!(!reader.is_finished(), "it waits behind the writer");
        assert!(writer.join().unwrap());
        assert!(reader.join().unwrap());
        drop(reads);
        assert!(lock.try_write().is_ok());
    });
}

/// Behaviour 14: as above, by a cancel. The reader is of another OS thread, so that it is not cancelled
/// too.
#[test]
fn a_writer_that_is_cancelled_lets_in_the_readers_behind_it() {
    static LOCK: RwLock<()> = RwLock::new(());
    let _reads = LOCK.read().unwrap();
    let reader = greenlit::run(|| {
        thread::spawn(|| drop(LOCK.write()));
        thread::yield_now();
        assert!(LOCK.try_read().is_err(), "the writer stands in the queue");
        std::thread::spawn(|| LOCK.read_timeout(Duration::from_secs(20)).is_ok())
    });
    assert!(reader.join().unwrap());
}

#[test]
fn a_downgrade_lets_in_readers_and_keeps_writers_out() {
    greenlit::run(|| {
        let lock = Rc::new(RwLock::new(1));
        let mut writes = lock.write().unwrap();
        let log = Rc::new(RefCell::new(Vec::new()));
        let spawn = |reads: bool| {
            let (lock, log) = (lock.clone(), log.clone());
            thread::spawn(move || match reads {
                true => {
                    let seen = *lock.read().unwrap();
                    log.borrow_mut().push(seen);
                }
                false => *lock.write().unwrap() = 100,
            })
        };
        let (first, writer, last) = (spawn(true), spawn(false), spawn(true));
        thread::yield_now();
        *writes = 2;
        let reads = RwLockWriteGuard::downgrade(writes);
        first.join().unwrap();
        assert_eq!((*reads, &*log.borrow()), (2, &vec![2]));
        assert!(!writer.is_finished() && !last.is_finished());
        drop(reads);
        last.join().unwrap();
        assert_eq!(*log.borrow(), [2, 100]);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn a_downgrade_without_waiters_leaves_one_reader() {
    let lock = RwLock::new(());
    let reads = RwLockWriteGuard::downgrade(lock.write().unwrap());
    assert!(lock.try_read().is_ok() && lock.try_write().is_err());
    drop(reads);
    assert!(lock.try_write().is_ok());
}

/// What a lock says after each of these, std's and ours in turn.
macro_rules! poisonings {
    ($lock:path, $guard:path) => {{
        let said = RefCell::new(Vec::new());
        let lock = <$lock>::new(0);
        let say = |lock: &$lock| {
            let read = lock.read().is_err();
            let write = lock.write().is_err();
            let try_read = matches!(lock.try_read(), Err(TryLockError::Poisoned(_)));
            let try_write = matches!(lock.try_write(), Err(TryLockError::Poisoned(_)));
            let free = format!("{lock:?}");
            let held = lock.write();
            let debug = format!("{free} {lock:?}");
            drop(held);
            let poisoned = lock.is_poisoned();
            said.borrow_mut()
                .push((poisoned, read, write, try_read, try_write, debug));
        };
        let panics = |f: &dyn Fn()| {
            let quiet: Box<dyn std::any::Any + Send> = Box::new(());
            let call = AssertUnwindSafe(|| {
                let _after = OnDrop(f);
                std::panic::resume_unwind(quiet);
            });
            assert!(catch_unwind(call).is_err());
        };
        // A panic while reading does not poison.
        let read = AssertUnwindSafe(|| {
            let _held = lock.read();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(catch_unwind(read).is_err());
        say(&lock);
        // A guard that was made by a panicking thread does not poison, nor does a downgrade of one.
        panics(&|| drop(lock.write()));
        panics(&|| drop(lock.write().map(<$guard>::downgrade)));
        say(&lock);
        let down = AssertUnwindSafe(|| {
            let mut held = Some(lock.write().unwrap());
            let held = RefCell::new(&mut held);
            let downgrades = || drop(held.borrow_mut().take().map(<$guard>::downgrade));
            let _downgrades = OnDrop(&downgrades);
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(catch_unwind(down).is_err());
        say(&lock);
        let write = AssertUnwindSafe(|| {
            let _held = lock.write();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(catch_unwind(write).is_err());
        say(&lock);
        lock.clear_poison();
        say(&lock);
        said.into_inner()
    }};
}

struct OnDrop<'a>(&'a dyn Fn());

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Behaviour 19.
#[test]
fn it_is_poisoned_when_std_s_is() {
    let stds = poisonings!(std::sync::RwLock<i32>, std::sync::RwLockWriteGuard<'_, _>);
    assert_eq!(stds.iter().filter(|said| said.0).count(), 1);
    let outside = poisonings!(RwLock<i32>, RwLockWriteGuard<'_, _>);
    assert_eq!(outside, stds);
    let inside = greenlit::run(|| poisonings!(RwLock<i32>, RwLockWriteGuard<'_, _>));
    assert_eq!(inside, stds);
}

/// Behaviour 19: a cancel is no panic.
#[test]
fn a_cancel_does_not_poison() {
    static LOCK: RwLock<()> = RwLock::new(());
    greenlit::run(|| {
        thread::spawn(|| {
            let _held = LOCK.write().unwrap();
            thread::park();
        });
        thread::yield_now();
    });
    assert!(!LOCK.is_poisoned() && LOCK.try_write().is_ok());
}

#[test]
fn a_writer_that_locks_again_is_refused() {
    greenlit::run(|| {
        let lock = RwLock::new(());
        let _held = lock.write().unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(lock.write()))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(lock.read()))).is_err());
        assert!(lock.try_read().is_err() && lock.try_write().is_err());
    });
}
