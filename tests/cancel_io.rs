//! I/O of std's making, over greenlit's streams, that is cancelled in its middle: it ends at once, by
//! whomever it is cancelled, and no byte is lost that it had not taken.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::rc::Rc;

use crate::cancelling::{ALL, By, cancelled_by, each};
use crate::scene::{self, settle, until};
use greenlit::cancel::{self, Cancelled};
use greenlit::io::copy_bidirectional;
use greenlit::os::unix::net::UnixStream;
use greenlit::process::Child;
use greenlit::thread;

/// Bytes `from` to `to` of a stream in which each place can be told by what is around it.
fn pattern(from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|at| (at % 251) as u8).collect()
}

const WHOLE: usize = 1000;
const HALF: usize = 400;

fn shared<T>(value: T) -> Rc<RefCell<T>> {
    Rc::new(RefCell::new(value))
}

/// Behaviours 26, 32 and 34: the rest comes after the cancel, or at once with it.
#[test]
fn read_exact_ends_in_its_middle_and_the_rest_is_there() {
    each(|kind, by| {
        for at_once in [false, true] {
            let mut ends = kind.open();
            ends.writer.write_all(&pattern(0, HALF)).unwrap();
            let seen = Rc::clone(&ends.reader.seen);
            let (reader, buffer) = (shared(ends.reader), shared(vec![0; WHOLE]));
            let body = {
                let (reader, buffer) = (Rc::clone(&reader), Rc::clone(&buffer));
                move || reader.borrow_mut().read_exact(&mut buffer.borrow_mut())
            };
            let mut writes = Some(|| ends.writer.write_all(&pattern(HALF, WHOLE)).unwrap());
            let is_due = || {
                let is_due = seen.bytes.get() == HALF && seen.waits();
                if is_due
                    && at_once
                    && let Some(mut write) = writes.take()
                {
                    write();
                }
                is_due
            };
            let done = cancelled_by(by, is_due, body);

            // The borrows have ended, so destructors ran.
            let (mut reader, mut buffer) = (reader.borrow_mut(), buffer.borrow_mut());
            let taken = seen.bytes.get();
            let expected = match done {
                Some(_) if at_once => WHOLE,
                Some(_) => panic!("{kind:?} {by:?}: it was not cancelled"),
                None => HALF,
            };
            assert_eq!(taken, expected, "{kind:?} {by:?}");
            if let Some(mut write) = writes.take() {
                write();
            }
            reader.read_exact(&mut buffer[taken..]).unwrap();
            assert!(*buffer == pattern(0, WHOLE), "{kind:?} {by:?}");
        }
    });
}

/// Behaviour 32. A line that was not complete goes with the iterator, as it does at an error.
#[test]
fn lines_end_and_those_that_were_complete_are_kept() {
    each(|kind, by| {
        let mut ends = kind.open();
        ends.writer.write_all(b"one\ntwo\nhalf of").unwrap();
        let seen = Rc::clone(&ends.reader.seen);
        let (reader, lines) = (shared(BufReader::new(ends.reader)), shared(Vec::new()));
        let body = {
            let (reader, lines) = (Rc::clone(&reader), Rc::clone(&lines));
            move || {
                for line in reader.borrow_mut().by_ref().lines() {
                    lines.borrow_mut().push(line.unwrap());
                }
            }
        };
        let is_due = || seen.bytes.get() == 15 && seen.waits();
        assert!(cancelled_by(by, is_due, body).is_none(), "{kind:?} {by:?}");
        assert_eq!(*lines.borrow(), ["one", "two"], "{kind:?} {by:?}");

        ends.writer.write_all(b" a line\nfour\n").unwrap();
        drop(ends.writer);
        let rest: Vec<_> = reader
            .borrow_mut()
            .by_ref()
            .lines()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rest, [" a line", "four"], "{kind:?} {by:?}");
        reap(ends.child);
    });
}

/// Behaviour 32: with a buffer that outlives the call, even half a line is kept.
#[test]
fn read_until_keeps_the_half_line_in_its_buffer() {
    each(|kind, by| {
        let mut ends = kind.open();
        ends.writer.write_all(b"half of").unwrap();
        let seen = Rc::clone(&ends.reader.seen);
        let (reader, line) = (shared(BufReader::new(ends.reader)), shared(Vec::new()));
        let body = {
            let (reader, line) = (Rc::clone(&reader), Rc::clone(&line));
            move || {
                reader
                    .borrow_mut()
                    .read_until(b'\n', &mut line.borrow_mut())
            }
        };
        let is_due = || seen.bytes.get() == 7 && seen.waits();
        assert!(cancelled_by(by, is_due, body).is_none(), "{kind:?} {by:?}");

        ends.writer.write_all(b" a line\nfour\n").unwrap();
        let (mut reader, mut line) = (reader.borrow_mut(), line.borrow_mut());
        reader.read_until(b'\n', &mut line).unwrap();
        assert_eq!(*line, b"half of a line\n", "{kind:?} {by:?}");
    });
}

