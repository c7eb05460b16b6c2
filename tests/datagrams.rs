//! Datagrams between green threads over Unix sockets, where senders wait for receivers. What UDP
//! sockets do is in `udp.rs`; how both compare with std's, in `unix_as_std.rs` and `udp_as_std.rs`.

#![expect(unsafe_code, reason = "handles a signal")]

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::rc::Rc;

use crate::scene::{Folder, settle, start};
use greenlit::net::Shutdown;
use greenlit::os::unix::net::UnixDatagram;
use greenlit::time::{Duration, Instant};

/// Sends to `receiver` until it has room for no more, and says how many that were.
fn fill(receiver: &SocketAddr) -> usize {
    let sender = StdDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    (0..)
        .take_while(|_| sender.send_to_addr(b"filler", receiver).is_ok())
        .count()
}

#[test]
fn smoke() {
    greenlit::run(|| {
        let (one, other) = UnixDatagram::pair().unwrap();
        let echo = start(move || {
            let mut buffer = [0; 8];
            let length = other.recv(&mut buffer).unwrap();
            other.send(&buffer[..length]).unwrap();
        });
        one.send(b"echo").unwrap();
        assert_eq!(one.recv(&mut [0; 8]).unwrap(), 4);
        echo.join().unwrap();
    });
}

/// Behaviour 33.
#[test]
fn receivers_queue_in_order() {
    let log = greenlit::run(|| {
        let (ours, theirs) = StdDatagram::pair().unwrap();
        let ours = Rc::new(UnixDatagram::from(ours));
        let log = Rc::new(RefCell::new(Vec::new()));
        let receivers: Vec<_> = (0..3)
            .map(|number| {
                let (ours, log) = (Rc::clone(&ours), Rc::clone(&log));
                start(move || {
                    let mut byte = [0];
                    ours.recv_from(&mut byte).unwrap();
                    log.borrow_mut().push((number, byte[0]));
                })
            })
            .collect();
        for byte in 10..13 {
            theirs.send(&[byte]).unwrap();
        }
        for receiver in receivers {
            receiver.join().unwrap();
        }
        log.take()
    });
    assert_eq!(log, [(0, 10), (1, 11), (2, 12)]);
}

/// Behaviour 34: datagrams that came as one event are all received, although each call takes one
/// and comes up short.
#[test]
fn short_datagrams_of_one_event_are_all_received() {
    greenlit::run(|| {
        let (ours, theirs) = StdDatagram::pair().unwrap();
        let ours = UnixDatagram::from(ours);
        let receiver = start(move || [(); 4].map(|()| ours.recv(&mut [0; 64]).unwrap()));
        for length in 1..=4 {
            theirs.send(&vec![7; length]).unwrap();
        }
        assert_eq!(receiver.join().unwrap(), [1, 2, 3, 4]);
    });
}

/// Behaviour 37: more datagrams than there is room for, from several senders to one receiver, each
/// of which waits its turn: none is lost, and each sender's arrive in its order.
#[test]
fn senders_wait_for_room_and_nothing_is_lost() {
    const SENDERS: u8 = 3;
    const EACH: u8 = 200;

    let folder = Folder::new();
    greenlit::run(|| {
        let path = folder.join("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        // One way to send a sender: with an address each time, by path, or connected.
        let senders: Vec<_> = (0..SENDERS)
            .map(|name| {
                let path = path.clone();
                let sender = UnixDatagram::unbound().unwrap();
                start(move || {
                    let address = SocketAddr::from_pathname(&path).unwrap();
                    if name == 2 {
                        sender.connect(&path).unwrap();
                    }
                    for number in 0..EACH {
                        let datagram = [name, number];
                        let sent = match name {
                            0 => sender.send_to(&datagram, &path),
                            1 => sender.send_to_addr(&datagram, &address),
                            _ => sender.send(&datagram),
                        };
                        assert_eq!(sent.unwrap(), 2);
                    }
                })
            })
            .collect();
        settle();
        assert!(senders.iter().all(|sender| !sender.is_finished()));

        let mut next = [0; SENDERS as usize];
        for _ in 0..u32::from(SENDERS) * u32::from(EACH) {
            let mut datagram = [0; 8];
            assert_eq!(receiver.recv(&mut datagram).unwrap(), 2);
            let [name, number] = [datagram[0], datagram[1]];
            assert_eq!(number, next[usize::from(name)], "of sender {name}");
            next[usize::from(name)] += 1;
        }
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

/// The same outside a runtime: the OS thread blocks until there is room.
#[test]
fn senders_outside_a_runtime_block_for_room() {
    let folder = Folder::new();
    let receiver = UnixDatagram::bind(folder.join("receiver")).unwrap();
    let address = receiver.local_addr().unwrap();
    let filled = fill(&address);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let sender = UnixDatagram::unbound().unwrap();
            sender.send_to_addr(b"the last", &address)
        });
        for _ in 0..filled {
            receiver.recv(&mut [0; 8]).unwrap();
        }
        assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 8);
        assert_eq!(sending.join().unwrap().unwrap(), 8);
    });
}

