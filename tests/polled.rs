//! Streams that are polled: wakers at the reactor, readiness as a future, `AsyncRead` and
//! `AsyncWrite` of sockets.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use futures_io::{AsyncRead, AsyncWrite};
use greenlit::io::Source;
use greenlit::net::TcpStream;
use greenlit::os::unix::net::UnixStream;
use greenlit::{future, run, thread};

use crate::polling::{
    Count, close, drive, poll_once, poll_read, poll_with, read, read_exact, write_all,
};
use crate::scene::{pair, settle, start, until};

#[test]
fn smoke() {
    run(|| {
        let (stream, mut peer) = pair();
        let (count, waker) = Count::new();
        let mut buf = [0; 8];
        assert!(poll_read(&stream, &waker, &mut buf).is_pending());
        settle();
        assert_eq!(count.get(), 0);
        peer.write_all(b"ping").unwrap();
        until(|| count.get() == 1);
        assert!(matches!(
            poll_read(&stream, &waker, &mut buf),
            Poll::Ready(Ok(4))
        ));
        assert_eq!(&buf[..4], b"ping");
        assert!(poll_read(&stream, &waker, &mut buf).is_pending());
        drop(peer);
        until(|| count.get() == 2);
        assert!(matches!(
            poll_read(&stream, &waker, &mut buf),
            Poll::Ready(Ok(0))
        ));
    });
}

/// Behaviour 34: what arrives between the attempt and the registration is told.
#[test]
fn data_between_the_attempt_and_the_registration_is_told() {
    run(|| {
        for registered in [false, true] {
            let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let source = Source::new(near).unwrap();
            let (count, waker) = Count::new();
            if registered {
                assert!(poll_with(&waker, |context| source.poll_readable(context)).is_pending());
                far.write_all(b"w").unwrap();
                until(|| count.get() == 1);
                source.get_ref().read_exact(&mut [0]).unwrap();
            }
            let before = count.get();
            let polled = poll_with(&waker, |context| {
                source.poll_when_readable(context, |_| {
                    far.write_all(b"x").unwrap();
                    Err::<(), _>(io::ErrorKind::WouldBlock.into())
                })
            });
            assert!(polled.is_pending());
            until(|| count.get() == before + 1);
            let read = poll_with(&waker, |context| {
                source.poll_when_readable(context, |mut near| near.read(&mut [0; 8]))
            });
            assert!(matches!(read, Poll::Ready(Ok(1))));
        }
    });
}

/// Each task that polls is woken once, however often it polled, and each future that waits.
#[test]
fn several_tasks_wait_for_one_stream_and_none_is_lost() {
    run(|| {
        let (stream, mut peer) = pair();
        let tasks: Vec<_> = (0..40).map(|_| Count::new()).collect();
        for (_, waker) in tasks.iter().chain(&tasks) {
            assert!(poll_read(&stream, waker, &mut [0]).is_pending());
        }
        let waiting: Vec<_> = (0..3).map(|_| Count::new()).collect();
        let mut futures: Vec<_> = waiting.iter().map(|_| future::readable(&stream)).collect();
        for (future, (_, waker)) in futures.iter_mut().zip(&waiting) {
            assert!(poll_once(future, waker).is_pending());
        }
        peer.write_all(b"x").unwrap();
        until(|| {
            tasks
                .iter()
                .chain(&waiting)
                .all(|(count, _)| count.get() > 0)
        });
        settle();
        for (count, _) in tasks.iter().chain(&waiting) {
            assert_eq!(count.get(), 1);
        }
        // None is kept.
        for (count, waker) in tasks.into_iter().chain(waiting) {
            drop(waker);
            assert_eq!(Arc::strong_count(&count), 1);
        }
    });
}

/// A future that is polled by another task wakes that one, and the former waker goes.
#[test]
fn a_waker_is_replaced_by_the_next() {
    run(|| {
        let (stream, mut peer) = pair();
        let mut future = future::readable(&stream);
        let (first, waker) = Count::new();
        assert!(poll_once(&mut future, &waker).is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&first), 2);
        let (second, waker) = Count::new();
        assert!(poll_once(&mut future, &waker).is_pending());
        assert!(poll_once(&mut future, &waker).is_pending());
        assert_eq!(Arc::strong_count(&first), 1);
        peer.write_all(b"x").unwrap();
        until(|| second.get() == 1);
        assert_eq!(first.get(), 0);
        assert!(matches!(
            poll_once(&mut future, &waker),
            Poll::Ready(Ok(()))
        ));
    });
}

/// A green thread that reads and a task that does share what arrives, and lose none of it.
#[test]
fn a_green_thread_and_a_task_read_one_stream() {
    run(|| {
        let (stream, mut peer) = pair();
        let stream = Rc::new(stream);
        let total = Rc::new(Cell::new(0));
        let (green, polled) = (total.clone(), total.clone());
        let reader = start({
            let stream = stream.clone();
            move || {
                let mut buf = [0; 3];
                loop {
                    match (&*stream).read(&mut buf).unwrap() {
                        0 => break,
                        count => green.set(green.get() + count),
                    }
                }
            }
        });
        let task = start({
            let stream = stream.clone();
            move || {
                drive(async {
                    let mut buf = [0; 5];
                    loop {
                        match read(&*stream, &mut buf).await.unwrap() {
                            0 => break,
                            count => polled.set(polled.get() + count),
                        }
                    }
                })
            }
        });
        for round in 1..=200 {
            peer.write_all(&[7; 11]).unwrap();
            until(|| total.get() == 11 * round);
        }
        drop(peer);
        reader.join().unwrap();
        task.join().unwrap();
    });
}

