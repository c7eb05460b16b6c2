//! The examples that serve, and clients that others wrote: nc against `echo_server`, curl and wrk
//! against `http_server`.

use greenlit_real::{Server, example, run, text};
use std::env;
use std::io::Write;
use std::process::{Command, Output, Stdio};

#[test]
fn nc_gets_its_words_back() {
    let server = Server::start(Command::new(example("echo_server")));
    let words = "hello\nworld\n";
    let answer = nc(&server, words.as_bytes());
    assert_eq!(String::from_utf8_lossy(&answer.stdout), words);

    // More than any buffer holds, both ways at once.
    let much: Vec<u8> = (0..10_000_000_u32).map(|n| (n % 251) as u8).collect();
    assert!(nc(&server, &much).stdout == much, "10 MB came back changed");
}

#[test]
fn curl_gets_pages_over_one_connection() {
    let server = Server::start(Command::new(example("http_server")));
    let url = format!("http://{}/", server.address);
    let answer = run(Command::new("curl").args(["-sSv", "--max-time", "10", &url, &url]));
    let said = text(&answer);
    assert!(answer.status.success(), "{said}");
    assert_eq!(said.matches("< HTTP/1.1 200").count(), 2, "{said}");
    assert!(said.contains("Re-using existing connection"), "{said}");
    assert!(!answer.stdout.is_empty(), "an empty page: {said}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(Command::new(example("http_server")));
    let host = server.address;
    let requests = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\n\r\nGET / HTTP/1.1\r\nHost: {host}\r\n\r\n\
         GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    );
    let said = text(&nc(&server, requests.as_bytes()));
    assert_eq!(said.matches("HTTP/1.1 200").count(), 3, "{said}");
}

/// `GREENLIT_WRK_SECONDS` makes it longer: 30 before a release.
#[test]
fn wrk_meets_no_error_over_a_thousand_connections() {
    let server = Server::start(Command::new(example("http_server")));
    let seconds = env::var("GREENLIT_WRK_SECONDS").unwrap_or("5".to_owned());
    let url = format!("http://{}/", server.address);
    let duration = format!("-d{seconds}s");
    let wrk = run(Command::new("wrk").args(["-c1000", "-t2", "--latency", &duration, &url]));
    let said = text(&wrk);
    println!("{said}");
    assert!(wrk.status.success(), "{said}");
    assert!(!said.contains("Socket errors"), "{said}");
    assert!(!said.contains("Non-2xx"), "{said}");
    let (requests, _) = said.split_once(" requests in ").expect("wrk's summary");
    let requests = requests.rsplit_once(' ').map_or(requests, |(_, n)| n);
    let requests: u64 = requests.parse().expect("a number");
    // A bound that any machine keeps: ten requests a connection.
    assert!(requests >= 10_000, "{said}");
}

/// Sends `words` to the server with nc, closes, and returns what came back.
fn nc(server: &Server, words: &[u8]) -> Output {
    let (host, port) = (
        server.address.ip().to_string(),
        server.address.port().to_string(),
    );
    let mut nc = Command::new("nc");
    nc.args(["-N", "-w", "10", &host, &port]);
    nc.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = nc.spawn().expect("nc");
    let mut input = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(words).expect("nc reads"));
        child.wait_with_output().expect("nc ends")
    })
}