/// Behaviour 36: deadlines of senders that wait for room, connected or not, and the non-blocking
/// mode.
#[test]
fn deadlines_of_senders_are_kept() {
    let folder = Folder::new();
    let check = || {
        let path = folder.join("receiver");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let address = receiver.local_addr().unwrap();
        fill(&address);
        let sender = UnixDatagram::unbound().unwrap();
        let connected = UnixDatagram::unbound().unwrap();
        connected.connect_addr(&address).unwrap();
        for timeout in [Duration::from_nanos(1), Duration::from_millis(4)] {
            for socket in [&sender, &connected] {
                socket.set_write_timeout(Some(timeout)).unwrap();
                let started = Instant::now();
                let sent = match socket.peer_addr() {
                    Ok(_) => socket.send(b"x"),
                    Err(_) => socket.send_to_addr(b"x", &address),
                };
                assert_eq!(sent.unwrap_err().kind(), ErrorKind::WouldBlock);
                assert!(started.elapsed() >= timeout, "early at {timeout:?}");
            }
        }
        sender.set_nonblocking(true).unwrap();
        let error = sender.send_to_addr(b"x", &address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        std::fs::remove_file(&path).unwrap();
    };
    check();
    greenlit::run(check);
}

/// Behaviour 40: a sender that waits for room learns that its receiver has gone.
#[test]
fn a_sender_that_waits_is_refused_when_the_receiver_goes() {
    let folder = Folder::new();
    greenlit::run(|| {
        for connects in [false, true] {
            let path = folder.join(format!("receiver {connects}"));
            let receiver = StdDatagram::bind(&path).unwrap();
            let address = receiver.local_addr().unwrap();
            fill(&address);
            let sending = start(move || {
                let sender = UnixDatagram::unbound().unwrap();
                if connects {
                    sender.connect_addr(&address).unwrap();
                    return sender.send(b"x");
                }
                sender.send_to_addr(b"x", &address)
            });
            settle();
            assert!(!sending.is_finished());
            drop(receiver);
            let error = sending.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{connects}");
        }
    });
}

/// A socket that waits for room at one receiver sends to another meanwhile.
#[test]
fn a_full_receiver_does_not_hold_up_others() {
    let folder = Folder::new();
    greenlit::run(|| {
        let full = StdDatagram::bind(folder.join("full")).unwrap();
        let empty = StdDatagram::bind(folder.join("empty")).unwrap();
        let address = full.local_addr().unwrap();
        let filled = fill(&address);
        let sender = Rc::new(UnixDatagram::unbound().unwrap());
        let sending = start({
            let sender = Rc::clone(&sender);
            move || sender.send_to_addr(b"waits", &address)
        });
        assert!(!sending.is_finished());
        sender.send_to(b"does not", folder.join("empty")).unwrap();
        assert_eq!(empty.recv(&mut [0; 8]).unwrap(), 8);

        for _ in 0..filled {
            full.recv(&mut [0; 8]).unwrap();
        }
        assert_eq!(sending.join().unwrap().unwrap(), 5);
        assert_eq!(full.recv(&mut [0; 8]).unwrap(), 5);
    });
}

/// Behaviour 37: a receiver that is parked learns that its socket was shut down, and each later
/// call learns it too.
#[test]
fn a_shutdown_wakes_a_receiver() {
    let check = |receive: &dyn Fn(UnixDatagram, StdDatagram)| {
        let (ours, theirs) = StdDatagram::pair().unwrap();
        receive(UnixDatagram::from(ours), theirs);
    };
    greenlit::run(|| {
        check(&|ours, _theirs| {
            let ours = Rc::new(ours);
            let receiver = start({
                let ours = Rc::clone(&ours);
                move || ours.recv(&mut [0])
            });
            assert!(!receiver.is_finished());
            ours.shutdown(Shutdown::Read).unwrap();
            assert_eq!(receiver.join().unwrap().unwrap(), 0);
            assert_eq!(ours.recv(&mut [0]).unwrap(), 0);
            assert!(ours.recv_from(&mut [0]).unwrap().1.is_unnamed());
        });
    });
    check(&|ours, theirs| {
        theirs.send(b"before").unwrap();
        ours.shutdown(Shutdown::Read).unwrap();
        assert_eq!(ours.recv(&mut [0; 8]).unwrap(), 6);
        assert_eq!(ours.recv(&mut [0; 8]).unwrap(), 0);
    });
}

/// Sockets from elsewhere that are in the kernel's blocking mode park here all the same, in both
/// directions, and take their options along when they leave.
#[test]
fn blocking_sockets_from_elsewhere_park() {
    greenlit::run(|| {
        let (theirs, peer) = StdDatagram::pair().unwrap();
        let timeout = Some(Duration::from_secs(3));
        theirs.set_read_timeout(timeout).unwrap();
        let ours = UnixDatagram::from(theirs);
        assert_eq!(ours.read_timeout().unwrap(), timeout);
        ours.set_read_timeout(None).unwrap();
        let receiver = start(move || ours.recv(&mut [0]).map(|_| ours));
        assert!(!receiver.is_finished());
        peer.send(b"x").unwrap();
        let ours = receiver.join().unwrap().unwrap();

        let sent = Rc::new(Cell::new(0));
        let sender = start({
            let sent = Rc::clone(&sent);
            move || {
                while ours.send(&[0; 1 << 10]).is_ok() {
                    sent.set(sent.get() + 1);
                }
                ours
            }
        });
        let mut before = usize::MAX;
        while before != sent.get() {
            before = sent.get();
            settle();
        }
        assert!(!sender.is_finished());
        drop(peer);
        let ours = sender.join().unwrap();
        ours.set_write_timeout(timeout).unwrap();
        assert_eq!(StdDatagram::from(ours).write_timeout().unwrap(), timeout);
    });
}

/// Behaviour 41: signals during waits are invisible to a receiver, and to a sender without a peer,
/// which waits with another socket.
#[test]
fn signals_do_not_end_waits() {
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    extern "C" fn nothing(_: libc::c_int) {}
    // No `SA_RESTART`: the system calls are interrupted.
    let handler = SigHandler::Handler(nothing);
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let folder = Folder::new();
    let path = folder.join("receiver");
    let wait = || {
        let receiver = StdDatagram::bind(&path).unwrap();
        let address = receiver.local_addr().unwrap();
        let filled = fill(&address);
        let (ours, theirs) = StdDatagram::pair().unwrap();
        let ours = UnixDatagram::from(ours);
        let target = pthread_self();
        std::thread::scope(|scope| {
            let signals = || {
                for _ in 0..200 {
                    pthread_kill(target, Signal::SIGUSR1).unwrap();
                    std::thread::yield_now();
                }
            };
            let receiver = &receiver;
            scope.spawn(move || {
                signals();
                theirs.send(b"x").unwrap();
                signals();
                for _ in 0..filled {
                    receiver.recv(&mut [0; 8]).unwrap();
                }
            });
            assert_eq!(ours.recv(&mut [0]).unwrap(), 1);
            let sender = UnixDatagram::unbound().unwrap();
            assert_eq!(sender.send_to_addr(b"x", &address).unwrap(), 1);
        });
        std::fs::remove_file(&path).unwrap();
    };
    wait();
    greenlit::run(wait);
}
