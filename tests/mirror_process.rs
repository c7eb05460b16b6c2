//! `greenlit::process` and `greenlit::os::unix::process` have every stable item of their std twins:
//! a program finds what it imports, and what is not replaced is std's own.

#![expect(
    unused_qualifications,
    reason = "std's items are told from ours by their paths"
)]

use std::any::TypeId;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

// Every stable item by its name.
use greenlit::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
use greenlit::process::{
    Child, ChildStderr, ChildStdin, ChildStdout, Command, CommandArgs, CommandEnvs, ExitCode,
    ExitStatus, Output, Stdio, Termination, abort, exit, id,
};

#[test]
fn what_is_not_replaced_is_std_s_own() {
    fn same<A: 'static, B: 'static>() -> bool {
        TypeId::of::<A>() == TypeId::of::<B>()
    }
    assert!(same::<
        CommandArgs<'static>,
        std::process::CommandArgs<'static>,
    >());
    assert!(same::<
        CommandEnvs<'static>,
        std::process::CommandEnvs<'static>,
    >());
    assert!(same::<ExitCode, std::process::ExitCode>());
    assert!(same::<ExitStatus, std::process::ExitStatus>());
    assert!(same::<Output, std::process::Output>());
    assert!(same::<Stdio, std::process::Stdio>());
    assert!(!same::<Command, std::process::Command>());
    assert!(!same::<Child, std::process::Child>());
    let _: [fn() -> !; 1] = [abort];
    let _: fn(i32) -> ! = exit;
    assert_eq!(id(), std::process::id());
    assert_eq!(parent_id(), std::os::unix::process::parent_id());
    fn terminates<T: Termination>() {}
    terminates::<ExitCode>();
    assert_eq!(ExitStatus::from_raw(0x100).code(), Some(1));
}

/// The methods have std's signatures.
#[test]
fn the_methods_are_std_s() {
    let _: fn(&'static str) -> Command = Command::new;
    let _: for<'a> fn(&'a mut Command, &'static str) -> &'a mut Command = Command::arg;
    let _: for<'a> fn(&'a mut Command, Vec<String>) -> &'a mut Command = Command::args;
    let _: for<'a> fn(&'a mut Command, &'static str, String) -> &'a mut Command = Command::env;
    let _: for<'a> fn(&'a mut Command, std::env::Vars) -> &'a mut Command = Command::envs;
    let _: for<'a> fn(&'a mut Command, &'static str) -> &'a mut Command = Command::env_remove;
    let _: fn(&mut Command) -> &mut Command = Command::env_clear;
    let _: for<'a> fn(&'a mut Command, &'static str) -> &'a mut Command = Command::current_dir;
    let _: for<'a> fn(&'a mut Command, Stdio) -> &'a mut Command = Command::stdin;
    let _: for<'a> fn(&'a mut Command, ChildStdin) -> &'a mut Command = Command::stdout;
    let _: for<'a> fn(&'a mut Command, OwnedFd) -> &'a mut Command = Command::stderr;
    let _: fn(&mut Command) -> io::Result<Child> = Command::spawn;
    let _: fn(&mut Command) -> io::Result<Output> = Command::output;
    let _: fn(&mut Command) -> io::Result<ExitStatus> = Command::status;
    let _: fn(&Command) -> &OsStr = Command::get_program;
    let _: fn(&Command) -> CommandArgs<'_> = Command::get_args;
    let _: fn(&Command) -> CommandEnvs<'_> = Command::get_envs;
    let _: fn(&Command) -> Option<&std::path::Path> = Command::get_current_dir;

    let _: fn(&mut Command, u32) -> &mut Command = Command::uid;
    let _: fn(&mut Command, u32) -> &mut Command = Command::gid;
    type BeforeExec = fn() -> io::Result<()>;
    let _: unsafe fn(&mut Command, BeforeExec) -> &mut Command = Command::pre_exec;
    let _: fn(&mut Command) -> io::Error = Command::exec;
    let _: for<'a> fn(&'a mut Command, &'static str) -> &'a mut Command = Command::arg0;
    let _: fn(&mut Command, i32) -> &mut Command = Command::process_group;

    let _: fn(&mut Child) -> io::Result<()> = Child::kill;
    let _: fn(&Child) -> u32 = Child::id;
    let _: fn(&mut Child) -> io::Result<ExitStatus> = Child::wait;
    let _: fn(&mut Child) -> io::Result<Option<ExitStatus>> = Child::try_wait;
    let _: fn(Child) -> io::Result<Output> = Child::wait_with_output;
    let _: fn(&mut Child) -> [bool; 3] = |child| {
        let (stdin, stdout, stderr) = (&child.stdin, &child.stdout, &child.stderr);
        let _: (&Option<ChildStdin>, &Option<ChildStdout>) = (stdin, stdout);
        let _: &Option<ChildStderr> = stderr;
        [stdin.is_some(), stdout.is_some(), stderr.is_some()]
    };
}

/// The traits are those that std's types have.
#[test]
fn the_traits_are_std_s() {
    fn shared<T: Debug + Send + Sync>() {}
    shared::<Command>();
    shared::<Child>();
    shared::<Stdio>();
    fn pipe<T>()
    where
        T: Debug + Send + Sync + AsFd + AsRawFd + IntoRawFd + From<OwnedFd> + Into<OwnedFd>,
        T: Into<Stdio>,
    {
    }
    pipe::<ChildStdin>();
    pipe::<ChildStdout>();
    pipe::<ChildStderr>();
    fn reads<T: Read>() {}
    reads::<ChildStdout>();
    reads::<ChildStderr>();
    fn writes<T: Write>() {}
    writes::<ChildStdin>();
    writes::<&ChildStdin>();
    fn stdio<T: FromRawFd + From<std::fs::File> + From<OwnedFd>>() {}
    stdio::<Stdio>();
    fn becomes_stdio<T: Into<Stdio>>() {}
    becomes_stdio::<greenlit::fs::File>();
    becomes_stdio::<greenlit::io::PipeReader>();
    becomes_stdio::<greenlit::io::PipeWriter>();
    becomes_stdio::<greenlit::io::Stdout>();
    becomes_stdio::<greenlit::io::Stderr>();
}

#[test]
fn what_is_configured_can_be_read() {
    let mut command = Command::new("program");
    command.args(["a", "b"]).env("K", "v").env_remove("GONE");
    command.current_dir("/tmp");
    assert_eq!(command.get_program(), "program");
    assert_eq!(command.get_args().collect::<Vec<_>>(), ["a", "b"]);
    let envs: Vec<_> = command.get_envs().collect();
    assert_eq!(envs.len(), 2);
    assert_eq!(command.get_current_dir().unwrap().as_os_str(), "/tmp");
    let std = {
        let mut std = std::process::Command::new("program");
        std.args(["a", "b"]).env("K", "v").env_remove("GONE");
        std.current_dir("/tmp");
        format!("{std:?}")
    };
    assert_eq!(format!("{command:?}"), std);
}
