//! tiny_http, ported by its `use` lines alone (`ported/build.rs`): its accept loop, its pool of
//! threads, its locks and its channels all run on green threads of one OS thread, with its clients.
//!
//! The clients keep no connection. A worker of tiny_http that waits for a second request does not
//! bear an unwinding, as the end of `run` makes one: a destructor panics, and the process aborts. On
//! std nobody unwinds it. A server that keeps connections ends by `process::exit`, inside `run`.

mod transport;

use greenlit::io::{BufRead, BufReader, Read, Write};
use greenlit::net::{Shutdown, SocketAddr, TcpStream};
use greenlit::process::{self, Command};
use greenlit::sync::Arc;
use greenlit::thread;
use greenlit::time::Duration;
use greenlit_real::gate::together;
use ported::{Method, Request, Response, Server};
use std::cell::Cell;
use std::{env, fs};
use ureq::SendBody;
use ureq::config::Config;

/// How many requests are in flight at once.
const MANY: usize = 100;

/// Of a body: more than any one `read` brings.
const BYTES: usize = 300 * 1024;

/// The clients come one after the other, and wait together. tiny_http 0.12 has a flaw, on std's
/// threads too: of connections that come all at once, it gives some to workers that are busy, where
/// they stay until other connections end.
#[test]
fn a_hundred_requests_are_in_flight_at_once() {
    greenlit::run(|| {
        let (server, address) = open();
        let agent = transport::agent(Config::default());
        let was_answered = Cell::new(false);
        thread::scope(|scope| {
            let mut requests = Vec::new();
            for number in 0..MANY {
                let (agent, was_answered) = (&agent, &was_answered);
                scope.spawn(move || {
                    let url = format!("http://{address}/{number}");
                    let mut page = agent.get(url).header("connection", "close").call().unwrap();
                    assert!(was_answered.get(), "an answer before its time");
                    let page = page.body_mut().read_to_string().unwrap();
                    assert_eq!(page, format!("page /{number}"));
                });
                requests.push(server.recv().unwrap());
            }
            // tiny_http has a thread for each; they are not the system's.
            let os_threads = fs::read_dir("/proc/self/task").unwrap().count();
            assert!(os_threads < MANY, "{os_threads} OS threads");
            // Nobody is answered before all hundred have asked.
            was_answered.set(true);
            for request in requests {
                let page = format!("page {}", request.url());
                request.respond(Response::from_string(page)).unwrap();
            }
        });
    });
}

/// Each response waits, on a channel, for the one before it: the first is given last here, when the
/// others stand in line.
#[test]
fn pipelined_requests_are_answered_in_order() {
    greenlit::run(|| {
        let (server, address) = open();
        let mut client = TcpStream::connect(address).unwrap();
        for number in 0..10 {
            write!(client, "GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        let answer = |request: Request| {
            let page = format!("<{}>", request.url());
            request.respond(Response::from_string(page)).unwrap();
        };
        let mut requests = server.incoming_requests().take(10);
        let first = requests.next().unwrap();
        let mut others: Vec<_> = requests.collect();
        others.reverse();
        thread::scope(|scope| {
            let answering = others.into_iter().map(|it| scope.spawn(move || answer(it)));
            let answering: Vec<_> = answering.collect();
            thread::yield_now();
            assert!(answering.iter().all(|answering| !answering.is_finished()));
            answer(first);
        });
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        let parts = answers.split('<').skip(1);
        let pages = parts.filter_map(|part| Some(part.split_once('>')?.0));
        let expected = (0..10).map(|number| format!("/{number}"));
        assert!(pages.eq(expected), "{answers}");
    });
}

#[test]
fn bodies_come_back_unchanged() {
    greenlit::run(|| {
        let (server, address) = open();
        let echo = thread::spawn(move || {
            for mut request in server.incoming_requests().take(2) {
                assert_eq!(*request.method(), Method::Post);
                let mut body = Vec::new();
                request.as_reader().read_to_end(&mut body).unwrap();
                request.respond(Response::from_data(body)).unwrap();
            }
        });
        let agent = transport::agent(Config::default());
        let body: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
        let url = format!("http://{address}/");
        let post = || agent.post(&url).header("connection", "close");
        let mut sized = post().send(&body).unwrap();
        assert!(sized.body_mut().read_to_vec().unwrap() == body);
        let mut reader = &body[..];
        let mut chunked = post().send(SendBody::from_reader(&mut reader)).unwrap();
        assert!(chunked.body_mut().read_to_vec().unwrap() == body);
        echo.join().unwrap();
    });
}

/// Workers are green threads that wait for requests on one condition.
#[test]
fn workers_share_a_server() {
    greenlit::run(|| {
        let (server, address) = open();
        let served = Cell::new([0; 4]);
        thread::scope(|scope| {
            for worker in 0..4 {
                let (server, served) = (Arc::clone(&server), &served);
                scope.spawn(move || {
                    while let Ok(request) = server.recv() {
                        let mut counts = served.get();
                        counts[worker] += 1;
                        served.set(counts);
                        request.respond(Response::empty(204)).unwrap();
                    }
                });
            }
            let agent = transport::agent(Config::default());
            together(MANY, |_| {
                let url = format!("http://{address}/");
                let answer = agent.get(url).header("connection", "close").call().unwrap();
                assert_eq!(answer.status(), 204);
            });
            for _ in 0..4 {
                server.unblock();
            }
        });
        let served = served.get();
        assert_eq!(served.iter().sum::<usize>(), MANY);
        assert!(served.iter().all(|count| *count > 0), "{served:?}");
    });
}

#[test]
fn a_wait_for_a_request_gives_up_or_is_ended() {
    greenlit::run(|| {
        let (server, address) = open();
        let nothing = server.recv_timeout(Duration::from_millis(20)).unwrap();
        assert!(nothing.is_none());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| server.recv().map(|_| ()));
            thread::yield_now();
            assert!(!waiting.is_finished());
            server.unblock();
            assert!(waiting.join().unwrap().is_err());
        });
        // It serves on after that.
        let mut client = BufReader::new(TcpStream::connect(address).unwrap());
        write!(client.get_mut(), "GET / HTTP/1.0\r\n\r\n").unwrap();
        let request = server.recv().unwrap();
        request.respond(Response::from_string("page")).unwrap();
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), "HTTP/1.0 200 OK");
    });
}

/// What the end of `run` would abort: in a process of its own, since it ends.
#[test]
fn a_server_with_a_kept_connection_ends_by_exit() {
    let is_child = "GREENLIT_TINY_HTTP_CHILD";
    if env::var_os(is_child).is_none() {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "a_server_with_a_kept_connection_ends_by_exit"]);
        let output = child.env(is_child, "1").output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        return;
    }
    greenlit::run(|| {
        let (server, address) = open();
        let mut client = BufReader::new(TcpStream::connect(address).unwrap());
        // The second time it is the worker's second request that is answered.
        for _ in 0..2 {
            let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
            client.get_mut().write_all(request).unwrap();
            let request = server.recv().unwrap();
            request.respond(Response::empty(204)).unwrap();
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                client.read_line(&mut line).unwrap();
            }
        }
        // The worker went back to its read while the client waited.
        process::exit(7);
    });
}

/// A server on a free port.
fn open() -> (Arc<Server>, SocketAddr) {
    let server = Server::http("127.0.0.1:0").unwrap();
    let address = server.server_addr().to_ip().unwrap();
    (Arc::new(server), address)
}
