//! A small HTTP/1.1 server as one writes it for std: an OS thread's loop over `incoming`, a thread a
//! connection, a `BufReader`, and httparse for the heads. That its threads are green stands in the
//! `use` lines.

use greenlit::io::{self, BufRead, BufReader, Read, Write};
use greenlit::net::{SocketAddr, TcpListener, TcpStream};
use greenlit::sync::Arc;
use greenlit::sync::atomic::{AtomicUsize, Ordering};
use greenlit::thread;

/// The most header lines of a request.
const HEADERS: usize = 32;

/// What a client asks for.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// What it gets.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) then: Then,
}

/// What becomes of the connection after a response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    /// It is closed, as the response says.
    Close,
    /// It is closed, and the response does not say so.
    Vanish,
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status,
            body: body.into(),
            then: Then::Keep,
        }
    }
}

/// A server that runs until its runtime ends.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// How many of them have ended.
    ended: Arc<AtomicUsize>,
}

impl Site {
    /// Serves over TCP as it is.
    pub(crate) fn open(answer: impl Fn(&Request) -> Response + 'static) -> Site {
        Site::open_over(|stream| stream, answer)
    }

    /// Serves over what `wrap` makes of each connection.
    pub(crate) fn open_over<S: Read + Write + 'static>(
        wrap: impl Fn(TcpStream) -> S + 'static,
        answer: impl Fn(&Request) -> Response + 'static,
    ) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicUsize::new(0));
        let counts = [&connections, &ended].map(Arc::clone);
        thread::spawn(move || {
            let answer = std::rc::Rc::new(answer);
            for stream in listener.incoming() {
                let stream = wrap(stream.unwrap());
                counts[0].fetch_add(1, Ordering::Relaxed);
                let ended = Arc::clone(&counts[1]);
                let answer = answer.clone();
                thread::spawn(move || {
                    // A client that goes away ends its own connection and nothing else.
                    let _ = serve(stream, &*answer);
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Site {
            address,
            connections,
            ended,
        }
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections the server has closed.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Answers the requests of one connection, in order, until it ends.
fn serve<S: Read + Write>(stream: S, answer: &dyn Fn(&Request) -> Response) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream)? {
        let response = answer(&request);
        let stream = stream.get_mut();
        write!(
            stream,
            "HTTP/1.1 {} Whatever\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n",
            response.status,
            response.body.len(),
            if response.then == Then::Close {
                "close"
            } else {
                "keep-alive"
            },
        )?;
        stream.write_all(&response.body)?;
        stream.flush()?;
        if response.then != Then::Keep {
            break;
        }
    }
    Ok(())
}

/// The next request, or `None` at the connection's end.
fn read_request<S: Read + Write>(stream: &mut BufReader<S>) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(&head).map_err(io::Error::other)?;
    let value = |name: &str| {
        let header = parsed
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name));
        header.map(|header| String::from_utf8_lossy(header.value).to_lowercase())
    };

    if value("expect").is_some() {
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        stream.get_mut().flush()?;
    }
    let mut body = Vec::new();
    if value("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
        while read_chunk(stream, &mut body)? {}
    } else if let Some(length) = value("content-length") {
        body.resize(length.parse().map_err(io::Error::other)?, 0);
        stream.read_exact(&mut body)?;
    }
    Ok(Some(Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        body,
    }))
}

/// Appends one chunk to `body`; false when it was the last.
fn read_chunk(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
    let start = body.len();
    body.resize(start + length, 0);
    stream.read_exact(&mut body[start..])?;
    stream.read_exact(&mut [0; 2])?;
    Ok(length > 0)
}
