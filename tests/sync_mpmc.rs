//! `sync::mpmc`: what it has beyond `mpsc`, whose core it shares.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use greenlit::sync::mpmc::{
    Receiver, RecvError, RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, TrySendError,
    channel, sync_channel,
};
use greenlit::thread;
use greenlit::time::Instant;

#[test]
fn smoke() {
    let (sender, receiver) = channel();
    greenlit::run(|| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.iter().sum::<u32>())
            })
            .collect();
        (1..=9).for_each(|item| sender.send(item).unwrap());
        drop(sender);
        let sums = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(sums.sum::<u32>(), 45);
    });
    assert_eq!(receiver.recv(), Err(RecvError));
}

/// Behaviour 22, of receivers in the order in which they came.
#[test]
fn receivers_that_wait_are_served_in_order() {
    greenlit::run(|| {
        let (sender, receiver) = channel();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.recv())
            })
            .collect();
        thread::yield_now();
        for item in 0..3 {
            sender.try_send(item).unwrap();
        }
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        for (item, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap(), Ok(item));
        }
    });
}

#[test]
fn it_says_how_full_it_is() {
    let (sender, receiver) = sync_channel(2);
    assert_eq!(
        (receiver.capacity(), receiver.len(), receiver.is_empty()),
        (Some(2), 0, true)
    );
    sender.send('a').unwrap();
    sender.send('b').unwrap();
    assert_eq!(
        (sender.capacity(), sender.len(), sender.is_empty()),
        (Some(2), 2, false)
    );
    assert!(sender.is_full() && receiver.is_full());
    let (rendezvous, other) = sync_channel::<u8>(0);
    assert_eq!(
        (rendezvous.capacity(), rendezvous.len(), other.is_full()),
        (Some(0), 0, true)
    );
    let (endless, from_endless) = channel();
    endless.send(1).unwrap();
    assert_eq!(
        (endless.capacity(), from_endless.len(), endless.is_full()),
        (None, 1, false)
    );
    assert!(endless.same_channel(&endless.clone()) && from_endless.same_channel(&from_endless));
    assert!(!endless.same_channel(&channel().0));
}

/// Behaviours 15 and 21: a send that gave up leaves nothing behind, and the item comes back.
#[test]
fn a_send_that_gave_up_gives_the_item_back() {
    greenlit::run(|| {
        for bound in [0, 1] {
            let (sender, receiver) = sync_channel(bound);
            (0..bound).for_each(|_| sender.try_send("first").unwrap());
            let late = sender.send_timeout("late", Duration::from_millis(1));
            assert_eq!(late, Err(SendTimeoutError::Timeout("late")));
            let late = sender.send_deadline("late", Instant::now());
            assert_eq!(late.unwrap_err().into_inner(), "late");
            assert_eq!(receiver.try_iter().count(), bound);
            let sends = thread::spawn({
                let sender = sender.clone();
                move || {
                    (0..=bound)
                        .try_for_each(|_| sender.send_timeout("in time", Duration::from_secs(60)))
                }
            });
            thread::yield_now();
            assert_eq!(receiver.recv(), Ok("in time"));
            sends.join().unwrap().unwrap();
            let got = (0..bound).all(|_| receiver.try_recv() == Ok("in time"));
            drop(receiver);
            let closed = sender.send_timeout("closed", Duration::from_secs(60));
            assert_eq!(
                (got, closed),
                (true, Err(SendTimeoutError::Disconnected("closed")))
            );
        }
        let error = SendTimeoutError::Timeout(());
        assert_eq!(
            format!("{error:?}, {error}"),
            "Timeout(..), timed out waiting on send operation"
        );
    });
}

/// Behaviour 24: one of several ends closes nothing.
#[test]
fn the_last_end_closes_the_channel() {
    greenlit::run(|| {
        let (sender, receiver) = sync_channel(1);
        drop(receiver.clone());
        drop(sender.clone());
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        let second = receiver.clone();
        drop(receiver);
        assert_eq!(second.recv(), Ok(1));
        let waits: Vec<_> = (0..2)
            .map(|_| {
                let second = second.clone();
                thread::spawn(move || second.recv())
            })
            .collect();
        thread::yield_now();
        drop(sender);
        let closed = waits.into_iter().map(|thread| thread.join().unwrap());
        assert!(closed.into_iter().eq([Err(RecvError), Err(RecvError)]));
        assert_eq!(
            second.recv_timeout(Duration::ZERO),
            Err(RecvTimeoutError::Disconnected)
        );
    });
}

