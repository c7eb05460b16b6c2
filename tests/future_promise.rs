//! `future::Promise`: set once, waited for by threads and tasks alike, with callbacks in their order.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::futures::Log;
use greenlit::cancel::Cancelled;
use greenlit::future::{self, Promise, PromiseError};
use greenlit::thread;

#[test]
fn smoke() {
    greenlit::run(|| {
        let promise = Promise::new();
        assert!(!promise.is_done() && promise.result().is_none());
        let waiters = [(); 2].map(|()| {
            let promise = promise.clone();
            thread::spawn(move || promise.join().unwrap())
        });
        let task = future::spawn(promise.clone());
        thread::yield_now();
        promise.set(7).unwrap();
        assert_eq!(task.join().unwrap().unwrap(), 7);
        let _ = waiters.map(|waiter| assert_eq!(waiter.join().unwrap(), 7));
        assert!(promise.is_done());
    });
}

#[test]
fn it_is_set_once_and_gives_back_what_comes_later() {
    let error = || io::Error::other("out of order");
    let promise = Promise::new();
    assert_eq!(promise.set(1), Ok(()));
    assert_eq!(promise.set(2), Err(2));
    let late = promise.fail(error()).unwrap_err();
    assert_eq!(late.to_string(), "out of order");
    assert!(!promise.cancel("late") && !promise.is_cancelled());
    assert_eq!(promise.wait().unwrap(), &1);

    let promise = Promise::new();
    promise.fail(error()).unwrap();
    assert_eq!(promise.set(2), Err(2));
    let failed = promise.wait().unwrap_err();
    assert_eq!(failed.to_string(), "out of order");
    assert!(matches!(failed, PromiseError::Failed(_)) && failed.source().is_none());

    let promise = Promise::new();
    assert!(promise.cancel("not wanted"));
    assert!(promise.is_cancelled() && promise.is_done());
    assert_eq!(promise.set(2), Err(2));
    let cancelled = promise.clone().join().unwrap_err();
    assert_eq!(cancelled.to_string(), "cancelled: not wanted");
    assert!(!promise.cancel("again"));
}

#[test]
fn who_waits_is_woken_in_the_order_in_which_he_came() {
    let log = Log::default();
    greenlit::run(|| {
        let promise = Promise::new();
        let task = |name| {
            let (promise, log) = (promise.clone(), log.clone());
            future::spawn(async move {
                promise.await.unwrap();
                log.add(name);
            })
        };
        let first = task("first task");
        thread::yield_now();
        let log_callback = log.clone();
        promise.add_done_callback(move |_| log_callback.add("callback"));
        let last = task("last task");
        thread::yield_now();
        promise.set(()).unwrap();
        assert!(log.all().is_empty(), "nobody runs inside set");
        first.join().unwrap();
        last.join().unwrap();
    });
    assert_eq!(log.all(), ["first task", "callback", "last task"]);
}

#[test]
fn callbacks_are_called_after_what_is_queued_and_in_their_order() {
    let log = Log::default();
    greenlit::run(|| {
        let promise = Promise::new();
        let add = |name| {
            let log = log.clone();
            promise.add_done_callback(move |done: &Promise<u8>| {
                assert_eq!(done.result().unwrap().unwrap(), &3);
                log.add(name);
            })
        };
        let first = add("one");
        let removed = add("removed");
        add("two");
        let task = |name| {
            let log = log.clone();
            future::spawn(async move { log.add(name) })
        };
        task("queued before");
        promise.set(3).unwrap();
        task("queued after");
        // Of one that is done already, they are called all the same, and not at once.
        let late = add("late");
        removed.cancel("no need");
        assert!(log.all().is_empty());
        late.join().unwrap();
        assert!(removed.join().unwrap_err().is::<Cancelled>());
        assert!(first.is_finished());
    });
    let all = ["queued before", "one", "two", "queued after", "late"];
    assert_eq!(log.all(), all);
}

#[test]
fn a_callback_that_panics_keeps_no_other_from_being_called() {
    let promise = Promise::new();
    let called = greenlit::run(|| {
        let bad = promise.add_done_callback(|_| panic!("on purpose"));
        let called = Rc::new(Cell::new(false));
        let good = promise.add_done_callback({
            let called = called.clone();
            move |_| called.set(true)
        });
        promise.set(()).unwrap();
        assert!(bad.join().is_err());
        good.join().unwrap();
        called.get()
    });
    assert!(called);
}

