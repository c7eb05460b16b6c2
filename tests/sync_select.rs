//! `select!`: exactly one arm, fair, and nothing left behind.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use greenlit::io::Source;
use greenlit::net::{TcpListener, TcpStream};
use greenlit::sync::mpsc::{RecvError, SendError, TryRecvError, channel, sync_channel};
use greenlit::sync::select::{Arm, Select};
use greenlit::sync::{broadcast, mpmc, oneshot, watch};
use greenlit::time::Instant;
use greenlit::{select, thread};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn smoke() {
    let body = || {
        let (sender, receiver) = channel();
        let (_other, silent) = channel::<u8>();
        sender.send(5).unwrap();
        let got = select! {
            recv(receiver) -> item => item,
            recv(silent) -> item => item,
        };
        assert_eq!(got, Ok(5));
    };
    greenlit::run(body);
    body();
}

/// Behaviour 23: exactly one item, from one channel.
#[test]
fn one_arm_is_done_and_the_others_are_not() {
    greenlit::run(|| {
        let (first, from_first) = channel();
        let (second, from_second) = channel();
        first.send(1).unwrap();
        second.send(2).unwrap();
        let (full, room) = sync_channel(1);
        let mut seen = Vec::new();
        for _ in 0..3 {
            select! {
                recv(from_first) -> item => seen.push(item.unwrap()),
                recv(from_second) -> item => seen.push(item.unwrap()),
                send(full, 3) -> sent => { sent.unwrap(); seen.push(3) }
            }
        }
        let late = select! {
            recv(from_first) -> item => item.unwrap(),
            recv(from_second) -> item => item.unwrap(),
            send(full, 3) => 3,
            default => 4,
        };
        seen.sort_unstable();
        assert_eq!((seen, late), (vec![1, 2, 3], 4));
        assert_eq!(
            (room.try_recv(), room.try_recv()),
            (Ok(3), Err(TryRecvError::Empty))
        );
    });
}

/// Behaviour 23: none of four is favoured. Of 8,000 draws each is 2,000 ± 40 (one sigma); ten sigma.
#[test]
fn no_arm_is_favoured() {
    greenlit::run(|| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| channel()).unzip();
        let mut counts = [0; 4];
        for _ in 0..8_000 {
            senders.iter().for_each(|sender| sender.send(()).unwrap());
            select! {
                recv(receivers[0]) => counts[0] += 1,
                recv(receivers[1]) => counts[1] += 1,
                recv(receivers[2]) => counts[2] += 1,
                recv(receivers[3]) => counts[3] += 1,
            }
            receivers
                .iter()
                .for_each(|receiver| receiver.try_iter().for_each(drop));
        }
        assert!(
            counts.iter().all(|count| (1_600..2_400).contains(count)),
            "{counts:?}"
        );

        // Nor where only two of the four are ready, whatever stands between them.
        let mut counts = [0; 2];
        for _ in 0..8_000 {
            senders[..2]
                .iter()
                .for_each(|sender| sender.send(()).unwrap());
            select! {
                recv(receivers[0]) => counts[0] += 1,
                recv(receivers[1]) => counts[1] += 1,
                recv(receivers[2]) => unreachable!(),
                recv(receivers[3]) => unreachable!(),
            }
            receivers
                .iter()
                .for_each(|receiver| receiver.try_iter().for_each(drop));
        }
        assert!(
            counts.iter().all(|count| (3_500..4_500).contains(count)),
            "{counts:?}"
        );
    });
}

