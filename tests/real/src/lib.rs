//! Starts programs of the project for the tests beside it, alone or under strace, and reads what
//! strace saw; holds the gate by which tests count what is under way. It tests nothing itself.

pub mod gate;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::{env, fs};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens, as it printed it.
    pub address: SocketAddr,
    /// What it prints later: nobody reads it, but it can be written.
    _output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts `command`, with the address to listen on as its argument, and waits until it has
    /// printed the address that it got.
    pub fn start(mut command: Command) -> Self {
        command.arg("127.0.0.1:0").stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server's program");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let address = (&mut output)
            .lines()
            .map(|line| line.expect("text"))
            .find_map(|line| address_in(&line))
            .expect("a server prints where it listens");
        Self {
            child,
            address,
            _output: output,
        }
    }

    /// Asks the server to end, as Ctrl-C does, and waits until it has.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Under strace the server is a child of its; strace then writes its file and ends too.
        let id = self.child.id().to_string();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let server = children.split_whitespace().next().unwrap_or(&id);
        run(Command::new("kill").args(["-INT", server]));
        let _ = self.child.wait();
    }
}

/// The first word of `line` that is an address, bare or as the host of a URL.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches("http://");
        word.trim_end_matches(['/', '.', ',']).parse().ok()
    })
}

/// The path of an example, which is built for release if it is not there yet.
pub fn example(name: &str) -> PathBuf {
    built(&["--example", name], &format!("examples/{name}"))
}

/// The same for an example of `examples/async`.
pub fn async_example(name: &str) -> PathBuf {
    let manifest = "examples/async/Cargo.toml";
    built(&["--manifest-path", manifest, "--bin", name], name)
}

/// Has cargo build what the `arguments` name, and returns its path, which is `path` where it builds for
/// release.
fn built(arguments: &[&str], path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join(env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into()));
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--release", "--quiet"])
        .args(arguments);
    build.current_dir(&root).env("CARGO_TARGET_DIR", &target);
    let built = run(&mut build);
    assert!(built.status.success(), "{built:?}");
    target.join("release").join(path)
}

/// A command that runs `program` under strace, which writes its system calls to `trace`.
pub fn under_strace(program: &Path, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o"]);
    // cargo's folders of libraries, which grow with what the tests depend on, are left out: the
    // loader would look into each of them, and its calls are counted too.
    strace.env_remove("LD_LIBRARY_PATH");
    strace.arg(trace).arg(program);
    strace
}

/// A place for a trace that no other test uses.
pub fn trace_file(test: &str) -> PathBuf {
    env::temp_dir().join(format!("{test}.{}.strace", std::process::id()))
}

/// The calls in a trace, in order, without the process's number. A call that was interrupted by
/// another OS thread's stands once, where it ended.
pub fn calls(trace: &Path) -> Vec<String> {
    let text = fs::read_to_string(trace).expect("strace wrote its file");
    let finished = text.lines().filter(|line| !line.contains("<unfinished"));
    finished
        .filter_map(|line| line.split_once(' '))
        .map(|(_, call)| call.trim_start().to_owned())
        .collect()
}

/// Whether a call in a trace is a wait of the reactor.
pub fn is_wait(call: &str) -> bool {
    let call = call.trim_start_matches("<... ");
    ["epoll_wait", "epoll_pwait", "epoll_pwait2"]
        .iter()
        .any(|name| {
            call.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['(', ' ']))
        })
}

/// Whether a wait of the reactor may sleep in the kernel: it has a timeout other than zero, or
/// none.
pub fn may_sleep(wait: &str) -> bool {
    if wait.contains("epoll_pwait2") {
        return !wait.contains("{tv_sec=0, tv_nsec=0}");
    }
    // `epoll_wait(3, [], 64, 0)`, `epoll_pwait(3, [], 64, 0, NULL, 8)`: what stands behind the
    // list.
    let (_, behind) = wait.rsplit_once("], ").unwrap_or(("", wait));
    let timeout = behind.split(", ").nth(1).unwrap_or_default();
    timeout.split(')').next() != Some("0")
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Output {
    let output = command.output();
    output.unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// What a command printed.
pub fn text(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}