/// Behaviour 4: what wakes is not bounded.
#[test]
fn closing_wakes_ten_thousand() {
    greenlit::run(|| {
        let (sender, receiver) = channel::<()>();
        let waits: Vec<_> = (0..10_000)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.recv())
            })
            .collect();
        thread::yield_now();
        drop(sender);
        assert!(
            waits
                .into_iter()
                .all(|thread| thread.join().unwrap() == Err(RecvError))
        );
    });
}

#[test]
fn ends_are_shared_between_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Sender<u8>>();
    is_send_and_sync::<Receiver<u8>>();
    // What is not `Send` stays on its OS thread, and its channel too.
    greenlit::run(|| {
        let (sender, receiver) = channel();
        thread::spawn(move || sender.send(Rc::new(1)));
        assert_eq!(receiver.recv(), Ok(Rc::new(1)));
    });
}

/// Behaviours 20 and 21: senders and receivers of three kinds, of which many give up in time: each
/// item that was sent comes exactly once.
#[test]
fn cross_thread_nothing_is_lost_when_many_give_up() {
    const EACH: usize = 200;
    for bound in [0, 1, 5] {
        let (sender, receiver) = sync_channel::<usize>(bound);
        let counts: Arc<Vec<_>> = Arc::new((0..3 * EACH).map(|_| AtomicUsize::new(0)).collect());
        let send = |sender: Sender<usize>, home: usize| {
            for item in home * EACH..(home + 1) * EACH {
                let mut item = item;
                while let Err(error) = sender.send_timeout(item, Duration::from_micros(20)) {
                    item = error.into_inner();
                }
            }
        };
        let receive = |receiver: Receiver<usize>, counts: &[AtomicUsize]| {
            loop {
                match receiver.recv_timeout(Duration::from_micros(20)) {
                    Ok(item) => drop(counts[item].fetch_add(1, Ordering::Relaxed)),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        };
        std::thread::scope(|scope| {
            let to = sender.clone();
            scope.spawn(move || send(to, 0));
            let (to, from) = (sender.clone(), receiver.clone());
            let its_counts = counts.clone();
            scope.spawn(move || {
                greenlit::run(|| {
                    let sends = thread::spawn(move || send(to, 1));
                    let receives = thread::spawn(move || receive(from, &its_counts));
                    sends.join().unwrap();
                    receives.join().unwrap();
                });
            });
            let (from, its_counts) = (receiver.clone(), counts.clone());
            scope.spawn(move || receive(from, &its_counts));
            greenlit::run(|| thread::spawn(move || send(sender, 2)).join().unwrap());
        });
        assert!(
            counts
                .iter()
                .all(|count| count.load(Ordering::Relaxed) == 1)
        );
    }
}

/// Behaviour 21: runs end, and cancel receivers to whom another OS thread hands items at that very
/// moment, while they are being unwound. No item is lost: it was received, or it is there again. A
/// rendezvous counts only what was handed to somebody.
#[test]
fn cross_thread_a_cancelled_receiver_loses_no_item() {
    const ROUNDS: usize = 100;
    let (sender, receiver) = sync_channel::<usize>(0);
    let received = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let sent = std::thread::scope(|scope| {
        let its_stop = stop.clone();
        let sends = scope.spawn(move || {
            let mut sent = 0;
            for pause in (0..400).cycle() {
                if its_stop.load(Ordering::Relaxed) {
                    break;
                }
                sent += usize::from(sender.try_send(1).is_ok());
                // Of any length, so that some fall into the middle of an unwinding.
                (0..pause).for_each(|_| std::hint::spin_loop());
            }
            sent
        });
        for _ in 0..ROUNDS {
            greenlit::run(|| {
                for _ in 0..4 {
                    let (receiver, received) = (receiver.clone(), received.clone());
                    thread::spawn(move || {
                        while let Ok(item) = receiver.recv() {
                            received.fetch_add(item, Ordering::Relaxed);
                        }
                    });
                }
                thread::yield_now();
            });
        }
        stop.store(true, Ordering::Relaxed);
        sends.join().unwrap()
    });
    let left = receiver.try_iter().count();
    assert_eq!(received.load(Ordering::Relaxed) + left, sent);
}
