//! Faults that were found in what stands in for std's blocking modules, each by a small program.

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use greenlit::coroutine::Coroutine;
use greenlit::os::unix::net::UnixStream;
use greenlit::park::{Reason, Waiter};
use greenlit::sync::{Event, Once, broadcast, mpsc};
use greenlit::time::{Duration, Instant};
use greenlit::{Runtime, thread};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// A channel's memory for thirty items was made on the stack of whoever sent the first: an item of a
/// 60th of the stack, of which calls without optimization have some fifty copies, was too large.
#[test]
fn an_item_that_fits_a_stack_may_be_sent_from_it() {
    const BYTES: usize = 64 * 1024;
    greenlit::run(|| {
        let (sender, receiver) = mpsc::channel::<[u8; BYTES]>();
        let sends = move || sender.send([7; BYTES]).is_ok();
        let child = thread::Builder::new().stack_size(60 * BYTES).spawn(sends);
        assert!(child.unwrap().join().unwrap());
        assert_eq!(receiver.recv().unwrap()[9], 7);
    });
}

/// A broadcast's oldest item, which panics when it is dropped to make room, kept its successor's
/// receivers from being told.
#[test]
fn an_item_whose_drop_panics_does_not_keep_the_next_from_its_receivers() {
    #[derive(Clone, Debug)]
    struct Bomb(Arc<AtomicBool>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0.swap(false, Ordering::Relaxed) {
                resume_unwind(Box::new("dropped"));
            }
        }
    }
    greenlit::run(|| {
        let (sender, mut receiver) = broadcast::channel(1);
        let _late = sender.subscribe();
        let armed = Arc::new(AtomicBool::new(false));
        sender.send(Bomb(armed.clone())).unwrap();
        drop(receiver.recv().unwrap());
        let waiter = thread::spawn(move || receiver.recv().map(drop));
        thread::yield_now();
        let harmless = Bomb(Arc::default());
        armed.store(true, Ordering::Relaxed);
        let sent = catch_unwind(AssertUnwindSafe(|| sender.send(harmless)));
        assert!(sent.is_err());
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
}

/// An OS thread that waited for something else inside the condition of a wait used up the wake-up of
/// that one.
#[test]
fn a_condition_that_waits_itself_loses_no_unpark() {
    static NEVER: Event = Event::new();
    let done = AtomicBool::new(false);
    Waiter::with(|waiter| {
        let deadline = Instant::now() + Duration::from_secs(20);
        let woken = waiter.park_until(Reason::shared("waiting in a test"), deadline, || {
            // What another thread might do between the look and the other wait.
            let seen = done.swap(true, Ordering::AcqRel);
            waiter.unparker().unpark();
            let _ = NEVER.wait_timeout(Duration::from_millis(1));
            seen
        });
        assert!(woken && Instant::now() < deadline);
    });
}

/// A thread whose initialiser a coroutine carried to another one stayed shielded for ever, and could
/// not be ended.
#[test]
fn a_shielded_call_that_ends_elsewhere_shields_nobody_any_more() {
    static ONCE: Once = Once::new();
    let ended = Rc::new(Cell::new(false));
    let ends = SetOnDrop(ended.clone());
    greenlit::run(move || {
        let coroutine = Rc::new(Coroutine::<(), (), ()>::new(|suspender, ()| {
            ONCE.call_once(|| suspender.suspend(()));
        }));
        let first = coroutine.clone();
        thread::spawn(move || {
            let _ends = ends;
            first.resume(()).unwrap();
            thread::park();
        });
        thread::yield_now();
        coroutine.resume(()).unwrap();
        assert!(ONCE.is_completed());
    });
    assert!(ended.get());
}

struct SetOnDrop(Rc<Cell<bool>>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// A loop of waits for what has happened already held the OS thread for ever.
#[test]
fn waits_that_are_over_at_once_let_others_run() {
    greenlit::run(|| {
        let once = Once::new();
        once.call_once(|| ());
        let is_over = Rc::new(Cell::new(false));
        let over = is_over.clone();
        thread::spawn(move || over.set(true));
        let start = Instant::now();
        while !is_over.get() {
            once.wait();
            assert!(start.elapsed() < Duration::from_secs(20));
        }
    });
}

/// Whoever duplicated a pipe's end by its borrowed file descriptor got one in the non-blocking mode,
/// and handed that to a child.
#[test]
fn a_pipe_that_shows_its_file_descriptor_is_in_the_blocking_mode() {
    greenlit::run(|| {
        let (reader, writer) = greenlit::io::pipe().unwrap();
        for end in [reader.as_fd(), writer.as_fd()] {
            let copy = end.try_clone_to_owned().unwrap();
            let flags = OFlag::from_bits_retain(fcntl(&copy, FcntlArg::F_GETFL).unwrap());
            assert!(!flags.contains(OFlag::O_NONBLOCK));
        }
        // It goes on parking all the same.
        let reads = thread::spawn(move || {
            let mut bytes = Vec::new();
            (&reader).read_to_end(&mut bytes).map(|_| bytes.len())
        });
        thread::yield_now();
        (&writer).write_all(&[0; 1 << 18]).unwrap();
        drop(writer);
        assert_eq!(reads.join().unwrap().unwrap(), 1 << 18);
    });
}

/// Where the second green thread could not be spawned, it panicked.
#[test]
fn a_copy_in_both_directions_that_finds_no_room_for_a_thread_is_an_error() {
    let mut runtime = Runtime::builder().max_threads(0).build().unwrap();
    let error = runtime.run(|| {
        let (a, b) = UnixStream::pair().unwrap();
        greenlit::io::copy_bidirectional(&a, &b).unwrap_err()
    });
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}
