//! The example `graceful_server`, step by step: its deadlines, and its end. It runs in a process of
//! its own, which is this binary again; the tests wait for what it prints and answers.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, mem};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, alarm};

#[path = "../examples/graceful_server.rs"]
#[expect(
    dead_code,
    reason = "its `main` reads the program's arguments, which here are those of the tests"
)]
mod graceful_server;

/// Holds a server's deadline and grace period, in milliseconds, in the process that it runs in.
const SETTINGS: &str = "GREENLIT_TEST_SERVER";

/// Longer than any test may take.
const HOUR: Duration = Duration::from_secs(3600);

/// After how many seconds a server that hangs is killed, so that its test fails.
const PATIENCE: u32 = 120;

/// The server's process comes here; for all others it is no test.
#[test]
fn server() {
    let Ok(settings) = env::var(SETTINGS) else {
        return;
    };
    alarm::set(PATIENCE);
    let (deadline, grace) = settings.split_once(' ').expect("two numbers");
    let length = |number: &str| Duration::from_millis(number.parse().expect("a number"));
    let server = graceful_server::Server::new(length(deadline), length(grace));
    server.run("127.0.0.1:0").expect("nothing fails");
}

/// A request past its deadline gets 503, and so does one that is never sent to its end; no other
/// request and no other connection takes notice.
#[test]
fn a_request_past_its_deadline_is_answered_503() {
    let deadline = Duration::from_millis(50);
    let mut server = Server::start(deadline, HOUR);
    let start = Instant::now();
    let mut hanging = server.connect();
    hanging.send("GET /hang HTTP/1.1\r\n\r\n");
    server.wait_for("request 1 begins");
    let mut other = server.connect();
    assert_eq!(other.get("/").status, "200 OK");

    let late = hanging.response();
    assert!(start.elapsed() >= deadline);
    assert_eq!(late.status, "503 Service Unavailable");
    assert_eq!(late.body, "the deadline has passed\n");
    // Both connections go on.
    assert!(!late.is_last);
    assert_eq!(hanging.get("/").status, "200 OK");
    let late = other.get("/slow?ms=3600000");
    assert_eq!(late.status, "503 Service Unavailable");
    assert_eq!(other.get("/").status, "200 OK");

    // Where half a request stands in the way, nothing behind it can be understood.
    hanging.send("GET / HTTP");
    let half = hanging.response();
    assert_eq!(half.status, "503 Service Unavailable");
    assert!(half.is_last);
    hanging.is_closed();

    server.interrupt();
    other.is_closed();
    let ends = server.end();
    assert_eq!(
        ends,
        [
            "request 1: 503 Service Unavailable",
            "request 2: 200 OK",
            "request 3: 200 OK",
            "request 4: 503 Service Unavailable",
            "request 5: 200 OK",
            "request 6: 503 Service Unavailable",
        ]
    );
}

/// On Ctrl-C connects are refused and idle connections close at once; requests in flight are
/// answered, each as the last of its connection; then the process ends with 0.
#[test]
fn ctrl_c_lets_requests_in_flight_end() {
    let mut server = Server::start(HOUR, HOUR);
    let mut silent = server.connect();
    let mut idle = server.connect();
    assert_eq!(idle.get("/").body, "Hello from a green thread.\n");
    // The first of these ends when the test wants it to, the second by itself.
    let mut sending = server.connect();
    sending.send("GET / HTTP/1.1\r\n");
    server.wait_for("request 2 begins");
    let mut sleeping = server.connect();
    sleeping.send("GET /slow?ms=300 HTTP/1.1\r\n\r\n");
    server.wait_for("request 3 begins");

    server.interrupt();
    let refused = TcpStream::connect(server.address).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    idle.is_closed();
    silent.is_closed();

    let slow = sleeping.response();
    assert_eq!(slow.status, "200 OK");
    assert_eq!(slow.body, "It took 300ms.\n");
    sleeping.is_closed();
    sending.send("Host: localhost\r\n\r\n");
    let last = sending.response();
    assert_eq!(last.status, "200 OK");
    assert!(last.is_last);
    sending.is_closed();
    let ends = server.end();
    assert_eq!(
        ends,
        [
            "request 1: 200 OK",
            "request 2: 200 OK",
            "request 3: 200 OK"
        ]
    );
}

