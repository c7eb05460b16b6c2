//! TCP between green threads: who is woken when, and what readiness is kept or dropped. The peers
//! are std's sockets where the test must act without a switch, since those never park the green
//! thread that uses them.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;

use crate::scene::{pair, settle, start, until};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::thread::{self, yield_now};
use greenlit::time::{Duration, Instant};

#[test]
fn smoke() {
    greenlit::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        for round in 0..3 {
            let mut stream = TcpStream::connect(address).unwrap();
            let message = format!("message {round}");
            stream.write_all(message.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, message);
        }
    });
}

/// Behaviour 33.
#[test]
fn a_reader_and_a_writer_share_a_socket() {
    greenlit::run(|| {
        let (stream, mut peer) = pair();
        let stream = Rc::new(stream);
        let reader = start({
            let stream = Rc::clone(&stream);
            move || {
                let mut buffer = [0; 5];
                (&*stream).read_exact(&mut buffer).map(|()| buffer)
            }
        });

        // More than both buffers hold, so that the writer parks while the reader is parked.
        let size = 16 << 20;
        let writer = start(move || (&*stream).write_all(&vec![7; size]));
        assert!(!reader.is_finished() && !writer.is_finished());

        peer.write_all(b"hello").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), *b"hello");
        assert!(!writer.is_finished());

        peer.set_nonblocking(true).unwrap();
        let mut received = 0;
        let mut buffer = vec![0; 1 << 16];
        while received < size {
            match peer.read(&mut buffer) {
                Ok(count) => received += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        writer.join().unwrap().unwrap();
    });
}

/// Behaviour 33: several readers get what arrives in the order in which they came, be it byte by
/// byte or at once.
#[test]
fn readers_queue_in_order() {
    for at_once in [false, true] {
        let log = greenlit::run(|| {
            let (stream, mut peer) = pair();
            let stream = Rc::new(stream);
            let log = Rc::new(RefCell::new(Vec::new()));
            let readers: Vec<_> = (0..4)
                .map(|number| {
                    let (stream, log) = (Rc::clone(&stream), Rc::clone(&log));
                    start(move || {
                        let mut byte = [0];
                        (&*stream).read_exact(&mut byte).unwrap();
                        log.borrow_mut().push((number, byte[0]));
                    })
                })
                .collect();
            if at_once {
                peer.write_all(&[10, 11, 12, 13]).unwrap();
            } else {
                for byte in 10..14 {
                    peer.write_all(&[byte]).unwrap();
                    until(|| log.borrow().len() == usize::from(byte - 9));
                }
            }
            for reader in readers {
                reader.join().unwrap();
            }
            log.take()
        });
        assert_eq!(
            log,
            [(0, 10), (1, 11), (2, 12), (3, 13)],
            "at once: {at_once}"
        );
    }
}

/// Behaviour 33: a newcomer does not overtake those who wait, although it runs first and finds the
/// socket ready.
#[test]
fn acceptors_queue_in_order() {
    let log = greenlit::run(|| {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let log = Rc::new(RefCell::new(Vec::new()));
        let accept = |name| {
            let (listener, log) = (Rc::clone(&listener), Rc::clone(&log));
            move || {
                let (stream, _) = listener.accept().unwrap();
                log.borrow_mut().push(name);
                stream
            }
        };
        let mut acceptors: Vec<_> = (0..3).map(|name| start(accept(name))).collect();
        let (mut starter, mut starter_peer) = pair();
        let newcomer = accept(99);
        acceptors.push(start(move || {
            starter.read_exact(&mut [0]).unwrap();
            newcomer()
        }));

        // One turn brings all of it, in this order: the newcomer is woken before the first
        // acceptor.
        starter_peer.write_all(b"!").unwrap();
        let clients = [(); 4].map(|()| std::net::TcpStream::connect(address).unwrap());
        for acceptor in acceptors {
            acceptor.join().unwrap();
        }
        drop(clients);
        log.take()
    });
    assert_eq!(log, [0, 1, 2, 99]);
}

