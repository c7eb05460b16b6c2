//! An HTTP/1.1 server with keep-alive and pipelining: requests are parsed by hand with `httparse`,
//! responses written as they come. `GET` gives a page, `POST` gives back the body.
//!
//! ```text
//! cargo run --release --example http_server            # or with an address: … -- 127.0.0.1:0
//! curl http://127.0.0.1:8080/
//! curl --data-binary hello http://127.0.0.1:8080/
//! wrk -c 1000 -d 30 http://127.0.0.1:8080/
//! ```

use greenlit::net::{TcpListener, TcpStream};
use greenlit::thread;
use greenlit::time::Duration;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::{self, Read, Write};
use std::{env, str};

const PAGE: &[u8] = b"Hello from a green thread.\n";

/// More than any client sends in earnest; a longer head or body is refused.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
const BODY_BYTES: usize = 1024 * 1024;

/// What one `read` may bring: many pipelined requests.
const READ_BYTES: usize = 4096;

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8080".to_owned());
    raise_file_limit();
    greenlit::run(|| {
        let listener = TcpListener::bind(address)?;
        println!("listening on http://{}/", listener.local_addr()?);
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => {
                    thread::spawn(move || serve(stream));
                }
                // Most likely there are too many open files: connections that end make room.
                Err(error) => {
                    eprintln!("no connection: {error}");
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
        Ok(())
    })
}

/// Answers the requests of one connection in order until it ends.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    let mut output = Vec::new();
    let mut was_continued = false;
    loop {
        // Everything that has arrived whole is answered with one write.
        let mut consumed = 0;
        let next = loop {
            match parse(&input[consumed..]) {
                Parsed::Request(request) => {
                    request.answer(&mut output);
                    consumed += request.length;
                    was_continued = false;
                    if request.is_last {
                        break Next::Close;
                    }
                }
                Parsed::Partial { expects_continue } => {
                    if expects_continue && !was_continued {
                        output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                        was_continued = true;
                    }
                    break Next::Read;
                }
                Parsed::Refused(status) => {
                    respond(&mut output, status, b"", false, true);
                    break Next::Close;
                }
            }
        };
        input.drain(..consumed);
        stream.write_all(&output)?;
        output.clear();
        if matches!(next, Next::Close) {
            return Ok(());
        }

        let filled = input.len();
        input.resize(filled + READ_BYTES, 0);
        let count = stream.read(&mut input[filled..])?;
        input.truncate(filled + count);
        if count == 0 {
            return Ok(());
        }
    }
}

enum Next {
    Read,
    Close,
}

enum Parsed<'a> {
    Request(Request<'a>),
    /// The rest is still to come; the client may wait for word that its body is welcome.
    Partial {
        expects_continue: bool,
    },
    /// The status of a request that cannot be served, after which the connection has no meaning any
    /// more.
    Refused(&'static str),
}

struct Request<'a> {
    method: &'a str,
    body: &'a [u8],
    /// The bytes of head and body.
    length: usize,
    /// Whether the connection ends with the response.
    is_last: bool,
}

/// Finds the first request in `input`.
fn parse(input: &[u8]) -> Parsed<'_> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parser = httparse::Request::new(&mut headers);
    let head_length = match parser.parse(input) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() <= HEAD_BYTES => {
            return Parsed::Partial {
                expects_continue: false,
            };
        }
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Parsed::Refused("431 Request Header Fields Too Large");
        }
        Err(_) => return Parsed::Refused("400 Bad Request"),
    };

    let mut body_length = 0;
    let mut expects_continue = false;
    // HTTP/1.1 keeps a connection unless told otherwise, HTTP/1.0 closes it.
    let mut is_last = parser.version == Some(0);
    for header in parser.headers.iter() {
        let value = header.value.trim_ascii();
        if header.name.eq_ignore_ascii_case("content-length") {
            match str::from_utf8(value)
                .ok()
                .and_then(|digits| digits.parse().ok())
            {
                Some(length) if length <= BODY_BYTES => body_length = length,
                Some(_) => return Parsed::Refused("413 Content Too Large"),
                None => return Parsed::Refused("400 Bad Request"),
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Parsed::Refused("501 Not Implemented");
        } else if header.name.eq_ignore_ascii_case("connection") {
            if value.eq_ignore_ascii_case(b"close") {
                is_last = true;
            } else if value.eq_ignore_ascii_case(b"keep-alive") {
                is_last = false;
            }
        } else if header.name.eq_ignore_ascii_case("expect") {
            expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        }
    }

    let length = head_length + body_length;
    match input.get(head_length..length) {
        None => Parsed::Partial { expects_continue },
        Some(body) => Parsed::Request(Request {
            method: parser.method.unwrap_or(""),
            body,
            length,
            is_last,
        }),
    }
}

impl Request<'_> {
    fn answer(&self, output: &mut Vec<u8>) {
        match self.method {
            "GET" => respond(output, "200 OK", PAGE, true, self.is_last),
            "HEAD" => respond(output, "200 OK", PAGE, false, self.is_last),
            "POST" | "PUT" => respond(output, "200 OK", self.body, true, self.is_last),
            _ => respond(output, "405 Method Not Allowed", b"", true, self.is_last),
        }
    }
}

/// Appends a response. Its head tells the body's length even where the body itself is left out.
fn respond(output: &mut Vec<u8>, status: &str, body: &[u8], with_body: bool, is_last: bool) {
    let connection = if is_last { "close" } else { "keep-alive" };
    let length = body.len();
    write!(
        output,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    )
    .expect("a vector takes what is written");
    if with_body {
        output.extend_from_slice(body);
    }
}

/// Allows as many open files as the system lets this process have. Where that is refused, the limit
/// stays.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
