//! Many futures at once: what is ready when, in which order, and what becomes of the rest.

use std::cell::Cell;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::futures::{Gate, Log};
use greenlit::cancel::Cancelled;
use greenlit::future::{self, Promise, block_on};
use greenlit::sync::mpsc;
use greenlit::thread;
use greenlit::time::Instant;

#[test]
fn join_all_takes_futures_and_handles_alike() {
    greenlit::run(|| {
        let futures = (0..100).map(|n| async move {
            future::yield_now().await;
            n
        });
        assert!(block_on(future::join_all(futures)).into_iter().eq(0..100));
        let threads = (0..3).map(|n| thread::spawn(move || n));
        let results = block_on(future::join_all(threads));
        assert!(results.into_iter().map(Result::unwrap).eq(0..3));
        let all = future::try_join_all([ready(Ok(1)), ready(Err("no")), ready(Ok(2))]);
        assert_eq!(block_on(all), Err("no"));
    });
}

#[test]
fn futures_of_two_types_are_joined_and_raced() {
    greenlit::run(|| {
        let thread = thread::spawn(|| 1);
        let (of_thread, text) = block_on(future::join(thread, async {
            future::yield_now().await;
            "two"
        }));
        assert_eq!((of_thread.unwrap(), text), (1, "two"));
        let both = future::try_join(ready(Ok::<u32, &str>(1)), ready(Err::<(), _>("no")));
        assert_eq!(block_on(both), Err("no"));
        let receiver = {
            let (sender, receiver) = mpsc::channel::<u32>();
            thread::spawn(move || {
                thread::yield_now();
                sender.send(3).unwrap();
            });
            receiver
        };
        let never = future::sleep(Duration::from_secs(3600));
        let first = future::select(Box::pin(receiver.recv_async()), never);
        match block_on(first) {
            future::Either::Left((item, _never)) => assert_eq!(item, Ok(3)),
            future::Either::Right(_) => panic!("an hour has not passed"),
        }
    });
}

#[test]
fn gather_keeps_payloads_in_their_places() {
    greenlit::run(|| {
        let log = Log::default();
        let gathered = future::gather((0..3).map(|n| {
            let log = log.clone();
            async move {
                log.add("ran");
                if n == 1 {
                    panic!("on purpose");
                }
                n
            }
        }));
        // They are tasks, which begin by themselves.
        until(|| log.all().len() == 3);
        let results = block_on(gathered);
        assert_eq!(results[0].as_ref().unwrap(), &0);
        assert!(results[1].is_err());
        assert_eq!(results[2].as_ref().unwrap(), &2);
    });
}

/// Lets others run until it is so: the runner shares the CPU, so that one turn may not be enough.
fn until(is_so: impl Fn() -> bool) {
    for _ in 0..100 {
        if is_so() {
            return;
        }
        thread::yield_now();
    }
    panic!("it never was so");
}

