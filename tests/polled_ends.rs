//! What becomes of those who wait for a stream by polling when it is closed, when they go away, when
//! the run ends, and in another runtime or none.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::Poll;

use greenlit::os::unix::net::UnixStream;
use greenlit::{future, run};

use crate::polling::{Count, poll_once, poll_read};
use crate::scene::{pair, until};

/// A future that is dropped takes its waker back, on whatever OS thread.
#[test]
fn a_dropped_future_leaves_nothing_behind() {
    run(|| {
        let (stream, _peer) = pair();
        let (count, waker) = Count::new();
        for _ in 0..100 {
            let mut future = future::readable(&stream);
            assert!(poll_once(&mut future, &waker).is_pending());
            assert_eq!(Arc::strong_count(&count), 3);
            drop(future);
            assert_eq!(Arc::strong_count(&count), 2);
        }
        let mut future = future::readable(&stream);
        assert!(poll_once(&mut future, &waker).is_pending());
        std::thread::scope(|scope| {
            scope.spawn(move || drop(future));
        });
        until(|| Arc::strong_count(&count) == 2);
    });
}

/// Who waited for a stream that is closed, here or by another OS thread, is woken.
#[test]
fn closing_wakes_who_polled() {
    run(|| {
        for elsewhere in [false, true] {
            let (stream, _peer) = pair();
            let (count, waker) = Count::new();
            assert!(poll_read(&stream, &waker, &mut [0]).is_pending());
            match elsewhere {
                false => drop(stream),
                true => std::thread::spawn(move || drop(stream)).join().unwrap(),
            }
            until(|| count.get() == 1);
            drop(waker);
            assert_eq!(Arc::strong_count(&count), 1);
        }
    });
}

/// Who waits for a source when the run ends, and may be polled elsewhere, is woken.
#[test]
fn the_end_of_a_run_wakes_who_waits() {
    let (count, waker) = Count::new();
    let stream = run(|| {
        let (stream, peer) = pair();
        assert!(poll_read(&stream, &waker, &mut [0]).is_pending());
        (stream, peer)
    });
    assert_eq!(count.get(), 1);
    drop(stream);
}

/// Behaviour 35: an event of a socket does not wake who waited for another one of the same number.
#[test]
fn a_reused_number_wakes_nobody_else() {
    run(|| {
        let (count, waker) = Count::new();
        let (stream, _peer) = UnixStream::pair().unwrap();
        let number: RawFd = stream.as_raw_fd();
        assert!(poll_read(&stream, &waker, &mut [0]).is_pending());
        drop(stream);
        until(|| count.get() == 1);
        let mut taken = Vec::new();
        let (near, far) = loop {
            let (a, b) = UnixStream::pair().unwrap();
            match (a.as_raw_fd() == number, b.as_raw_fd() == number) {
                (true, _) => break (a, b),
                (_, true) => break (b, a),
                _ => taken.push((a, b)),
            }
            assert!(taken.len() < 1000, "the number is not given again");
        };
        let (other, other_waker) = Count::new();
        assert!(poll_read(&near, &other_waker, &mut [0]).is_pending());
        (&far).write_all(b"x").unwrap();
        until(|| other.get() == 1);
        assert_eq!(count.get(), 1);
    });
}

/// Outside a runtime a poll blocks the OS thread until there is an answer.
#[test]
fn outside_a_runtime_a_poll_blocks() {
    let (near, far) = UnixStream::pair().unwrap();
    let writes = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        (&far).write_all(b"x").unwrap();
        far
    });
    let (count, waker) = Count::new();
    assert!(matches!(
        poll_once(&mut future::readable(&near), &waker),
        Poll::Ready(Ok(()))
    ));
    assert!(matches!(
        poll_read(&near, &waker, &mut [0]),
        Poll::Ready(Ok(1))
    ));
    assert_eq!(count.get(), 0);
    drop(writes.join().unwrap());
}

/// A stream that is polled in one runtime and then in another has a registration in each.
#[test]
fn a_stream_is_polled_by_two_runtimes() {
    let (near, far) = UnixStream::pair().unwrap();
    let (first, first_waker) = Count::new();
    std::thread::scope(|scope| {
        run(|| {
            assert!(poll_read(&near, &first_waker, &mut [0]).is_pending());
            scope
                .spawn(|| {
                    run(|| {
                        let (count, waker) = Count::new();
                        assert!(poll_read(&near, &waker, &mut [0]).is_pending());
                        (&far).write_all(b"xy").unwrap();
                        until(|| count.get() == 1);
                        assert!(poll_read(&near, &waker, &mut [0]).is_ready());
                    });
                })
                .join()
                .unwrap();
            until(|| first.get() == 1);
            assert!(poll_read(&near, &first_waker, &mut [0]).is_ready());
        });
    });
}

/// A future's place in one runtime is given up when it is polled in another.
#[test]
fn a_future_moves_to_another_runtime() {
    let (near, far) = UnixStream::pair().unwrap();
    let (count, waker) = Count::new();
    run(|| {
        let mut future = future::readable(&near);
        assert!(poll_once(&mut future, &waker).is_pending());
        std::thread::scope(|scope| {
            let moved = scope.spawn(|| {
                run(|| {
                    let (count, waker) = Count::new();
                    assert!(poll_once(&mut future, &waker).is_pending());
                    (&far).write_all(b"x").unwrap();
                    until(|| count.get() == 1);
                    assert!(poll_once(&mut future, &waker).is_ready());
                });
            });
            moved.join().unwrap();
        });
        until(|| Arc::strong_count(&count) == 2);
    });
}
