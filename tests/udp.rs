//! `UdpSocket` between green threads, on loopback. The peers are std's sockets, which never park the
//! green thread that uses them. How it compares with std's is in `udp_as_std.rs`.

#![expect(unsafe_code, reason = "sockets go and come by their fd's number")]

use std::cell::RefCell;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;

use crate::scene::{settle, start, until};
use greenlit::net::UdpSocket;
use greenlit::thread::{self, yield_now};
use greenlit::time::{Duration, Instant};

/// A socket on the reactor, and one of std's, connected to each other.
fn connected() -> (UdpSocket, std::net::UdpSocket) {
    let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    ours.connect(theirs.local_addr().unwrap()).unwrap();
    theirs.connect(ours.local_addr().unwrap()).unwrap();
    (ours, theirs)
}

/// Behaviour 33: a receiver waits while a sender sends, and several receivers get datagrams in the
/// order in which they came.
#[test]
fn receivers_queue_in_order() {
    let log = greenlit::run(|| {
        let (ours, theirs) = connected();
        let ours = Rc::new(ours);
        let log = Rc::new(RefCell::new(Vec::new()));
        let receivers: Vec<_> = (0..4)
            .map(|number| {
                let (ours, log) = (Rc::clone(&ours), Rc::clone(&log));
                start(move || {
                    let mut byte = [0];
                    ours.recv(&mut byte).unwrap();
                    log.borrow_mut().push((number, byte[0]));
                })
            })
            .collect();
        ours.send(b"out").unwrap();
        assert_eq!(theirs.recv(&mut [0; 8]).unwrap(), 3);
        assert!(log.borrow().is_empty());

        // One turn brings the first two; the others come alone.
        theirs.send(&[10]).unwrap();
        theirs.send(&[11]).unwrap();
        until(|| log.borrow().len() == 2);
        for byte in [12, 13] {
            theirs.send(&[byte]).unwrap();
            until(|| log.borrow().len() == usize::from(byte - 9));
        }
        for receiver in receivers {
            receiver.join().unwrap();
        }
        log.take()
    });
    assert_eq!(log, [(0, 10), (1, 11), (2, 12), (3, 13)]);
}

/// Behaviour 34: datagrams that came as one event are all received, although each call takes one
/// and comes up short: a short count proves nothing here.
#[test]
fn short_datagrams_of_one_event_are_all_received() {
    greenlit::run(|| {
        let (ours, theirs) = connected();
        let receiver = start(move || {
            let mut lengths = Vec::new();
            let mut buffer = [0; 64];
            while lengths.len() < 5 {
                lengths.push(ours.recv(&mut buffer).unwrap());
            }
            lengths
        });
        for length in 1..=5 {
            theirs.send(&vec![7; length]).unwrap();
        }
        assert_eq!(receiver.join().unwrap(), [1, 2, 3, 4, 5]);
    });
}

