//! How TCP connections flow and end between green threads: short counts, long streams, closes,
//! half-closes, resets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use crate::scene::{pair, start};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::thread::{self, JoinHandle, yield_now};
use greenlit::time::{Duration, Instant};
use nix::sys::socket::{MsgFlags, send, setsockopt, sockopt};

/// Closes the socket with a reset rather than in order.
fn reset(stream: std::net::TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &linger).unwrap();
}

/// Writes until the buffers are full and the writer is parked.
fn stuck_writer(stream: Rc<TcpStream>) -> JoinHandle<io::Error> {
    let writer = start(move || {
        let block = vec![0; 1 << 20];
        loop {
            if let Err(error) = (&*stream).write_all(&block) {
                break error;
            }
        }
    });
    // Acknowledgements may make room a few times more.
    let end = Instant::now() + Duration::from_millis(5);
    while Instant::now() < end {
        yield_now();
    }
    assert!(!writer.is_finished());
    writer
}

/// Behaviour 37.
#[test]
fn a_close_ends_the_parked_read_and_all_later_ones() {
    greenlit::run(|| {
        let (mut stream, peer) = pair();
        let reader = start(move || {
            let first = stream.read(&mut [0; 8]).unwrap();
            (
                first,
                stream.read(&mut [0; 8]).unwrap(),
                stream.read(&mut [0; 8]).unwrap(),
            )
        });
        drop(peer);
        assert_eq!(reader.join().unwrap(), (0, 0, 0));
    });
}

/// Behaviour 37: data and the end arrive in one edge. The short read must not hide the end.
#[test]
fn data_and_end_in_one_edge_are_both_seen() {
    greenlit::run(|| {
        for parked_before in [true, false] {
            let (mut stream, mut peer) = pair();
            // Registered: from here on only events tell.
            stream
                .set_read_timeout(Some(Duration::from_nanos(1)))
                .unwrap();
            assert!(stream.read(&mut [0]).is_err());
            stream.set_read_timeout(None).unwrap();

            let body = move || {
                let count = stream.read(&mut [0; 64]).unwrap();
                (count, stream.read(&mut [0; 64]).unwrap())
            };
            let reader = if parked_before {
                start(body)
            } else {
                thread::spawn(body)
            };
            peer.write_all(b"last words").unwrap();
            drop(peer);
            assert_eq!(
                reader.join().unwrap(),
                (10, 0),
                "parked before: {parked_before}"
            );
        }
    });
}

/// Behaviour 37: an urgent mark cuts a read short, though there is more. The next read must not
/// wait for an event.
#[test]
fn data_behind_an_urgent_mark_is_read() {
    greenlit::run(|| {
        let (mut stream, mut peer) = pair();
        let reader = start(move || {
            let mut received = Vec::new();
            while received.len() < 4 {
                let mut buffer = [0; 64];
                let count = stream.read(&mut buffer).unwrap();
                received.extend_from_slice(&buffer[..count]);
            }
            received
        });
        peer.write_all(b"ab").unwrap();
        assert_eq!(send(peer.as_raw_fd(), b"!", MsgFlags::MSG_OOB), Ok(1));
        peer.write_all(b"cd").unwrap();
        assert_eq!(reader.join().unwrap(), b"abcd");
    });
}

/// Behaviour 37.
#[test]
fn a_half_close_leaves_the_other_direction() {
    greenlit::run(|| {
        let (stream, mut peer) = pair();
        let mut stream = stream;
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        stream.write_all(b"still here").unwrap();
        let mut buffer = [0; 10];
        peer.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"still here");

        let (mut stream, mut peer) = pair();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            stream.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        let reader = start(move || stream.read(&mut [0; 8]).unwrap());
        peer.write_all(b"yes").unwrap();
        assert_eq!(reader.join().unwrap(), 3);
    });
}

/// Behaviour 37: `shutdown` ends the calls that are parked, as it does std's.
#[test]
fn a_shutdown_here_ends_the_parked_calls() {
    greenlit::run(|| {
        let (stream, _peer) = pair();
        let stream = Rc::new(stream);
        let reader = start({
            let stream = Rc::clone(&stream);
            move || (&*stream).read(&mut [0; 8])
        });
        let writer = stuck_writer(Rc::clone(&stream));
        assert!(!reader.is_finished());
        stream.shutdown(Shutdown::Both).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 0);
        assert_eq!(writer.join().unwrap().kind(), ErrorKind::BrokenPipe);
    });
}

/// Behaviour 37: the error goes to whoever asks first, as in the kernel; nobody stays parked.
#[test]
fn a_reset_ends_the_parked_calls() {
    greenlit::run(|| {
        let (mut stream, peer) = pair();
        let reader = start(move || (stream.read(&mut [0; 8]).unwrap_err(), stream));
        reset(peer);
        let (error, mut stream) = reader.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert_eq!(
            stream.write(&[0]).unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );

        let (stream, peer) = pair();
        let writer = stuck_writer(Rc::new(stream));
        reset(peer);
        assert_eq!(writer.join().unwrap().kind(), ErrorKind::ConnectionReset);
    });
}

