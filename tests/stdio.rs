//! `stdin`, `stdout`, `stderr` and `print!`: in processes of their own, whose standard streams are
//! pipes, terminals and files that the test holds the other end of.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::rc::Rc;

use crate::alone::{again, alone, is_alone};
use greenlit::io::{IsTerminal, stderr, stdin, stdout};
use greenlit::time::Duration;
use greenlit::{eprint, eprintln, print, println, run, thread};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;

/// What a hanging process of ours is killed after, in seconds.
const PATIENCE: u32 = 60;

/// Starts this binary again for `test`, with these streams; stderr is a pipe.
fn start(test: &str, input: impl Into<Stdio>, output: impl Into<Stdio>) -> Child {
    let mut command = again(test);
    command.stdin(input).stdout(output).stderr(Stdio::piped());
    command.spawn().unwrap()
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

fn ends_well(mut child: Child) {
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{errors}");
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

/// The process: one green thread waits for a line, and another says on stderr that it runs.
fn reads_a_line() {
    nix::unistd::alarm::set(PATIENCE);
    run(|| {
        let reads = thread::spawn(|| {
            let mut line = String::new();
            stdin().read_line(&mut line).unwrap();
            line
        });
        thread::yield_now();
        assert!(!reads.is_finished());
        eprintln!("others run");
        assert_eq!(reads.join().unwrap(), "a line\n");
        let rest: Vec<_> = stdin().lines().map(Result::unwrap).collect();
        assert_eq!(rest, ["the next", "the last"]);
    });
}

/// Behaviour 39 and rule 16: stdin is a pipe that the test shares.
#[test]
fn stdin_of_a_pipe_stalls_nobody() {
    if is_alone() {
        return reads_a_line();
    }
    let (reader, mut writer) = io::pipe().unwrap();
    let shared = reader.try_clone().unwrap();
    let mut child = start("stdin_of_a_pipe_stalls_nobody", reader, Stdio::null());
    wait_for(child.stderr.as_mut().unwrap(), "others run");
    assert!(!is_nonblocking(&shared));
    writer.write_all(b"a line\nthe next\nthe last").unwrap();
    drop(writer);
    ends_well(child);
    assert!(!is_nonblocking(&shared));
}

/// `print!` is std's where no `use` line says otherwise, and `stdout` is not. The prompt is there
/// before anything is read, and a line that std's macro began ends with what follows it.
#[test]
fn a_prompt_of_std_s_macro_is_flushed_by_stdout() {
    if is_alone() {
        nix::unistd::alarm::set(PATIENCE);
        return run(|| {
            std::print!("> ");
            stdout().flush().unwrap();
            let answer = stdin().lines().next().unwrap().unwrap();
            std::print!("{answer} ");
            stdout().write_all(b"it is\n").unwrap();
            std::print!("? ");
            stdout().lock().flush().unwrap();
            stdin().lines().next();
        });
    }
    let (mut answers, mut shown) = (io::pipe().unwrap(), io::pipe().unwrap());
    let test = "a_prompt_of_std_s_macro_is_flushed_by_stdout";
    let child = start(test, answers.0, shown.1);
    wait_for(&mut shown.0, "> ");
    answers.1.write_all(b"two\n").unwrap();
    wait_for(&mut shown.0, "two it is\n");
    wait_for(&mut shown.0, "? ");
    drop(answers.1);
    ends_well(child);
}

/// The same with a pipe that whoever shares it keeps in the non-blocking mode.
#[test]
fn stdin_of_a_nonblocking_pipe_is_waited_for() {
    if is_alone() {
        return reads_a_line();
    }
    let (reader, mut writer) = io::pipe().unwrap();
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let shared = reader.try_clone().unwrap();
    let test = "stdin_of_a_nonblocking_pipe_is_waited_for";
    let mut child = start(test, reader, Stdio::null());
    wait_for(child.stderr.as_mut().unwrap(), "others run");
    writer.write_all(b"a line\nthe next\nthe last").unwrap();
    drop(writer);
    ends_well(child);
    assert!(is_nonblocking(&shared));
}

/// Behaviour 39 and rule 16: stdin is a terminal that the test shares.
#[test]
fn stdin_of_a_terminal_stalls_nobody() {
    if is_alone() {
        assert!(stdin().is_terminal());
        return reads_a_line();
    }
    let terminal = openpty(None, None).unwrap();
    let shared = terminal.slave.try_clone().unwrap();
    let test = "stdin_of_a_terminal_stalls_nobody";
    let mut child = start(test, terminal.slave, Stdio::null());
    wait_for(child.stderr.as_mut().unwrap(), "others run");
    assert!(!is_nonblocking(&shared));
    let mut keyboard = File::from(terminal.master);
    // ^D at the beginning of a line is the end.
    keyboard
        .write_all(b"a line\nthe next\nthe last\n\x04")
        .unwrap();
    ends_well(child);
    assert!(!is_nonblocking(&shared));
}

/// Behaviour 39: sources that are always ready.
#[test]
fn stdin_of_files_is_read_to_its_end() {
    if is_alone() {
        let count = run(|| stdin().lines().map(Result::unwrap).count());
        eprintln!("{count} lines");
        return;
    }
    let path = std::env::temp_dir().join(format!("greenlit-stdin-{}", std::process::id()));
    std::fs::write(&path, "one\ntwo\nthree").unwrap();
    for (input, lines) in [(&*path, "3 lines"), ("/dev/null".as_ref(), "0 lines")] {
        let input = File::open(input).unwrap();
        let mut child = start("stdin_of_files_is_read_to_its_end", input, Stdio::null());
        wait_for(child.stderr.as_mut().unwrap(), lines);
        ends_well(child);
    }
    std::fs::remove_file(path).unwrap();
}

/// A reader that is cancelled takes nothing away: the next gets the line.
#[test]
fn a_cancelled_reader_loses_nothing() {
    let test = "a_cancelled_reader_loses_nothing";
    if is_alone() {
        nix::unistd::alarm::set(PATIENCE);
        run(|| {
            thread::spawn(|| stdin().lock().read_line(&mut String::new()));
            thread::yield_now();
        });
        eprintln!("cancelled");
        let mut line = String::new();
        // Outside a runtime the same stream blocks the OS thread.
        stdin().read_line(&mut line).unwrap();
        assert_eq!(line, "kept\n");
        return;
    }
    let (reader, mut writer) = io::pipe().unwrap();
    let mut child = start(test, reader, Stdio::null());
    wait_for(child.stderr.as_mut().unwrap(), "cancelled");
    writer.write_all(b"kept\n").unwrap();
    ends_well(child);
}

/// The process: one green thread writes more than anything holds, and another says that it runs
/// once that one has got stuck.
fn writes_a_lot() {
    nix::unistd::alarm::set(PATIENCE);
    run(|| {
        let lines = Rc::new(Cell::new(0));
        let writes = thread::spawn({
            let lines = lines.clone();
            // Of a length that fills nothing evenly: the last piece that fits is not the whole.
            move || {
                while lines.get() < 100 {
                    println!("{}", "x".repeat(3000));
                    lines.set(lines.get() + 1);
                }
                println!("the end");
            }
        });
        // Stuck is what writes nothing for a while; who calls that too early shows less.
        let (mut before, mut rounds) = (0, 0);
        while rounds < 20 {
            thread::sleep(Duration::from_millis(1));
            rounds = if lines.get() == before { rounds + 1 } else { 0 };
            before = lines.get();
        }
        assert!(before < 100);
        eprintln!("others run");
        writes.join().unwrap();
    });
}

/// `println!` to a pipe that nobody reads from stalls its own green thread alone.
#[test]
fn println_to_a_full_pipe_stalls_nobody() {
    if is_alone() {
        return writes_a_lot();
    }
    let (mut reader, writer) = io::pipe().unwrap();
    let shared = writer.try_clone().unwrap();
    let test = "println_to_a_full_pipe_stalls_nobody";
    let mut child = start(test, Stdio::null(), writer);
    wait_for(child.stderr.as_mut().unwrap(), "others run");
    assert!(!is_nonblocking(&shared));
    wait_for(&mut reader, "the end");
    drop(shared);
    io::copy(&mut reader, &mut io::sink()).unwrap();
    ends_well(child);
}

/// The same with a terminal.
#[test]
fn println_to_a_full_terminal_stalls_nobody() {
    if is_alone() {
        assert!(stdout().is_terminal());
        return writes_a_lot();
    }
    let terminal = openpty(None, None).unwrap();
    let shared = terminal.slave.try_clone().unwrap();
    let test = "println_to_a_full_terminal_stalls_nobody";
    let mut child = start(test, Stdio::null(), terminal.slave);
    wait_for(child.stderr.as_mut().unwrap(), "others run");
    assert!(!is_nonblocking(&shared));
    let mut screen = File::from(terminal.master);
    wait_for(&mut screen, "the end");
    drop(shared);
    // The end of a terminal is an error once nobody has it open any more.
    let _ = io::copy(&mut screen, &mut io::sink());
    ends_well(child);
}

/// As std's: a line goes out when it is complete, and the rest when the process ends.
#[test]
fn stdout_is_buffered_by_lines_and_flushed_at_the_exit() {
    let test = "stdout_is_buffered_by_lines_and_flushed_at_the_exit";
    if is_alone() {
        nix::unistd::alarm::set(PATIENCE);
        run(|| {
            print!("a ");
            eprintln!("begun");
            stdin().read_line(&mut String::new()).unwrap();
            println!("line");
            print!("and the rest");
            std::process::exit(0);
        });
    }
    let (mut reader, writer) = io::pipe().unwrap();
    let (input, mut enter) = io::pipe().unwrap();
    let mut child = start(test, input, writer);
    wait_for(child.stderr.as_mut().unwrap(), "begun");
    // What the harness has printed is there; of the line nothing is.
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut before = Vec::new();
    let error = reader.read_to_end(&mut before).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(!before.ends_with(b"a "));
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    enter.write_all(b"\n").unwrap();
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    assert!(output.ends_with("a line\nand the rest"), "{output:?}");
    ends_well(child);
}

/// What a destructor prints while its cancelled thread unwinds is printed, and aborts nothing.
#[test]
fn a_destructor_of_a_cancelled_thread_prints() {
    struct Prints;
    impl Drop for Prints {
        fn drop(&mut self) {
            println!("unwound");
            eprint!("on {}\n", "stderr");
        }
    }
    let body = || {
        run(|| {
            thread::spawn(|| {
                let _prints = Prints;
                thread::park();
            });
            thread::yield_now();
        });
    };
    let test = "a_destructor_of_a_cancelled_thread_prints";
    if let Some(child) = alone(test, body) {
        assert!(String::from_utf8_lossy(&child.stdout).contains("unwound\n"));
        assert!(String::from_utf8_lossy(&child.stderr).contains("on stderr\n"));
    }
}

/// One holds the lock and parks; who wants it parks too, and others run. The holder may take it
/// again.
#[test]
fn a_lock_is_its_holders() {
    let body = || {
        run(|| {
            let log = Rc::new(Cell::new(0));
            let holder = {
                let log = log.clone();
                thread::spawn(move || {
                    let mut out = stdout().lock();
                    thread::park();
                    // Each of these takes it once more.
                    println!("the holder's");
                    writeln!(stdout().lock(), "once more").unwrap();
                    writeln!(out, "the lock's").unwrap();
                    log.set(log.get() * 10 + 1);
                })
            };
            let wants = {
                let log = log.clone();
                thread::spawn(move || {
                    println!("the other's");
                    log.set(log.get() * 10 + 2);
                })
            };
            let bystander = thread::spawn(|| eprintln!("a bystander's"));
            bystander.join().unwrap();
            assert!(!wants.is_finished());
            holder.thread().unpark();
            wants.join().unwrap();
            assert_eq!(log.get(), 12);
        });
    };
    if let Some(child) = alone("a_lock_is_its_holders", body) {
        let output = String::from_utf8_lossy(&child.stdout);
        let lines = "the holder's\nonce more\nthe lock's\nthe other's\n";
        assert!(output.contains(lines), "{output}");
    }
}

/// The lock is between OS threads too: a green thread that waits for another one's parks.
#[test]
fn a_lock_is_shared_with_os_threads() {
    let body = || {
        let (held, is_held) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            let mut out = stdout().lock();
            held.send(()).unwrap();
            ends.recv().unwrap();
            writeln!(out, "first").unwrap();
        });
        is_held.recv().unwrap();
        run(|| {
            let wants = thread::spawn(|| println!("second"));
            thread::yield_now();
            assert!(!wants.is_finished());
            end.send(()).unwrap();
            wants.join().unwrap();
        });
        other.join().unwrap();
    };
    if let Some(child) = alone("a_lock_is_shared_with_os_threads", body) {
        assert!(String::from_utf8_lossy(&child.stdout).contains("first\nsecond\n"));
    }
}

