//! What a user reads when a program goes wrong: each failure is staged in a child process, this
//! same binary started again, and its message and exit are checked.

use greenlit::net::{TcpListener, TcpStream};
use greenlit::{Runtime, thread};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::time::Duration;
use std::{env, fs, io};

/// Names the failure that a child process is to stage; unset in the test run itself.
const STAGE: &str = "GREENLIT_TEST_STAGE";

/// What a child prints where the system does not enforce the limit that the failure needs.
const NO_SUCH_LIMIT: &str = "this system does not enforce the limit";

/// Does nothing in the test run itself; in a child process it stages the failure.
#[test]
fn stage() {
    match env::var(STAGE).as_deref() {
        Ok("overflow") => stage_overflow(),
        Ok("deadlock") => stage_deadlock(),
        Ok("unjoined panic") => stage_unjoined_panic(),
        Ok("few files") => stage_few_files(),
        Ok("little memory") => stage_little_memory(),
        Ok("bad stack size") => stage_bad_stack_size(),
        Ok("run in run") => greenlit::run(|| greenlit::run(|| ())),
        Ok(unknown) => panic!("no failure is called {unknown}"),
        Err(_) => {}
    }
}

/// Behaviour 42.
#[test]
fn overflow_names_the_thread_its_stack_and_the_remedy() {
    let child = start("overflow");
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{child:?}");
    let report = line_with(&child, "stack overflow");
    let opening = "greenlit: stack overflow in green thread \"deep\" (#";
    assert!(report.starts_with(opening), "{report}");
    let place = concat!(", spawned at ", file!(), ":");
    assert!(report.contains(place), "{report}");
    assert!(report.ends_with(" bytes is used up"), "{report}");
    let help = line_with(&child, "help: give it more with ");
    for remedy in [
        "thread::Builder::stack_size",
        "Runtime::builder().stack_size",
        "RUST_MIN_STACK",
    ] {
        assert!(help.contains(remedy), "{help}");
    }
}

fn stage_overflow() {
    greenlit::run(|| {
        let deep = thread::Builder::new()
            .name("deep".into())
            .spawn(|| deeper(0));
        deep.expect("a green thread").join().expect("no panic")
    });
}

/// Calls itself until the stack is used up. The condition keeps the compiler from knowing that.
fn deeper(n: u64) -> u64 {
    let frame = black_box([n; 32]);
    if frame[0] == u64::MAX {
        return n;
    }
    deeper(n + 1) + black_box(frame)[1]
}

/// Behaviour 54.
#[test]
fn deadlock_names_each_thread_what_it_waits_for_and_where_it_was_spawned() {
    let child = start("deadlock");
    assert!(!child.status.success(), "{child:?}");
    let all = "deadlock: all 3 green threads are parked and nothing can wake them";
    line_with(&child, all);
    for name in ["left", "right"] {
        let line = line_with(&child, &format!("  green thread \"{name}\" (#"));
        let place = concat!(", spawned at ", file!(), ":");
        assert!(line.contains(place), "{line}");
        let (_, what) = line.split_once("): ").expect("what it waits for");
        assert!(!what.is_empty(), "{line}");
    }
    // The main closure is the third.
    let lines = text(&child).matches("\n  green thread ").count();
    assert_eq!(lines, 3, "{}", text(&child));
}

fn stage_deadlock() {
    greenlit::run(|| {
        let named = |name: &str| thread::Builder::new().name(name.into());
        let left = named("left").spawn(thread::park).expect("a green thread");
        let right = named("right").spawn(move || left.join());
        let _ = right.expect("a green thread").join();
    });
}

/// Behaviour 44.
#[test]
fn unjoined_panic_is_reported_once() {
    let child = start("unjoined panic");
    assert!(child.status.success(), "{child:?}");
    let report = line_with(&child, "nobody joined it");
    let opening = "greenlit: green thread \"worker\" (#";
    assert!(report.starts_with(opening), "{report}");
    let place = concat!(", spawned at ", file!(), ":");
    assert!(report.contains(place), "{report}");
    let message = " panicked and nobody joined it: out of ideas 7";
    assert!(report.ends_with(message), "{report}");
    assert_eq!(text(&child).matches("nobody joined it").count(), 1);
}

fn stage_unjoined_panic() {
    greenlit::run(|| {
        let named = |name: &str| thread::Builder::new().name(name.into());
        let worker = named("worker").spawn(|| panic!("out of ideas {}", 7));
        drop(worker.expect("a green thread"));
        // A panic that is joined is the joiner's to report.
        let joined = named("joined").spawn(|| panic!("kept quiet"));
        assert!(joined.expect("a green thread").join().is_err());
    });
}

/// Behaviour 38.
#[test]
fn too_few_files_are_an_error_and_the_server_goes_on() {
    let child = start("few files");
    assert!(child.status.success(), "{child:?}");
    for who in ["a client", "the server"] {
        line_with(
            &child,
            &format!("{who} fails: Too many open files (os error 24)"),
        );
    }
    // An accept that fails is tried again when the server says so: it does not spin.
    let tries = text(&child).matches("the server fails: ").count();
    assert!(tries < 100, "{tries} tries in a few hundred milliseconds");
    line_with(&child, "served afterwards: hello");
}

