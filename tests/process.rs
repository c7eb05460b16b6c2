//! `process`: children that are waited for while other green threads run. What children do is
//! ordered by their pipes, never by the clock.

#![expect(
    unsafe_code,
    reason = "asks for a pidfd, and runs a closure between fork and exec"
)]

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use crate::alone::alone;
use greenlit::os::unix::process::{CommandExt, ExitStatusExt};
use greenlit::process::{Child, ChildStdout, Command, Stdio};
use greenlit::{run, thread};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// A child that ends when its stdin does.
fn cat() -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn os_threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

#[test]
fn smoke() {
    run(|| {
        let output = shell("cat; echo out; echo err >&2; exit 7")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(7));
        assert!(Command::new("true").status().unwrap().success());
    });
}

#[test]
fn others_run_while_a_child_is_waited_for() {
    run(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut child = cat();
        let stdin = child.stdin.take().unwrap();
        let waiter = thread::spawn({
            let log = log.clone();
            move || {
                log.borrow_mut().push("waits");
                let status = child.wait().unwrap();
                log.borrow_mut().push("has waited");
                status
            }
        });
        thread::yield_now();
        log.borrow_mut().push("another runs");
        // The child ends now, and not before.
        drop(stdin);
        assert!(waiter.join().unwrap().success());
        assert_eq!(*log.borrow(), ["waits", "another runs", "has waited"]);
    });
}

/// Fifty waits are fifty pidfds on one reactor.
#[test]
fn fifty_children_at_once_take_no_os_thread() {
    alone("fifty_children_at_once_take_no_os_thread", || {
        // Where there is none, each wait takes an OS thread, and only the ends are checked.
        let has_pidfd = has_pidfd();
        run(|| {
            let before = os_threads();
            let waiting = Rc::new(Cell::new(0));
            let mut inputs = Vec::new();
            let mut waiters = Vec::new();
            for _ in 0..50 {
                let mut child = cat();
                inputs.push(child.stdin.take().unwrap());
                let waiting = waiting.clone();
                waiters.push(thread::spawn(move || {
                    waiting.set(waiting.get() + 1);
                    let status = child.wait();
                    waiting.set(waiting.get() - 1);
                    status
                }));
            }
            thread::yield_now();
            assert_eq!(waiting.get(), 50);
            if has_pidfd {
                assert_eq!(os_threads(), before);
            }
            inputs.clear();
            for waiter in waiters {
                assert!(waiter.join().unwrap().unwrap().success());
            }
        });
    });
}

/// Whether the system has pidfds: valgrind's has not.
fn has_pidfd() -> bool {
    // SAFETY: the call takes two numbers, and touches no memory of this process.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    pidfd >= 0
}

/// Where no pidfd can be had, here for want of file descriptors, the wait takes an OS thread, and
/// other green threads run all the same.
#[test]
fn a_child_is_waited_for_without_a_pidfd() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    alone("a_child_is_waited_for_without_a_pidfd", || {
        run(|| {
            let (mut first, mut second) = (cat(), cat());
            let input = first.stdin.take();
            let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
            let waiter = thread::spawn(move || first.wait().unwrap());
            thread::yield_now();
            // It waits; this one ends meanwhile.
            assert!(second.wait().unwrap().success());
            assert!(!waiter.is_finished());
            drop(input);
            assert!(waiter.join().unwrap().success());
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        });
    });
}

/// More than a pipe holds on both at once, in an order that neither can be read alone.
#[test]
fn output_on_both_pipes_does_not_deadlock() {
    let script = "for i in 1 2 3; do head -c 200000 /dev/zero; head -c 300000 /dev/zero >&2; done";
    let check = || {
        let output = shell(script).output().unwrap();
        assert_eq!(output.stdout.len(), 600_000);
        assert_eq!(output.stderr.len(), 900_000);
        assert!(output.status.success());
    };
    run(check);
    check();
}

/// What one pipe gives comes out whole though the other ends first, in either order.
#[test]
fn one_pipe_may_end_before_the_other() {
    run(|| {
        for (first, second) in [("1", "2"), ("2", "1")] {
            let script = format!("exec {first}>&-; head -c 100000 /dev/zero >&{second}");
            let output = shell(&script).output().unwrap();
            let (long, short) = match second {
                "1" => (output.stdout, output.stderr),
                _ => (output.stderr, output.stdout),
            };
            assert_eq!((long.len(), short.len()), (100_000, 0));
        }
    });
}