/// Behaviours 22 and 23: a select that waits owns what is handed to it, and nothing more.
#[test]
fn a_select_that_waits_is_handed_one_item() {
    greenlit::run(|| {
        let (first, from_first) = mpmc::channel();
        let (second, from_second) = mpmc::channel();
        let waits = thread::spawn({
            let (from_first, from_second) = (from_first.clone(), from_second.clone());
            move || {
                select! {
                    recv(from_first) -> item => ("first", item),
                    recv(from_second) -> item => ("second", item),
                }
            }
        });
        thread::yield_now();
        second.try_send(2).unwrap();
        assert_eq!(
            from_second.try_recv(),
            Err(TryRecvError::Empty),
            "it has an owner"
        );
        first.try_send(1).unwrap();
        assert_eq!(
            from_first.try_recv(),
            Ok(1),
            "the select has its item already"
        );
        assert_eq!(waits.join().unwrap(), ("second", Ok(2)));
    });
}

#[test]
fn two_selects_meet_at_a_rendezvous() {
    greenlit::run(|| {
        let (left, from_left) = mpmc::sync_channel(0);
        let (right, from_right) = mpmc::sync_channel(0);
        let both = |name: &'static str| {
            let (left, from_left) = (left.clone(), from_left.clone());
            let (right, from_right) = (right.clone(), from_right.clone());
            thread::spawn(move || {
                select! {
                    send(left, name) -> sent => { sent.unwrap(); None }
                    recv(from_right) -> item => Some(item.unwrap()),
                    send(right, name) -> sent => { sent.unwrap(); None }
                    recv(from_left) -> item => Some(item.unwrap()),
                }
            })
        };
        for _ in 0..100 {
            let met = (both("a").join_with(both("b")), left.len() + right.len());
            assert!(
                matches!(met, ((None, Some("a")) | (Some("b"), None), 0)),
                "{met:?}"
            );
        }
    });
}

trait JoinWith<T> {
    fn join_with(self, other: Self) -> (T, T);
}

impl<T> JoinWith<T> for thread::JoinHandle<T> {
    fn join_with(self, other: Self) -> (T, T) {
        (self.join().unwrap(), other.join().unwrap())
    }
}

/// Behaviour 24.
#[test]
fn a_closed_channel_is_ready_and_says_so() {
    greenlit::run(|| {
        let (sender, receiver) = channel::<u8>();
        let (other, gone) = sync_channel(1);
        drop((sender, gone));
        let closed = select! { recv(receiver) -> item => item };
        assert_eq!(closed, Err(RecvError));
        let unsent = select! { send(other, "back") -> sent => sent };
        assert_eq!(unsent, Err(SendError("back")));

        let (sender, receiver) = channel::<u8>();
        let (blocked, room) = sync_channel(0);
        let waits = thread::spawn(move || {
            select! {
                recv(receiver) -> item => format!("{item:?}"),
                send(blocked, 1) -> sent => format!("{sent:?}"),
            }
        });
        thread::yield_now();
        drop(room);
        assert_eq!(waits.join().unwrap(), "Err(SendError { .. })");
        assert!(sender.send(1).is_err());
    });
}

/// Behaviour 15: what gave up leaves no ghost, in any of the queues.
#[test]
fn a_select_that_gave_up_swallows_nothing() {
    greenlit::run(|| {
        let (first, from_first) = sync_channel(2);
        let (second, from_second) = sync_channel(0);
        let gave_up = select! {
            recv(from_first) -> item => item.is_ok(),
            send(second, 1) => true,
            after(Duration::from_millis(1)) => false,
        };
        assert!(!gave_up);
        let past = Instant::now();
        select! {
            recv(from_first) -> _ => unreachable!(),
            send(second, 1) => unreachable!(),
            at(past) => {}
            after(LONG) => unreachable!(),
        }
        first.try_send(7).unwrap();
        assert_eq!(
            (from_first.try_recv(), from_second.try_recv()),
            (Ok(7), Err(TryRecvError::Empty))
        );
    });
}

/// Behaviour 21.
#[test]
fn a_cancelled_select_loses_nothing() {
    let (sender, receiver) = mpmc::channel();
    let (rendezvous, room) = mpmc::sync_channel(0);
    greenlit::run(|| {
        let (receiver, rendezvous) = (receiver.clone(), rendezvous.clone());
        thread::spawn(move || {
            select! { recv(receiver) -> _ => {} send(rendezvous, 1) -> _ => {} }
        });
        thread::yield_now();
    });
    sender.send(1).unwrap();
    assert_eq!(
        (receiver.try_recv(), room.try_recv()),
        (Ok(1), Err(TryRecvError::Empty))
    );
}

