//! Many tasks at once, deadlines, shields and groups.

use super::{HOUR, Log, MS, fails, p, parked, say, say_bool, turn, was_cancelled};
use greenlit::future::{self, spawn};
use greenlit::sync::{Arc, Event};
use greenlit::{thread, time};

pub(super) async fn gather_starts_in_order_and_keeps_places(log: Log) {
    let slow = |word: &'static str, rounds: u32| {
        let log = log.clone();
        async move {
            for _ in 0..rounds {
                turn().await;
            }
            p!(log, word);
            word
        }
    };
    let all = future::try_gather([slow("a", 3), slow("b", 1), slow("c", 2)]);
    p!(log, all.await.unwrap().join(" "));
}

pub(super) async fn gather_keeps_errors_in_their_places(log: Log) {
    type Child = std::pin::Pin<Box<dyn Future<Output = Result<&'static str, &'static str>>>>;
    let says = |word: &'static str| -> Child {
        let log = log.clone();
        Box::pin(async move { Ok(say(log, word, 1).await) })
    };
    let all = future::gather([says("a"), Box::pin(fails(log.clone(), "b")), says("c")]).await;
    let words = all
        .into_iter()
        .map(|result| result.unwrap().unwrap_or("error"));
    p!(log, words.collect::<Vec<_>>().join(" "));
}

pub(super) async fn the_first_error_ends_a_gather_and_not_its_children(log: Log) {
    let gate = Arc::new(Event::new());
    let child = spawn({
        let (log, gate) = (log.clone(), gate.clone());
        async move {
            gate.wait_async().await;
            p!(log, "child goes on");
            Ok("child")
        }
    });
    let children = [child, spawn(fails(log.clone(), "b"))];
    let children = children.map(|handle| async { handle.await.unwrap() });
    if let Err(error) = future::try_join_all(children).await {
        p!(log, "gather failed by", error);
    }
    gate.set();
    turn().await;
}

pub(super) async fn a_gather_that_is_cancelled_cancels_its_children(log: Log) {
    let task = spawn({
        let log = log.clone();
        async move {
            future::gather(["a", "b"].map(|word| parked(log.clone(), word))).await;
        }
    });
    turn().await;
    turn().await;
    task.cancel("not wanted");
    assert!(was_cancelled(&task.await));
    p!(log, "cancelled");
}

pub(super) async fn wait_returns_with_the_first(log: Log) {
    let none = |word| {
        let log = log.clone();
        spawn(async move {
            parked(log, word).await;
            unreachable!("it is cancelled")
        })
    };
    let tasks = [none("a"), spawn(say(log.clone(), "b", 2)), none("c")];
    let (done, pending) = future::wait(tasks, |_| true).await;
    let words: Vec<_> = done
        .iter()
        .map(|(_, ended)| *ended.as_ref().unwrap())
        .collect();
    p!(log, done.len(), pending.len(), words.join(" "));
    for n in [1, 0] {
        pending[n].cancel("not wanted");
    }
    let (done, pending) = future::wait(pending, |_| false).await;
    let cancelled = done.iter().all(|(_, ended)| was_cancelled(ended));
    p!(log, done.len(), pending.len(), say_bool(cancelled));
}

pub(super) async fn wait_returns_with_the_first_exception(log: Log) {
    let says = log.clone();
    let parks = log.clone();
    let tasks = [
        spawn(async move { Ok(say(says, "a", 1).await) }),
        spawn(async move {
            parked(parks, "b").await;
            Ok("b")
        }),
        spawn(fails(log.clone(), "c")),
    ];
    let is_error = |ended: &thread::Result<Result<_, _>>| matches!(ended, Ok(Err(_)));
    let (done, pending) = future::wait(tasks, is_error).await;
    p!(log, done.len(), pending.len());
    pending[0].cancel("not wanted");
    future::wait(pending, |_| false).await;
}

pub(super) async fn as_completed_yields_by_the_end(log: Log) {
    let slow = |word: &'static str, rounds: u32| async move {
        future::sleep(rounds * MS).await;
        word
    };
    let mut ended = future::as_completed([slow("a", 3), slow("b", 1), slow("c", 2)]);
    while let Some(word) = ended.next().await {
        p!(log, word);
    }
}

pub(super) async fn a_timeout_cancels_and_waits_for_the_clean_up(log: Log) {
    if future::timeout(MS, parked(log.clone(), "inner"))
        .await
        .is_err()
    {
        p!(log, "timed out");
    }
    let said = future::timeout(HOUR, say(log.clone(), "in time", 1)).await;
    p!(log, said.unwrap());
}

/// By green threads: a future's timeouts hold no others in them, since a future is dropped from outside.
pub(super) async fn only_the_timeout_that_passed_says_so(log: Log) {
    let nested = {
        let log = log.clone();
        move || {
            time::timeout(MS, || {
                let inner = time::timeout(HOUR, || {
                    future::block_on(parked(log.clone(), "innermost"));
                });
                if inner.is_err() {
                    p!(log, "wrong: the inner");
                }
            })
        }
    };
    if thread::spawn(nested).await.unwrap().is_err() {
        p!(log, "the outer");
    }
}

pub(super) async fn a_shield_lets_the_inner_go_on(log: Log) {
    let (log_inner, inner_said) = (log.clone(), future::Promise::new());
    let said = inner_said.clone();
    // A task that was spawned is shielded: its handle only waits.
    let inner = spawn(async move {
        let word = say(log_inner, "inner", 3).await;
        said.set(word).unwrap();
    });
    let task = spawn(async move { inner.await.unwrap() });
    turn().await;
    task.cancel("not wanted");
    assert!(was_cancelled(&task.await));
    p!(log, "outer cancelled");
    p!(log, inner_said.await.unwrap());
}

/// A group's tasks borrow what is around it, so they are green threads.
pub(super) async fn a_group_waits_for_all(log: Log) {
    thread::scope(|group| {
        for (word, times) in [("a", 2), ("b", 1)] {
            let log = log.clone();
            group.spawn(move || {
                for n in 0..times {
                    p!(log, word, n);
                    thread::yield_now();
                }
            });
        }
        p!(log, "body ends");
    });
    p!(log, "group ended");
}

pub(super) async fn an_error_in_a_group_cancels_the_others(log: Log) {
    let ended = thread::try_scope(|group| {
        for word in ["a", "b"] {
            let log = log.clone();
            group.spawn(move || -> Result<(), &str> {
                future::block_on(parked(log, word));
                Ok(())
            });
        }
        let log_of_c = log.clone();
        group.spawn(move || future::block_on(fails(log_of_c, "c")).map(|_| ()));
        p!(log, "body ends");
        Ok(())
    });
    if ended.is_err() {
        p!(log, "group failed", 1);
    }
}
