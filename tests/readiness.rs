//! Readiness: what the reactor keeps, what it drops, and that no event reaches a socket that it is
//! not meant for. The peers are std's sockets, which never park the green thread that uses them.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use crate::scene::{pair, settle, start};
use greenlit::io::Source;
use greenlit::net::TcpStream;
use greenlit::time::{Duration, Instant};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// Behaviour 34: an event arrives while a wait times out, and the data is taken past the reactor.
/// The readiness that is left over must not end the next wait.
#[test]
fn readiness_left_over_does_not_end_the_next_wait() {
    greenlit::run(|| {
        let (mut stream, mut peer) = pair();
        let timeout = Duration::from_millis(3);
        stream.set_read_timeout(Some(timeout)).unwrap();
        assert_eq!(
            stream.read(&mut [0]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );

        peer.write_all(b"x").unwrap();
        settle();
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 1);
        stream.set_nonblocking(false).unwrap();

        let started = Instant::now();
        assert_eq!(
            stream.read(&mut [0]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        assert!(started.elapsed() >= timeout);

        peer.write_all(b"y").unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"y");
    });
}

/// Behaviour 34: data and deadline are both there when the reactor is asked. Nothing is lost,
/// whichever wins.
#[test]
fn data_that_arrives_with_the_deadline_is_not_lost() {
    greenlit::run(|| {
        let (mut stream, mut peer) = pair();
        stream
            .set_read_timeout(Some(Duration::from_micros(200)))
            .unwrap();
        let reader = start(move || (stream.read(&mut [0; 8]), stream));

        // No yield: the turn that sees the data sees the deadline passed as well.
        let end = Instant::now() + Duration::from_millis(1);
        while Instant::now() < end {}
        peer.write_all(b"late").unwrap();
        let (first, mut stream) = reader.join().unwrap();
        match first {
            Ok(count) => assert_eq!(count, 4),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                stream.set_read_timeout(None).unwrap();
                assert_eq!(stream.read(&mut [0; 8]).unwrap(), 4);
            }
        }
    });
}

/// A stream that counts how often it is tried, and has its peer send just after a try has found
/// nothing.
struct Probe {
    stream: std::net::TcpStream,
    peer: RefCell<std::net::TcpStream>,
    /// What the peer sends after the try that would block. Empty: nothing.
    after_try: Cell<&'static [u8]>,
    tries: Cell<u32>,
}

impl Probe {
    fn new(stream: std::net::TcpStream, peer: std::net::TcpStream) -> Source<Probe> {
        stream.set_nonblocking(true).unwrap();
        let (peer, after_try, tries) = (RefCell::new(peer), Cell::default(), Cell::new(0));
        Source::new(Probe {
            stream,
            peer,
            after_try,
            tries,
        })
        .unwrap()
    }
}

impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for &Probe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tries.set(self.tries.get() + 1);
        let result = (&self.stream).read(buffer);
        if result.is_err() {
            self.peer.borrow_mut().write_all(self.after_try.take())?;
        }
        result
    }
}

/// Behaviour 34: data that arrives between the try and the park is not missed, be it the first try,
/// which registers the socket, or a later one.
#[test]
fn data_between_the_try_and_the_park_is_not_missed() {
    greenlit::run(|| {
        let (stream, peer) = pair();
        let source = Probe::new(stream.into(), peer);
        for message in [&b"first"[..], b"second", b"third"] {
            source.get_ref().after_try.set(message);
            let mut buffer = [0; 8];
            let count = (&source).read(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], message);
            // Finds nothing: the next try is one that would block again.
            assert!(source.get_ref().tries.get() <= 8);
        }
    });
}

/// Behaviour 35: an event for a closed socket does not reach the next one that gets its fd number,
/// not even when the old description lives on and still has its events, through a duplicate that
/// nobody told the reactor of.
#[test]
fn an_fd_number_used_again_gets_no_stale_event() {
    // Tests that run beside this one may take the number first.
    let reused = (0..1000).any(|_| greenlit::run(stale_event_for_a_number_used_again));
    assert!(reused, "the number was never free");
}

fn stale_event_for_a_number_used_again() -> bool {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (old, mut old_peer) = pair();
    let number = number(&old);
    let duplicate = duplicate_by_mail(number);
    let reader = start(move || {
        (&old).read_exact(&mut [0]).unwrap();
        old
    });
    old_peer.write_all(b"x").unwrap();
    let old = reader.join().unwrap();

    // The old socket becomes ready again and is closed before the reactor is asked.
    old_peer.write_all(b"stale").unwrap();
    drop(old);
    // Lower numbers that are free are filled first.
    let mut streams = Vec::new();
    while streams
        .last()
        .is_none_or(|last: &std::net::TcpStream| last.as_raw_fd() < number)
    {
        streams.push(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    }
    let peers: Vec<_> = streams
        .iter()
        .map(|_| listener.accept().unwrap().0)
        .collect();
    let source = Rc::new(Probe::new(
        streams.pop().unwrap(),
        peers.into_iter().last().unwrap(),
    ));
    let reused = source.get_ref().stream.as_raw_fd() == number;
    if reused {
        let reader = start({
            let source = Rc::clone(&source);
            move || (&*source).read(&mut [0; 8])
        });
        old_peer.write_all(b"stale again").unwrap();
        settle();
        assert_eq!(
            source.get_ref().tries.get(),
            1,
            "tried on an event that was not its own"
        );

        source
            .get_ref()
            .peer
            .borrow_mut()
            .write_all(b"own")
            .unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 3);
        assert_eq!(source.get_ref().tries.get(), 2);
    }
    nix::unistd::close(duplicate).unwrap();
    reused
}