/// Behaviour 37: a long stream, through buffers that fill and empty; one task reads, one writes, and a
/// third goes the other way on the same sockets.
#[test]
fn a_hundred_megabytes_pass_while_the_other_direction_is_used() {
    // Debug builds are slow, and emulated ones take minutes.
    const BYTES: usize = if cfg!(debug_assertions) {
        10 << 20
    } else {
        100 << 20
    };
    const CHUNK: usize = 1 << 16;
    fn check<S>(near: S, far: S)
    where
        S: Send + Sync + 'static,
        for<'a> &'a S: AsyncRead + AsyncWrite,
    {
        let (near, far) = (Rc::new(near), Rc::new(far));
        let chunk: Vec<u8> = (0..CHUNK).map(|at| (at % 251) as u8).collect();
        let twice = [&chunk[..], &chunk[..]].concat();
        let writes = thread::spawn({
            let near = near.clone();
            move || {
                drive(async {
                    for _ in 0..BYTES / chunk.len() {
                        write_all(&*near, &chunk).await.unwrap();
                    }
                    close(&*near).await.unwrap();
                });
            }
        });
        let reads = thread::spawn({
            let far = far.clone();
            move || {
                drive(async {
                    let mut buf = vec![0; CHUNK];
                    let mut total = 0;
                    loop {
                        let count = read(&*far, &mut buf).await.unwrap();
                        if count == 0 {
                            return total;
                        }
                        assert_eq!(buf[..count], twice[total % CHUNK..][..count]);
                        total += count;
                        write_all(&*far, &[1]).await.unwrap();
                    }
                })
            }
        });
        let answers = thread::spawn({
            let near = near.clone();
            move || {
                drive(async {
                    let mut answer = [0; 512];
                    while read(&*near, &mut answer).await.unwrap() > 0 {}
                })
            }
        });
        assert_eq!(reads.join().unwrap(), BYTES);
        drive(close(&*far)).unwrap();
        writes.join().unwrap();
        answers.join().unwrap();
    }
    run(|| {
        let listener = greenlit::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        check(near, listener.accept().unwrap().0);
        let (near, far) = UnixStream::pair().unwrap();
        check(near, far);
    });
}

/// Vectored reads and writes are one system call each, and fill the buffers in order.
#[test]
fn vectored_calls_take_all_buffers() {
    run(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let bufs = [io::IoSlice::new(b"two"), io::IoSlice::new(b" parts")];
        let written = drive(poll_fn(|context| {
            Pin::new(&mut &near).poll_write_vectored(context, &bufs)
        }));
        assert_eq!(written.unwrap(), 9);
        let (mut first, mut second) = ([0; 4], [0; 8]);
        let mut bufs = [
            io::IoSliceMut::new(&mut first),
            io::IoSliceMut::new(&mut second),
        ];
        let read = drive(poll_fn(|context| {
            Pin::new(&mut &far).poll_read_vectored(context, &mut bufs)
        }));
        assert_eq!(read.unwrap(), 9);
        assert_eq!((&first, &second[..5]), (b"two ", &b"parts"[..]));
    });
}

/// A timeout of reads and the non-blocking mode are for calls that block.
#[test]
fn timeouts_are_for_calls_that_block() {
    run(|| {
        let (stream, mut peer) = pair();
        let moment = greenlit::time::Duration::from_micros(1);
        stream.set_read_timeout(Some(moment)).unwrap();
        stream.set_nonblocking(true).unwrap();
        let (count, waker) = Count::new();
        assert!(poll_read(&stream, &waker, &mut [0]).is_pending());
        settle();
        assert_eq!(count.get(), 0);
        assert!(poll_read(&stream, &waker, &mut [0]).is_pending());
        peer.write_all(b"x").unwrap();
        until(|| count.get() == 1);
    });
}

/// Behaviour 3, for tasks: a stream that is always ready lets others run.
#[test]
fn a_stream_that_is_always_ready_lets_others_run() {
    run(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let others = Rc::new(Cell::new(0));
        let other = start({
            let others = others.clone();
            move || {
                while others.get() < 10 {
                    others.set(others.get() + 1);
                    thread::yield_now();
                }
            }
        });
        drive(async {
            // Far more than the budget of switches and operations.
            for _ in 0..10_000 {
                write_all(&near, b"x").await.unwrap();
                assert_eq!(read(&far, &mut [0]).await.unwrap(), 1);
                if others.get() == 10 {
                    return;
                }
            }
            panic!("nobody else has run");
        });
        other.join().unwrap();
    });
}

/// One that has ended returns an error and does not wait; what is closed is closed for the peer.
#[test]
fn ends_and_errors_are_told() {
    run(|| {
        let (near, far) = UnixStream::pair().unwrap();
        drive(close(&near)).unwrap();
        assert_eq!(drive(read(&far, &mut [0])).unwrap(), 0);
        let error = drive(write_all(&near, b"x")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        // The other direction is open.
        drive(write_all(&far, b"y")).unwrap();
        drive(read_exact(&near, &mut [0])).unwrap();
        drop(far);
        drive(close(&near)).unwrap();
    });
}
