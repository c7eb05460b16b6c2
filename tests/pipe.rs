//! `io::pipe`: ends that park, what closing one tells the other, and the mode that others find.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use greenlit::io::{PipeReader, PipeWriter, pipe};
use greenlit::{run, thread};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

#[test]
fn smoke() {
    run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        writer.write_all(b"word").unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "word");
    });
}

/// A pipe and a child's stream among other things that are waited for.
#[test]
fn pipes_are_arms_of_select() {
    run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let mut cat = greenlit::process::Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
        let waiter = thread::spawn(move || {
            let mut byte = [0];
            let mut log = Vec::new();
            while log.len() < 2 {
                greenlit::select! {
                    readable(reader) => reader.read_exact(&mut byte).unwrap(),
                    readable(stdout) => stdout.read_exact(&mut byte).unwrap(),
                }
                log.push(byte[0]);
            }
            log
        });
        thread::yield_now();
        assert!(!waiter.is_finished());
        greenlit::select! {
            writable(writer) => writer.write_all(b"p").unwrap(),
        }
        thread::yield_now();
        stdin.write_all(b"c").unwrap();
        let mut log = waiter.join().unwrap();
        log.sort_unstable();
        assert_eq!(log, b"cp");
        drop(stdin);
        assert!(cat.wait().unwrap().success());
    });
}

/// Behaviours 36 and 39: a reader that waits for ever, others run meanwhile, the end is its end.
#[test]
fn a_reader_parks_until_there_is_something_or_the_end() {
    run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let reads = thread::spawn(move || {
            let mut bytes = [0; 8];
            let first = reader.read(&mut bytes).unwrap();
            (first, reader.read(&mut bytes).unwrap())
        });
        thread::yield_now();
        assert!(!reads.is_finished());
        writer.write_all(b"abc").unwrap();
        thread::yield_now();
        drop(writer);
        assert_eq!(reads.join().unwrap(), (3, 0));
    });
}

/// Behaviours 36 and 37: a writer parks in the middle, and loses nothing.
#[test]
fn a_writer_parks_while_the_pipe_is_full() {
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 7) as u8).collect();
    run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let sent = bytes.clone();
        let writes = thread::spawn(move || writer.write_all(&sent).unwrap());
        thread::yield_now();
        assert!(!writes.is_finished());
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        assert!(got == bytes);
        writes.join().unwrap();
    });
}

/// Behaviour 37: a writer that waits is told, and so is one that comes later.
#[test]
fn a_reader_that_goes_breaks_the_pipe() {
    run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let writes = thread::spawn(move || {
            let error = writer.write_all(&vec![0; 1_000_000]).unwrap_err();
            (error.kind(), writer.write(b"x").unwrap_err().kind())
        });
        thread::yield_now();
        drop(reader);
        let kinds = writes.join().unwrap();
        assert_eq!(kinds, (ErrorKind::BrokenPipe, ErrorKind::BrokenPipe));
    });
}

/// Rule 16: nobody else finds `O_NONBLOCK`, and handles that share a pipe park all the same.
#[test]
fn others_find_a_pipe_that_blocks() {
    run(|| {
        let (reader, writer) = pipe().unwrap();
        assert!(!is_nonblocking(OwnedFd::from(reader)));
        assert!(!is_nonblocking(io::PipeWriter::from(writer)));

        let (reader, mut writer) = pipe().unwrap();
        assert!(!is_nonblocking(&writer));
        let mut clone = reader.try_clone().unwrap();
        assert!(!is_nonblocking(&reader) && !is_nonblocking(&clone));
        let reads = thread::spawn(move || clone.read(&mut [0; 8]).unwrap());
        thread::yield_now();
        writer.write_all(b"ab").unwrap();
        assert_eq!(reads.join().unwrap(), 2);

        let second = writer.try_clone().unwrap();
        let writes = thread::spawn(move || (&second).write_all(&[1; 200_000]).unwrap());
        thread::yield_now();
        assert!(!writes.is_finished());
        drop(writer);
        assert_eq!((&reader).read_to_end(&mut Vec::new()).unwrap(), 200_000);
        writes.join().unwrap();
    });
}

/// A pipe that came from elsewhere keeps its mode.
#[test]
fn a_foreign_pipe_keeps_its_mode() {
    run(|| {
        let (reader, writer) = io::pipe().unwrap();
        let (reader, mut writer) = (PipeReader::from(reader), PipeWriter::from(writer));
        let reads = thread::spawn(move || {
            let mut bytes = [0; 8];
            let count = (&reader).read(&mut bytes).unwrap();
            assert!(!is_nonblocking(&reader));
            count
        });
        thread::yield_now();
        writer.write_all(b"abcd").unwrap();
        assert_eq!(reads.join().unwrap(), 4);
        assert!(!is_nonblocking(io::PipeWriter::from(writer)));
    });
}

/// A child that writes to a pipe finds it as a shell's; its parent reads without a stall.
#[test]
fn a_child_writes_to_a_pipe() {
    run(|| {
        let (mut reader, writer) = pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 300000 /dev/zero; echo end"]);
        let errors = writer.try_clone().unwrap();
        let mut child = command
            .stdout(writer)
            .stderr(Stdio::from(errors))
            .spawn()
            .unwrap();
        // It keeps the ends that it was given.
        drop(command);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 300_004);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn scattered_buffers_are_filled_and_gathered() {
    run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
        assert_eq!(writer.write_vectored(&parts).unwrap(), 5);
        let (mut first, mut second) = ([0; 3], [0; 3]);
        let mut parts = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(reader.read_vectored(&mut parts).unwrap(), 5);
        assert_eq!((&first, &second), (b"abc", b"de\0"));
        assert_eq!(reader.read(&mut []).unwrap(), 0);
        let mut shared = reader.try_clone().unwrap();
        assert_eq!(shared.read(&mut []).unwrap(), 0);
    });
}

#[test]
fn outside_a_runtime_a_pipe_blocks() {
    let (mut reader, mut writer) = pipe().unwrap();
    let writes = std::thread::spawn(move || writer.write_all(&[7; 200_000]).unwrap());
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 200_000);
    writes.join().unwrap();
}
