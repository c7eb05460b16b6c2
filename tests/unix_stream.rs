//! Unix streams and listeners between green threads. The peers are std's sockets where the test
//! must act without a switch. How they compare with std's is in `unix_as_std.rs`.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::rc::Rc;

use crate::alone::alone;
use crate::scene::{Folder, settle, start, until};
use greenlit::net::Shutdown;
use greenlit::os::unix::net::{UnixListener, UnixStream};
use greenlit::thread::{self, yield_now};
use greenlit::time::{Duration, Instant};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    Backlog, ControlMessage, ControlMessageOwned, MsgFlags, listen, recvmsg, sendmsg, setsockopt,
    sockopt,
};

/// A stream on the reactor and its peer, a blocking std socket.
fn pair() -> (UnixStream, StdStream) {
    let (ours, theirs) = StdStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (UnixStream::from(ours), theirs)
}

/// A listener at `path` that has room for one connection, and who has it.
fn full_listener(folder: &Folder) -> (StdListener, StdStream) {
    let listener = StdListener::bind(folder.join("full")).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    (listener, StdStream::connect(folder.join("full")).unwrap())
}

#[test]
fn smoke() {
    let folder = Folder::new();
    greenlit::run(|| {
        let path = folder.join("echo");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            for stream in &listener {
                let stream = stream.unwrap();
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        for round in 0..3 {
            let mut stream = UnixStream::connect(&path).unwrap();
            let message = format!("message {round}");
            stream.write_all(message.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, message);
        }
    });
}

/// Behaviours 33 and 37: a long stream through a small window, with a reader and a writer on each
/// end at once.
#[test]
fn a_long_stream_passes_a_small_window_both_ways() {
    // Debug builds are slow.
    const SIZE: usize = if cfg!(debug_assertions) {
        1 << 18
    } else {
        1 << 20
    };

    greenlit::run(|| {
        let (one, other) = UnixStream::pair().unwrap();
        let ends = [one, other].map(Rc::new);
        let mut threads = Vec::new();
        for end in &ends {
            setsockopt(&end.as_fd(), sockopt::SndBuf, &1).unwrap();
            let writer = Rc::clone(end);
            threads.push(thread::spawn(move || {
                let data: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
                (&*writer).write_all(&data).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            }));
            let reader = Rc::clone(end);
            threads.push(thread::spawn(move || {
                let mut data = Vec::new();
                (&*reader).read_to_end(&mut data).unwrap();
                assert_eq!(data.len(), SIZE);
                assert!(
                    data.iter()
                        .enumerate()
                        .all(|(at, byte)| *byte == (at % 251) as u8)
                );
            }));
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Behaviour 33.
#[test]
fn readers_queue_in_order() {
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
        peer.write_all(&[10, 11]).unwrap();
        until(|| log.borrow().len() == 2);
        peer.write_all(&[12]).unwrap();
        peer.write_all(&[13]).unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
        log.take()
    });
    assert_eq!(log, [(0, 10), (1, 11), (2, 12), (3, 13)]);
}

/// Behaviour 33.
#[test]
fn acceptors_queue_in_order() {
    let folder = Folder::new();
    let log = greenlit::run(|| {
        let path = folder.join("listener");
        let listener = Rc::new(UnixListener::bind(&path).unwrap());
        let log = Rc::new(RefCell::new(Vec::new()));
        let acceptors: Vec<_> = (0..3)
            .map(|number| {
                let (listener, log) = (Rc::clone(&listener), Rc::clone(&log));
                start(move || {
                    let (stream, _) = listener.accept().unwrap();
                    log.borrow_mut().push(number);
                    stream
                })
            })
            .collect();
        let clients = [(); 3].map(|()| StdStream::connect(&path).unwrap());
        for acceptor in acceptors {
            acceptor.join().unwrap();
        }
        drop(clients);
        log.take()
    });
    assert_eq!(log, [0, 1, 2]);
}

/// Behaviour 34: an event that comes while a wait times out does not end the next wait.
#[test]
fn readiness_left_over_does_not_end_the_next_wait() {
    greenlit::run(|| {
        let (mut stream, mut peer) = pair();
        let timeout = Duration::from_millis(3);
        stream.set_read_timeout(Some(timeout)).unwrap();
        for _ in 0..2 {
            let started = Instant::now();
            let error = stream.read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(started.elapsed() >= timeout);

            peer.write_all(b"x").unwrap();
            settle();
            stream.set_nonblocking(true).unwrap();
            assert_eq!(stream.read(&mut [0; 8]).unwrap(), 1);
            stream.set_nonblocking(false).unwrap();
        }
    });
}

/// Behaviour 36: the deadlines of both directions, each of which leaves the other alone.
#[test]
fn deadlines_are_kept() {
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
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(waited >= timeout, "early at {timeout:?}");
        }
        assert!(!reader.is_finished());
        peer.write_all(b"in").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 2);
    });
}

