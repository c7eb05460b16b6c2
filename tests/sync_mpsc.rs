//! `sync::mpsc`: std's semantics, hand-over, cancels, and other OS threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenlit::sync::mpsc::{
    Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError,
    TrySendError, channel, sync_channel,
};
use greenlit::thread;
use greenlit::time::Instant;

#[test]
fn smoke() {
    let (sender, receiver) = channel();
    greenlit::run(|| {
        let other = sender.clone();
        thread::spawn(move || other.send(2));
        sender.send(1).unwrap();
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
    });
    // Outside a runtime too.
    sender.send(3).unwrap();
    assert_eq!(receiver.recv(), Ok(3));
}

/// Behaviour 24.
#[test]
fn what_was_sent_can_be_received_after_the_senders_have_gone() {
    let (sender, receiver) = channel();
    (0..100).for_each(|number| sender.send(number).unwrap());
    assert_eq!(receiver.try_recv(), Ok(0));
    drop(sender);
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(2));
    assert_eq!(receiver.iter().count(), 97);
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    let late = receiver.recv_deadline(Instant::now());
    assert_eq!(late, Err(RecvTimeoutError::Disconnected));
}

/// Behaviour 24: a failed send gives the value back.
#[test]
fn a_failed_send_gives_the_value_back() {
    greenlit::run(|| {
        let (sender, receiver) = channel();
        drop(receiver);
        assert_eq!(sender.send("back"), Err(SendError("back")));

        let (sender, receiver) = sync_channel(1);
        sender.send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        let waits = thread::spawn({
            let sender = sender.clone();
            move || sender.send(3)
        });
        thread::yield_now();
        drop(receiver);
        assert_eq!(waits.join().unwrap(), Err(SendError(3)));
        assert_eq!(sender.try_send(4), Err(TrySendError::Disconnected(4)));
    });
}

/// Behaviour 24.
#[test]
fn closing_wakes_a_receiver_that_waits() {
    greenlit::run(|| {
        let (sender, receiver) = channel::<()>();
        let waits = thread::spawn(move || (receiver.recv(), receiver.try_recv()));
        thread::yield_now();
        let second = sender.clone();
        drop(sender);
        thread::yield_now();
        assert!(!waits.is_finished(), "one sender is left");
        drop(second);
        let closed = (Err(RecvError), Err(TryRecvError::Disconnected));
        assert_eq!(waits.join().unwrap(), closed);
    });
}

/// Behaviour 22.
#[test]
fn a_thread_that_waits_owns_the_next_item() {
    greenlit::run(|| {
        let (sender, receiver) = channel();
        let receiver = Rc::new(receiver);
        let waits = thread::spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        thread::yield_now();
        sender.send(1).unwrap();
        // The waiter has not run yet.
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        sender.send(2).unwrap();
        assert_eq!(receiver.try_recv(), Ok(2));
        assert_eq!(waits.join().unwrap(), Ok(1));
    });
}

#[test]
fn a_bounded_channel_holds_its_bound_and_no_more() {
    greenlit::run(|| {
        for bound in [1, 2, 3, 100] {
            let (sender, receiver) = sync_channel(bound);
            let sent = Rc::new(Cell::new(0));
            // A send that does not wait may let others run now and then.
            let run_dry = |wanted| {
                while sent.get() < wanted {
                    thread::yield_now();
                }
                (0..3).for_each(|_| thread::yield_now());
            };
            let sends = thread::spawn({
                let sent = sent.clone();
                move || {
                    for number in 0..bound * 3 {
                        sender.send(number).unwrap();
                        sent.set(number + 1);
                    }
                }
            });
            run_dry(bound);
            assert_eq!(sent.get(), bound);
            // It lets nobody run.
            assert_eq!(receiver.try_recv(), Ok(0));
            // The sender's item has taken the place already.
            assert_eq!(sent.get(), bound);
            run_dry(bound + 1);
            assert_eq!(sent.get(), bound + 1);
            assert!(receiver.iter().eq(1..bound * 3));
            sends.join().unwrap();
        }
    });
}

#[test]
fn a_rendezvous_waits_for_its_receiver() {
    greenlit::run(|| {
        let (sender, receiver) = sync_channel(0);
        let log = Rc::new(RefCell::new(Vec::new()));
        let sends = thread::spawn({
            let (log, sender) = (log.clone(), sender.clone());
            move || {
                for number in 0..2 {
                    sender.send(number).unwrap();
                    log.borrow_mut().push("sent");
                }
            }
        });
        thread::yield_now();
        assert!(log.borrow().is_empty());
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        assert_eq!(receiver.try_recv(), Ok(0));
        assert_eq!(receiver.recv(), Ok(1));
        sends.join().unwrap();
        assert_eq!(*log.borrow(), ["sent", "sent"]);

        let receives = thread::spawn(move || receiver.recv());
        thread::yield_now();
        assert_eq!(sender.try_send(7), Ok(()), "somebody waits for it");
        assert_eq!(receives.join().unwrap(), Ok(7));
    });
}

