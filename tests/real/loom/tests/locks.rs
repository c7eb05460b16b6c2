//! In every order that loom finds: a lock excludes, hands over what was written under it, and neither
//! it nor a permit is lost when a waiter gives up in the moment in which it is chosen.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use greenlit_loom::park::call_me;
use greenlit_loom::sync::mutex::Mutex;
use greenlit_loom::sync::semaphore::Semaphore;
use loom::cell::UnsafeCell;
use loom::sync::Notify;
use loom::thread;

/// Runs `f` in so many threads, in every order with few preemptions.
fn everywhere<T: Send + Sync + 'static>(
    threads: u64,
    new: impl Fn() -> T + Send + Sync + 'static,
    f: impl Fn(u64, &T) + Send + Sync + Copy + 'static,
    after: impl Fn(&T) + Send + Sync + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 20_000;
    builder.check(move || {
        call_me(1);
        let shared = Arc::new(new());
        let others: Vec<_> = (2..=threads)
            .map(|number| {
                let shared = shared.clone();
                thread::spawn(move || {
                    call_me(number);
                    f(number, &shared);
                })
            })
            .collect();
        f(1, &shared);
        others.into_iter().for_each(|other| other.join().unwrap());
        after(&shared);
    });
}

/// What is protected; loom finds accesses that are not ordered.
#[derive(Default)]
struct Guarded(UnsafeCell<u32>);

// SAFETY: loom watches the cell.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn add(&self) {
        // SAFETY: whoever calls it holds the lock, which is what the model shows.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }
}

/// A lock whose atomics are all made.
fn mutex() -> (Mutex<()>, Guarded) {
    let mutex = Mutex::new(());
    let held = mutex.lock();
    call_me(100);
    assert!(mutex.lock_timeout(Duration::from_nanos(1)).is_err());
    call_me(1);
    drop(held);
    (mutex, Guarded::default())
}

fn semaphore() -> (Semaphore, Guarded) {
    let semaphore = Semaphore::new(1);
    assert_eq!(semaphore.available_permits(), 1);
    (semaphore, Guarded::default())
}

#[test]
fn a_mutex_excludes_and_is_handed_over() {
    let lock = |_, shared: &(Mutex<()>, Guarded)| {
        let _held = shared.0.lock().unwrap();
        shared.1.add();
    };
    everywhere(3, mutex, lock, |shared| {
        assert!(shared.0.try_lock().is_ok());
    });
}

#[test]
fn a_mutex_is_not_lost_when_a_waiter_gives_up() {
    let lock = |number, shared: &(Mutex<()>, Guarded)| {
        let held = match number {
            2 => shared.0.lock_timeout(Duration::from_nanos(1)),
            _ => shared.0.lock().map_err(Into::into),
        };
        if let Ok(_held) = held {
            shared.1.add();
        }
    };
    everywhere(3, mutex, lock, |shared| {
        assert!(shared.0.try_lock().is_ok());
    });
}

#[test]
fn a_permit_is_not_lost_when_a_waiter_gives_up() {
    let acquire = |number, shared: &(Semaphore, Guarded)| {
        let permit = match number {
            2 => shared.0.acquire_timeout(Duration::from_nanos(1)),
            _ => Some(shared.0.acquire()),
        };
        if let Some(_permit) = permit {
            shared.1.add();
        }
    };
    everywhere(3, semaphore, acquire, |shared| {
        assert_eq!(shared.0.available_permits(), 1);
    });
}

/// Wakes the thread that waits for it.
struct Wakeup(Notify);

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn wakeup() -> (Arc<Wakeup>, Waker) {
    let wakeup = Arc::new(Wakeup(Notify::new()));
    (wakeup.clone(), Waker::from(wakeup))
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>, waker: &Waker) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

/// Polls with one waker, and then with another until it is ready.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    let (_first, first_waker) = wakeup();
    if let Poll::Ready(value) = poll(&mut future, &first_waker) {
        return value;
    }
    let (last, last_waker) = wakeup();
    loop {
        if let Poll::Ready(value) = poll(&mut future, &last_waker) {
            return value;
        }
        last.0.wait();
    }
}

/// Polls once or twice, and drops the future if it is not ready.
fn try_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..2 {
        let (_wakeup, waker) = wakeup();
        if let Poll::Ready(value) = poll(&mut future, &waker) {
            return Some(value);
        }
    }
    None
}

#[test]
fn a_mutex_is_handed_to_futures_and_wakes_the_last_waker() {
    let lock = |number, shared: &(Mutex<()>, Guarded)| {
        let _held = match number {
            1 => shared.0.lock().unwrap(),
            _ => wait(shared.0.lock_async()).unwrap(),
        };
        shared.1.add();
    };
    everywhere(3, mutex, lock, |shared| {
        assert!(shared.0.try_lock().is_ok());
    });
}

#[test]
fn a_mutex_is_not_lost_when_a_future_is_dropped() {
    let lock = |number, shared: &(Mutex<()>, Guarded)| {
        let held = match number {
            1 => shared.0.lock().ok(),
            2 => try_once(shared.0.lock_async()).map(Result::unwrap),
            _ => wait(shared.0.lock_async()).ok(),
        };
        if let Some(_held) = held {
            shared.1.add();
        }
    };
    everywhere(3, mutex, lock, |shared| {
        assert!(shared.0.try_lock().is_ok());
    });
}

#[test]
fn a_permit_is_not_lost_when_a_future_is_dropped() {
    let acquire = |number, shared: &(Semaphore, Guarded)| {
        let permit = match number {
            1 => Some(shared.0.acquire()),
            2 => try_once(shared.0.acquire_async()),
            _ => Some(wait(shared.0.acquire_async())),
        };
        if let Some(_permit) = permit {
            shared.1.add();
        }
    };
    everywhere(3, semaphore, acquire, |shared| {
        assert_eq!(shared.0.available_permits(), 1);
    });
}

/// A future that is polled by one thread after another, while a third lets go of what it waits for.
#[test]
fn a_future_goes_from_thread_to_thread() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        call_me(1);
        let shared = Arc::new(mutex());
        let own = shared.clone();
        let held = shared.0.lock().unwrap();
        let mut future = Box::pin(async move {
            let _held = own.0.lock_async().await.unwrap();
            own.1.add();
        });
        let (_first, first_waker) = wakeup();
        assert!(poll(&mut future, &first_waker).is_pending());
        let other = thread::spawn(move || {
            call_me(2);
            wait(future);
        });
        shared.1.add();
        drop(held);
        other.join().unwrap();
        assert!(shared.0.try_lock().is_ok());
    });
}