/// Behaviour 37: a message that passes a descriptor ends a read before what lies behind it, and the
/// count is short. What lies behind came with the same event, and must not be stranded.
#[test]
fn short_reads_at_descriptors_strand_nothing() {
    greenlit::run(|| {
        let (mut stream, mut peer) = pair();
        let reader = start(move || {
            let mut counts = Vec::new();
            while counts.iter().sum::<usize>() < 14 {
                counts.push(stream.read(&mut [0; 64]).unwrap());
            }
            counts
        });
        peer.write_all(b"before").unwrap();
        let fds = [peer.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&fds)];
        let with_fd = [IoSlice::new(b"fd")];
        sendmsg::<()>(
            peer.as_raw_fd(),
            &with_fd,
            &message,
            MsgFlags::empty(),
            None,
        )
        .unwrap();
        peer.write_all(b"behind").unwrap();
        let counts = reader.join().unwrap();
        assert!(counts.len() > 1, "the descriptor ended no read: {counts:?}");
    });
}

/// A descriptor is received through the stream's own fd, by a green thread that waits meanwhile.
#[test]
fn descriptors_can_be_received() {
    use greenlit::io::Source;

    greenlit::run(|| {
        let (stream, peer) = pair();
        let receiver = start(move || {
            let source = Source::new(stream).unwrap();
            source.when_readable(|stream| {
                let mut space = nix::cmsg_space!([i32; 1]);
                let mut byte = [0];
                let mut buffers = [io::IoSliceMut::new(&mut byte)];
                let flags = MsgFlags::MSG_DONTWAIT;
                let fd = stream.as_raw_fd();
                let message = recvmsg::<()>(fd, &mut buffers, Some(&mut space), flags)?;
                let passed = message.cmsgs()?.any(|message| {
                    matches!(message, ControlMessageOwned::ScmRights(fds) if fds.len() == 1)
                });
                Ok(passed)
            })
        });
        let fds = [peer.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&fds)];
        let bytes = [IoSlice::new(b"!")];
        sendmsg::<()>(peer.as_raw_fd(), &bytes, &message, MsgFlags::empty(), None).unwrap();
        assert!(receiver.join().unwrap().unwrap());
    });
}

/// Behaviour 37: whoever is parked learns of the peer's end, and of one's own.
#[test]
fn ends_wake_who_waits() {
    greenlit::run(|| {
        let (mut stream, peer) = pair();
        let reader = start(move || stream.read(&mut [0]));
        drop(peer);
        assert_eq!(reader.join().unwrap().unwrap(), 0);

        let (stream, peer) = pair();
        let stream = Rc::new(stream);
        let [reader, writer] = [true, false].map(|reads| {
            let stream = Rc::clone(&stream);
            start(move || match reads {
                true => (&*stream).read(&mut [0]),
                false => (&*stream).write_all(&vec![0; 4 << 20]).map(|()| 0),
            })
        });
        assert!(!reader.is_finished() && !writer.is_finished());
        stream.shutdown(Shutdown::Both).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 0);
        let error = writer.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        drop(peer);
    });
}

/// Behaviour 40: a connect to a listener whose queue is full waits, while others run, until there is
/// room.
#[test]
fn a_connect_waits_for_a_full_listener() {
    let folder = Folder::new();
    greenlit::run(|| {
        let (listener, _first) = full_listener(&folder);
        let path = folder.join("full");
        let connecting = start(move || UnixStream::connect(path));
        settle();
        assert!(!connecting.is_finished());

        drop(listener.accept().unwrap());
        let mut stream = connecting.join().unwrap().unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        let reader = start(move || {
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text)
        });
        assert!(!reader.is_finished());
        accepted.write_all(b"it parks").unwrap();
        drop(accepted);
        assert_eq!(reader.join().unwrap().unwrap(), "it parks");
    });
}

