//! `sync::watch`: the latest value, and whether it was seen.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenlit::sync::watch::{Receiver, RecvError, RecvTimeoutError, Sender, channel};
use greenlit::thread;
use greenlit::time::Instant;

#[test]
fn smoke() {
    let body = || {
        let (sender, mut receiver) = channel(1);
        assert_eq!((*receiver.borrow(), receiver.has_changed()), (1, Ok(false)));
        sender.send(2).unwrap();
        assert_eq!(receiver.changed(), Ok(()));
        assert_eq!(*receiver.borrow_and_update(), 2);
        assert_eq!(receiver.has_changed(), Ok(false));
    };
    greenlit::run(body);
    body();
}

#[test]
fn only_the_latest_value_is_seen() {
    greenlit::run(|| {
        let (sender, mut receiver) = channel(0);
        let mut other = receiver.clone();
        (1..4).for_each(|value| sender.send(value).unwrap());
        assert_eq!(receiver.changed(), Ok(()));
        assert_eq!(*receiver.borrow(), 3);
        let late = receiver.changed_timeout(Duration::from_millis(1));
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        let seen = other.borrow_and_update();
        assert_eq!((*seen, seen.has_changed()), (3, true));
        drop(seen);
        let late = other.changed_deadline(Instant::now());
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        assert_eq!(sender.subscribe().has_changed(), Ok(false));
    });
}

/// Behaviour 24.
#[test]
fn closing_wakes_who_waits() {
    greenlit::run(|| {
        let (sender, mut receiver) = channel("old");
        let mut second = sender.subscribe();
        let waits = thread::spawn(move || receiver.changed());
        thread::yield_now();
        sender.send("last").unwrap();
        drop(sender.clone());
        drop(sender);
        assert_eq!(waits.join().unwrap(), Ok(()));
        // What was not seen comes first.
        assert_eq!(
            (second.changed(), second.changed()),
            (Ok(()), Err(RecvError))
        );
        assert_eq!(
            (*second.borrow(), second.has_changed()),
            ("last", Err(RecvError))
        );
        let closed = second.changed_timeout(Duration::from_secs(60));
        assert_eq!(closed, Err(RecvTimeoutError::Disconnected));

        let (sender, receiver) = channel(1);
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send(2).unwrap_err().0, 2);
        assert_eq!((sender.send_replace(3), *sender.borrow()), (1, 3));
    });
}

#[test]
fn one_change_wakes_all_who_wait() {
    greenlit::run(|| {
        let (sender, _receiver) = channel(0);
        let threads: Vec<_> = (0..1_000)
            .map(|_| {
                let mut receiver = sender.subscribe();
                thread::spawn(move || receiver.changed().map(|()| *receiver.borrow()))
            })
            .collect();
        thread::yield_now();
        sender.send_modify(|value| *value += 5);
        assert_eq!(sender.receiver_count(), 1_001);
        assert!(
            threads
                .into_iter()
                .all(|thread| thread.join().unwrap() == Ok(5))
        );
    });
}

#[test]
fn what_says_that_nothing_changed_tells_nobody() {
    let (sender, receiver) = channel(vec![1]);
    assert!(!sender.send_if_modified(|_| false));
    assert_eq!(receiver.has_changed(), Ok(false));
    let panics = catch_unwind(AssertUnwindSafe(|| {
        sender.send_modify(|value| {
            value.push(2);
            std::panic::resume_unwind(Box::new(()));
        });
    }));
    assert!(panics.is_err());
    assert_eq!(receiver.has_changed(), Ok(false));
    assert!(sender.send_if_modified(|value| value.pop() == Some(2)));
    assert_eq!(
        (receiver.has_changed(), receiver.borrow().len()),
        (Ok(true), 1)
    );
}

#[test]
fn a_sender_waits_while_the_value_is_borrowed() {
    greenlit::run(|| {
        let (sender, receiver) = channel(1);
        let borrowed = receiver.borrow();
        let sends = thread::spawn(move || sender.send(2));
        thread::yield_now();
        assert_eq!((*borrowed, sends.is_finished()), (1, false));
        drop(borrowed);
        sends.join().unwrap().unwrap();
        assert_eq!(*receiver.borrow(), 2);
    });
}

/// Behaviour 21.
#[test]
fn a_cancelled_watcher_leaves_nothing_behind() {
    let (sender, receiver) = channel(1);
    greenlit::run(|| {
        let mut receiver = receiver.clone();
        thread::spawn(move || receiver.changed());
        thread::yield_now();
    });
    sender.send(2).unwrap();
    assert_eq!(receiver.has_changed(), Ok(true));
    assert_eq!(sender.receiver_count(), 1);
}

/// Behaviour 20: every watcher sees the values grow, and the last one.
#[test]
fn cross_thread_every_watcher_sees_the_last_value() {
    const LAST: u32 = 300;
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    let (sender, receiver): (Sender<u32>, Receiver<u32>) = channel(0);
    is_send_and_sync(&sender);
    let watch = |mut receiver: Receiver<u32>| {
        let mut seen = 0;
        while receiver.changed().is_ok() {
            let value = *receiver.borrow_and_update();
            assert!(value > seen, "{value} after {seen}");
            seen = value;
        }
        assert_eq!(seen, LAST);
    };
    std::thread::scope(|scope| {
        let others = [receiver.clone(), receiver.clone()];
        scope.spawn(move || watch(receiver));
        scope.spawn(move || {
            greenlit::run(|| {
                let both = others.map(|receiver| thread::spawn(move || watch(receiver)));
                both.into_iter().for_each(|thread| thread.join().unwrap());
            });
        });
        greenlit::run(|| (1..=LAST).for_each(|value| sender.send(value).unwrap()));
        drop(sender);
    });
}
