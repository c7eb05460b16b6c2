//! Bugs of the past where coroutines meet the rest, each named by its test.

use std::cell::Cell;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use greenlit::coroutine::Coroutine;
use greenlit::io::Source;
use greenlit::net::TcpStream;
use greenlit::{run, thread};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

fn pair() -> (Source<UnixStream>, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (Source::new(near).unwrap(), far)
}

/// The readiness loop held the runtime while the user's call suspended a coroutine, and went on with
/// it after its end (invariant 55).
#[test]
fn a_call_that_suspends_may_go_on_after_its_runtime() {
    let (source, far) = pair();
    let coroutine = Coroutine::new(move |co, ()| {
        let calls = Cell::new(0);
        source.when_readable(|_| {
            calls.set(calls.get() + 1);
            co.suspend(calls.get());
            match calls.get() {
                1 => Err(ErrorKind::WouldBlock.into()),
                calls => Ok(calls),
            }
        })
    });
    run(|| {
        assert_eq!(coroutine.resume(()).unwrap().yielded(), Some(1));
    });
    // Readable from here on, so that the wait between the two calls ends outside the runtime.
    drop(far);
    assert_eq!(coroutine.resume(()).unwrap().yielded(), Some(2));
    assert_eq!(
        coroutine.resume(()).unwrap().returned().unwrap().unwrap(),
        2
    );
}

/// The readiness loop parked the green thread that had begun the call, on behalf of the one that had
/// continued it.
#[test]
fn a_call_that_suspends_may_be_continued_by_another_green_thread() {
    let (source, mut far) = pair();
    far.write_all(b"x").unwrap();
    let coroutine = Rc::new(Coroutine::new(move |co, ()| {
        let calls = Cell::new(0);
        source.when_readable(|_| -> io::Result<u32> {
            calls.set(calls.get() + 1);
            match calls.get() {
                2 => {
                    co.suspend(());
                    Err(ErrorKind::WouldBlock.into())
                }
                3 => Ok(3),
                _ => Err(ErrorKind::WouldBlock.into()),
            }
        })
    }));
    run(|| {
        assert_eq!(coroutine.resume(()).unwrap().yielded(), Some(()));
        let other = thread::spawn({
            let coroutine = coroutine.clone();
            move || coroutine.resume(()).unwrap().returned().unwrap().unwrap()
        });
        for _ in 0..5 {
            thread::yield_now();
        }
        assert!(!other.is_finished());
        far.write_all(b"y").unwrap();
        assert_eq!(other.join().unwrap(), 3);
    });
}

/// A run that began inside a coroutine stayed in force for whoever continued when it was suspended.
#[test]
fn a_run_does_not_begin_inside_a_coroutine() {
    let coroutine: Coroutine<(), (), ()> = Coroutine::new(|co, ()| run(|| co.suspend(())));
    let payload = catch_unwind(AssertUnwindSafe(|| coroutine.resume(()))).unwrap_err();
    let message = payload.downcast_ref::<&str>().copied();
    assert_eq!(
        message,
        Some("run: called inside a coroutine or a green thread; call it outside")
    );
    assert_eq!(run(|| thread::spawn(|| 1).join().unwrap()), 1);
}

/// A closure that is aligned to more than a stack was refused by a panic of corosensei's.
#[test]
fn a_closure_of_large_alignment_is_boxed() {
    #[repr(align(4096))]
    struct Aligned;
    let aligned = Aligned;
    let coroutine: Coroutine<(), (), usize> =
        Coroutine::with_stack_size(256 << 10, move |_, ()| (&raw const aligned).addr() % 4096)
            .unwrap();
    assert_eq!(coroutine.resume(()).unwrap().returned(), Some(0));
}

/// The rule that a short read proves a socket empty was applied to packets (rule 14).
#[test]
fn packets_that_came_together_are_all_read() {
    use std::io::Read;
    let flags = SockFlag::SOCK_CLOEXEC;
    let (near, far): (OwnedFd, OwnedFd) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
    let mut near = TcpStream::from(near).try_clone().unwrap();
    let far = std::net::TcpStream::from(far);
    run(|| {
        // A clone is what its original is. The first read waits, so that the reactor knows it.
        let reader = thread::spawn(move || {
            let mut lengths = [0; 3];
            for length in &mut lengths {
                *length = near.read(&mut [0; 64]).unwrap();
            }
            lengths
        });
        thread::yield_now();
        for packet in ["one", "two", "three"] {
            (&far).write_all(packet.as_bytes()).unwrap();
        }
        assert_eq!(reader.join().unwrap(), [3, 3, 5]);
    });
}
