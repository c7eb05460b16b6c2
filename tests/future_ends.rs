//! How tasks end: by a cancel, a panic, the end of the run; and what is left of their wakers.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::futures::{Gate, Log};
use greenlit::cancel::Cancelled;
use greenlit::{future, thread};

#[test]
fn a_cancel_drops_the_future_and_tells_who_joins() {
    struct Guard(Log);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    let log = Log::default();
    greenlit::run(|| {
        let guard = Guard(log.clone());
        let task = future::spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        thread::yield_now();
        assert!(!task.is_finished());
        task.cancel("not needed");
        task.cancel("twice");
        let payload = task.join().unwrap_err();
        assert_eq!(
            payload.downcast_ref::<Cancelled>().unwrap().reason(),
            "not needed"
        );
        log.add("joined");
    });
    assert_eq!(log.all(), ["dropped", "joined"]);
}

#[test]
fn a_cancel_before_the_first_poll_and_after_the_last() {
    greenlit::run(|| {
        let never = future::spawn(async { unreachable!() });
        never.cancel("early");
        assert!(never.join().unwrap_err().is::<Cancelled>());
        let done = future::spawn(async { 1 });
        thread::yield_now();
        assert!(done.is_finished());
        done.cancel("late");
        assert_eq!(done.join().unwrap(), 1);
    });
}

#[test]
fn a_value_wins_over_a_cancel_in_the_same_poll() {
    greenlit::run(|| {
        let own = Rc::new(RefCell::new(None::<thread::JoinHandle<i32>>));
        let task = future::spawn({
            let own = own.clone();
            async move {
                own.borrow().as_ref().unwrap().cancel("itself");
                5
            }
        });
        *own.borrow_mut() = Some(task);
        thread::yield_now();
        assert_eq!(own.take().unwrap().join().unwrap(), 5);
    });
}

#[test]
fn a_cancel_unwinds_a_blocking_call_in_a_poll_and_others_go_on() {
    greenlit::run(|| {
        let blocked = future::spawn(async { thread::park() });
        thread::yield_now();
        blocked.cancel("enough");
        let after = future::spawn(async { 3 });
        assert!(blocked.join().unwrap_err().is::<Cancelled>());
        assert_eq!(after.join().unwrap(), 3);
    });
}

#[test]
fn a_panic_reaches_who_joins_and_nobody_else() {
    greenlit::run(|| {
        let task = future::spawn(async { std::panic::resume_unwind(Box::new("oops")) });
        let other = future::spawn(async { 1 });
        let payload: Box<dyn std::any::Any + Send> = task.join().map(|(): ()| ()).unwrap_err();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "oops");
        assert_eq!(other.join().unwrap(), 1);
    });
}

/// Behaviour 53, of tasks.
#[test]
fn the_end_of_a_run_drops_all_futures() {
    struct Guard(Rc<Cell<usize>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            // Others may run meanwhile.
            thread::yield_now();
        }
    }
    let dropped = Rc::new(Cell::new(0));
    greenlit::run(|| {
        for _ in 0..3 {
            let guard = Guard(dropped.clone());
            drop(future::spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            }));
        }
        thread::yield_now();
        let guard = Guard(dropped.clone());
        // In the middle of a poll.
        drop(future::spawn(async move {
            let _guard = guard;
            thread::park();
        }));
        thread::yield_now();
        // Never polled.
        let guard = Guard(dropped.clone());
        drop(future::spawn(async move { drop(guard) }));
    });
    assert_eq!(dropped.get(), 5);
}

#[test]
fn what_destructors_spawn_at_the_end_is_dropped_too() {
    struct Spawns(Rc<Cell<usize>>, usize);
    impl Drop for Spawns {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            if self.1 > 0 {
                let next = Spawns(self.0.clone(), self.1 - 1);
                drop(future::spawn(async move {
                    let _next = next;
                    pending::<()>().await;
                }));
            }
        }
    }
    let dropped = Rc::new(Cell::new(0));
    greenlit::run(|| {
        let first = Spawns(dropped.clone(), 3);
        drop(future::spawn(async move {
            let _first = first;
            pending::<()>().await;
        }));
    });
    assert_eq!(dropped.get(), 4);
}

