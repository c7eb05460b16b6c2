//! `add_reader` and `add_writer`: callbacks that are called while a file descriptor is ready.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use greenlit::event_loop::{ReadyCallback, add_reader, add_writer, call_soon};
use greenlit::event_loop::{remove_reader, remove_writer};
use greenlit::os::unix::net::UnixStream;
use greenlit::{run, thread};

/// Yields until `condition` holds, which it does after a few turns.
fn until(condition: impl Fn() -> bool) {
    let end = greenlit::time::Instant::now() + greenlit::time::Duration::from_secs(30);
    while !condition() {
        assert!(
            greenlit::time::Instant::now() < end,
            "it does not come to hold"
        );
        thread::yield_now();
    }
}

/// Lets all that can run do so some times, turns included.
fn settle() {
    greenlit::time::sleep(greenlit::time::Duration::from_millis(1));
    for _ in 0..10 {
        thread::yield_now();
    }
}

/// Reads one byte a call, and counts.
fn count_bytes(count: &Rc<Cell<usize>>) -> impl FnMut(&Rc<UnixStream>) + use<> {
    let count = count.clone();
    move |stream| {
        if (&**stream).read(&mut [0]).unwrap() == 1 {
            count.set(count.get() + 1);
        }
    }
}

#[test]
fn smoke() {
    run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (near, count) = (Rc::new(near), Rc::new(Cell::new(0)));
        let reader = add_reader(near.clone(), count_bytes(&count)).unwrap();
        settle();
        assert_eq!(count.get(), 0);
        far.write_all(b"abc").unwrap();
        until(|| count.get() == 3);
        settle();
        assert_eq!(count.get(), 3);
        assert!(!reader.is_removed());
        assert!(remove_reader(&near));
        assert!(reader.is_removed());
        assert!(!remove_reader(&near));
        far.write_all(b"d").unwrap();
        settle();
        assert_eq!(count.get(), 3);
        // The callback has let go of its handle.
        assert_eq!(Rc::strong_count(&near), 1);
    });
}

/// What a callback leaves is told again and again, and others run in between.
#[test]
fn what_is_not_read_is_told_again_and_others_run() {
    run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let near = Rc::new(near);
        let (calls, others) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let in_callback = calls.clone();
        let reader = add_reader(near.clone(), move |_| {
            in_callback.set(in_callback.get() + 1);
        })
        .unwrap();
        far.write_all(b"x").unwrap();
        let other = thread::spawn({
            let others = others.clone();
            move || {
                for _ in 0..100 {
                    others.set(others.get() + 1);
                    thread::yield_now();
                }
            }
        });
        until(|| calls.get() >= 100);
        other.join().unwrap();
        assert_eq!(others.get(), 100);
        let callback = Rc::new(Cell::new(false));
        let called = callback.clone();
        call_soon(move || called.set(true));
        until(|| callback.get());
        // Once it is read, it is told no more.
        (&*near).read_exact(&mut [0]).unwrap();
        settle();
        let before = calls.get();
        settle();
        assert_eq!(calls.get(), before);
        reader.remove();
    });
}

/// Two that are always ready are called in turn.
#[test]
fn callbacks_take_turns() {
    run(|| {
        let log: Rc<RefCell<Vec<usize>>> = Rc::default();
        let ends: Vec<_> = (0..2).map(|_| UnixStream::pair().unwrap()).collect();
        let writers: Vec<_> = ends
            .into_iter()
            .enumerate()
            .map(|(which, (near, far))| {
                let log = log.clone();
                let writer = add_writer(near, move |_| log.borrow_mut().push(which)).unwrap();
                (writer, far)
            })
            .collect();
        until(|| log.borrow().len() >= 200);
        for (writer, _far) in writers {
            writer.remove();
        }
        // A budget that ends moves one to the end of the queue, now and then.
        let log = log.borrow();
        let turns = log.windows(2).filter(|calls| calls[0] != calls[1]).count();
        assert!(turns * 10 > log.len() * 8, "{turns} of {}", log.len());
    });
}

