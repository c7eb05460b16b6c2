//! `io::Source`: any file descriptor on the reactor, in every order of events and calls.

#![expect(
    unsafe_code,
    reason = "duplicates and closes file descriptors by number, and handles a signal"
)]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use greenlit::io::Source;
use greenlit::thread;
use greenlit::time::Duration;
use greenlit::{Runtime, run};
use nix::fcntl::{FcntlArg, fcntl};

/// A connected pair of non-blocking sockets on the reactor.
fn pair() -> (Source<UnixStream>, Source<UnixStream>) {
    let (a, b) = UnixStream::pair().unwrap();
    for end in [&a, &b] {
        end.set_nonblocking(true).unwrap();
    }
    (Source::new(a).unwrap(), Source::new(b).unwrap())
}

/// Lets all that are ready run until each has parked.
fn settle() {
    for _ in 0..10 {
        thread::yield_now();
    }
}

#[test]
fn smoke() {
    run(|| {
        let (mut a, mut b) = pair();
        let echo = thread::spawn(move || {
            let mut byte = [0];
            b.read_exact(&mut byte).unwrap();
            b.write_all(&byte).unwrap();
        });
        a.write_all(&[7]).unwrap();
        let mut byte = [0];
        a.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [7]);
        echo.join().unwrap();
    });
}

/// Behaviour 2: a file descriptor is served while threads are always ready.
#[test]
fn a_yielding_loop_does_not_starve_a_file_descriptor() {
    run(|| {
        let (mut a, b) = pair();
        let done = Rc::new(Cell::new(false));
        let reader = thread::spawn({
            let done = done.clone();
            move || {
                (&b).read_exact(&mut [0]).unwrap();
                done.set(true);
            }
        });
        settle();
        a.write_all(b"x").unwrap();
        while !done.get() {
            thread::yield_now();
        }
        reader.join().unwrap();
    });
}

/// Behaviour 3: a source that is always ready lets others run.
#[test]
fn a_source_that_is_always_ready_yields() {
    run(|| {
        let mut zero = Source::new(File::open("/dev/zero").unwrap()).unwrap();
        let other_ran = Rc::new(Cell::new(false));
        let other = thread::spawn({
            let other_ran = other_ran.clone();
            move || other_ran.set(true)
        });
        let mut reads = 0;
        while !other_ran.get() {
            zero.read_exact(&mut [0; 16]).unwrap();
            reads += 1;
            assert!(reads <= 200, "the other thread waited for {reads} reads");
        }
        other.join().unwrap();
    });
}

/// Behaviour 33.
#[test]
fn a_reader_and_a_writer_share_a_source() {
    run(|| {
        let (a, b) = pair();
        let a = Rc::new(a);
        let reader = thread::spawn({
            let a = a.clone();
            move || {
                let mut text = [0; 5];
                (&*a).read_exact(&mut text).unwrap();
                text
            }
        });
        // More than the buffer holds, so that the writer waits too.
        let writer = thread::spawn({
            let a = a.clone();
            move || (&*a).write_all(&vec![1; 1_000_000]).unwrap()
        });
        settle();
        assert!(!reader.is_finished() && !writer.is_finished());
        (&b).write_all(b"hello").unwrap();
        let mut sum = vec![0; 1_000_000];
        (&b).read_exact(&mut sum).unwrap();
        assert!(sum.iter().all(|&byte| byte == 1));
        assert_eq!(&reader.join().unwrap(), b"hello");
        writer.join().unwrap();
    });
}

