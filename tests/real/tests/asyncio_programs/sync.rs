//! Locks, what else is waited for, queues, and where greenlit differs.

use super::{HOUR, Log, p, say_bool, turn, was_cancelled};
use greenlit::future::{self, Promise, spawn};
use greenlit::sync::queue::{PriorityQueue, Queue};
use greenlit::sync::{Arc, Barrier, Condvar, Event, Mutex, Semaphore};

pub(super) async fn a_lock_goes_to_who_has_waited_the_longest(log: Log) {
    let lock = Arc::new(Mutex::new(()));
    let work = |word: &'static str| {
        let (log, lock) = (log.clone(), lock.clone());
        async move {
            for n in 0..2 {
                let _held = lock.lock_async().await.unwrap();
                p!(log, word, n);
                turn().await;
            }
        }
    };
    future::gather([work("a"), work("b"), work("c")]).await;
}

pub(super) async fn a_waiter_that_is_cancelled_is_passed_over(log: Log) {
    let lock = Arc::new(Mutex::new(()));
    let work = |word: &'static str| {
        let (log, lock) = (log.clone(), lock.clone());
        spawn(async move {
            let _held = lock.lock_async().await.unwrap();
            p!(log, word);
        })
    };
    let held = lock.lock_async().await.unwrap();
    let tasks = ["a", "b", "c"].map(work);
    turn().await;
    tasks[0].cancel("not wanted");
    p!(log, "released");
    drop(held);
    future::wait(tasks, |_| false).await;
}

pub(super) async fn a_semaphore_lets_two_in_and_in_order(log: Log) {
    let semaphore = Arc::new(Semaphore::new(2));
    let work = |word: &'static str| {
        let (log, semaphore) = (log.clone(), semaphore.clone());
        async move {
            let _permit = semaphore.acquire_async().await;
            p!(log, word, "in");
            turn().await;
            p!(log, word, "out");
        }
    };
    future::gather(["a", "b", "c", "d"].map(work)).await;
}

pub(super) async fn an_event_that_is_cleared_at_once_lets_its_waiters_go(log: Log) {
    let event = Arc::new(Event::new());
    let wait = |word: &'static str| {
        let (log, event) = (log.clone(), event.clone());
        spawn(async move {
            event.wait_async().await;
            p!(log, word);
        })
    };
    let tasks = ["a", "b"].map(wait);
    turn().await;
    event.set();
    event.clear();
    let late = wait("late");
    p!(log, "set and cleared");
    for task in tasks {
        task.await.unwrap();
    }
    p!(log, say_bool(late.is_finished()));
    event.set();
    late.await.unwrap();
}

pub(super) async fn a_condition_wakes_the_longest_waiter_first(log: Log) {
    let condition = Arc::new((Mutex::new(()), Condvar::new()));
    let wait = |word: &'static str| {
        let (log, condition) = (log.clone(), condition.clone());
        spawn(async move {
            let (lock, condvar) = &*condition;
            let held = lock.lock_async().await.unwrap();
            let _held = condvar.wait_async(held).await.unwrap();
            p!(log, word);
        })
    };
    let tasks = ["a", "b", "c", "d"].map(wait);
    turn().await;
    let (lock, condvar) = &*condition;
    let held = lock.lock_async().await.unwrap();
    condvar.notify_one();
    p!(log, "one");
    drop(held);
    let [first, others @ ..] = tasks;
    first.await.unwrap();
    let held = lock.lock_async().await.unwrap();
    condvar.notify_all();
    p!(log, "all");
    drop(held);
    for task in others {
        task.await.unwrap();
    }
}

pub(super) async fn a_barrier_lets_all_go(log: Log) {
    let barrier = Arc::new(Barrier::new(3));
    let work = |word: &'static str| {
        let (log, barrier) = (log.clone(), barrier.clone());
        async move {
            p!(log, word, "comes");
            barrier.wait_async().await;
            p!(log, word, "goes");
        }
    };
    future::gather(["a", "b", "c"].map(work)).await;
}

pub(super) async fn a_queue_of_one_is_a_hand_over(log: Log) {
    let queue = Arc::new(Queue::new().with_bound(1));
    let produce = spawn({
        let (log, queue) = (log.clone(), queue.clone());
        async move {
            for n in 0..4 {
                queue.put_async(n).await.unwrap();
                p!(log, "put", n);
            }
        }
    });
    let consume = spawn(async move {
        for _ in 0..4 {
            p!(log, "got", queue.get_async().await.unwrap());
        }
    });
    future::join_all([produce, consume]).await;
}