#[test]
fn senders_that_wait_are_served_in_order() {
    greenlit::run(|| {
        for bound in [0, 1] {
            let (sender, receiver) = sync_channel(bound);
            for number in 0..5 {
                let sender = sender.clone();
                thread::spawn(move || sender.send(number));
            }
            drop(sender);
            thread::yield_now();
            assert!(receiver.iter().eq(0..5));
        }
    });
}

/// Behaviour 21: a receiver whose time is over leaves nothing behind.
#[test]
fn a_receive_that_gave_up_swallows_no_item() {
    greenlit::run(|| {
        let (sender, receiver) = channel();
        let gave_up = receiver.recv_timeout(Duration::from_millis(1));
        assert_eq!(gave_up, Err(RecvTimeoutError::Timeout));
        let late = receiver.recv_deadline(Instant::now());
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        sender.send(1).unwrap();
        assert_eq!(receiver.try_recv(), Ok(1));
        thread::spawn(move || sender.send(2));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(2));
    });
}

/// Behaviour 21: the end of the run cancels both.
#[test]
fn a_cancelled_sender_inserts_nothing_and_holds_no_place() {
    let (sender, receiver) = sync_channel(1);
    greenlit::run(|| {
        sender.send(0).unwrap();
        for number in 1..3 {
            let sender = sender.clone();
            thread::spawn(move || sender.send(number));
        }
        thread::yield_now();
    });
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(sender.try_send(5), Ok(()));
    assert_eq!(sender.try_send(6), Err(TrySendError::Full(6)));
}

/// Behaviours 21 and 25: what was handed over before the cancel is returned, the cancel comes at the
/// next call.
#[test]
fn a_receiver_that_was_chosen_and_then_cancelled_returns_the_item() {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    greenlit::run(|| {
        let (sender, receiver) = sync_channel(1);
        let log = log.clone();
        thread::spawn(move || {
            while let Ok(item) = receiver.recv() {
                log.lock().unwrap().push(item);
            }
        });
        thread::yield_now();
        // These let nobody run. The second item is there, but to receive it is a call of a cancelled
        // thread's.
        sender.try_send("handed over").unwrap();
        // Nor does this one, whose item has nobody to go to.
        sender.try_send("not received").unwrap();
    });
    assert_eq!(*log.lock().unwrap(), ["handed over"]);
}

/// Behaviour 21: a receiver that is cancelled while it waits takes nothing.
#[test]
fn a_cancelled_receiver_loses_no_item() {
    let (sender, receiver) = greenlit::sync::mpmc::channel();
    greenlit::run(|| {
        let receiver = receiver.clone();
        thread::spawn(move || receiver.recv());
        thread::yield_now();
    });
    sender.send(1).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
}

/// Rule 20: in the destructors of a cancelled thread, what would have to wait is an error.
#[test]
fn a_cancelled_thread_that_unwinds_does_not_wait() {
    struct Unwinds(Receiver<u8>, SyncSender<u8>, Rc<RefCell<Vec<String>>>);
    impl Drop for Unwinds {
        fn drop(&mut self) {
            let mut log = self.2.borrow_mut();
            log.push(format!("{:?}", self.1.send(2)));
            log.push(format!("{:?}", self.1.send(3)));
            log.push(format!("{:?}", self.0.recv()));
            log.push(format!("{:?}", self.0.recv()));
            let limited = self.0.recv_timeout(Duration::from_secs(60));
            log.push(format!("{limited:?}"));
        }
    }
    let log = Rc::new(RefCell::new(Vec::new()));
    greenlit::run(|| {
        let log = log.clone();
        thread::spawn(move || {
            let (sender, receiver) = sync_channel(1);
            let _unwinds = Unwinds(receiver, sender, log);
            thread::park();
        });
        thread::yield_now();
    });
    let wanted = [
        "Ok(())",
        "Err(SendError { .. })",
        "Ok(2)",
        "Err(RecvError)",
        "Err(Disconnected)",
    ];
    assert_eq!(*log.borrow(), wanted);
}

/// Behaviour 2.
#[test]
fn two_that_ping_pong_for_ever_starve_no_timer() {
    greenlit::run(|| {
        let stop = Rc::new(Cell::new(false));
        let (there, from_here) = channel();
        let (back, from_there) = channel();
        let pong = thread::spawn(move || from_here.iter().try_for_each(|n: u32| back.send(n)));
        let ping = thread::spawn({
            let stop = stop.clone();
            move || {
                let mut rounds = 0_u32;
                while !stop.get() {
                    there.send(rounds).unwrap();
                    assert_eq!(from_there.recv(), Ok(rounds));
                    rounds += 1;
                }
            }
        });
        thread::sleep(Duration::from_millis(1));
        stop.set(true);
        ping.join().unwrap();
        pong.join().unwrap().unwrap();
    });
}