#[test]
fn a_join_is_an_arm_that_takes_the_result_once() {
    greenlit::run(|| {
        let (sender, receiver) = channel::<u8>();
        let worker = thread::spawn(|| {
            thread::yield_now();
            "done"
        });
        let mut log = Vec::new();
        for _ in 0..2 {
            select! {
                recv(receiver) -> item => log.push(format!("{item:?}")),
                join(worker) -> result => { log.push(result.unwrap().to_owned()); sender.send(1).unwrap(); }
            }
        }
        assert_eq!(log, ["done", "Ok(1)"]);
        let panics = thread::spawn(|| std::panic::resume_unwind(Box::new("payload")));
        let payload = select! { join(&panics) -> result => result.unwrap_err() };
        assert_eq!(payload.downcast_ref(), Some(&"payload"));
        // Of two that wait for the same end, both hear of it.
        let worker = Rc::new(thread::spawn(thread::park));
        let waits = || {
            let worker = worker.clone();
            thread::spawn(move || {
                select! { join(worker) -> result => result.is_ok(), after(LONG) => false }
            })
        };
        let (first, _second) = (waits(), waits());
        thread::yield_now();
        worker.thread().unpark();
        assert!(first.join().unwrap());
    });
}

#[test]
fn readiness_is_an_arm() {
    greenlit::run(|| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = Source::new(reader).unwrap();
        let (sender, receiver) = channel();
        let waits = thread::spawn(move || {
            let mut log = Vec::new();
            for _ in 0..2 {
                select! {
                    readable(reader) -> result => { result.unwrap(); log.push("readable"); }
                    recv(receiver) -> item => log.push(item.unwrap()),
                    after(LONG) => log.push("late"),
                }
            }
            log
        });
        thread::yield_now();
        sender.send("item").unwrap();
        thread::yield_now();
        thread::yield_now();
        writer.write_all(b"x").unwrap();
        assert_eq!(waits.join().unwrap(), ["item", "readable"]);

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepts = thread::spawn(move || {
            select! { readable(listener) -> result => result.unwrap(), after(LONG) => panic!("late") }
            listener.accept().unwrap().0
        });
        thread::yield_now();
        let stream = TcpStream::connect(address).unwrap();
        select! { writable(stream) -> result => result.unwrap(), after(LONG) => panic!("late") }
        accepts.join().unwrap();
    });
}

#[test]
fn readiness_is_an_arm_outside_a_runtime() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let reader = Source::new(reader).unwrap();
    let (sender, receiver) = channel();
    select! {
        readable(reader) -> _ => unreachable!(),
        recv(receiver) -> _ => unreachable!(),
        after(Duration::from_millis(3)) => {}
    }
    std::thread::scope(|scope| {
        scope.spawn(move || sender.send(1));
        select! { readable(reader) -> _ => unreachable!(), recv(receiver) -> item => assert_eq!(item, Ok(1)) }
    });
    writer.write_all(b"x").unwrap();
    let (_sender, receiver) = channel::<u8>();
    select! { readable(&reader) -> result => result.unwrap(), recv(receiver) -> _ => unreachable!() }
}

