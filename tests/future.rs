//! Futures as tasks, and green threads that wait for futures.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use greenlit::cancel::Cancelled;
use greenlit::{future, thread};

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    fn add(&self, what: &'static str) {
        self.0.borrow_mut().push(what);
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.borrow().clone()
    }
}

/// Ready when somebody has opened it; many may wait.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    fn open(&self) {
        let wakers = {
            let mut gate = self.0.lock().unwrap();
            gate.0 = true;
            std::mem::take(&mut gate.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        if gate.0 {
            return Poll::Ready(());
        }
        gate.1.push(context.waker().clone());
        Poll::Pending
    }
}

#[test]
fn smoke() {
    let sum = greenlit::run(|| {
        let one = future::spawn(async { 1 });
        let two = future::spawn(async { one.await.unwrap() + 1 });
        future::block_on(async { two.await.unwrap() + 1 })
    });
    assert_eq!(sum, 3);
}

/// Behaviour 1, of tasks.
#[test]
fn tasks_run_in_the_order_in_which_they_became_ready() {
    let log = Log::default();
    greenlit::run(|| {
        let handles = ["a", "b", "c"].map(|name| {
            let log = log.clone();
            future::spawn(async move {
                log.add(name);
                future::yield_now().await;
                log.add(name);
            })
        });
        let _ = handles.map(|handle| handle.join().unwrap());
    });
    assert_eq!(log.all(), ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn who_wakes_itself_and_then_another_goes_first() {
    let log = Log::default();
    greenlit::run(|| {
        let gate = Gate::default();
        let other = future::spawn({
            let (log, gate) = (log.clone(), gate.clone());
            async move {
                gate.await;
                log.add("other");
            }
        });
        let this = future::spawn({
            let log = log.clone();
            async move {
                let mut first = true;
                poll_fn(|context| {
                    if !std::mem::take(&mut first) {
                        return Poll::Ready(());
                    }
                    context.waker().wake_by_ref();
                    gate.open();
                    Poll::Pending
                })
                .await;
                log.add("this");
            }
        });
        this.join().unwrap();
        other.join().unwrap();
    });
    assert_eq!(log.all(), ["this", "other"]);
}

#[test]
fn a_task_is_polled_once_however_often_it_was_woken() {
    let polls = Cell::new(0);
    let polls = &*Box::leak(Box::new(polls));
    greenlit::run(|| {
        let waker = Rc::new(RefCell::new(None));
        let task = future::spawn({
            let waker = waker.clone();
            poll_fn(move |context| {
                polls.set(polls.get() + 1);
                *waker.borrow_mut() = Some(context.waker().clone());
                match polls.get() {
                    1 | 2 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            })
        });
        thread::yield_now();
        let waker = waker.borrow().clone().unwrap();
        waker.wake_by_ref();
        waker.wake_by_ref();
        thread::yield_now();
        assert_eq!(polls.get(), 2);
        waker.wake();
        task.join().unwrap();
        assert_eq!(polls.get(), 3);
    });
}

#[test]
fn a_poll_that_blocks_keeps_no_other_task_waiting() {
    greenlit::run(|| {
        let (sender, receiver) = greenlit::sync::mpsc::channel();
        let blocking = future::spawn(async move { receiver.recv().unwrap() });
        let deeper = future::spawn(async move {
            // The first is parked in its poll by now, and this one parks too.
            thread::yield_now();
            thread::park();
        });
        let sending = future::spawn(async move { sender.send(7).unwrap() });
        sending.join().unwrap();
        assert_eq!(blocking.join().unwrap(), 7);
        deeper.cancel("enough");
        assert!(deeper.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn block_on_inside_a_task_and_inside_a_block_on() {
    greenlit::run(|| {
        let gate = Gate::default();
        let inner = gate.clone();
        let task =
            future::spawn(async move { future::block_on(async { future::block_on(inner) }) });
        thread::yield_now();
        gate.open();
        task.join().unwrap();
    });
}

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

#[test]
fn block_on_sleeps_until_another_os_thread_wakes_it() {
    let gate = Gate::default();
    let opened = gate.clone();
    greenlit::run(|| {
        let outside = std::thread::spawn(move || opened.open());
        future::block_on(gate.clone());
        outside.join().unwrap();
    });
    // Without a runtime too.
    let gate = Gate::default();
    let opened = gate.clone();
    let outside = std::thread::spawn(move || opened.open());
    future::block_on(gate);
    outside.join().unwrap();
}

#[test]
fn block_on_parks_one_green_thread_and_no_other() {
    greenlit::run(|| {
        let gate = Gate::default();
        let waits = thread::spawn({
            let gate = gate.clone();
            move || future::block_on(gate)
        });
        thread::yield_now();
        assert!(!waits.is_finished());
        gate.open();
        waits.join().unwrap();
    });
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

#[test]
fn a_task_has_locals_of_its_own() {
    greenlit::thread_local! {
        static NAME: Cell<&'static str> = const { Cell::new("nobody") };
    }
    greenlit::run(|| {
        NAME.set("main");
        let tasks = ["a", "b"].map(|name| {
            future::spawn(async move {
                assert_eq!(NAME.get(), "nobody");
                NAME.set(name);
                future::yield_now().await;
                assert_eq!(NAME.get(), name);
            })
        });
        let _ = tasks.map(|task| task.join().unwrap());
        let eager = future::Builder::new().eager(true).spawn(async {
            assert_eq!(NAME.get(), "nobody");
            NAME.set("eager");
        });
        assert!(eager.unwrap().is_finished());
        assert_eq!(NAME.get(), "main");
    });
}

#[test]
fn an_eager_task_begins_in_its_spawner() {
    let log = Log::default();
    greenlit::run(|| {
        let task = future::Builder::new().eager(true).spawn({
            let log = log.clone();
            async move {
                log.add("first");
                future::yield_now().await;
                log.add("third");
            }
        });
        log.add("second");
        task.unwrap().join().unwrap();
    });
    assert_eq!(log.all(), ["first", "second", "third"]);
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

/// Behaviour 4, of tasks.
#[test]
fn a_hundred_thousand_tasks_are_woken_in_one_step() {
    greenlit::run(|| {
        let gate = Gate::default();
        let tasks: Vec<_> = (0..100_000).map(|_| future::spawn(gate.clone())).collect();
        thread::yield_now();
        gate.open();
        for task in tasks {
            task.join().unwrap();
        }
    });
}

/// Behaviour 2, of tasks.
#[test]
fn a_task_that_wakes_itself_for_ever_starves_no_timer() {
    greenlit::run(|| {
        let stop = Rc::new(Cell::new(false));
        let task = future::spawn({
            let stop = stop.clone();
            async move {
                while !stop.get() {
                    future::yield_now().await;
                }
            }
        });
        thread::sleep(std::time::Duration::from_millis(1));
        stop.set(true);
        task.join().unwrap();
    });
}

#[test]
fn select_waits_for_tasks_too() {
    greenlit::run(|| {
        let slow = future::spawn(pending::<()>());
        let quick = future::spawn(async { 2 });
        let got = greenlit::select! {
            join(slow) -> _ => unreachable!(),
            join(quick) -> result => result.unwrap(),
        };
        assert_eq!(got, 2);
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

#[test]
fn runners_are_not_counted_as_threads() {
    let mut runtime = greenlit::Runtime::builder().max_threads(1).build().unwrap();
    runtime.run(|| {
        let parked = future::spawn(async { thread::park() });
        thread::yield_now();
        future::spawn(async {}).join().unwrap();
        let child = thread::Builder::new().spawn(|| 1).unwrap();
        assert!(thread::Builder::new().spawn(|| 2).is_err());
        assert_eq!(child.join().unwrap(), 1);
        drop(parked);
    });
}