#[test]
fn callbacks_of_a_promise_that_nobody_keeps_go_with_the_run() {
    let held = Rc::new(());
    let promise = Promise::<()>::new();
    greenlit::run(|| {
        let held = held.clone();
        promise.add_done_callback(move |_| drop(held));
    });
    assert_eq!(Rc::strong_count(&held), 1);
    // Its list is empty, so nobody of a run that has gone is woken.
    promise.set(()).unwrap();
}

#[test]
fn a_wait_may_be_limited_and_is_ended_by_a_cancel() {
    let promise = Promise::<u8>::new();
    assert!(promise.wait_timeout(Duration::ZERO).is_none());
    greenlit::run(|| {
        assert!(promise.wait_timeout(Duration::from_millis(1)).is_none());
        let waiter = thread::spawn({
            let promise = promise.clone();
            move || promise.join().is_ok()
        });
        thread::yield_now();
        waiter.cancel("enough");
        assert!(waiter.join().unwrap_err().is::<Cancelled>());
        assert!(!promise.is_done());
        promise.set(1).unwrap();
        let far = greenlit::time::Instant::now() + Duration::from_secs(60);
        assert_eq!(promise.wait_deadline(far).unwrap().unwrap(), &1);
    });
}

/// A future that is moved to another task has the waker of its last poll woken, and one that is dropped
/// leaves no waker behind.
#[test]
fn a_waker_is_replaced_and_goes_with_its_future() {
    struct Counts(AtomicUsize);
    impl std::task::Wake for Counts {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let counts = [(); 3].map(|()| std::sync::Arc::new(Counts(AtomicUsize::new(0))));
    let wakers = counts.clone().map(Waker::from);
    let promise = Promise::<()>::new();
    {
        let mut settled = pin!(promise.settled());
        let mut dropped = pin!(promise.settled());
        for waker in [&wakers[0], &wakers[1], &wakers[1]] {
            let mut context = Context::from_waker(waker);
            assert!(settled.as_mut().poll(&mut context).is_pending());
        }
        let mut context = Context::from_waker(&wakers[2]);
        assert!(dropped.as_mut().poll(&mut context).is_pending());
        dropped.set(promise.settled());
        promise.set(()).unwrap();
        assert!(matches!(
            settled.as_mut().poll(&mut context),
            Poll::Ready(Ok(()))
        ));
    }
    let woken = counts
        .each_ref()
        .map(|count| count.0.load(Ordering::Relaxed));
    assert_eq!(woken, [0, 1, 0]);
    drop(wakers);
    assert_eq!(
        counts.map(|count| std::sync::Arc::strong_count(&count)),
        [1; 3]
    );
}

#[test]
fn it_is_send_and_sync_where_its_value_is() {
    fn assert_send_sync<T: Send + Sync>(_: &T) {}
    let promise = Promise::<u8>::new();
    assert_send_sync(&promise);
    assert_send_sync(&promise.settled());
}

/// Between green threads of two runtimes, tasks and OS threads; one of many wins.
#[test]
fn cross_thread_promise_is_set_once_and_seen_by_all() {
    for _ in 0..5 {
        let promise = Promise::new();
        let won = AtomicUsize::new(0);
        let bring = |n: usize| {
            if promise.set(n).is_ok() {
                won.store(n, Ordering::Relaxed);
            }
        };
        let seen = std::thread::scope(|scope| {
            let waits = || *promise.wait().unwrap();
            let mut waiters = vec![scope.spawn(waits), scope.spawn(waits)];
            for n in [1, 2] {
                let (promise, bring) = (&promise, &bring);
                waiters.push(scope.spawn(move || {
                    greenlit::run(|| {
                        let called = Rc::new(RefCell::new(None));
                        let callback = promise.add_done_callback({
                            let called = called.clone();
                            move |done| *called.borrow_mut() = done.clone().join().ok()
                        });
                        let task = future::spawn(promise.clone());
                        thread::scope(|scope| {
                            scope.spawn(|| bring(n));
                        });
                        callback.join().unwrap();
                        let value = task.join().unwrap().unwrap();
                        assert_eq!(called.take(), Some(value));
                        value
                    })
                }));
            }
            bring(3);
            waiters
                .into_iter()
                .map(|w| w.join().unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(seen, [won.into_inner(); 4]);
    }
}