#[test]
fn all_kinds_of_receivers_are_arms() {
    greenlit::run(|| {
        let (one, from_one) = oneshot::channel();
        let (all, mut from_all) = broadcast::channel(4);
        let (value, mut of_value) = watch::channel(0);
        let log = Rc::new(RefCell::new(Vec::new()));
        let waits = thread::spawn({
            let log = log.clone();
            move || {
                for _ in 0..3 {
                    let line = select! {
                        recv(from_one) -> item => format!("one {item:?}"),
                        recv(from_all) -> item => format!("all {item:?}"),
                        recv(of_value) -> changed => format!("{changed:?} {}", *of_value.borrow()),
                    };
                    log.borrow_mut().push(line);
                    thread::yield_now();
                }
            }
        });
        thread::yield_now();
        all.send('a').unwrap();
        thread::yield_now();
        thread::yield_now();
        value.send(5).unwrap();
        thread::yield_now();
        thread::yield_now();
        one.send("1").unwrap();
        waits.join().unwrap();
        assert_eq!(*log.borrow(), ["all Ok('a')", "Ok(()) 5", "one Ok(\"1\")"]);
    });
}

#[test]
fn any_number_of_arms_can_be_chosen_from() {
    greenlit::run(|| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..50).map(|_| mpmc::channel()).unzip();
        let waits = thread::spawn({
            let receivers = receivers.clone();
            move || {
                let mut arms: Vec<_> = receivers.iter().map(mpmc::Receiver::recv_arm).collect();
                let mut all: Vec<_> = arms.iter_mut().map(|arm| arm as &mut dyn Arm).collect();
                let chosen = Select::new(&mut all).wait();
                (chosen, arms.swap_remove(chosen).finish())
            }
        });
        thread::yield_now();
        senders[33].send("item").unwrap();
        assert_eq!(waits.join().unwrap(), (33, Ok("item")));
        // The same channel may stand in several arms.
        let (mut first, mut second) = (receivers[0].recv_arm(), receivers[0].recv_arm());
        let late = Select::new(&mut [&mut first, &mut second]).wait_timeout(Duration::ZERO);
        assert_eq!(late, None);
        // An item that was not sent comes back.
        let (full, _room) = sync_channel(0);
        let mut arm = full.send_arm("kept");
        assert_eq!(Select::new(&mut [&mut arm]).try_wait(), None);
        assert_eq!(arm.finish(), Err(SendError("kept")));
    });
}

/// Behaviour 2.
#[test]
fn a_select_that_never_waits_starves_no_timer() {
    greenlit::run(|| {
        let stop = Rc::new(Cell::new(false));
        let loops = thread::spawn({
            let stop = stop.clone();
            move || {
                let (sender, receiver) = sync_channel(1);
                while !stop.get() {
                    select! { send(sender, ()) -> _ => {} recv(receiver) -> _ => {} }
                }
            }
        });
        thread::sleep(Duration::from_millis(1));
        stop.set(true);
        loops.join().unwrap();
    });
}

/// An arm that was done and is put to the choice again is still done, and neither loses what it has
/// nor sends what it has not.
#[test]
fn an_arm_is_done_once() {
    greenlit::run(|| {
        let (sender, receiver) = channel();
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        let mut receives = receiver.recv_arm();
        for _ in 0..2 {
            assert_eq!(Select::new(&mut [&mut receives]).try_wait(), Some(0));
        }
        assert_eq!((receives.finish(), receiver.try_recv()), (Ok(1), Ok(2)));

        let mut sends = sender.send_arm(3);
        let waits = thread::spawn(move || (receiver.recv(), receiver.try_recv()));
        thread::yield_now();
        for _ in 0..2 {
            assert_eq!(Select::new(&mut [&mut sends]).wait(), 0);
        }
        assert_eq!(sends.finish(), Ok(()));
        drop(sender);
        let (first, second) = waits.join().unwrap();
        assert_eq!((first, second.is_err()), (Ok(3), true));

        let (all, mut from_all) = broadcast::channel(2);
        all.send(1).unwrap();
        all.send(2).unwrap();
        let mut receives = from_all.recv_arm();
        for _ in 0..2 {
            assert_eq!(Select::new(&mut [&mut receives]).try_wait(), Some(0));
        }
        assert_eq!(receives.finish(), Ok(1));
        assert_eq!(from_all.recv(), Ok(2));
    });
}