/// Behaviour 33, and rule 14: a reader that leaves while there is more wakes the next.
#[test]
fn readers_queue_in_order() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(|| {
        let (mut a, b) = pair();
        let b = Rc::new(b);
        let readers: Vec<_> = (0..5)
            .map(|n| {
                let (b, log) = (b.clone(), log.clone());
                thread::spawn(move || {
                    let mut byte = [0];
                    (&*b).read_exact(&mut byte).unwrap();
                    log.borrow_mut().push((n, byte[0]));
                })
            })
            .collect();
        settle();
        a.write_all(&[10, 11, 12, 13, 14]).unwrap(); // One edge for five readers.
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(log.take(), [(0, 10), (1, 11), (2, 12), (3, 13), (4, 14)]);
}

/// Rule 14: a reader that is unwound while it is the first in the queue hands its turn on.
#[test]
fn a_waiter_that_leaves_hands_its_turn_on() {
    run(|| {
        let (mut a, b) = pair();
        let (b, first_left) = (Rc::new(b), Rc::new(Cell::new(false)));
        let first = thread::spawn({
            let (b, first_left) = (b.clone(), first_left.clone());
            move || {
                let result = b.when_readable(|_| -> io::Result<()> {
                    match first_left.replace(true) {
                        false => Err(ErrorKind::WouldBlock.into()),
                        // Leaves without having read anything.
                        true => panic!("left"),
                    }
                });
                result.unwrap();
            }
        });
        settle();
        let second = thread::spawn({
            let b = b.clone();
            move || (&*b).read_exact(&mut [0]).unwrap()
        });
        settle();
        a.write_all(b"x").unwrap();
        assert!(first.join().is_err());
        second.join().unwrap();
    });
}

/// Behaviour 34: what was ready before a wait does not end it.
#[test]
fn a_consumed_readiness_does_not_end_the_next_wait() {
    run(|| {
        let (mut a, mut b) = pair();
        b.wait_writable().unwrap(); // Registers it.
        a.write_all(b"x").unwrap();
        b.wait_readable().unwrap();
        b.read_exact(&mut [0]).unwrap();
        let reader = thread::spawn(move || {
            b.wait_readable().unwrap();
            b.read_exact(&mut [0]).unwrap();
        });
        settle();
        assert!(!reader.is_finished());
        a.write_all(b"y").unwrap();
        reader.join().unwrap();
    });
}

/// Behaviour 34: the data comes after the try said `WouldBlock` and before the park.
#[test]
fn data_between_the_try_and_the_park_is_not_missed() {
    for registered in [false, true] {
        run(|| {
            let (mut a, mut b) = pair();
            if registered {
                a.write_all(b"x").unwrap();
                b.wait_readable().unwrap();
                b.read_exact(&mut [0]).unwrap();
            }
            let mut tries = 0;
            let got = b.when_readable(|mut inner| {
                tries += 1;
                if tries == 1 {
                    // What the kernel would say now, and what comes right after it said so.
                    a.write_all(b"z").unwrap();
                    return Err(ErrorKind::WouldBlock.into());
                }
                let mut byte = [0];
                inner.read(&mut byte).map(|_| byte[0])
            });
            assert_eq!(got.unwrap(), b'z');
        });
    }
}

/// A duplicate with a number that nothing else in this process gets: tests run side by side.
fn at(number: i32, socket: &UnixStream) -> OwnedFd {
    let fd = fcntl(socket, FcntlArg::F_DUPFD_CLOEXEC(number)).unwrap();
    assert_eq!(fd, number);
    // SAFETY: the duplicate was made above, and nobody owns it yet.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Behaviour 35: both sources are ready in the same turn; the first reader closes the second, and a
/// new one gets its number.
#[test]
fn a_reused_number_gets_no_stale_event() {
    const NUMBER: i32 = 700;
    run(|| {
        let (mut a, a_far) = pair();
        let (b, old) = UnixStream::pair().unwrap();
        let (c, new) = UnixStream::pair().unwrap();
        let old = UnixStream::from(at(NUMBER, &old));
        old.set_nonblocking(true).unwrap();
        let old = Rc::new(RefCell::new(Some(Source::new(old).unwrap())));
        let first = thread::spawn({
            let old = old.clone();
            move || {
                (&a_far).read_exact(&mut [0]).unwrap();
                drop(old.take());
                // The new one takes the number; nobody has written to it.
                let new = UnixStream::from(at(NUMBER, &new));
                new.set_nonblocking(true).unwrap();
                let new = Source::new(new).unwrap();
                let mut tries = 0;
                let waiter = thread::spawn(move || {
                    let mut byte = [0];
                    new.when_readable(|mut inner| {
                        tries += 1;
                        inner.read(&mut byte)
                    })
                    .unwrap();
                    tries
                });
                settle();
                assert!(!waiter.is_finished());
                (&c).write_all(b"x").unwrap();
                // One try before the park and one after its event: a stale one would add a third.
                assert_eq!(waiter.join().unwrap(), 2);
            }
        });
        let second = thread::spawn({
            let old = old.clone();
            // Registers it; it is the second to be ready in the turn.
            move || old.borrow().as_ref().unwrap().wait_writable()
        });
        settle();
        second.join().unwrap().unwrap();
        (&a).write_all(b"x").unwrap();
        (&b).write_all(b"x").unwrap();
        a.flush().unwrap();
        first.join().unwrap();
    });
}

/// Behaviour 35: an fd that somebody closed behind our back is an error, and harms no other.
#[test]
fn a_foreign_close_is_an_error_at_the_call() {
    const NUMBER: i32 = 900;
    let fd = at(NUMBER, &UnixStream::pair().unwrap().0);
    run(|| {
        let source = Source::new(fd).unwrap();
        // SAFETY: the close that is the point of this test.
        assert_eq!(unsafe { libc::close(NUMBER) }, 0);
        let error = source.wait_readable().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        let _ = source.into_inner().into_raw_fd();
        let (mut a, mut b) = pair();
        a.write_all(b"x").unwrap();
        b.read_exact(&mut [0]).unwrap();
    });
}

/// Behaviour 39.
#[test]
fn files_and_devices_and_pipes() {
    run(|| {
        let path = std::env::temp_dir().join(format!("greenlit-io-{}", std::process::id()));
        let mut file = Source::new(File::create_new(&path).unwrap()).unwrap();
        file.write_all(b"on disk").unwrap();
        file.wait_writable().unwrap();
        let mut text = String::new();
        Source::new(File::open(&path).unwrap())
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "on disk");

        let mut null = Source::new(
            File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .unwrap(),
        )
        .unwrap();
        null.write_all(b"gone").unwrap();
        assert_eq!(null.read(&mut [0; 8]).unwrap(), 0);

        // A blocking pipe: its flags stay as they are (rule 16), and the reader parks all the same.
        let (reader, writer) = io::pipe().unwrap();
        let blocking = |fd: &dyn AsFd| {
            let flags = fcntl(fd.as_fd(), FcntlArg::F_GETFL).unwrap();
            flags & libc::O_NONBLOCK == 0
        };
        let mut reader = Source::new(reader).unwrap();
        let handle = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert!(blocking(&reader));
            text
        });
        settle();
        let mut writer = Source::new(writer).unwrap();
        writer.write_all(b"one ").unwrap();
        settle();
        writer.write_all(b"two").unwrap();
        drop(writer);
        assert_eq!(handle.join().unwrap(), "one two");
    });
}