/// Behaviour 40: a connect that waits learns that the listener has gone.
#[test]
fn a_connect_that_waits_is_refused_when_the_listener_goes() {
    let folder = Folder::new();
    greenlit::run(|| {
        let (listener, _first) = full_listener(&folder);
        let path = folder.join("full");
        let connecting = start(move || UnixStream::connect(path).map(drop));
        settle();
        assert!(!connecting.is_finished());
        drop(listener);
        let error = connecting.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// A connect that waits when the main closure returns is unwound, and leaves no connection behind.
#[test]
fn the_end_of_the_run_gives_up_connects() {
    let folder = Folder::new();
    let (listener, _first) = full_listener(&folder);
    greenlit::run(|| {
        let path = folder.join("full");
        start(move || UnixStream::connect(path));
    });
    drop(listener.accept().unwrap());

    // The OS thread that waits for it notices within a second. What it connects before is closed.
    let mut polled = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    if poll(&mut polled, PollTimeout::from(5_000_u16)).unwrap() > 0 {
        let (mut stream, _) = listener.accept().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

/// Outside a runtime a connect to a full listener blocks the OS thread, as std's does.
#[test]
fn a_connect_outside_a_runtime_blocks() {
    let folder = Folder::new();
    let (listener, _first) = full_listener(&folder);
    let path = folder.join("full");
    let connecting = std::thread::spawn(move || UnixStream::connect(path).map(drop));
    drop(listener.accept().unwrap());
    listener.accept().unwrap();
    connecting.join().unwrap().unwrap();
}

/// Behaviour 38: `EMFILE` is returned, and the connection stays in the queue.
#[test]
fn accept_without_a_file_descriptor_is_an_error_and_loses_nothing() {
    alone(
        "accept_without_a_file_descriptor_is_an_error_and_loses_nothing",
        || {
            use nix::sys::resource::{Resource, getrlimit, setrlimit};

            let folder = Folder::new();
            greenlit::run(|| {
                let path = folder.join("listener");
                let listener = Rc::new(UnixListener::bind(&path).unwrap());
                let acceptor = start({
                    let listener = Rc::clone(&listener);
                    move || listener.accept().map(drop)
                });
                let client = StdStream::connect(&path).unwrap();
                let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
                setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
                let error = acceptor.join().unwrap().unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                let error = listener.accept().unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));

                setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
                listener.accept().unwrap();
                drop(client);
            });
        },
    );
}

/// Sockets from elsewhere that are in the kernel's blocking mode park here all the same, and take
/// their options along when they leave.
#[test]
fn blocking_sockets_from_elsewhere_park() {
    let folder = Folder::new();
    greenlit::run(|| {
        let (theirs, mut peer) = StdStream::pair().unwrap();
        let timeout = Some(Duration::from_secs(3));
        theirs.set_read_timeout(timeout).unwrap();
        let mut ours = UnixStream::from(theirs);
        assert_eq!(ours.read_timeout().unwrap(), timeout);
        let reader = start(move || ours.read(&mut [0]).map(|_| ours));
        assert!(!reader.is_finished());
        peer.write_all(b"x").unwrap();
        let ours = reader.join().unwrap().unwrap();
        ours.set_write_timeout(timeout).unwrap();
        let theirs = StdStream::from(ours);
        assert_eq!(theirs.write_timeout().unwrap(), timeout);

        let path = folder.join("listener");
        let listener = UnixListener::from(StdListener::bind(&path).unwrap());
        let acceptor = start(move || listener.accept().map(|_| listener));
        assert!(!acceptor.is_finished());
        drop(StdStream::connect(&path).unwrap());
        let listener = StdListener::from(acceptor.join().unwrap().unwrap());
        let client = std::thread::spawn(move || StdStream::connect(path).map(drop));
        listener.accept().unwrap();
        client.join().unwrap().unwrap();
    });
}

/// One stream, used from the runtimes of two OS threads at once.
#[test]
fn two_runtimes_share_a_stream() {
    let (one, other) = UnixStream::pair().unwrap();
    let size = 2 << 20;
    std::thread::scope(|scope| {
        scope.spawn(|| greenlit::run(|| (&one).write_all(&vec![1; size]).unwrap()));
        scope.spawn(|| greenlit::run(|| (&one).read_exact(&mut vec![0; size]).unwrap()));
        scope.spawn(|| greenlit::run(|| (&other).read_exact(&mut vec![0; size]).unwrap()));
        (&other).write_all(&vec![2; size]).unwrap();
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
    let folder = Folder::new();
    greenlit::run(|| {
        let (stream, _peer) = pair();
        let listener = UnixListener::bind(folder.join("listener")).unwrap();
        let [one, other] = [(); 2].map(|()| Noted(Rc::clone(&dropped)));
        thread::spawn(move || {
            let _noted = one;
            let _ = (&stream).read(&mut [0]);
        });
        thread::spawn(move || {
            let _noted = other;
            let _ = listener.accept();
        });
        yield_now();
        assert_eq!(*dropped.borrow(), 0);
    });
    assert_eq!(*dropped.borrow(), 2);
}