/// The stream's fd, read from its debug output: after `as_raw_fd` the reactor would expect a
/// duplicate.
fn number(stream: &TcpStream) -> i32 {
    let shown = format!("{stream:?}");
    shown
        .rsplit_once("fd: ")
        .unwrap()
        .1
        .trim_end_matches(" }")
        .parse()
        .unwrap()
}

/// Duplicates an fd as another process might get it: in a message over a Unix socket.
fn duplicate_by_mail(number: i32) -> i32 {
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let letter = [IoSlice::new(b"!")];
    let enclosed = [number];
    let enclosures = [ControlMessage::ScmRights(&enclosed)];
    sendmsg::<()>(
        here.as_raw_fd(),
        &letter,
        &enclosures,
        MsgFlags::empty(),
        None,
    )
    .unwrap();

    let mut byte = [0];
    let mut room = [IoSliceMut::new(&mut byte)];
    let mut enclosures = nix::cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received =
        recvmsg::<()>(there.as_raw_fd(), &mut room, Some(&mut enclosures), flags).unwrap();
    match received.cmsgs().unwrap().next() {
        Some(ControlMessageOwned::ScmRights(numbers)) => numbers[0],
        other => panic!("no fd came: {other:?}"),
    }
}

/// A socket whose description lives on leaves the reactor when it is closed or given away: the
/// kernel would go on to report its events.
#[test]
fn sockets_with_duplicates_leave_the_reactor() {
    /// Parks for a moment, so that the stream is registered.
    fn register(stream: &TcpStream) -> u64 {
        stream
            .set_read_timeout(Some(Duration::from_nanos(1)))
            .unwrap();
        let mut stream = stream;
        stream.read(&mut [0]).unwrap_err();
        let inode = std::fs::metadata(format!("/proc/self/fd/{}", number(stream)))
            .unwrap()
            .ino();
        assert_eq!(registrations(inode), 1);
        inode
    }
    greenlit::run(|| {
        let (stream, _peer) = pair();
        let clone = stream.try_clone().unwrap();
        let inode = register(&clone);
        drop(clone);
        assert_eq!(registrations(inode), 0, "after a clone was closed");

        let (stream, _peer) = pair();
        let inode = register(&stream);
        let duplicate = stream.as_fd().try_clone_to_owned().unwrap();
        drop(stream);
        assert_eq!(registrations(inode), 0, "after its fd was shown");
        drop(duplicate);

        let (stream, _peer) = pair();
        let inode = register(&stream);
        let fd = stream.as_raw_fd();
        let duplicate = duplicate_by_mail(fd);
        drop(stream);
        assert_eq!(registrations(inode), 0, "after its number was shown");
        nix::unistd::close(duplicate).unwrap();

        let (stream, _peer) = pair();
        let inode = register(&stream);
        let stream = std::net::TcpStream::from(stream);
        assert_eq!(registrations(inode), 0, "after it was given to std");

        let elsewhere = stream.try_clone().unwrap();
        let stream = TcpStream::from(stream);
        register(&stream);
        drop(stream);
        assert_eq!(
            registrations(inode),
            0,
            "after one from elsewhere was closed"
        );
        drop(elsewhere);
    });
}

/// How many epoll instances of this process watch the socket with this inode.
fn registrations(inode: u64) -> usize {
    let mark = format!(" ino:{inode:x} ");
    let instances = std::fs::read_dir("/proc/self/fdinfo").unwrap();
    // An fd of a test beside this one may be closed meanwhile.
    let watched = instances.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    watched
        .map(|text| text.lines().filter(|line| line.contains(&mark)).count())
        .sum()
}

/// Behaviour 35: a socket is closed in the turn that has its event, and a new one takes its place
/// at once.
#[test]
fn a_socket_closed_while_ready_leaves_its_successor_alone() {
    greenlit::run(|| {
        for _ in 0..20 {
            let (first, mut first_peer) = pair();
            let (second, mut second_peer) = pair();
            second
                .set_read_timeout(Some(Duration::from_nanos(1)))
                .unwrap();
            assert!((&second).read(&mut [0]).is_err());

            let reader = start(move || {
                (&first).read_exact(&mut [0]).unwrap();
                drop(second);
                let (mut third, mut third_peer) = pair();
                let parked = start(move || third.read(&mut [0; 4]).unwrap());
                assert!(!parked.is_finished());
                third_peer.write_all(b"new").unwrap();
                parked.join().unwrap()
            });
            first_peer.write_all(b"1").unwrap();
            second_peer.write_all(b"2").unwrap();
            assert_eq!(reader.join().unwrap(), 3);
        }
    });
}