pub(super) async fn getters_are_served_in_their_order(log: Log) {
    let queue = Arc::new(Queue::<u32>::new());
    let get = |word: &'static str| {
        let (log, queue) = (log.clone(), queue.clone());
        spawn(async move { p!(log, word, queue.get_async().await.unwrap()) })
    };
    let tasks = ["a", "b", "c"].map(get);
    turn().await;
    tasks[1].cancel("not wanted");
    for n in [1, 2] {
        queue.try_put(n).unwrap();
    }
    p!(log, "put", queue.len());
    future::wait(tasks, |_| false).await;
}

pub(super) async fn a_queue_is_joined_when_all_is_done(log: Log) {
    let queue = Arc::new(Queue::new());
    for n in 0..3 {
        queue.try_put(n).unwrap();
    }
    let worker = spawn({
        let (log, queue) = (log.clone(), queue.clone());
        async move {
            while let Ok(item) = queue.get_async().await {
                p!(log, "work", item);
                turn().await;
                queue.task_done();
            }
        }
    });
    let joiner = spawn(async move {
        queue.join_async().await;
        p!(log, "joined");
    });
    joiner.await.unwrap();
    worker.cancel("no more work");
}

pub(super) async fn priorities_and_stacks(log: Log) {
    let (urgent, stack): (PriorityQueue<_, _>, _) = (Queue::priority(), Queue::lifo());
    for (n, word) in [(3, "c"), (1, "a"), (2, "b")] {
        urgent.try_put((n, word)).unwrap();
        stack.try_put(word).unwrap();
    }
    while !urgent.is_empty() {
        p!(log, urgent.try_get().unwrap().1, stack.try_get().unwrap());
    }
    if urgent.try_get().is_err() {
        p!(log, "empty");
    }
}

pub(super) async fn what_lies_in_a_priority_queue_when_the_getter_comes_counts(log: Log) {
    let queue: Arc<PriorityQueue<u32, ()>> = Arc::new(Queue::priority());
    let task = spawn({
        let queue = queue.clone();
        async move { p!(log, queue.get_async().await.unwrap().0) }
    });
    turn().await;
    queue.try_put((2, ())).unwrap();
    queue.try_put((1, ())).unwrap();
    task.await.unwrap();
}

/// A future is dropped where Python raises `CancelledError` in it: there is nothing that could be caught.
pub(super) async fn differs_a_task_may_swallow_its_cancel(log: Log) {
    let task = spawn(future::sleep(HOUR));
    turn().await;
    task.cancel("not wanted");
    p!(log, "cancelled", say_bool(was_cancelled(&task.await)));
}

/// An item that was put in belongs to who waited for it.
pub(super) async fn differs_a_barging_getter_may_take_a_woken_getters_item(log: Log) {
    let queue = Arc::new(Queue::<u32>::new());
    let task = spawn({
        let (log, queue) = (log.clone(), queue.clone());
        async move { p!(log, "task", queue.get_async().await.unwrap()) }
    });
    turn().await;
    queue.try_put(1).unwrap();
    match queue.try_get() {
        Ok(item) => p!(log, "main", item),
        Err(_) => p!(log, "main empty"),
    }
    queue.try_put(2).unwrap();
    task.await.unwrap();
}

/// Others may wait for the promise too.
pub(super) async fn differs_to_cancel_a_waiting_task_cancels_the_future(log: Log) {
    let promise = Promise::<()>::new();
    let task = spawn(promise.clone());
    turn().await;
    task.cancel("not wanted");
    assert!(was_cancelled(&task.await));
    p!(log, "future cancelled", say_bool(promise.is_cancelled()));
}

/// He counts for the next round at once, so that the last to come is another.
pub(super) async fn differs_who_comes_again_to_a_barrier_waits_until_it_has_drained(log: Log) {
    let barrier = Arc::new(Barrier::new(3));
    let work = |word: &'static str| {
        let (log, barrier) = (log.clone(), barrier.clone());
        async move {
            for n in 0..2 {
                p!(log, word, "comes", n);
                barrier.wait_async().await;
            }
            p!(log, word, "goes");
        }
    };
    future::gather(["a", "b", "c"].map(work)).await;
}