#[test]
fn a_reader_replaces_the_former_and_leaves_the_writer() {
    run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let near = Rc::new(near);
        let counts: [Rc<Cell<usize>>; 2] = Default::default();
        let first = add_reader(near.clone(), count_bytes(&counts[0])).unwrap();
        let written = Rc::new(Cell::new(0));
        let writes = written.clone();
        let writer = add_writer(near.clone(), move |_| writes.set(writes.get() + 1)).unwrap();
        until(|| written.get() > 3);
        let second = add_reader(near.clone(), count_bytes(&counts[1])).unwrap();
        assert!(first.is_removed() && !second.is_removed() && !writer.is_removed());
        far.write_all(b"x").unwrap();
        until(|| counts[1].get() == 1);
        assert_eq!(counts[0].get(), 0);
        assert!(remove_writer(&near));
        assert!(!remove_writer(&near));
        assert!(!second.is_removed());
        let before = written.get();
        settle();
        assert_eq!(written.get(), before);
        second.remove();
    });
}

/// A callback removes itself, and goes on to its end.
#[test]
fn a_callback_removes_itself() {
    run(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let own: Rc<RefCell<Option<ReadyCallback>>> = Rc::default();
        let calls = Rc::new(Cell::new(0));
        let (itself, counts) = (own.clone(), calls.clone());
        let number = near.as_raw_fd();
        let reader = add_reader(near, move |stream: &UnixStream| {
            assert_eq!(stream.as_raw_fd(), number);
            let reader = itself.borrow_mut().take().unwrap();
            reader.remove();
            thread::yield_now();
            counts.set(counts.get() + 1);
        });
        *own.borrow_mut() = Some(reader.unwrap());
        (&far).write_all(b"xyz").unwrap();
        // The stream was the callback's: it is closed.
        until(|| (&far).write_all(b"x").is_err());
        assert_eq!(calls.get(), 1);
    });
}

/// The peer's end is told as readiness, of an owned file descriptor too.
#[test]
fn an_end_is_told() {
    run(|| {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let near = OwnedFd::from(near);
        let told = Rc::new(Cell::new(false));
        let tells = told.clone();
        let reader = add_reader(near, move |_| tells.set(true)).unwrap();
        settle();
        assert!(!told.get());
        drop(far);
        until(|| told.get());
        reader.remove();
    });
}

/// One that panics is reported and removed, and no other is harmed.
#[test]
fn a_callback_that_panics_is_removed() {
    run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let panics = add_reader(near, |_: &UnixStream| panic!("of a callback")).unwrap();
        far.write_all(b"x").unwrap();
        until(|| panics.is_removed());
    });
}

/// The end of a run removes what is there; the next run knows nothing of it.
#[test]
fn the_end_of_a_run_removes_callbacks() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let near = Rc::new(near);
    let count = Rc::new(Cell::new(0));
    let reader = run(|| add_reader(near.clone(), count_bytes(&count)).unwrap());
    assert!(reader.is_removed());
    reader.remove();
    run(|| {
        far.write_all(b"x").unwrap();
        settle();
        assert!(!remove_reader(&near));
    });
    assert_eq!(count.get(), 0);
    assert_eq!(Rc::strong_count(&near), 1);
    assert!(!remove_reader(&near));
}

/// A callback may call what blocks: others go on meanwhile.
#[test]
fn a_callback_that_blocks_keeps_nobody_waiting() {
    run(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (release, released) = greenlit::sync::mpsc::channel();
        let done = Rc::new(Cell::new(false));
        let is_done = done.clone();
        let reader = add_reader(near, move |mut stream: &UnixStream| {
            stream.read_exact(&mut [0]).unwrap();
            released.recv().unwrap();
            is_done.set(true);
        })
        .unwrap();
        far.write_all(b"x").unwrap();
        settle();
        let called = Rc::new(Cell::new(false));
        let calls = called.clone();
        call_soon(move || calls.set(true));
        until(|| called.get());
        assert!(!done.get());
        release.send(()).unwrap();
        until(|| done.get());
        reader.remove();
    });
}

#[test]
#[should_panic(expected = "add_reader: no runtime runs on this OS thread")]
fn outside_a_runtime_it_panics() {
    let (near, _far) = UnixStream::pair().unwrap();
    let _ = add_reader(near, |_: &UnixStream| ());
}