/// Behaviour 37.
#[test]
fn a_reader_with_much_room_and_one_with_little_see_the_same() {
    let bytes: Vec<u8> = (0..20_000).map(|index| (index / 3) as u8).collect();
    for room in [1, 7, 4096, 1 << 20] {
        let sent = bytes.clone();
        let received = greenlit::run(|| {
            let (mut stream, mut peer) = pair();
            let reader = start(move || {
                let (mut received, mut buffer) = (Vec::new(), vec![0; room]);
                loop {
                    match stream.read(&mut buffer).unwrap() {
                        0 => return received,
                        count => received.extend_from_slice(&buffer[..count]),
                    }
                }
            });
            for part in sent.chunks(1999) {
                peer.write_all(part).unwrap();
                yield_now();
            }
            drop(peer);
            reader.join().unwrap()
        });
        assert!(received == bytes, "with room for {room}");
    }
}

/// Behaviour 37: a write takes what fits, says how much, and the rest follows once there is room.
#[test]
fn a_short_write_says_how_much_it_took() {
    greenlit::run(|| {
        let (mut stream, mut peer) = pair();
        let block = vec![1; 64 << 20];
        let taken = stream.write(&block).unwrap();
        assert!(0 < taken && taken < block.len());

        let writer = start(move || stream.write_all(&vec![2; 1 << 20]));
        let end = std::thread::spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).unwrap();
            received
        });
        writer.join().unwrap().unwrap();
        let received = end.join().unwrap();
        assert_eq!(received.len(), taken + (1 << 20));
        assert_eq!(received.iter().position(|byte| *byte == 2), Some(taken));
    });
}

/// Behaviour 37: 100 MB through the smallest buffers that the kernel gives, so that each side parks
/// again and again.
#[test]
fn a_long_stream_through_small_buffers_arrives_whole() {
    // Debug builds are slow, and emulated ones take minutes.
    const SIZE: usize = if cfg!(debug_assertions) {
        5_000_000
    } else {
        100_000_000
    };
    /// A prime, so that no period of the data falls together with that of the buffers.
    const PERIOD: usize = 65_521;

    let pattern: Vec<u8> = (0..2 * PERIOD)
        .map(|index| (index % PERIOD % 251) as u8)
        .collect();
    greenlit::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        setsockopt(&listener, sockopt::RcvBuf, &1).unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        setsockopt(&sender, sockopt::SndBuf, &1).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();

        let source = pattern.clone();
        let writer = thread::spawn(move || {
            let mut sent = 0;
            while sent < SIZE {
                let start = sent % PERIOD;
                let length = (SIZE - sent).min(PERIOD);
                sent += sender.write(&source[start..start + length]).unwrap();
            }
        });
        let mut buffer = vec![0; PERIOD];
        let mut received = 0;
        loop {
            let count = receiver.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            let start = received % PERIOD;
            assert!(
                buffer[..count] == pattern[start..start + count],
                "at byte {received}"
            );
            received += count;
        }
        assert_eq!(received, SIZE);
        writer.join().unwrap();
    });
}

/// Behaviours 35 and 36: a socket that somebody replaced behind our back is an error at the first
/// call, and one that a green thread is parked on does not keep the reactor from serving the
/// others.
#[test]
fn a_foreign_close_wedges_nothing() {
    greenlit::run(|| {
        let (mut stream, _peer) = pair();
        replace_with_a_directory(&stream);
        let errors = [
            stream.read(&mut [0]),
            stream.write(&[0]),
            stream.peek(&mut [0]),
        ];
        for result in errors {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        }

        let (mut stream, _peer) = pair();
        /// Longer than the other connection takes to be served, under valgrind on a busy machine too.
        const MARGIN: Duration = Duration::from_secs(2);
        stream.set_read_timeout(Some(MARGIN)).unwrap();
        let (mut other, mut other_peer) = pair();
        let number = stream.as_raw_fd();
        let parked = start(move || stream.read(&mut [0]));
        replace_number_with_a_directory(number);
        let served = start(move || other.read(&mut [0; 8]).unwrap());
        other_peer.write_all(b"fine").unwrap();
        assert_eq!(served.join().unwrap(), 4);
        assert!(!parked.is_finished());
        parked.join().unwrap().unwrap_err();
    });
}

fn replace_with_a_directory(stream: &TcpStream) {
    replace_number_with_a_directory(stream.as_fd().as_raw_fd());
}

/// Closes whatever an open fd number stands for and leaves a directory in its place.
fn replace_number_with_a_directory(number: i32) {
    let directory = std::fs::File::open("/").unwrap();
    #[expect(
        unsafe_code,
        reason = "only unsafe code can close a socket that another owns"
    )]
    // SAFETY: the number stays open throughout, and the second owner is forgotten below.
    let mut owned = unsafe { OwnedFd::from_raw_fd(number) };
    nix::unistd::dup2(&directory, &mut owned).unwrap();
    std::mem::forget(owned);
}
