//! Futures as tasks, and threads that wait for futures.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use crate::futures::{Gate, Log};
use greenlit::cancel::Cancelled;
use greenlit::{future, thread};

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
    let polls = Rc::new(Cell::new(0));
    greenlit::run(|| {
        let waker = Rc::new(RefCell::new(None));
        let task = future::spawn({
            let (waker, polls) = (waker.clone(), polls.clone());
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

#[test]
fn a_coroutine_is_a_task_s_body_and_unwinds_when_it_is_cancelled() {
    struct Guard(Log);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.add("unwound");
        }
    }
    let log = Log::default();
    greenlit::run(|| {
        let task = future::spawn(greenlit::coroutine::Coroutine::new({
            let log = log.clone();
            move |co, ()| {
                let _guard = Guard(log.clone());
                loop {
                    log.add("body");
                    co.suspend(());
                }
            }
        }));
        thread::yield_now();
        let other = future::spawn({
            let log = log.clone();
            async move { log.add("other") }
        });
        other.join().unwrap();
        task.cancel("enough");
        let result: Result<(), _> = task.join();
        assert!(result.unwrap_err().is::<Cancelled>());
    });
    let log = log.all();
    assert_eq!(log.last(), Some(&"unwound"));
    assert!(log.iter().filter(|what| **what == "body").count() >= 2);
}

#[test]
fn a_coroutine_that_blocks_in_a_task_keeps_no_other_waiting() {
    greenlit::run(|| {
        let (sender, receiver) = greenlit::sync::mpsc::channel();
        let task = future::spawn(greenlit::coroutine::Coroutine::new(move |co, ()| {
            co.suspend(());
            let got: i32 = receiver.recv().unwrap();
            co.suspend(());
            got
        }));
        let sends = future::spawn(async move {
            future::yield_now().await;
            future::yield_now().await;
            sender.send(6).unwrap();
        });
        assert_eq!(task.join().unwrap(), 6);
        sends.join().unwrap();
    });
}

/// Pending until the flag says so; between, `wakes` does what it likes with the waker.
fn woken_by(wakes: impl Fn(&std::task::Waker)) {
    let mut polls = 0;
    future::block_on(poll_fn(|context| {
        polls += 1;
        match polls {
            1..3 => {
                wakes(context.waker());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }));
}

#[test]
fn block_on_is_woken_in_the_middle_of_its_poll() {
    let ways = || {
        woken_by(std::task::Waker::wake_by_ref);
        woken_by(|waker| drop_after(waker.clone()));
        woken_by(|waker| {
            std::thread::scope(|scope| {
                scope.spawn(|| waker.wake_by_ref());
                scope.spawn(|| drop_after(waker.clone()));
                waker.wake_by_ref();
            });
        });
        woken_by(|waker| {
            let waker = waker.clone();
            std::thread::spawn(move || waker.wake());
        });
    };
    ways();
    greenlit::run(ways);
}

fn drop_after(waker: std::task::Waker) {
    waker.wake();
}

/// Behaviour 1, of tasks: what is ready at once does not cost a task its turn, unless it is a lot.
#[test]
fn the_order_of_tasks_does_not_hang_on_the_clock() {
    for count in [10, 1000] {
        let log = Log::default();
        greenlit::run(|| {
            let task = |name, count| {
                let log = log.clone();
                future::spawn(async move {
                    let semaphore = greenlit::sync::Semaphore::new(count);
                    for _ in 0..count {
                        semaphore.acquire_async().await.forget();
                        // It takes its time.
                        std::thread::sleep(std::time::Duration::from_micros(20));
                    }
                    log.add(name);
                })
            };
            let handles = [task("first", count), task("second", 1)];
            handles.map(|handle| handle.join().unwrap())
        });
        match count {
            10 => assert_eq!(log.all(), ["first", "second"]),
            _ => assert_eq!(log.all(), ["second", "first"]),
        }
    }
}