/// A second source for the same file descriptor, in the same runtime.
#[test]
fn two_sources_of_one_file_descriptor() {
    run(|| {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let (first, second) = (Source::new(&near).unwrap(), Source::new(&near).unwrap());
        let mut tries = (0, 0);
        (&far).write_all(b"xy").unwrap();
        for (source, tries) in [(&first, &mut tries.0), (&second, &mut tries.1)] {
            let byte = source.when_readable(|inner| {
                *tries += 1;
                if *tries == 1 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                let mut byte = [0];
                let mut inner: &UnixStream = inner;
                inner.read(&mut byte)
            });
            assert_eq!(byte.unwrap(), 1);
        }
    });
}

/// Rule 3: one source in two runtimes and outside of any.
#[test]
fn a_source_works_in_several_runtimes_and_outside() {
    let (a, b) = pair();
    let exchange = || {
        let mut byte = [0];
        std::thread::scope(|scope| {
            // The peer writes when it is told to: the reader has parked by then or will not need
            // to.
            scope.spawn(|| (&a).write_all(b"x").unwrap());
            (&b).read_exact(&mut byte).unwrap();
        });
        assert_eq!(&byte, b"x");
    };
    exchange();
    let (mut first, mut second) = (
        Runtime::builder().build().unwrap(),
        Runtime::builder().build().unwrap(),
    );
    for _ in 0..3 {
        first.run(exchange);
        second.run(exchange);
        std::thread::scope(|scope| {
            scope.spawn(|| run(exchange));
        });
    }
    drop((first, second));
    run(exchange);
}

/// Behaviour 36 for sources without a deadline of their own: a green thread that is cancelled in a
/// wait unwinds from it, and leaves the source usable.
#[test]
fn a_cancelled_reader_leaves_the_source_usable() {
    let (mut a, b) = pair();
    let b = std::sync::Arc::new(b);
    run(|| {
        let b = b.clone();
        thread::spawn(move || (&*b).read_exact(&mut [0]));
        thread::yield_now();
    });
    run(|| {
        a.write_all(b"x").unwrap();
        (&*b).read_exact(&mut [0]).unwrap();
    });
}

/// In a destructor that runs while its thread unwinds from a cancel, I/O that would park is an
/// error, never `Interrupted` (rule 20, behaviour 32).
#[test]
fn io_in_a_cancelled_threads_destructor_is_an_error() {
    struct OnDrop(Source<UnixStream>, Rc<Cell<Option<ErrorKind>>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            // What need not wait is done.
            (&self.0).write_all(b"bye").unwrap();
            let error = (&self.0).read_exact(&mut [0]).unwrap_err();
            self.1.set(Some(error.kind()));
        }
    }
    let seen = Rc::new(Cell::new(None));
    let (mut a, b) = pair();
    run(|| {
        let guard = OnDrop(b, seen.clone());
        thread::spawn(move || {
            let _guard = guard;
            thread::park();
        });
        thread::yield_now();
    });
    assert_eq!(seen.get(), Some(ErrorKind::Other));
    let mut told = [0; 3];
    a.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"bye");
}

/// Behaviour 41: signals during waits are invisible.
#[test]
fn signals_do_not_end_waits() {
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    run(|| {
        let (mut a, mut b) = pair();
        let target = pthread_self();
        let (start, started) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            started.recv().unwrap();
            for _ in 0..200 {
                pthread_kill(target, Signal::SIGUSR1).unwrap();
                std::thread::yield_now();
            }
            a.write_all(b"x").unwrap();
        });
        start.send(()).unwrap();
        b.read_exact(&mut [0]).unwrap();
        other.join().unwrap();
        thread::sleep(Duration::from_micros(50));
    });
}