/// Behaviour 32: what was read was written, and the drop of the sink is seen by its peer.
#[test]
fn copy_ends_while_it_reads_and_all_that_it_took_has_arrived() {
    each(|kind, by| {
        let (mut from, to) = (kind.open(), kind.open());
        from.writer.write_all(&pattern(0, HALF)).unwrap();
        let seen = Rc::clone(&from.reader.seen);
        let (source, mut sink) = (shared(from.reader), to.writer);
        let body = {
            let source = Rc::clone(&source);
            move || io::copy(&mut *source.borrow_mut(), &mut sink)
        };
        let is_due = || seen.bytes.get() == HALF && seen.waits();
        assert!(cancelled_by(by, is_due, body).is_none(), "{kind:?} {by:?}");

        let (mut arrived, mut reader) = (Vec::new(), to.reader);
        reader.read_to_end(&mut arrived).unwrap();
        assert!(arrived == pattern(0, seen.bytes.get()), "{kind:?} {by:?}");
        // The source goes on where it was left.
        from.writer.write_all(&pattern(HALF, WHOLE)).unwrap();
        let mut rest = vec![0; WHOLE - arrived.len()];
        source.borrow_mut().read_exact(&mut rest).unwrap();
        assert!(rest == pattern(arrived.len(), WHOLE), "{kind:?} {by:?}");
        reap(to.child);
    });
}

/// Behaviour 32: whoever is at the other end gets exactly what the writes said they had written.
#[test]
fn copy_and_write_all_end_while_they_write() {
    each(|kind, by| {
        for copies in [false, true] {
            let ends = kind.open();
            let (seen, read) = (Rc::clone(&ends.writer.seen), Rc::clone(&ends.reader.seen));
            let writer = shared(ends.writer);
            let body = {
                let writer = Rc::clone(&writer);
                move || {
                    let mut writer = writer.borrow_mut();
                    match copies {
                        true => io::copy(&mut Endless(0), &mut *writer).map(|_| ()),
                        false => (0..)
                            .map(|at| pattern(at * HALF, (at + 1) * HALF))
                            .try_for_each(|piece| writer.write_all(&piece)),
                    }
                }
            };
            let is_due = || seen.waits();
            assert!(cancelled_by(by, is_due, body).is_none(), "{kind:?} {by:?}");

            let written = seen.bytes.get();
            let mut reader = ends.reader;
            let mut arrived = vec![0; written];
            reader.read_exact(&mut arrived).unwrap();
            assert!(arrived == pattern(0, written), "{kind:?} {by:?}");
            // It can be written to as before, and nothing was in between.
            writer.borrow_mut().write_all(b"the end").unwrap();
            let mut end = [0; 7];
            reader.read_exact(&mut end).unwrap();
            assert_eq!(&end, b"the end", "{kind:?} {by:?}");
            assert_eq!(read.bytes.get(), written + 7);
        }
    });
}

/// The pattern, without end.
struct Endless(usize);

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let end = self.0 + buf.len();
        buf.copy_from_slice(&pattern(self.0, end));
        self.0 = end;
        Ok(buf.len())
    }
}

/// Behaviours 31 and 32: both directions end with the call, and the streams are as they were.
#[test]
fn copy_bidirectional_ends_in_both_directions() {
    for by in ALL {
        greenlit::run(|| {
            let (mut left, a) = UnixStream::pair().unwrap();
            let (b, mut right) = UnixStream::pair().unwrap();
            let streams = Rc::new((a, b));
            let body = {
                let streams = Rc::clone(&streams);
                move || copy_bidirectional(&streams.0, &streams.1)
            };
            let mut word = [0; 5];
            let is_due = || {
                if by == By::Timeout {
                    return true;
                }
                left.write_all(b"there").unwrap();
                right.read_exact(&mut word).unwrap();
                right.write_all(b"back!").unwrap();
                left.read_exact(&mut word).unwrap();
                assert_eq!(&word, b"back!", "{by:?}");
                true
            };
            assert!(cancelled_by(by, is_due, body).is_none(), "{by:?}");

            // Nobody copies any more, and neither is shut down.
            let (mut a, mut b) = (&streams.0, &streams.1);
            for (mut from, to) in [(&left, &mut a), (&right, &mut b)] {
                from.write_all(b"after").unwrap();
                to.read_exact(&mut word).unwrap();
                assert_eq!(&word, b"after", "{by:?}");
                to.write_all(b"words").unwrap();
                from.read_exact(&mut word).unwrap();
                assert_eq!(&word, b"words", "{by:?}");
            }
        });
    }
}