/// Drops say when a task has ended.
struct Ends(Rc<Cell<u32>>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_gather_that_is_dropped_cancels_its_tasks() {
    greenlit::run(|| {
        let ended = Rc::new(Cell::new(0));
        let forever = || {
            let ends = Ends(ended.clone());
            async move {
                let _ends = ends;
                pending::<()>().await;
            }
        };
        let gathered = future::gather([forever(), forever()]);
        let tried = future::try_gather([forever(), forever()]);
        thread::yield_now();
        assert_eq!(ended.get(), 0);
        drop(gathered);
        drop(tried);
        until(|| ended.get() == 4);
    });
}

#[test]
fn try_gather_ends_with_the_first_payload_and_lets_the_others_go_on() {
    greenlit::run(|| {
        let (gate, log) = (Gate::default(), Log::default());
        let tried = future::try_gather((0..3).map(|n| {
            let (gate, log) = (gate.clone(), log.clone());
            async move {
                match n {
                    0 => panic!("on purpose"),
                    _ => gate.await,
                }
                log.add("went on");
            }
        }));
        let payload = block_on(tried).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
        assert!(log.all().is_empty());
        gate.open();
        until(|| log.all() == ["went on", "went on"]);
        let values = block_on(future::try_gather((0..3).map(|n| async move { n })));
        assert_eq!(values.unwrap(), [0, 1, 2]);
    });
}

#[test]
fn as_completed_yields_in_the_order_of_the_ends() {
    greenlit::run(|| {
        let promises = [(); 4].map(|()| Promise::new());
        let mut completed = future::as_completed(promises.clone());
        for n in [2, 0] {
            promises[n].set(n).unwrap();
        }
        assert_eq!(completed.len(), 4);
        // Before the first poll, their own order counts.
        let first = block_on(async { [completed.next().await, completed.next().await] });
        assert_eq!(first.map(|value| value.unwrap().unwrap()), [0, 2]);
        thread::spawn({
            let promises = promises.clone();
            move || {
                for n in [3, 1] {
                    promises[n].set(n).unwrap();
                }
            }
        });
        let rest: Vec<_> = completed.into_iter().map(Result::unwrap).collect();
        assert_eq!(rest, [3, 1]);
    });
    // Outside a runtime it is the OS thread that waits.
    let other = |n| {
        let promise = Promise::new();
        let brought = promise.clone();
        std::thread::spawn(move || brought.set(n));
        promise
    };
    let mut all: Vec<_> = future::as_completed([other(1), other(2)])
        .into_iter()
        .map(Result::unwrap)
        .collect();
    all.sort_unstable();
    assert_eq!(all, [1, 2]);
}

#[test]
fn the_losers_of_a_race_are_dropped_and_tasks_among_them_go_on() {
    greenlit::run(|| {
        let ended = Rc::new(Cell::new(0));
        let loser = |ends: Ends| async move {
            let _ends = ends;
            pending::<u32>().await
        };
        let ends = || Ends(ended.clone());
        let futures = [
            Box::pin(loser(ends())) as std::pin::Pin<Box<dyn Future<Output = u32>>>,
            Box::pin(ready(1)),
            Box::pin(ready(2)),
        ];
        assert_eq!(block_on(future::race(futures)), 1);
        assert_eq!(ended.get(), 1);

        let tasks = [future::spawn(loser(ends())), future::spawn(async { 3 })];
        assert_eq!(block_on(future::race(tasks)).unwrap(), 3);
        thread::yield_now();
        assert_eq!(ended.get(), 1, "its handle is gone, and it goes on");
        let tasks = [
            future::spawn(loser(ends())).cancel_on_drop(),
            future::spawn(async { 3 }).cancel_on_drop(),
        ];
        assert_eq!(block_on(future::race(tasks)).unwrap(), 3);
        until(|| ended.get() == 2);
    });
}

#[test]
fn select_ok_has_the_first_success_or_all_errors() {
    greenlit::run(|| {
        let promises = [(); 3].map(|()| Promise::<Result<u32, &str>>::new());
        let futures = || {
            promises
                .clone()
                .map(|promise| async move { promise.await.unwrap() })
        };
        let first = future::spawn(future::select_ok(futures()));
        thread::yield_now();
        promises[2].set(Err("two")).unwrap();
        promises[0].set(Err("zero")).unwrap();
        promises[1].set(Ok(1)).unwrap();
        assert_eq!(first.join().unwrap(), Ok(1));
        let errors = future::select_ok([ready(Err::<(), _>("a")), ready(Err("b"))]);
        assert_eq!(block_on(errors), Err(vec!["a", "b"]));
    });
}

#[test]
fn a_bounded_map_has_so_many_under_way_and_no_more() {
    greenlit::run(|| {
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let outputs = future::map_bounded(0..20, 3, |n| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                for _ in 0..n % 4 {
                    future::yield_now().await;
                }
                now.set(now.get() - 1);
                n
            }
        });
        assert!(block_on(outputs).into_iter().eq(0..20));
        assert_eq!((now.get(), most.get()), (0, 3));
    });
    assert!(catch_unwind(|| future::map_bounded(0..1, 0, ready)).is_err());
}

#[test]
fn wait_gives_back_what_is_not_ready() {
    greenlit::run(|| {
        let promises = [(); 4].map(|()| Promise::<Result<u32, u32>>::new());
        let numbers = |(done, pending): future::Waited<future::Awaited<_>>| {
            let done: Vec<usize> = done.into_iter().map(|(n, _)| n).collect();
            (done, pending.len())
        };
        let first = thread::spawn({
            let promises = promises.clone();
            move || numbers(block_on(future::wait(promises, |_| true)))
        });
        let error = thread::spawn({
            let promises = promises.clone();
            let is_error = |ended: &Result<_, _>| matches!(ended, Ok(Err(_)));
            move || numbers(block_on(future::wait(promises, is_error)))
        });
        thread::yield_now();
        // Both are ready before the waiter runs.
        promises[3].set(Ok(3)).unwrap();
        promises[1].set(Ok(1)).unwrap();
        assert_eq!(first.join().unwrap(), (vec![3, 1], 2));
        assert!(!error.is_finished());
        promises[0].set(Err(0)).unwrap();
        assert_eq!(error.join().unwrap(), (vec![3, 1, 0], 1));

        let moment = Duration::from_millis(50);
        let begin = Instant::now();
        let all = future::wait_timeout(promises.clone(), moment, |_| false);
        let (done, pending) = block_on(all);
        assert!(begin.elapsed() >= moment);
        assert_eq!((done.len(), pending.len()), (3, 1));
        promises[2].set(Ok(2)).unwrap();
        let (done, pending) = block_on(future::wait(pending, |_| false));
        assert!(matches!(done[..], [(0, Ok(Ok(2)))]) && pending.is_empty());
    });
}

/// Behaviour 26, of the combinators: a cancel ends the thread that waits, and their handles go.
#[test]
fn a_cancel_ends_a_thread_that_waits_for_many() {
    greenlit::run(|| {
        let waiter = thread::spawn(|| {
            let children = [(); 3].map(|()| thread::spawn(thread::park).cancel_on_drop());
            for ended in future::as_completed(children) {
                drop(ended);
            }
        });
        thread::yield_now();
        waiter.cancel("enough");
        assert!(waiter.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn gather_outside_a_runtime_is_refused() {
    let refused = catch_unwind(AssertUnwindSafe(|| drop(future::gather([ready(1)]))));
    assert!(refused.is_err());
}