/// Behaviour 34: an event that comes while a wait times out does not end the next wait, and its
/// datagram is not lost.
#[test]
fn readiness_left_over_does_not_end_the_next_wait() {
    greenlit::run(|| {
        let (ours, theirs) = connected();
        let timeout = Duration::from_millis(3);
        ours.set_read_timeout(Some(timeout)).unwrap();
        for message in [&b"one"[..], b"other"] {
            let started = Instant::now();
            let error = ours.recv(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(started.elapsed() >= timeout);

            theirs.send(message).unwrap();
            settle();
            ours.set_nonblocking(true).unwrap();
            assert_eq!(ours.recv(&mut [0; 8]).unwrap(), message.len());
            ours.set_nonblocking(false).unwrap();
        }
        theirs.send(b"late").unwrap();
        assert_eq!(ours.recv(&mut [0; 8]).unwrap(), 4);
    });
}

/// Behaviour 36: past, near and infinite deadlines.
#[test]
fn deadlines_are_kept() {
    greenlit::run(|| {
        let (ours, theirs) = connected();
        for timeout in [Duration::from_nanos(1), Duration::from_millis(4)] {
            ours.set_read_timeout(Some(timeout)).unwrap();
            let started = Instant::now();
            let error = ours.recv_from(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(started.elapsed() >= timeout, "early at {timeout:?}");

            // A timeout that has passed before the call looks still takes what is there.
            theirs.send(b"x").unwrap();
            settle();
            assert_eq!(ours.recv(&mut [0]).unwrap(), 1);
        }
        ours.set_read_timeout(Some(Duration::MAX)).unwrap();
        assert_eq!(ours.read_timeout().unwrap(), Some(Duration::MAX));
        let receiver = start(move || ours.recv(&mut [0]));
        settle();
        assert!(!receiver.is_finished());
        theirs.send(b"x").unwrap();
        assert_eq!(receiver.join().unwrap().unwrap(), 1);
    });
}

/// Behaviour 37: a receiver that is parked learns that what was sent was refused.
#[test]
fn a_refusal_wakes_a_receiver() {
    greenlit::run(|| {
        let (ours, theirs) = connected();
        let ours = Rc::new(ours);
        let receiver = start({
            let ours = Rc::clone(&ours);
            move || ours.recv(&mut [0])
        });
        drop(theirs);
        ours.send(b"to nobody").unwrap();
        let error = receiver.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// A datagram that is looked at stays, for the next green thread too.
#[test]
fn a_peek_wakes_and_leaves_the_datagram() {
    greenlit::run(|| {
        let (ours, theirs) = connected();
        let ours = Rc::new(ours);
        let calls = [true, false].map(|peeks| {
            let ours = Rc::clone(&ours);
            start(move || match peeks {
                true => ours.peek(&mut [0; 2]),
                false => ours.recv(&mut [0; 8]),
            })
        });
        theirs.send(b"stays").unwrap();
        let lengths = calls.map(|call| call.join().unwrap().unwrap());
        assert_eq!(lengths, [2, 5]);
    });
}

/// Sockets from elsewhere that are in the kernel's blocking mode park here all the same.
#[test]
fn blocking_sockets_from_elsewhere_park() {
    type Receive = fn(&UdpSocket) -> std::io::Result<usize>;
    let calls: [Receive; 4] = [
        |socket| socket.peek(&mut [0]),
        |socket| socket.peek_from(&mut [0]).map(|(length, _)| length),
        |socket| socket.recv(&mut [0]),
        |socket| socket.recv_from(&mut [0]).map(|(length, _)| length),
    ];
    greenlit::run(|| {
        for receive in calls {
            let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = theirs.local_addr().unwrap();
            let ours = UdpSocket::from(theirs);
            let receiver = start(move || receive(&ours));
            assert!(!receiver.is_finished());
            let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            sender.send_to(b"x", address).unwrap();
            assert_eq!(receiver.join().unwrap().unwrap(), 1);
        }
    });
}

/// A socket takes its options along when it comes and when it leaves.
#[test]
fn sockets_come_and_go() {
    let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = theirs.local_addr().unwrap();
    let [one, other] = [3, 4].map(|seconds| Some(Duration::from_secs(seconds)));
    theirs.set_read_timeout(one).unwrap();
    theirs.set_write_timeout(other).unwrap();
    let ours = UdpSocket::from(theirs);
    assert_eq!(ours.read_timeout().unwrap(), one);
    assert_eq!(ours.write_timeout().unwrap(), other);

    ours.set_read_timeout(other).unwrap();
    ours.set_write_timeout(None).unwrap();
    let number = ours.as_raw_fd();
    let raw = ours.into_raw_fd();
    assert_eq!(raw, number);
    // SAFETY: `into_raw_fd` has just given it up.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    let theirs = std::net::UdpSocket::from(fd);
    assert_eq!(theirs.read_timeout().unwrap(), other);
    assert_eq!(theirs.write_timeout().unwrap(), None);

    // SAFETY: as above.
    let ours = unsafe { UdpSocket::from_raw_fd(theirs.into_raw_fd()) };
    assert_eq!(ours.local_addr().unwrap(), address);

    // One that was made here blocks elsewhere, unless it was asked not to.
    for nonblocking in [false, true] {
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        ours.set_nonblocking(nonblocking).unwrap();
        let theirs = std::net::UdpSocket::from(ours);
        let flags = nix::fcntl::fcntl(&theirs, nix::fcntl::FcntlArg::F_GETFL).unwrap();
        let flags = nix::fcntl::OFlag::from_bits_retain(flags);
        assert_eq!(flags.contains(nix::fcntl::OFlag::O_NONBLOCK), nonblocking);
    }
}

/// Behaviour 3: a socket that always has a datagram lets others run.
#[test]
fn a_flood_lets_others_run() {
    greenlit::run(|| {
        let (ours, theirs) = connected();
        let (other, other_peer) = connected();
        let reader = start(move || other.recv(&mut [0]));
        other_peer.send(b"x").unwrap();
        let mut received = 0;
        while !reader.is_finished() {
            theirs.send(b"flood").unwrap();
            ours.recv(&mut [0; 8]).unwrap();
            received += 1;
            assert!(received < 10_000, "the other connection starves");
        }
        assert_eq!(reader.join().unwrap().unwrap(), 1);
    });
}

/// What is parked on a socket when the main closure returns is unwound.
#[test]
fn the_end_of_the_run_unwinds_who_waits() {
    struct Noted(Rc<RefCell<u32>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            *self.0.borrow_mut() += 1;
        }
    }
    let dropped = Rc::new(RefCell::new(0));
    greenlit::run(|| {
        let (ours, _theirs) = connected();
        let noted = Noted(Rc::clone(&dropped));
        thread::spawn(move || {
            let _noted = noted;
            let _ = ours.recv(&mut [0]);
        });
        yield_now();
        assert_eq!(*dropped.borrow(), 0);
    });
    assert_eq!(*dropped.borrow(), 1);
}