/// A socket from elsewhere that is in the kernel's blocking mode parks here all the same: the main
/// green thread, which ends the wait, gets to run.
#[test]
fn blocking_sockets_from_elsewhere_park() {
    type Call = fn(&mut TcpStream) -> io::Result<usize>;
    let reads: [Call; 3] = [
        |stream| stream.read(&mut [0; 8]),
        |stream| stream.peek(&mut [0; 8]),
        |stream| stream.read_vectored(&mut [IoSliceMut::new(&mut [0; 8])]),
    ];
    greenlit::run(|| {
        for read in reads {
            let (mut stream, mut peer) = foreign_pair();
            let reader = start(move || read(&mut stream));
            assert!(!reader.is_finished());
            peer.write_all(b"x").unwrap();
            assert_eq!(reader.join().unwrap().unwrap(), 1);
        }

        let writes: [Call; 2] = [
            |stream| stream.write(&[0; 1 << 16]),
            |stream| stream.write_vectored(&[IoSlice::new(&[0; 1 << 16])]),
        ];
        for write in writes {
            let (mut stream, peer) = foreign_pair();
            let written = Rc::new(Cell::new(0));
            let writer = start({
                let written = Rc::clone(&written);
                move || {
                    while let Ok(count) = write(&mut stream) {
                        written.set(written.get() + count);
                    }
                }
            });
            // Until it writes no more: it has parked.
            let mut before = 0;
            while before < written.get() {
                before = written.get();
                yield_now();
            }
            assert!(!writer.is_finished());
            drop(peer);
            writer.join().unwrap();
        }

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from(listener);
        let acceptor = start(move || listener.accept());
        assert!(!acceptor.is_finished());
        let client = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(
            acceptor.join().unwrap().unwrap().1,
            client.local_addr().unwrap()
        );
    });
}

fn foreign_pair() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (TcpStream::from(listener.accept().unwrap().0), peer)
}

/// Behaviour 36, for reads: past, near, infinite; with and without data. (Zero is in
/// `tcp_options.rs`.)
#[test]
fn read_deadlines_are_kept() {
    greenlit::run(|| {
        let (mut stream, mut peer) = pair();
        for timeout in [Duration::from_nanos(1), Duration::from_millis(4)] {
            stream.set_read_timeout(Some(timeout)).unwrap();
            let started = Instant::now();
            assert_eq!(
                stream.read(&mut [0]).unwrap_err().kind(),
                io::ErrorKind::WouldBlock
            );
            assert!(started.elapsed() >= timeout, "early at {timeout:?}");

            // A timeout that has passed before the call looks still takes what is there.
            peer.write_all(b"x").unwrap();
            settle();
            assert_eq!(stream.read(&mut [0]).unwrap(), 1);
        }
        stream.set_read_timeout(Some(Duration::MAX)).unwrap();
        assert_eq!(stream.read_timeout().unwrap(), Some(Duration::MAX));
        let reader = start(move || stream.read(&mut [0]));
        settle();
        assert!(!reader.is_finished());
        peer.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 1);
    });
}

