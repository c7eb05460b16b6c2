//! The standard streams as futures: in processes of their own, whose streams are pipes, terminals and
//! files that the test holds the other end of.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::process::{Child, ChildStderr, Stdio};
use std::rc::Rc;

use futures_io::{AsyncBufRead, AsyncWrite};
use greenlit::future::{block_on, spawn};
use greenlit::io::{stderr, stdin, stdout};
use greenlit::{run, thread};
use nix::pty::openpty;

use crate::alone::{again, is_alone};
use crate::polling::{read, write_all};

/// What a hanging process of ours is killed after, in seconds.
const PATIENCE: u32 = 60;

/// Starts this binary again for `test`, with these streams; stderr is a pipe.
#[track_caller]
fn start(test: &str, input: impl Into<Stdio>, output: impl Into<Stdio>) -> (Child, ChildStderr) {
    let mut command = again(test);
    command.stdin(input).stdout(output).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let errors = child.stderr.take().unwrap();
    (child, errors)
}

/// Reads from `from` until `word` has come.
fn wait_for(from: &mut impl Read, word: &str) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(word.as_bytes()) {
        let count = from.read(&mut byte).unwrap_or(0);
        assert!(
            count == 1,
            "no {word:?} in {:?}",
            String::from_utf8_lossy(&seen)
        );
        seen.push(byte[0]);
    }
}

fn ends_well(mut child: Child, mut errors: ChildStderr) {
    let mut text = String::new();
    errors.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
}

/// A task reads all that comes, while a green thread says that it runs.
fn reads_all() {
    nix::unistd::alarm::set(PATIENCE);
    run(|| {
        let reads = spawn(async {
            let (mut text, mut buf) = (Vec::new(), [0; 3]);
            loop {
                match read(&stdin(), &mut buf).await.unwrap() {
                    0 => return text,
                    count => text.extend_from_slice(&buf[..count]),
                }
                if text.ends_with(b".\n") {
                    return text;
                }
            }
        });
        thread::yield_now();
        std::eprintln!("others run");
        let text = reads.join().unwrap();
        assert_eq!(text, b"one line\nand another.\n");
    });
}

fn stdin_is_read(test: &str, input: impl Into<Stdio>, mut feed: impl Write) {
    let (child, mut errors) = start(test, input, Stdio::null());
    wait_for(&mut errors, "others run");
    feed.write_all(b"one line\n").unwrap();
    feed.write_all(b"and another.\n").unwrap();
    ends_well(child, errors);
}

/// Behaviour 39.
#[test]
fn stdin_of_a_pipe_is_polled() {
    if is_alone() {
        return reads_all();
    }
    let (input, feed) = io::pipe().unwrap();
    stdin_is_read("stdin_of_a_pipe_is_polled", input, feed);
}

#[test]
fn stdin_of_a_terminal_is_polled() {
    if is_alone() {
        return reads_all();
    }
    let pty = openpty(None, None).unwrap();
    let feed = std::fs::File::from(pty.master);
    stdin_is_read("stdin_of_a_terminal_is_polled", pty.slave, feed);
}

#[test]
fn stdin_of_a_file_is_polled() {
    if is_alone() {
        return reads_all();
    }
    let path = std::env::temp_dir().join(format!("greenlit-stdin-{}", std::process::id()));
    std::fs::write(&path, b"one line\nand another.\n").unwrap();
    let file = std::fs::File::open(&path).unwrap();
    stdin_is_read("stdin_of_a_file_is_polled", file, io::sink());
    std::fs::remove_file(path).unwrap();
}

/// Lines of a lock, whose buffer calls that block find too.
#[test]
fn a_lock_is_read_by_lines() {
    if is_alone() {
        nix::unistd::alarm::set(PATIENCE);
        return run(|| {
            let line = block_on(async {
                let mut lock = stdin().lock();
                let mut line = Vec::new();
                loop {
                    let mut pinned = Pin::new(&mut lock);
                    let bytes = poll_fn(|context| {
                        pinned
                            .as_mut()
                            .poll_fill_buf(context)
                            .map_ok(<[u8]>::to_vec)
                    });
                    let bytes = bytes.await.unwrap();
                    let end = bytes.iter().position(|&byte| byte == b'\n');
                    let count = end.map_or(bytes.len(), |end| end + 1);
                    line.extend_from_slice(&bytes[..count]);
                    Pin::new(&mut lock).consume(count);
                    if end.is_some() {
                        return line;
                    }
                }
            });
            assert_eq!(line, b"first\n");
            let mut second = String::new();
            stdin().read_line(&mut second).unwrap();
            assert_eq!(second, "second\n");
        });
    }
    let (input, mut feed) = io::pipe().unwrap();
    let (child, errors) = start("a_lock_is_read_by_lines", input, Stdio::null());
    feed.write_all(b"first\nsecond\n").unwrap();
    ends_well(child, errors);
}