fn stage_few_files() {
    limit(Resource::RLIMIT_NOFILE, 20);
    greenlit::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || serve(&listener));
        // Each client takes a file here, until none is left for the server's end of its connection.
        let clients: Vec<_> = (0..40)
            .map(|_| thread::spawn(move || greet(address)))
            .collect();
        let results = clients.into_iter().map(|c| c.join().expect("no panic"));
        let errors: Vec<_> = results.filter_map(Result::err).collect();
        for error in errors {
            println!("a client fails: {error}");
        }
        let answer = greet(address).expect("files are free again");
        println!("served afterwards: {answer}");
    });
}

/// Echoes, one green thread a connection; goes on when there is no file for one more.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => drop(thread::spawn(move || io::copy(&mut &stream, &mut &stream))),
            Err(error) => {
                println!("the server fails: {error}");
                thread::sleep(PATIENCE / 10);
            }
        }
    }
}

/// How long a client waits for its answer before it gives its file back.
const PATIENCE: Duration = Duration::from_millis(200);

fn greet(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"hello")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn too_little_memory_is_an_error_of_spawn() {
    let child = start("little memory");
    assert!(child.status.success(), "{child:?}");
    if text(&child).contains(NO_SUCH_LIMIT) {
        return;
    }
    let error = line_with(&child, "refused: ");
    assert!(error.contains("stack"), "{error}");
    assert!(
        error.contains("Cannot allocate memory (os error 12)"),
        "{error}"
    );
    line_with(&child, "spawned afterwards: 42");
}

fn stage_little_memory() {
    greenlit::run(|| {
        // Room for some stacks beyond what the process has now, for the rest there is none.
        let now = virtual_memory();
        let limited = !cfg!(greenlit_sanitize = "address") && !cfg!(greenlit_sanitize = "thread");
        if !limited || !limit(Resource::RLIMIT_AS, now + (16 << 20)) {
            println!("{NO_SUCH_LIMIT}");
            return;
        }
        let builder = || thread::Builder::new().stack_size(1 << 20);
        let mut parked = Vec::new();
        let refused = loop {
            match builder().spawn(thread::park) {
                Ok(handle) => parked.push(handle),
                Err(error) => break error,
            }
            assert!(parked.len() < 1000, "16 MiB held 1000 stacks of 1 MiB");
        };
        println!("refused: {refused}");
        for handle in parked {
            handle.thread().unpark();
            handle.join().expect("no panic");
        }
        let answer = builder().spawn(|| 6 * 7).expect("a stack is free again");
        println!("spawned afterwards: {}", answer.join().expect("no panic"));
    });
}

#[test]
fn bad_stack_size_is_an_error_at_the_call() {
    let child = start("bad stack size");
    assert!(child.status.success(), "{child:?}");
    for size in ["0", "1", &usize::MAX.to_string()] {
        for call in ["runtime", "thread"] {
            let error = line_with(&child, &format!("{call} refuses {size}: "));
            assert!(
                error.contains(&format!("stack size of {size} bytes")),
                "{error}"
            );
        }
    }
    let least = line_with(&child, "runtime refuses 0: ");
    assert!(least.contains("16384"), "{least}");
}

fn stage_bad_stack_size() {
    let sizes = [0, 1, usize::MAX];
    for size in sizes {
        let refused = Runtime::builder().stack_size(size).build();
        println!("runtime refuses {size}: {}", refused.expect_err("an error"));
    }
    greenlit::run(|| {
        for size in sizes {
            let refused = thread::Builder::new().stack_size(size).spawn(|| ());
            println!("thread refuses {size}: {}", refused.expect_err("an error"));
        }
    });
}

/// Behaviour 6.
#[test]
fn run_in_run_is_refused() {
    let child = start("run in run");
    assert!(!child.status.success(), "{child:?}");
    line_with(&child, "run: this OS thread is already running a runtime");
}

/// Runs `failure` in a child process to its end.
fn start(failure: &str) -> Output {
    let mut child = Command::new(env::current_exe().expect("this binary"));
    child.args(["--exact", "stage", "--nocapture"]);
    child.env(STAGE, failure).env("RUST_BACKTRACE", "0");
    child.output().expect("a child process")
}

/// What the child printed: its own words, then what the runtime says on stderr.
fn text(child: &Output) -> String {
    let out = String::from_utf8_lossy(&child.stdout);
    format!("{out}\n{}", String::from_utf8_lossy(&child.stderr))
}

/// The first line that the child printed with `words` in it.
fn line_with(child: &Output, words: &str) -> String {
    let text = text(child);
    let line = text.lines().find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("no `{words}` in:\n{text}"));
    line.to_owned()
}

/// Lowers a limit of this process; whether the system took it (an emulator may not).
fn limit(resource: Resource, value: u64) -> bool {
    setrlimit(resource, value, value).is_ok()
        && getrlimit(resource).is_ok_and(|(soft, _)| soft == value)
}

/// Bytes of address space that this process has now.
fn virtual_memory() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: u64 = statm
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a number");
    pages * 4096
}