/// Behaviour 25: the bytes and the cancel come in one turn, the bytes first. The value wins, and the
/// cancel comes at the next call.
#[test]
fn a_call_whose_bytes_came_before_the_cancel_returns_them() {
    for by in [By::Scope, By::Deadline, By::Handle, By::OsThread] {
        greenlit::run(|| {
            let (mut early, early_peer) = scene::pair();
            let (mut late, late_peer) = scene::pair();
            let value = Rc::new(Cell::new(None));
            let body = {
                let value = Rc::clone(&value);
                move || {
                    let mut bytes = [0; 4];
                    late.read_exact(&mut bytes).unwrap();
                    value.set(Some(bytes));
                    thread::park();
                }
            };
            // Both wait when they are written to, in one slice by one who does not park; the first
            // event is that of who cancels.
            let asks = Rc::new(Cell::new(false));
            thread::spawn({
                let asks = Rc::clone(&asks);
                move || {
                    until(|| asks.get());
                    settle();
                    (&early_peer).write_all(b"!").unwrap();
                    (&late_peer).write_all(b"both").unwrap();
                }
            });
            let is_due = || {
                asks.set(true);
                early.read_exact(&mut [0]).is_ok()
            };
            assert!(cancelled_by(by, is_due, body).is_none(), "{by:?}");
            assert_eq!(value.get(), Some(*b"both"), "{by:?}");
        });
    }
}

/// Checks an error by which a call has ended that could not be unwound.
fn check_error(error: &io::Error, by: By) {
    assert_ne!(error.kind(), ErrorKind::Interrupted);
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Cancelled>());
    let cancelled = inner.unwrap_or_else(|| panic!("{by:?}: {error:?}"));
    let by_time = [By::Deadline, By::Timeout].contains(&by);
    assert_eq!(cancelled.is_deadline(), by_time, "{by:?}");
}

/// Behaviour 32 and rule 23: frames that cannot be unwound are ended by errors, and by one each.
#[test]
fn what_cannot_be_unwound_gets_an_error_and_does_not_try_again() {
    each(|kind, by| {
        let mut ends = kind.open();
        ends.writer.write_all(&pattern(0, HALF)).unwrap();
        let seen = Rc::clone(&ends.reader.seen);
        let (reader, mut sink) = (shared(BufReader::new(ends.reader)), kind.open().writer);
        let body = {
            let (reader, seen) = (Rc::clone(&reader), Rc::clone(&seen));
            move || {
                cancel::no_unwind(|| {
                    let mut reader = reader.borrow_mut();
                    let first = reader.read_exact(&mut [0; WHOLE]).unwrap_err();
                    let begun = seen.begun.get();
                    let errors = vec![
                        first,
                        reader.read_exact(&mut [0; WHOLE]).unwrap_err(),
                        reader.by_ref().lines().next().unwrap().unwrap_err(),
                        io::copy(&mut *reader, &mut io::sink()).unwrap_err(),
                        sink.write_all(b"ready").unwrap_err(),
                    ];
                    // Each has asked once.
                    assert_eq!(seen.begun.get(), begun + 3);
                    errors
                })
            }
        };
        let is_due = || seen.bytes.get() == HALF && seen.waits();
        // A body that returns has returned, but a thread's own cancel is the joiner's matter too.
        let errors = cancelled_by(by, is_due, body).expect("it was not unwound");
        errors.iter().for_each(|error| check_error(error, by));

        ends.writer.write_all(&pattern(HALF, WHOLE)).unwrap();
        let mut rest = vec![0; WHOLE - seen.bytes.get()];
        reader.borrow_mut().read_exact(&mut rest).unwrap();
        assert!(
            rest == pattern(WHOLE - rest.len(), WHOLE),
            "{kind:?} {by:?}"
        );
    });
}

/// Rule 20: a destructor that a cancel runs gets an error, and no second unwinding begins.
#[test]
fn a_destructor_gets_an_error_and_is_not_unwound() {
    struct Farewell<F: FnMut()>(F);

    impl<F: FnMut()> Drop for Farewell<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    each(|kind, by| {
        let mut ends = kind.open();
        let errors = shared(Vec::new());
        let body = {
            let errors = Rc::clone(&errors);
            let mut reader = BufReader::new(ends.reader);
            move || {
                let _farewell = Farewell(|| {
                    let mut errors = errors.borrow_mut();
                    errors.push(reader.read_exact(&mut [0]).unwrap_err());
                    errors.push(reader.by_ref().lines().next().unwrap().unwrap_err());
                    errors.push(io::copy(&mut reader, &mut io::sink()).unwrap_err());
                });
                thread::park();
            }
        };
        assert!(cancelled_by(by, || true, body).is_none(), "{kind:?} {by:?}");
        assert_eq!(errors.borrow().len(), 3);
        errors
            .borrow()
            .iter()
            .for_each(|error| check_error(error, by));
        // Its reader has gone with it.
        while ends.writer.write_all(&[0; HALF]).is_ok() {}
        reap(ends.child);
    });
}

fn reap(child: Option<Child>) {
    if let Some(mut child) = child {
        child.wait().unwrap();
    }
}