/// Behaviour 5, of wakers.
#[test]
fn wakers_work_from_other_os_threads_after_completion_and_after_the_run() {
    let kept = Arc::new(Mutex::new(Vec::<Waker>::new()));
    greenlit::run(|| {
        let opened = Gate::default();
        let task = future::spawn({
            let (opened, kept) = (opened.clone(), kept.clone());
            async move {
                poll_fn(|context| {
                    kept.lock().unwrap().push(context.waker().clone());
                    Poll::Ready(())
                })
                .await;
                opened.await;
            }
        });
        let outside = std::thread::spawn(move || opened.open());
        future::block_on(async {
            poll_fn(|context| {
                kept.lock().unwrap().push(context.waker().clone());
                Poll::Ready(())
            })
            .await;
            task.await.unwrap();
        });
        outside.join().unwrap();
        kept.lock().unwrap().iter().for_each(Waker::wake_by_ref);
    });
    let kept = std::mem::take(&mut *kept.lock().unwrap());
    kept.iter().for_each(Waker::wake_by_ref);
    std::thread::spawn(move || kept.into_iter().for_each(Waker::wake))
        .join()
        .unwrap();
}

/// Behaviour 26, of `block_on`.
#[test]
fn a_cancelled_block_on_drops_its_future() {
    let dropped = Rc::new(Cell::new(false));
    struct Guard(Rc<Cell<bool>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    greenlit::run(|| {
        let guard = Guard(dropped.clone());
        let waits = thread::spawn(move || {
            future::block_on(async move {
                let _guard = guard;
                pending::<()>().await;
            });
        });
        thread::yield_now();
        waits.cancel("enough");
        assert!(waits.join().unwrap_err().is::<Cancelled>());
    });
    assert!(dropped.get());
}

/// A waker of another executor's.
struct Foreign {
    wakes: AtomicUsize,
    os_thread: std::thread::ThreadId,
}

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        // It runs in a green thread that may block: the runner.
        assert_eq!(std::thread::current().id(), self.os_thread);
        thread::yield_now();
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_end_of_a_thread_leaves_foreign_wakers_to_the_runner() {
    greenlit::run(|| {
        let foreign = Arc::new(Foreign {
            wakes: AtomicUsize::new(0),
            os_thread: std::thread::current().id(),
        });
        let waker = Waker::from(foreign.clone());
        let mut child = thread::spawn(|| 4);
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut child).poll(&mut context).is_pending());
        assert!(Pin::new(&mut child).poll(&mut context).is_pending());
        while foreign.wakes.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        assert!(matches!(
            Pin::new(&mut child).poll(&mut context),
            Poll::Ready(Ok(4))
        ));
        assert_eq!(foreign.wakes.load(Ordering::Relaxed), 1);
    });
}

/// Behaviour 54, of futures.
#[test]
fn a_deadlock_names_the_futures() {
    let payload = std::panic::catch_unwind(|| {
        greenlit::run(|| {
            let stuck = future::Builder::new()
                .name("stuck".to_owned())
                .spawn(pending::<()>())
                .unwrap();
            stuck.join().unwrap();
        });
    })
    .unwrap_err();
    let report = payload.downcast::<String>().unwrap();
    assert!(report.contains("future \"stuck\" (#"), "{report}");
    assert!(
        report.contains("all 1 green threads and 1 futures"),
        "{report}"
    );
}

/// Behaviour 7, of tasks.
#[test]
fn a_task_that_joins_itself_is_told() {
    greenlit::run(|| {
        let own = Rc::new(RefCell::new(None::<thread::JoinHandle<()>>));
        let task = future::spawn({
            let own = own.clone();
            async move {
                let own = own.take().unwrap();
                let _ = own.join();
            }
        });
        *own.borrow_mut() = Some(task);
        thread::yield_now();
        assert!(own.borrow().is_none());
    });
}

#[test]
fn a_soft_cancel_asks_first_and_cancels_later() {
    greenlit::run(|| {
        let polite = future::spawn(poll_fn(|_| match greenlit::cancel::requested() {
            Some(cancelled) => Poll::Ready(cancelled.reason().to_owned()),
            None => Poll::Pending,
        }));
        thread::yield_now();
        polite.cancel_softly("please", std::time::Duration::MAX);
        assert_eq!(polite.join().unwrap(), "please");
        let stubborn = future::spawn(pending::<()>());
        stubborn.cancel_softly("please", std::time::Duration::from_millis(1));
        assert!(stubborn.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn a_runtime_runs_again_after_tasks() {
    let mut runtime = greenlit::Runtime::builder().build().unwrap();
    for round in 0..3 {
        let got = runtime.run(|| {
            drop(future::spawn(pending::<()>()));
            future::spawn(async move { round }).join().unwrap()
        });
        assert_eq!(got, round);
    }
}
