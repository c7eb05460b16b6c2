//! An HTTP server whose requests have deadlines, and which Ctrl-C ends gracefully: it stops
//! listening, closes idle connections, leaves requests in flight a grace period, and cancels the
//! rest.
//!
//! ```text
//! cargo run --release --example graceful_server       # or with an address: … -- 127.0.0.1:0
//! curl http://127.0.0.1:8080/slow?ms=1500             # takes that long
//! curl http://127.0.0.1:8080/hang                     # 503 after two seconds
//! ```

use greenlit::cancel::{self, Scope};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::time::{self, Duration};
use greenlit::{signal, thread};
use std::cell::Cell;
use std::env;
use std::io::{self, Read, Write};

const DEADLINE: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(10);

/// A longer head is refused, and so is one with more headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8080".to_owned());
    Server::new(DEADLINE, GRACE).run(&address)
}

/// What the connections share.
pub(crate) struct Server {
    /// How long a request may take, from its first byte to its response.
    deadline: Duration,
    /// How long requests may still take after Ctrl-C.
    grace: Duration,
    /// What the listener and the connections run in.
    scope: Scope,
    /// The number of the last request.
    requests: Cell<u32>,
}

impl Server {
    pub(crate) fn new(deadline: Duration, grace: Duration) -> Self {
        Self {
            deadline,
            grace,
            scope: Scope::new(),
            requests: Cell::new(0),
        }
    }

    /// Serves until Ctrl-C.
    pub(crate) fn run(&self, address: &str) -> io::Result<()> {
        greenlit::run(|| {
            let listener = TcpListener::bind(address)?;
            println!("listening on http://{}/", listener.local_addr()?);
            // Its green threads borrow the server, and have ended when it returns.
            let interrupted = thread::scope(|threads| {
                threads.spawn(move || {
                    let accept = || self.accept(listener, threads);
                    let _ = self.scope.run(|| cancel::until_requested(accept));
                    println!("not listening any more");
                });
                let interrupted = signal::ctrl_c();
                println!("Ctrl-C: requests in flight have {:?}", self.grace);
                self.scope.cancel_softly("the server ends", self.grace);
                interrupted
            });
            println!("ended");
            interrupted
        })
    }

    /// Spawns a green thread for each connection. The listener is closed however this ends.
    fn accept<'scope>(
        &'scope self,
        listener: TcpListener,
        threads: &'scope thread::Scope<'scope, '_>,
    ) {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => {
                    threads.spawn(|| self.scope.run(|| self.serve(stream)));
                }
                // Most likely there are too many open files: connections that end make room.
                Err(error) => {
                    eprintln!("no connection: {error}");
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// Answers the requests of one connection in order.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(self.deadline))?;
        let mut input = Vec::new();
        loop {
            // Between two requests the connection is idle, and has no use for a grace period.
            if input.is_empty() {
                let received = cancel::until_requested(|| receive(&mut stream, &mut input));
                if received.unwrap_or(Ok(0))? == 0 {
                    return Ok(());
                }
            }

            let in_flight = InFlight::new(self);
            let mut is_last = true;
            let answered = time::timeout(self.deadline, || -> io::Result<Response> {
                let request = read_request(&mut stream, &mut input)?;
                is_last = request.is_last;
                Ok(request.answer())
            });
            let response = match answered {
                Ok(response) => response?,
                Err(elapsed) => Response::new("503 Service Unavailable", format!("{elapsed}\n")),
            };
            // A client that may still send would do so in vain.
            is_last |= cancel::requested().is_some();
            response.write(&mut stream, is_last)?;
            in_flight.end(response.status);
            if is_last {
                return Ok(());
            }
        }
    }
}

/// A request between its first byte and the last of its response. However it ends, the destructor
/// runs.
struct InFlight {
    number: u32,
    status: Option<&'static str>,
}

impl InFlight {
    fn new(server: &Server) -> Self {
        let number = server.requests.get() + 1;
        server.requests.set(number);
        println!("request {number} begins");
        Self {
            number,
            status: None,
        }
    }

    fn end(mut self, status: &'static str) {
        self.status = Some(status);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let what = self.status.unwrap_or("given up");
        println!("request {}: {what}", self.number);
    }
}

struct Request {
    /// Path and query; `None` for what is not understood.
    target: Option<String>,
    /// Whether the connection ends with the response.
    is_last: bool,
}

impl Request {
    const REFUSED: Self = Self {
        target: None,
        is_last: true,
    };

    fn new(head: &httparse::Request<'_, '_>) -> Self {
        let has = |name| {
            let mut headers = head.headers.iter();
            headers.find(|header| header.name.eq_ignore_ascii_case(name))
        };
        // Nothing here takes a body.
        let has_body = has("content-length").or(has("transfer-encoding")).is_some();
        if has_body || head.method != Some("GET") {
            return Self::REFUSED;
        }
        let closes = has("connection").is_some_and(|h| h.value.eq_ignore_ascii_case(b"close"));
        Self {
            target: head.path.map(str::to_owned),
            is_last: closes || head.version == Some(0),
        }
    }

    /// Ordinary blocking code, which knows neither of deadlines nor of Ctrl-C.
    fn answer(&self) -> Response {
        let Some(target) = &self.target else {
            return Response::new("400 Bad Request", "");
        };
        if let Some(milliseconds) = target.strip_prefix("/slow?ms=") {
            let Ok(length) = milliseconds.parse().map(Duration::from_millis) else {
                return Response::new("400 Bad Request", "");
            };
            thread::sleep(length);
            return Response::new("200 OK", format!("It took {length:?}.\n"));
        }
        match target.as_str() {
            "/" => Response::new("200 OK", "Hello from a green thread.\n"),
            "/hang" => loop {
                thread::park();
            },
            _ => Response::new("404 Not Found", ""),
        }
    }
}

/// Takes a request out of `input` as soon as all of it has arrived.
fn read_request(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Request> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        match head.parse(input) {
            Ok(httparse::Status::Complete(length)) => {
                let request = Request::new(&head);
                input.drain(..length);
                return Ok(request);
            }
            Ok(httparse::Status::Partial) if input.len() <= HEAD_BYTES => {}
            _ => return Ok(Request::REFUSED),
        }
        if receive(stream, input)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Appends what has arrived; 0 bytes are the end.
fn receive(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer)?;
    input.extend_from_slice(&buffer[..count]);
    Ok(count)
}

struct Response {
    status: &'static str,
    body: String,
}

impl Response {
    fn new(status: &'static str, body: impl Into<String>) -> Self {
        let body = body.into();
        Self { status, body }
    }

    fn write(&self, stream: &mut TcpStream, is_last: bool) -> io::Result<()> {
        let Self { status, body } = self;
        let connection = if is_last { "close" } else { "keep-alive" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes())
    }
}
