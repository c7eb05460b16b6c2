//! Bugs of `sync` and of `park::Waiter` that were found by reading; each test names one.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::alone;
use greenlit::coroutine::{Coroutine, Resumed};
use greenlit::park::{Reason, Unparker, Waiter};
use greenlit::sync::{Mutex, Once, OnceLock, RwLock, RwLockReadGuard};
use greenlit::thread;

/// A thread with flags set (here: shielded by an initialiser) took a held lock of its own for one
/// that it had taken just now, let go of it, and had two guards.
#[test]
fn a_lock_that_is_held_is_refused_in_an_initialiser_too() {
    greenlit::run(|| {
        let mutex = Mutex::new(());
        Once::new().call_once(|| {
            let _held = mutex.lock().unwrap();
            let again = catch_unwind(AssertUnwindSafe(|| drop(mutex.lock())));
            assert!(again.is_err());
            assert!(mutex.try_lock().is_err(), "it is still held");
        });
    });
}

/// A wait of an OS thread used up the token of `std::thread::park`.
#[test]
fn a_lock_does_not_use_up_the_token_of_std() {
    let mutex = Mutex::new(());
    let _held = mutex.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::current().unpark();
            assert!(mutex.lock_timeout(Duration::from_millis(1)).is_err());
            let asked = Instant::now();
            std::thread::park_timeout(Duration::from_secs(60));
            assert!(asked.elapsed() < Duration::from_secs(30));
        });
    });
}

/// The refusal of a lock that its own thread holds ran the panic hook, which is the user's, while the
/// lock's queue was locked: a hook that looked at the lock span for ever.
#[test]
fn a_panic_hook_may_use_the_lock_that_was_refused() {
    let test = "a_panic_hook_may_use_the_lock_that_was_refused";
    alone::alone(test, || {
        static MUTEX: Mutex<u32> = Mutex::new(0);
        static RWLOCK: RwLock<u32> = RwLock::new(0);
        panic::set_hook(Box::new(|_| {
            // From another OS thread, since this one would be refused.
            let other = std::thread::spawn(|| {
                assert!(MUTEX.lock_timeout(Duration::from_millis(1)).is_err());
                assert!(RWLOCK.write_timeout(Duration::from_millis(1)).is_err());
            });
            other.join().expect("no panic in the hook");
        }));
        greenlit::run(|| {
            let _held = MUTEX.lock().unwrap();
            let _written = RWLOCK.write().unwrap();
            assert!(catch_unwind(|| drop(MUTEX.lock())).is_err());
            assert!(catch_unwind(|| drop(RWLOCK.read())).is_err());
        });
    });
}

/// A waiter followed a pointer to its runtime, and a coroutine carried it out of the run.
#[test]
fn a_waiter_may_outlive_its_run_in_a_coroutine() {
    let coroutine = greenlit::run(|| {
        let coroutine: Coroutine<(), (), ()> = Coroutine::new(|co, ()| {
            Waiter::with(|waiter| {
                co.suspend(());
                waiter.unparker().unpark();
                let parked = catch_unwind(AssertUnwindSafe(|| {
                    waiter.park(Reason::new("waiting elsewhere"), || false);
                }));
                assert!(parked.is_err(), "it is not the thread that made it");
            });
        });
        assert_eq!(coroutine.resume(()).ok(), Some(Resumed::Yielded(())));
        coroutine
    });
    assert_eq!(coroutine.resume(()).ok(), Some(Resumed::Returned(())));
}

/// The condition of a wait is code of the user's: it may suspend a coroutine, and go on in another
/// thread. That thread was parked under the first one's record.
#[test]
fn the_condition_of_a_wait_may_be_carried_to_another_thread() {
    greenlit::run(|| {
        let coroutine: Rc<Coroutine<(), (), bool>> = Rc::new(Coroutine::new(|co, ()| {
            let parks = || {
                Waiter::with(|waiter| {
                    waiter.park(Reason::new("waiting here and there"), || {
                        co.suspend(());
                        false
                    });
                });
            };
            catch_unwind(AssertUnwindSafe(parks)).is_err()
        }));
        assert_eq!(coroutine.resume(()).ok(), Some(Resumed::Yielded(())));
        let refused = thread::spawn(move || coroutine.resume(()).ok());
        assert_eq!(refused.join().unwrap(), Some(Resumed::Returned(true)));
        // The run queue is whole.
        thread::yield_now();
        thread::spawn(thread::yield_now).join().unwrap();
    });
}

/// An unparker that comes while the condition is being asked is not lost.
#[test]
fn an_unpark_during_the_condition_is_not_lost() {
    greenlit::run(|| {
        let asked = RefCell::new(0);
        Waiter::with(|waiter| {
            waiter.park(Reason::new("waiting for itself"), || {
                *asked.borrow_mut() += 1;
                waiter.unparker().unpark();
                *asked.borrow() == 3
            });
        });
        assert_eq!(*asked.borrow(), 3);
    });
}

/// An outdated unparker, of a run that is over, does nothing.
#[test]
fn an_unparker_may_outlive_its_run() {
    let mut runtime = greenlit::Runtime::builder().build().unwrap();
    let stale: Unparker = runtime.run(|| Waiter::with(Waiter::unparker));
    let later = runtime.run(|| Waiter::with(Waiter::unparker));
    runtime.run(|| stale.unpark());
    drop(runtime);
    later.unpark();
}

/// A cell had a destructor of its own, so that it could not refer to what goes before it, as std's.
#[test]
fn a_cell_may_refer_to_what_goes_before_it() {
    let cell = OnceLock::new();
    let text = String::from("goes first");
    cell.set(&text).unwrap();
    assert_eq!(*cell.get().unwrap(), "goes first");
}

/// std's read guards are covariant.
#[test]
fn a_read_guard_of_a_longer_lived_type_passes_for_one_of_a_shorter_lived() {
    fn shorter<'a, 'b>(guard: RwLockReadGuard<'a, &'static str>) -> RwLockReadGuard<'a, &'b str> {
        guard
    }
    let lock = RwLock::new("static");
    assert_eq!(*shorter(lock.read().unwrap()), "static");
}

/// A cell that was made of a value, or cloned, in a cancelled thread unwound it.
#[test]
fn a_cell_is_made_and_cloned_in_a_cancelled_thread_too() {
    let cloned = Arc::new(AtomicBool::new(false));
    struct Clones(Arc<AtomicBool>);
    impl Drop for Clones {
        fn drop(&mut self) {
            let cell = OnceLock::from(1);
            self.0.store(cell.clone() == cell, Ordering::Relaxed);
        }
    }
    greenlit::run(|| {
        let cloned = cloned.clone();
        thread::spawn(move || {
            let caught = catch_unwind(AssertUnwindSafe(thread::park)).is_err();
            let _both = OnceLock::from(caught);
            drop(Clones(cloned));
        });
        thread::yield_now();
    });
    assert!(cloned.load(Ordering::Relaxed));
}
