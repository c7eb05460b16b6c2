//! Tasks, callbacks, timers, futures with callbacks, and cancels.

use super::{Log, MS, p, parked, say, say_bool, turn, was_cancelled};
use greenlit::event_loop::{call_at, call_later, call_soon};
use greenlit::future::{self, Promise, PromiseError, spawn};
use greenlit::time::Instant;

pub(super) async fn a_task_begins_after_its_creator_waits(log: Log) {
    p!(log, "before");
    let task = spawn(say(log.clone(), "task", 1));
    p!(log, "created");
    turn().await;
    p!(log, "after");
    p!(log, task.await.unwrap());
}

pub(super) async fn tasks_take_turns(log: Log) {
    let tasks = ["a", "b", "c"].map(|word| spawn(say(log.clone(), word, 3)));
    for task in tasks {
        task.await.unwrap();
    }
}

pub(super) async fn a_coroutine_that_is_awaited_is_no_task(log: Log) {
    let other = spawn(say(log.clone(), "task", 1));
    say(log, "awaited", 2).await;
    other.await.unwrap();
}

pub(super) async fn awaiting_what_is_done_does_not_wait(log: Log) {
    // A handle gives its result once, so this waits without taking it.
    let task = spawn(say(log.clone(), "first", 1));
    while !task.is_finished() {
        turn().await;
    }
    let other = spawn(say(log.clone(), "other", 1));
    p!(log, task.await.unwrap());
    p!(log, "no turn for the other yet");
    other.await.unwrap();
}

pub(super) async fn callbacks_and_tasks_share_a_queue(log: Log) {
    let soon = |what: &'static str| {
        let log = log.clone();
        call_soon(move || p!(log, what))
    };
    soon("callback 1");
    let task = spawn(say(log.clone(), "task", 1));
    soon("callback 2");
    let handle = soon("never");
    handle.cancel();
    p!(log, say_bool(handle.is_cancelled()));
    task.await.unwrap();
}

pub(super) async fn a_callback_that_calls_soon_comes_a_round_later(log: Log) {
    let second = log.clone();
    let first = log.clone();
    call_soon(move || {
        p!(first, "first");
        call_soon(move || p!(first, "third"));
    });
    call_soon(move || p!(second, "second"));
    turn().await;
    p!(log, "main");
    turn().await;
}

pub(super) async fn timers_fire_by_deadline_and_in_the_order_they_were_set(log: Log) {
    let says = |what: &'static str| {
        let log = log.clone();
        move || p!(log, what)
    };
    call_later(3 * MS, says("late"));
    call_later(MS, says("early"));
    let when = Instant::now() + 2 * MS;
    for word in ["one", "two", "three"] {
        call_at(when, says(word));
    }
    call_later(2 * MS, says("never")).cancel();
    future::sleep(4 * MS).await;
}

pub(super) async fn done_callbacks_run_in_order_after_what_is_queued(log: Log) {
    let promise = Promise::<u32>::new();
    let add = |word: &'static str| {
        let log = log.clone();
        promise.add_done_callback(move |p| p!(log, word, p.result().unwrap().unwrap()))
    };
    add("a");
    add("b");
    add("never").cancel("removed");
    let says = log.clone();
    call_soon(move || p!(says, "queued before"));
    promise.set(1).unwrap();
    p!(log, "set");
    let says = log.clone();
    call_soon(move || p!(says, "queued after"));
    add("late");
    turn().await;
    turn().await;
}

pub(super) async fn waiters_and_callbacks_stand_in_one_line(log: Log) {
    let promise = Promise::<u32>::new();
    let wait = |word: &'static str| {
        let (log, promise) = (log.clone(), promise.clone());
        spawn(async move { p!(log, word, "got", promise.await.unwrap()) })
    };
    let first = wait("first");
    turn().await;
    let says = log.clone();
    promise.add_done_callback(move |_| p!(says, "callback"));
    let last = wait("last");
    turn().await;
    promise.set(7).unwrap();
    p!(log, "set");
    first.await.unwrap();
    last.await.unwrap();
}

pub(super) async fn a_future_is_set_once(log: Log) {
    let promise = Promise::new();
    p!(log, say_bool(promise.is_done()));
    promise.set(1).unwrap();
    if promise.set(2).is_err() {
        p!(log, "not twice");
    }
    let cancelled = promise.cancel("late");
    p!(log, say_bool(cancelled), promise.result().unwrap().unwrap());
}

pub(super) async fn a_failed_or_cancelled_future_tells_all_who_wait(log: Log) {
    for fails in [true, false] {
        let promise = Promise::<()>::new();
        let tasks = ["a", "b"].map(|word| {
            let (log, promise) = (log.clone(), promise.clone());
            spawn(async move {
                match promise.clone().await.unwrap_err() {
                    PromiseError::Failed(error) => p!(log, word, error),
                    PromiseError::Cancelled(_) => {
                        p!(log, word, "cancelled", say_bool(promise.is_cancelled()));
                    }
                }
            })
        });
        turn().await;
        match fails {
            true => promise.fail("no").unwrap(),
            false => {
                let answers = [promise.cancel("not wanted"), promise.cancel("again")];
                let [first, second] = answers.map(say_bool);
                p!(log, first, second);
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
}

pub(super) async fn a_task_that_is_cancelled_before_it_began_never_runs(log: Log) {
    let task = spawn(say(log.clone(), "never", 1));
    p!(log, say_bool(!task.is_finished()));
    task.cancel("not wanted");
    let ended = task.await;
    p!(log, "cancelled", say_bool(was_cancelled(&ended)));
}

pub(super) async fn a_cancel_comes_at_the_next_turn(log: Log) {
    let task = spawn(parked(log.clone(), "task"));
    turn().await;
    task.cancel("not wanted");
    p!(log, "asked");
    assert!(was_cancelled(&task.await));
    p!(log, "joined");
}

pub(super) async fn cancels_come_in_the_order_of_the_asking(log: Log) {
    let tasks = ["a", "b", "c"].map(|word| spawn(parked(log.clone(), word)));
    turn().await;
    for n in [2, 0, 1] {
        tasks[n].cancel("not wanted");
    }
    p!(log, "asked");
    for task in tasks {
        assert!(was_cancelled(&task.await));
    }
    p!(log, "joined");
}

pub(super) async fn to_cancel_what_has_ended_changes_nothing(log: Log) {
    let task = spawn(say(log.clone(), "task", 1));
    turn().await;
    turn().await;
    let could_be_cancelled = !task.is_finished();
    task.cancel("too late");
    p!(log, say_bool(could_be_cancelled), task.await.unwrap());
}