/// Behaviour 36, for writes; the deadline of one direction does not touch the other.
#[test]
fn write_deadlines_are_kept() {
    greenlit::run(|| {
        let (stream, mut peer) = pair();
        let stream = Rc::new(stream);
        let reader = start({
            let stream = Rc::clone(&stream);
            move || (&*stream).read(&mut [0; 8])
        });
        let block = vec![0; 1 << 20];
        for timeout in [Duration::from_nanos(1), Duration::from_millis(4)] {
            stream.set_write_timeout(Some(timeout)).unwrap();
            let (waited, error) = loop {
                let started = Instant::now();
                if let Err(error) = (&*stream).write(&block) {
                    break (started.elapsed(), error);
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(waited >= timeout, "early at {timeout:?}");
        }
        assert!(!reader.is_finished());
        peer.write_all(b"in").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 2);
    });
}

/// A read that waits for a deadline lets others run, and so does one that waits for ever.
#[test]
fn a_parked_read_lets_others_run() {
    greenlit::run(|| {
        let (mut stream, mut peer) = pair();
        let ran = Rc::new(Cell::new(0));
        let other = thread::spawn({
            let ran = Rc::clone(&ran);
            move || {
                ran.set(1);
                peer.write_all(b"x").unwrap();
                peer
            }
        });
        assert_eq!(stream.read(&mut [0]).unwrap(), 1);
        assert_eq!(ran.get(), 1);
        drop(other.join().unwrap());
    });
}

/// Hundreds of connections are begun before anybody accepts one. With std's queue of 128 this takes
/// minutes.
#[test]
fn a_crowd_connects_before_the_first_is_accepted() {
    greenlit::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let room: usize = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
            .map_or(128, |text| text.trim().parse().unwrap());
        let crowd = room.min(200);
        let started = Instant::now();
        let streams: Vec<_> = (0..crowd)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        // The kernel asks again after a second where the queue is full.
        assert!(started.elapsed() < Duration::from_secs(1));
        for stream in &streams {
            assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
        }
    });
}

/// A read into no room returns at once, where std's waits for data first.
#[test]
fn an_empty_read_does_not_park() {
    greenlit::run(|| {
        let (mut stream, _peer) = pair();
        let ran = Rc::new(Cell::new(false));
        let other = thread::spawn({
            let ran = Rc::clone(&ran);
            move || ran.set(true)
        });
        assert_eq!(stream.read(&mut []).unwrap(), 0);
        assert_eq!(stream.read_vectored(&mut []).unwrap(), 0);
        assert_eq!(stream.peek(&mut []).unwrap(), 0);
        assert!(!ran.get());
        other.join().unwrap();
    });
}

/// A clone stands alone: it goes on when the other is closed, and closing one while the other is
/// parked loses nothing.
#[test]
fn clones_outlive_each_other() {
    greenlit::run(|| {
        let (stream, mut peer) = pair();
        let mut clone = stream.try_clone().unwrap();
        let reader = start(move || {
            clone.read_exact(&mut [0]).unwrap();
            clone
        });
        drop(stream);
        peer.write_all(b"1").unwrap();
        let clone = reader.join().unwrap();

        let second = clone.try_clone().unwrap();
        let readers = [clone, second].map(|stream| start(move || (&stream).read_exact(&mut [0])));
        peer.write_all(b"23").unwrap();
        for reader in readers {
            reader.join().unwrap().unwrap();
        }
    });
}

/// One stream, used from the runtimes of two OS threads at once: each has a registration of its
/// own.
#[test]
fn two_runtimes_share_a_stream() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = Arc::new(TcpStream::from(listener.accept().unwrap().0));
    let size = 4 << 20;

    let writer = std::thread::spawn({
        let stream = Arc::clone(&stream);
        move || greenlit::run(|| (&*stream).write_all(&vec![1; size]))
    });
    let reader = std::thread::spawn({
        let stream = Arc::clone(&stream);
        move || greenlit::run(|| (&*stream).read_exact(&mut vec![0; size]))
    });
    let mut peer_half = peer.try_clone().unwrap();
    let sender = std::thread::spawn(move || peer_half.write_all(&vec![2; size]));
    peer.read_exact(&mut vec![0; size]).unwrap();
    for thread in [writer, reader, sender] {
        thread.join().unwrap().unwrap();
    }
}

/// What is parked on a socket when the main closure returns is unwound.
#[test]
fn the_end_of_the_run_unwinds_who_waits() {
    struct Dropped(Rc<Cell<u32>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    greenlit::run(|| {
        let (stream, peer) = pair();
        let guards = [(); 2].map(|()| Dropped(Rc::clone(&dropped)));
        let [first, second] = guards;
        start(move || {
            let _guard = first;
            let _ = (&stream).read(&mut [0]);
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        start(move || {
            let _guard = second;
            let _ = listener.accept();
        });
        assert_eq!(dropped.get(), 0);
        drop(peer);
    });
    assert_eq!(dropped.get(), 2);
}
