//! A test in a process of its own: this same binary, started again for that test alone. For what
//! kills the process when it goes wrong, forks, or changes or counts what all tests of a process
//! share.

#![allow(dead_code, reason = "no test binary needs all of it")]

use std::env;
use std::ffi::OsStr;
use std::panic::Location;
use std::path::Path;
use std::process::{Command, Output};

/// Set in the processes that are started here.
const ALONE: &str = "GREENLIT_TEST_ALONE";

/// After how many seconds a process that hangs is killed, so that its test fails.
const PATIENCE: u32 = 120;

/// Whether this process was started for the running test alone.
pub(crate) fn is_alone() -> bool {
    env::var_os(ALONE).is_some()
}

/// Runs `body` in a process that was started for `test`, the caller. In the caller's own process
/// the output is returned, once the process has ended well; in the other `None`, for there is
/// nothing left to do.
#[track_caller]
pub(crate) fn alone(test: &str, body: fn()) -> Option<Output> {
    alone_as(&mut again(test), body)
}

/// As [`alone`], in the process that `command` starts, which is [`again`]'s.
pub(crate) fn alone_as(command: &mut Command, body: fn()) -> Option<Output> {
    if is_alone() {
        nix::unistd::alarm::set(PATIENCE);
        body();
        return None;
    }
    let child = command.output().expect("a child process");
    assert!(child.status.success(), "{child:#?}");
    let out = String::from_utf8_lossy(&child.stdout);
    assert!(out.contains("1 passed"), "no such test: {command:?}");
    Some(child)
}

/// This binary, to be started for `test` of the caller's file, be the file its root or a module of it.
#[track_caller]
pub(crate) fn again(test: &str) -> Command {
    let file = Path::new(Location::caller().file()).file_stem();
    let module = file.and_then(OsStr::to_str).expect("a file of tests");
    let mut command = Command::new(env::current_exe().expect("this binary"));
    command.args(["--exact", "--nocapture", test]);
    command.arg(format!("{module}::{test}"));
    command.env(ALONE, "1").env("RUST_BACKTRACE", "0");
    command
}
