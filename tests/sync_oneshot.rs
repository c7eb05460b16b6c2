//! `sync::oneshot`: one item, one allocation.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use greenlit::sync::oneshot::{RecvError, RecvTimeoutError, TryRecvError, channel};
use greenlit::thread;
use greenlit::time::Instant;

#[test]
fn smoke() {
    let body = || {
        let (sender, receiver) = channel();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        sender.send(1).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    };
    greenlit::run(body);
    body();
}

/// Behaviour 22.
#[test]
fn a_receiver_that_waits_is_handed_the_item() {
    greenlit::run(|| {
        let (sender, receiver) = channel();
        let receiver = Rc::new(receiver);
        let waits = thread::spawn({
            let receiver = receiver.clone();
            move || receiver.recv()
        });
        thread::yield_now();
        sender.send("item").unwrap();
        assert_eq!(
            receiver.try_recv(),
            Err(TryRecvError::Disconnected),
            "it has an owner"
        );
        assert_eq!(waits.join().unwrap(), Ok("item"));
    });
}

/// Behaviour 24.
#[test]
fn either_side_hears_that_the_other_has_gone() {
    greenlit::run(|| {
        let (sender, receiver) = channel();
        assert!(!sender.is_closed() && !receiver.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send("back"), Err("back"));

        let (sender, receiver) = channel::<u8>();
        let waits = thread::spawn(move || {
            let result = receiver.recv();
            (result, receiver.is_closed())
        });
        thread::yield_now();
        drop(sender);
        assert_eq!(waits.join().unwrap(), (Err(RecvError), true));
    });
}

/// Behaviour 15: the receiver may wait again.
#[test]
fn a_receive_that_gave_up_can_be_made_again() {
    greenlit::run(|| {
        let (sender, receiver) = channel();
        let late = receiver.recv_timeout(Duration::from_millis(1));
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        let late = receiver.recv_deadline(Instant::now());
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        thread::spawn(move || sender.send(1));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(1));
        let closed = receiver.recv_timeout(Duration::from_secs(60));
        assert_eq!(closed, Err(RecvTimeoutError::Disconnected));
    });
}

/// An item that nobody receives goes with the channel, once.
#[test]
fn the_item_goes_with_the_receiver() {
    struct Logs(Rc<Cell<u32>>);
    impl Drop for Logs {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let count = Rc::new(Cell::new(0));
    let (sender, receiver) = channel();
    assert!(sender.send(Logs(count.clone())).is_ok());
    drop(receiver);
    assert_eq!(count.get(), 1);
}

/// Behaviour 21.
#[test]
fn a_cancelled_receiver_leaves_the_item_alone() {
    let log = Rc::new(RefCell::new(Vec::new()));
    greenlit::run(|| {
        let (sender, receiver) = channel::<u8>();
        thread::spawn(move || receiver.recv());
        let log = log.clone();
        thread::spawn(move || {
            struct Sends(
                Option<greenlit::sync::oneshot::Sender<u8>>,
                Rc<RefCell<Vec<String>>>,
            );
            impl Drop for Sends {
                fn drop(&mut self) {
                    let sent = self.0.take().map(|sender| sender.send(1));
                    self.1.borrow_mut().push(format!("{sent:?}"));
                }
            }
            let _sends = Sends(Some(sender), log);
            thread::park();
        });
        thread::yield_now();
    });
    // The receiver was cancelled first, and took its end along.
    assert_eq!(*log.borrow(), ["Some(Err(1))"]);
}

/// Behaviour 20.
#[test]
fn cross_thread_answers_arrive() {
    let (questions, asked) = greenlit::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (number, answer) in asked {
                let answer: greenlit::sync::oneshot::Sender<u32> = answer;
                answer.send(number * 2).unwrap();
            }
        });
        greenlit::run(|| {
            let threads: Vec<_> = (0..20)
                .map(|number| {
                    let questions = questions.clone();
                    thread::spawn(move || {
                        for round in 0..10 {
                            let (sender, receiver) = channel();
                            questions.send((number + round, sender)).unwrap();
                            assert_eq!(receiver.recv(), Ok((number + round) * 2));
                        }
                    })
                })
                .collect();
            threads
                .into_iter()
                .for_each(|thread| thread.join().unwrap());
            drop(questions);
        });
    });
}