#[test]
fn a_child_is_talked_to_through_its_pipes() {
    run(|| {
        let mut child = cat();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        // More than both pipes hold: the writer and the reader have to take turns.
        let sent: Vec<u8> = (0..500_000_u32).map(|i| i as u8).collect();
        let writer = thread::spawn({
            let sent = sent.clone();
            move || stdin.write_all(&sent)
        });
        let mut received = Vec::new();
        stdout.read_to_end(&mut received).unwrap();
        writer.join().unwrap().unwrap();
        assert!(received == sent);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn wait_closes_stdin_first() {
    run(|| {
        let mut child = cat();
        assert!(child.wait().unwrap().success());
        assert!(child.stdin.is_none());
        // The others stay, with what was written to them.
        assert!(child.stdout.is_some());
    });
}

#[test]
fn a_killed_child_says_so_and_killing_it_again_is_no_error() {
    run(|| {
        let mut child = cat();
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(
            (status.code(), status.signal()),
            (None, Some(libc::SIGKILL))
        );
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
    });
}

#[test]
fn a_program_that_is_not_there_is_std_s_error() {
    // Emulators make a fork of std's vfork, whose errors do not arrive then.
    let has_vfork = std::process::Command::new("/no/such/program")
        .status()
        .is_err();
    let error = |program: &str, forks: bool| {
        let mut command = Command::new(program);
        if forks || !has_vfork {
            // SAFETY: the closure does nothing; that there is one makes std fork.
            unsafe { command.pre_exec(|| Ok(())) };
        }
        command.output().unwrap_err().kind()
    };
    run(|| {
        for forks in [false, true] {
            assert_eq!(error("/no/such/program", forks), ErrorKind::NotFound);
            assert_eq!(error("/etc/passwd", forks), ErrorKind::PermissionDenied);
        }
    });
}

/// Behaviour 53 and rule 18: the wait unwinds; the child lives, and is waited for again.
#[test]
fn a_cancelled_wait_leaves_the_child_as_it_was() {
    struct Keep(Option<Child>, Rc<RefCell<Option<Child>>>);
    impl Drop for Keep {
        fn drop(&mut self) {
            *self.1.borrow_mut() = self.0.take();
        }
    }
    let kept = Rc::new(RefCell::new(None));
    let mut child = cat();
    let stdin = child.stdin.take().unwrap();
    run(|| {
        let mut keep = Keep(Some(child), kept.clone());
        thread::spawn(move || {
            let _ = keep.0.as_mut().unwrap().wait();
            unreachable!("the child has not ended");
        });
        thread::yield_now();
        // It is cancelled by the end of the run.
    });
    let mut child = kept.take().expect("its destructors ran");
    assert_eq!(child.try_wait().unwrap(), None);
    run(|| {
        drop(stdin);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn a_dropped_child_goes_on() {
    run(|| {
        let mut child = cat();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        drop(child);
        stdin.write_all(b"alive").unwrap();
        drop(stdin);
        let mut answer = String::new();
        stdout.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "alive");
    });
}

/// Rule 16: our end alone is non-blocking, and it is not when it is seen or handed on.
#[test]
fn nobody_else_finds_a_non_blocking_end_of_the_pipes() {
    run(|| {
        let mut child = shell("cat; cat /proc/self/fdinfo/0 /proc/self/fdinfo/1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        assert!(!is_nonblocking(&stdin));
        let stdin = OwnedFd::from(stdin);
        assert!(!is_nonblocking(&stdin));
        drop(stdin);
        let flags = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let flags: Vec<i32> = flags
            .lines()
            .filter_map(|line| line.strip_prefix("flags:"))
            .map(|flags| i32::from_str_radix(flags.trim(), 8).unwrap())
            .collect();
        assert_eq!(flags.len(), 2);
        assert!(flags.iter().all(|flags| flags & libc::O_NONBLOCK == 0));
    });
}

/// A pipeline: one child's stdout is the next one's stdin.
#[test]
fn a_pipe_of_one_child_becomes_a_stream_of_another() {
    run(|| {
        let mut first = Command::new("seq")
            .arg("20000")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Command::new("tail")
            .args(["-n", "1"])
            .stdin(first.stdout.take().unwrap())
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"20000\n");
        assert!(first.wait().unwrap().success());
    });
}

/// A pipe of somebody else's, in the blocking mode, is waited for all the same.
#[test]
fn a_foreign_pipe_is_read_without_switching_it() {
    run(|| {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut stdout = ChildStdout::from(OwnedFd::from(reader));
        assert!(!is_nonblocking(&stdout));
        let reading = thread::spawn(move || {
            let mut byte = [0];
            stdout.read_exact(&mut byte).map(|()| (byte[0], stdout))
        });
        thread::yield_now();
        writer.write_all(b"x").unwrap();
        let (byte, stdout) = reading.join().unwrap().unwrap();
        assert_eq!(byte, b'x');
        let number = stdout.as_raw_fd();
        assert_eq!(PipeReader::from(OwnedFd::from(stdout)).as_raw_fd(), number);
    });
}

/// Pipes of a foreign mode in a child's place are collected without blocking on either.
#[test]
fn foreign_pipes_in_a_child_s_place_are_collected() {
    run(|| {
        let mut child = Command::new("true").spawn().unwrap();
        let (out, mut to_out) = io::pipe().unwrap();
        let (err, mut to_err) = io::pipe().unwrap();
        child.stdout = Some(OwnedFd::from(out).into());
        child.stderr = Some(OwnedFd::from(err).into());
        let collecting = thread::spawn(move || child.wait_with_output().unwrap());
        thread::yield_now();
        to_err.write_all(b"error").unwrap();
        drop(to_err);
        thread::yield_now();
        to_out.write_all(b"output").unwrap();
        drop(to_out);
        let output = collecting.join().unwrap();
        assert_eq!(output.stdout, b"output");
        assert_eq!(output.stderr, b"error");
    });
}

/// `output` has defaults of its own, and leaves the command as it was.
#[test]
fn a_command_is_used_again_after_output() {
    run(|| {
        let mut command = shell("echo x");
        assert_eq!(command.output().unwrap().stdout, b"x\n");
        assert_eq!(command.output().unwrap().stdout, b"x\n");
        let child = command.spawn().unwrap();
        assert!(child.stdout.is_none() && child.stderr.is_none());
        assert!(child.wait_with_output().unwrap().stdout.is_empty());
        command.stdout(Stdio::null());
        assert!(command.output().unwrap().stdout.is_empty());
    });
}

/// On a plain OS thread every call blocks it, as std's does.
#[test]
fn everything_works_outside_a_runtime() {
    let mut child = cat();
    let mut stdin = child.stdin.take().unwrap();
    let waiter = std::thread::spawn(move || child.wait_with_output());
    stdin.write_all(&[1; 200_000]).unwrap();
    drop(stdin);
    let output = waiter.join().unwrap().unwrap();
    assert_eq!(output.stdout.len(), 200_000);
    let mut child = cat();
    assert_eq!(child.try_wait().unwrap(), None);
    assert!(child.wait().unwrap().success());
}

/// A child of one runtime is waited for in another.
#[test]
fn a_child_moves_between_runtimes() {
    let mut child = run(|| {
        let mut child = cat();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let reading = thread::spawn(move || {
            stdout.read_exact(&mut [0]).unwrap();
            stdout
        });
        thread::yield_now();
        stdin.write_all(b"x").unwrap();
        child.stdout = Some(reading.join().unwrap());
        child.stdin = Some(stdin);
        child
    });
    let other = std::thread::spawn(move || {
        run(|| {
            child.stdin.take().unwrap().write_all(b"y").unwrap();
            child.wait_with_output().unwrap()
        })
    });
    assert_eq!(other.join().unwrap().stdout, b"y");
}

/// Rule 28: a closure between fork and exec runs without a runtime, and the parent's goes on.
#[test]
fn a_forked_child_leaves_its_parents_runtime_alone() {
    alone("a_forked_child_leaves_its_parents_runtime_alone", || {
        run(|| {
            // A reader that is registered already, and waits through the fork.
            let (reader, mut writer) = io::pipe().unwrap();
            let mut stdout = ChildStdout::from(OwnedFd::from(reader));
            let reading = thread::spawn(move || stdout.read_exact(&mut [0]));
            thread::yield_now();
            let mut command = shell("exit 5");
            // SAFETY: the closure does nothing; that there is one makes std fork.
            unsafe { command.pre_exec(|| Ok(())) };
            assert_eq!(command.status().unwrap().code(), Some(5));
            // SAFETY: the closure makes an error of a number.
            unsafe { command.pre_exec(|| Err(io::Error::from_raw_os_error(libc::EDOM))) };
            let refused = command.spawn().unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EDOM));
            writer.write_all(b"x").unwrap();
            reading.join().unwrap().unwrap();
        });
    });
}
