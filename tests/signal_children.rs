//! `signal` across processes: what children inherit, what they tell, and Ctrl-C.

#![expect(unsafe_code, reason = "a closure between fork and exec")]

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::rc::Rc;

use crate::alone::{again, alone, is_alone};
use greenlit::os::unix::process::CommandExt;
use greenlit::process::Command;
use greenlit::signal::{Signal, Signals, ctrl_c};
use greenlit::{run, thread};
use nix::sys::signal::{self, kill, raise};
use nix::unistd::Pid;

fn listen(signals: &[Signal]) -> Signals {
    Signals::new(signals.iter().copied()).unwrap()
}

/// Children begin with the default action again, and a child between fork and exec is not heard
/// here.
#[test]
fn children_do_not_inherit_the_listeners() {
    alone("children_do_not_inherit_the_listeners", || {
        run(|| {
            let signals = listen(&[Signal::TERM, Signal::USR1]);
            let mut command = Command::new("sh");
            command.args(["-c", "kill -TERM $$"]);
            assert_eq!(command.status().unwrap().signal(), Some(libc::SIGTERM));
            // SAFETY: the closure makes system calls only.
            unsafe { command.pre_exec(|| Ok(raise(signal::SIGUSR1)?)) };
            assert_eq!(command.status().unwrap().signal(), Some(libc::SIGTERM));
            assert_eq!(signals.try_recv(), None);
        });
    });
}

/// `SIGCHLD` is a signal like any other, and a child that it tells of can still be waited for.
#[test]
fn the_end_of_a_child_is_a_signal_too() {
    alone("the_end_of_a_child_is_a_signal_too", || {
        run(|| {
            let signals = listen(&[Signal::CHLD]);
            let mut child = Command::new("true").spawn().unwrap();
            assert_eq!(signals.recv().unwrap(), Signal::CHLD);
            assert!(child.try_wait().unwrap().unwrap().success());
        });
    });
}

/// The whole way: a program that waits for Ctrl-C while others run, and one that sends it.
#[test]
#[cfg_attr(
    greenlit_sanitize = "thread",
    ignore = "the sanitizer holds back for ever what the kernel delivers to the harness's thread"
)]
fn ctrl_c_is_waited_for() {
    if is_alone() {
        nix::unistd::alarm::set(60);
        let turns = Rc::new(Cell::new(0));
        run(|| {
            let turns = turns.clone();
            thread::spawn(move || {
                println!("\nready");
                loop {
                    turns.set(turns.get() + 1);
                    thread::yield_now();
                }
            });
            ctrl_c().unwrap();
        });
        assert!(turns.get() > 0);
        println!("interrupted");
        return;
    }
    let mut child = again("ctrl_c_is_waited_for");
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut saw = |text: &str| output.any(|line| line.unwrap().contains(text));
    assert!(saw("ready"));
    kill(Pid::from_raw(child.id().cast_signed()), signal::SIGINT).unwrap();
    assert!(saw("interrupted"));
    assert!(child.wait().unwrap().success());
}