/// As std has it: a standard stream that is closed is as good as /dev/null.
#[test]
fn closed_streams_are_empty_and_take_all() {
    let body = || {
        let closed = || {
            let saved = [dup_of(stdin()), dup_of(stdout())];
            for fd in [0, 1] {
                nix::unistd::close(fd).unwrap();
            }
            println!("to nowhere");
            let count = stdin().read(&mut [0; 8]).unwrap();
            nix::unistd::dup2_stdin(&saved[0]).unwrap();
            nix::unistd::dup2_stdout(&saved[1]).unwrap();
            count
        };
        assert_eq!((run(closed), closed()), (0, 0));
    };
    if let Some(child) = alone("closed_streams_are_empty_and_take_all", body) {
        assert!(!String::from_utf8_lossy(&child.stdout).contains("to nowhere"));
    }
}

fn dup_of(stream: impl AsFd) -> OwnedFd {
    stream.as_fd().try_clone_to_owned().unwrap()
}

/// Without a runtime, and with no lock held, all works as std's does.
#[test]
fn outside_a_runtime_all_works() {
    let body = || {
        println!("on {}", "stdout");
        eprintln!();
        stderr().lock().write_all(b"on stderr\n").unwrap();
        stdout().flush().unwrap();
    };
    if let Some(child) = alone("outside_a_runtime_all_works", body) {
        assert!(String::from_utf8_lossy(&child.stdout).contains("on stdout\n"));
        assert!(String::from_utf8_lossy(&child.stderr).contains("\non stderr\n"));
    }
}