/// Behaviour 2: nor does one that sends and receives by itself, and never parks.
#[test]
fn one_that_never_waits_starves_nobody() {
    greenlit::run(|| {
        let stop = Rc::new(Cell::new(false));
        let loops = thread::spawn({
            let stop = stop.clone();
            move || {
                let (sender, receiver) = channel();
                while !stop.get() {
                    sender.send(()).unwrap();
                    receiver.recv().unwrap();
                }
            }
        });
        thread::sleep(Duration::from_millis(1));
        stop.set(true);
        loops.join().unwrap();
    });
}

/// Counts how often it is dropped.
#[derive(Clone)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn items_go_with_the_receiver() {
    fn check(sent: usize, send: impl Fn(Counted), drop_receiver: impl FnOnce()) {
        let count = Arc::new(AtomicUsize::new(0));
        (0..sent).for_each(|_| send(Counted(count.clone())));
        assert_eq!(count.load(Ordering::Relaxed), 0);
        // The sender is still there.
        drop_receiver();
        assert_eq!(count.load(Ordering::Relaxed), sent);
    }
    for bound in [1, 70] {
        let (sender, receiver) = sync_channel(bound);
        check(bound, |item| sender.send(item).unwrap(), || drop(receiver));
    }
    let (sender, receiver) = channel();
    check(100, |item| sender.send(item).unwrap(), || drop(receiver));
}

#[test]
fn items_may_use_the_channel_when_they_are_dropped() {
    struct Sends(Sender<Option<Sends>>);
    impl Drop for Sends {
        fn drop(&mut self) {
            assert!(self.0.send(None).is_err());
        }
    }
    let (sender, receiver) = channel();
    for _ in 0..3 {
        sender.send(Some(Sends(sender.clone()))).unwrap();
    }
    drop(receiver);
}

/// A chain of blocks grows and shrinks; a ring comes round.
#[test]
fn order_is_kept_across_blocks() {
    let (sender, receiver) = channel();
    let (mut sent, mut received) = (0, 0);
    for step in [1, 29, 30, 31, 61, 200, 7, 90] {
        for _ in 0..step {
            sender.send(sent).unwrap();
            sent += 1;
        }
        for _ in 0..step * 2 / 3 {
            assert_eq!(receiver.try_recv(), Ok(received));
            received += 1;
        }
    }
    drop(sender);
    assert!(receiver.into_iter().eq(received..sent));
}

#[test]
fn its_other_methods_are_those_of_std() {
    fn is_send_and_sync<T: Send + Sync>(_: &T) {}
    fn is_send<T: Send>(_: &T) {}
    let (sender, receiver) = channel::<u8>();
    let (bounded, _other) = sync_channel::<u8>(3);
    is_send_and_sync(&sender);
    is_send_and_sync(&bounded);
    is_send(&receiver);
    assert_eq!(
        format!("{sender:?} {bounded:?}"),
        "Sender { .. } SyncSender { .. }"
    );
    assert_eq!(format!("{receiver:?}"), "Receiver { .. }");
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);
    sender.send(3).unwrap();
    drop(sender);
    for item in &receiver {
        assert_eq!(item, 3);
    }
}

/// Behaviour 20: two runtimes and an OS thread send, one runtime receives; each item comes once, and
/// those of one sender in order.
#[test]
fn cross_thread_every_item_comes_once_and_in_order() {
    const EACH: usize = 300;
    for bound in [0, 1, 7] {
        let (sender, receiver) = sync_channel::<(usize, usize)>(bound);
        std::thread::scope(|scope| {
            for home in 0..2 {
                let sender = sender.clone();
                scope.spawn(move || {
                    greenlit::run(|| {
                        let threads: Vec<_> = (0..2)
                            .map(|number| {
                                let sender = sender.clone();
                                let from = home * 2 + number;
                                thread::spawn(move || {
                                    (0..EACH).for_each(|item| sender.send((from, item)).unwrap());
                                })
                            })
                            .collect();
                        threads
                            .into_iter()
                            .for_each(|thread| thread.join().unwrap());
                    });
                });
            }
            scope.spawn(move || (0..EACH).for_each(|item| sender.send((4, item)).unwrap()));
            greenlit::run(|| {
                let mut next = [0; 5];
                for (from, item) in receiver {
                    assert_eq!(next[from], item);
                    next[from] += 1;
                }
                assert_eq!(next, [EACH; 5]);
            });
        });
    }
}

/// Behaviour 20: a ping-pong between a green thread and an OS thread.
#[test]
fn cross_thread_ping_pong() {
    const ROUNDS: u32 = 500;
    let (there, from_here) = channel();
    let (back, from_there) = sync_channel(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            from_here
                .iter()
                .for_each(|n: u32| back.send(n + 1).unwrap())
        });
        greenlit::run(|| {
            let mut number = 0;
            for _ in 0..ROUNDS {
                there.send(number).unwrap();
                number = from_there.recv().unwrap();
            }
            assert_eq!(number, ROUNDS);
            drop(there);
        });
    });
}