/// A task waits while another thread has the lock, and is woken when that lets go.
#[test]
fn locks_are_waited_for() {
    if is_alone() {
        nix::unistd::alarm::set(PATIENCE);
        return run(|| {
            let (input, output, errors) = (stdin().lock(), stdout().lock(), stderr().lock());
            let done = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..3)
                .map(|which| {
                    let done = done.clone();
                    spawn(async move {
                        match which {
                            0 => assert_eq!(read(&stdin(), &mut [0]).await.unwrap(), 0),
                            1 => write_all(&stdout(), b"told\n").await.unwrap(),
                            _ => write_all(&stderr(), b"told\n").await.unwrap(),
                        }
                        done.set(done.get() + 1);
                    })
                })
                .collect();
            for _ in 0..100 {
                thread::yield_now();
            }
            assert_eq!(done.get(), 0);
            drop((input, output, errors));
            for task in tasks {
                task.join().unwrap();
            }
        });
    }
    let (child, errors) = start("locks_are_waited_for", Stdio::null(), Stdio::null());
    ends_well(child, errors);
}

/// The process: a task writes more than the reader has room for, while others run.
fn writes_a_lot() {
    nix::unistd::alarm::set(PATIENCE);
    run(|| {
        let writes = spawn(async {
            for number in 0..20_000 {
                write_all(&stdout(), format!("line {number}\n").as_bytes())
                    .await
                    .unwrap();
            }
            let mut out = stdout();
            poll_fn(|context| Pin::new(&mut out).poll_flush(context))
                .await
                .unwrap();
        });
        for _ in 0..1000 {
            thread::yield_now();
        }
        std::eprintln!("others run");
        writes.join().unwrap();
    });
}

fn all_is_written(test: &str, output: impl Into<Stdio>, mut from: impl Read) {
    let (child, mut errors) = start(test, Stdio::null(), output);
    wait_for(&mut errors, "others run");
    for number in [0, 1, 19_999] {
        wait_for(&mut from, &format!("line {number}"));
    }
    // The harness writes too; a terminal's end is an error.
    let _ = io::copy(&mut from, &mut io::sink());
    ends_well(child, errors);
}

#[test]
fn stdout_to_a_full_pipe_is_polled() {
    if is_alone() {
        return writes_a_lot();
    }
    let (from, output) = io::pipe().unwrap();
    all_is_written("stdout_to_a_full_pipe_is_polled", output, from);
}

#[test]
fn stdout_to_a_full_terminal_is_polled() {
    if is_alone() {
        return writes_a_lot();
    }
    let pty = openpty(None, None).unwrap();
    let from = std::fs::File::from(pty.master);
    all_is_written("stdout_to_a_full_terminal_is_polled", pty.slave, from);
}

/// Another file that takes the number is seen, also by a task that polls from then on.
#[test]
fn a_stream_that_changes_is_seen() {
    if is_alone() {
        nix::unistd::alarm::set(PATIENCE);
        return run(|| {
            let waits = spawn(async { read(&stdin(), &mut [0; 8]).await.unwrap() });
            thread::yield_now();
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(b"abc").unwrap();
            nix::unistd::dup2_stdin(reader).unwrap();
            assert_eq!(block_on(read(&stdin(), &mut [0; 8])).unwrap(), 3);
            writer.write_all(b"de").unwrap();
            assert_eq!(waits.join().unwrap(), 2);
        });
    }
    let (input, _feed) = io::pipe().unwrap();
    let (child, errors) = start("a_stream_that_changes_is_seen", input, Stdio::null());
    ends_well(child, errors);
}

/// Outside a runtime polls block.
#[test]
fn outside_a_runtime_polls_block() {
    if is_alone() {
        nix::unistd::alarm::set(PATIENCE);
        let mut buf = [0; 8];
        assert_eq!(block_on(read(&stdin(), &mut buf)).unwrap(), 2);
        return block_on(write_all(&stdout(), b"out\n")).unwrap();
    }
    let (input, mut feed) = io::pipe().unwrap();
    let (mut from, output) = io::pipe().unwrap();
    let (child, errors) = start("outside_a_runtime_polls_block", input, output);
    feed.write_all(b"in").unwrap();
    wait_for(&mut from, "out\n");
    // The harness writes too; a terminal's end is an error.
    let _ = io::copy(&mut from, &mut io::sink());
    ends_well(child, errors);
}
