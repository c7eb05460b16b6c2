//! `sync::broadcast`: every receiver gets every item, or is told what it lost.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use greenlit::sync::broadcast::{RecvError, RecvTimeoutError, TryRecvError, channel};
use greenlit::thread;
use greenlit::time::Instant;

#[test]
fn smoke() {
    let body = || {
        let (sender, mut first) = channel(4);
        let mut second = sender.subscribe();
        assert_eq!(sender.send("item"), Ok(2));
        assert_eq!((first.recv(), second.recv()), (Ok("item"), Ok("item")));
    };
    greenlit::run(body);
    body();
}

#[test]
fn a_receiver_gets_what_was_sent_after_it_came() {
    let (sender, mut early) = channel(4);
    sender.send(1).unwrap();
    let (mut late, mut again) = (sender.subscribe(), early.resubscribe());
    sender.send(2).unwrap();
    assert_eq!((early.recv(), early.recv()), (Ok(1), Ok(2)));
    assert_eq!((late.recv(), again.recv()), (Ok(2), Ok(2)));
    assert_eq!(late.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn who_falls_behind_is_told_how_much_was_lost() {
    let (sender, mut slow) = channel(3);
    let mut fast = sender.subscribe();
    for item in 0..5 {
        sender.send(item).unwrap();
        assert_eq!(fast.try_recv(), Ok(item));
    }
    assert_eq!(slow.recv(), Err(RecvError::Lagged(2)));
    assert_eq!(
        (slow.recv(), slow.recv(), slow.recv()),
        (Ok(2), Ok(3), Ok(4))
    );
    (5..9).for_each(|item| assert_eq!(sender.send(item), Ok(2)));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(1)));
    assert_eq!(slow.recv_timeout(Duration::ZERO), Ok(6));
}

/// Behaviour 24.
#[test]
fn closing_is_told_when_everything_was_received() {
    greenlit::run(|| {
        let (sender, mut receiver) = channel(2);
        let mut waits = sender.subscribe();
        let waits = thread::spawn(move || (waits.recv(), waits.recv()));
        sender.send(1).unwrap();
        thread::yield_now();
        drop(sender);
        assert_eq!(waits.join().unwrap(), (Ok(1), Err(RecvError::Closed)));
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
        let closed = receiver.recv_deadline(Instant::now());
        assert_eq!(closed, Err(RecvTimeoutError::Closed));

        let (sender, receiver) = channel(2);
        drop(receiver);
        assert_eq!(sender.send("back").unwrap_err().0, "back");
        assert_eq!(sender.receiver_count(), 0);
        let mut later = sender.subscribe();
        sender.send("heard").unwrap();
        assert_eq!(later.recv(), Ok("heard"));
    });
}

/// Behaviour 4.
#[test]
fn one_send_wakes_all_who_wait() {
    greenlit::run(|| {
        let (sender, _receiver) = channel(1);
        let threads: Vec<_> = (0..1_000)
            .map(|_| {
                let mut receiver = sender.subscribe();
                thread::spawn(move || receiver.recv())
            })
            .collect();
        thread::yield_now();
        assert_eq!(sender.send(7), Ok(1_001));
        assert!(
            threads
                .into_iter()
                .all(|thread| thread.join().unwrap() == Ok(7))
        );
    });
}

/// Behaviours 15 and 21.
#[test]
fn a_receive_that_gave_up_loses_nothing() {
    greenlit::run(|| {
        let (sender, mut receiver) = channel(2);
        let late = receiver.recv_timeout(Duration::from_millis(1));
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        sender.send(1).unwrap();
        assert_eq!(receiver.try_recv(), Ok(1));
    });
}

/// Counts its clones and drops.
struct Counted(Rc<(Cell<u32>, Cell<u32>)>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.0.set(self.0.0.get() + 1);
        // A clone may even let others run, which may use the channel.
        thread::yield_now();
        Self(self.0.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.1.set(self.0.1.get() + 1);
    }
}

#[test]
fn the_last_receiver_gets_the_item_itself() {
    greenlit::run(|| {
        let counts = Rc::new((Cell::new(0), Cell::new(0)));
        let (sender, mut first) = channel(2);
        let mut second = sender.subscribe();
        sender.send(Counted(counts.clone())).ok().unwrap();
        drop((first.recv().unwrap(), second.recv().unwrap()));
        assert_eq!((counts.0.get(), counts.1.get()), (1, 2));
        // What nobody has received goes with the last receiver that could have.
        sender.send(Counted(counts.clone())).ok().unwrap();
        drop(first);
        assert_eq!(counts.1.get(), 2);
        drop(second);
        assert_eq!((counts.0.get(), counts.1.get()), (1, 3));
    });
}

#[test]
fn an_item_that_is_being_cloned_may_be_overwritten() {
    greenlit::run(|| {
        let counts = Rc::new((Cell::new(0), Cell::new(0)));
        let (sender, _slow) = channel(1);
        let mut receiver = sender.subscribe();
        sender.send(Counted(counts.clone())).ok().unwrap();
        let clones = thread::spawn(move || receiver.recv().map(drop));
        thread::yield_now();
        sender.send(Counted(counts.clone())).ok().unwrap();
        clones.join().unwrap().unwrap();
        drop((sender, _slow));
        assert_eq!((counts.0.get(), counts.1.get()), (1, 3));
    });
}

#[test]
#[should_panic(expected = "at least one item")]
fn no_capacity_is_refused() {
    drop(channel::<u8>(0));
}

/// Behaviour 20.
#[test]
fn cross_thread_every_receiver_gets_every_item_or_is_told() {
    const ITEMS: u64 = 500;
    let (sender, receiver) = channel(64);
    let receive = |mut receiver: greenlit::sync::broadcast::Receiver<Arc<u64>>| {
        let (mut next, mut lost) = (0, 0);
        loop {
            match receiver.recv() {
                Ok(item) => {
                    assert_eq!(*item, next);
                    next += 1;
                }
                Err(RecvError::Lagged(count)) => {
                    next += count;
                    lost += count;
                }
                Err(RecvError::Closed) => return assert_eq!(next, ITEMS, "{lost} were lost"),
            }
        }
    };
    std::thread::scope(|scope| {
        let (second, third) = (sender.subscribe(), sender.subscribe());
        scope.spawn(move || receive(receiver));
        scope.spawn(move || {
            greenlit::run(|| {
                let both = [second, third].map(|from| thread::spawn(move || receive(from)));
                both.into_iter().for_each(|thread| thread.join().unwrap());
            });
        });
        greenlit::run(|| {
            for item in 0..ITEMS {
                sender.send(Arc::new(item)).unwrap();
                if item % 50 == 0 {
                    thread::yield_now();
                }
            }
            drop(sender);
        });
    });
}