/// What is in flight still when the grace period has passed is cancelled, its destructors run, and
/// the process ends with 0 all the same.
#[test]
fn the_end_of_the_grace_period_cancels_the_rest() {
    let grace = Duration::from_millis(100);
    let mut server = Server::start(HOUR, grace);
    let mut hanging = server.connect();
    hanging.send("GET /hang HTTP/1.1\r\n\r\n");
    server.wait_for("request 1 begins");
    let mut sending = server.connect();
    sending.send("GET / HTTP/1.1\r\n");
    server.wait_for("request 2 begins");
    let mut idle = server.connect();
    assert_eq!(idle.get("/").status, "200 OK");

    let start = Instant::now();
    server.interrupt();
    idle.is_closed();
    hanging.is_closed();
    sending.is_closed();
    assert!(start.elapsed() >= grace);
    let ends = server.end();
    assert_eq!(
        ends,
        [
            "request 1: given up",
            "request 2: given up",
            "request 3: 200 OK"
        ]
    );
}

/// A server in a process of its own; killed where the test fails.
struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
    /// The lines that tell how requests ended.
    ends: Vec<String>,
}

impl Server {
    /// Starts a server, and waits until it listens.
    fn start(deadline: Duration, grace: Duration) -> Self {
        let settings = format!("{} {}", deadline.as_millis(), grace.as_millis());
        let mut child = Command::new(env::current_exe().expect("this binary"))
            .args(["--exact", "server", "--nocapture"])
            .env(SETTINGS, settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child process");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut server = Self {
            child,
            output,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ends: Vec::new(),
        };
        let line = server.wait_for("listening on http://");
        let (_, address) = line.split_once("http://").expect("it was waited for");
        server.address = address.trim_end_matches('/').parse().expect("an address");
        server
    }

    /// Reads on to the next line with `words` in it.
    fn wait_for(&mut self, words: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let count = self.output.read_line(&mut line).expect("text");
            assert_ne!(count, 0, "no `{words}` in:\n{seen}");
            seen += &line;
            let line = line.trim_end();
            if line.starts_with("request ") && line.contains(": ") {
                self.ends.push(line.to_owned());
            }
            if line.contains(words) {
                return line.to_owned();
            }
        }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(PATIENCE.into())))
            .expect("a timeout");
        Client(BufReader::new(stream))
    }

    /// Presses Ctrl-C, and waits until the server does not listen any more.
    fn interrupt(&mut self) {
        let id = self.child.id().try_into().expect("a process");
        kill(Pid::from_raw(id), Signal::SIGINT).expect("a server that runs");
        self.wait_for("Ctrl-C");
        self.wait_for("not listening any more");
    }

    /// Waits until the process has ended, as it should, and tells how each request did.
    fn end(mut self) -> Vec<String> {
        self.wait_for("ended");
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().expect("a pipe");
        stderr.read_to_string(&mut errors).expect("text");
        let status = self.child.wait().expect("a child");
        assert_eq!(status.code(), Some(0), "{rest}{errors}");
        assert!(rest.contains("1 passed"), "{rest}");
        // Lines that begin so are valgrind's, about system calls that it does not know.
        let mut errors = errors.lines().filter(|line| !line.starts_with("--"));
        assert_eq!(errors.next(), None, "it has no errors to tell of");
        let mut ends = mem::take(&mut self.ends);
        ends.sort();
        ends
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection to the server.
struct Client(BufReader<TcpStream>);

struct Response {
    status: String,
    /// Whether the server says that it will close the connection.
    is_last: bool,
    body: String,
}

impl Client {
    fn send(&mut self, text: &str) {
        let sent = self.0.get_mut().write_all(text.as_bytes());
        sent.expect("the server reads");
    }

    fn get(&mut self, target: &str) -> Response {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        self.response()
    }

    fn response(&mut self) -> Response {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a line of a response");
            assert!(line.ends_with("\r\n"), "{head:?} ends within a line");
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let status = head[0].strip_prefix("HTTP/1.1 ").expect("a status line");
        let value = |name: &str| {
            let mut values = head.iter().filter_map(|line| line.strip_prefix(name));
            values.next().expect("a header")
        };
        let length = value("Content-Length: ").parse().expect("a number");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the body");
        Response {
            status: status.to_owned(),
            is_last: value("Connection: ") == "close",
            body: String::from_utf8(body).expect("text"),
        }
    }

    /// Waits for the end of the connection, before which nothing more may come.
    fn is_closed(&mut self) {
        match self.0.read(&mut [0]) {
            Ok(count) => assert_eq!(count, 0, "more than was expected"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
}
