//! The examples of `examples/async`: hyper's server against curl, wrk, h2load and hyper's client; async
//! code in green threads; green threads in a tokio program.

use greenlit_real::{Server, async_example, run, text};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

fn serve() -> Server {
    Server::start(Command::new(async_example("hyper_server")))
}

fn curl(arguments: &[&str]) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "60"]).args(arguments);
    curl
}

const PROTOCOLS: [(&str, &str); 2] = [
    ("--http1.1", "HTTP/1.1"),
    ("--http2-prior-knowledge", "HTTP/2"),
];

#[test]
fn curl_gets_pages_by_http_1_and_2() {
    let server = serve();
    let url = format!("http://{}/", server.address);
    for (flag, version) in PROTOCOLS {
        let said = text(&run(&mut curl(&["-v", flag, &url])));
        assert!(said.contains(&format!("< {version} 200")), "{said}");
        assert!(said.contains("green thread's neighbour"), "{said}");
        let none = format!("{url}none");
        let said = text(&run(&mut curl(&["-v", flag, &none])));
        assert!(said.contains(&format!("< {version} 404")), "{said}");
    }
}

/// Over HTTP/2 nghttp asks, since Debian 12's curl cannot use such a connection twice (curl #10634).
#[test]
fn a_connection_serves_several_pages() {
    let server = serve();
    let url = format!("http://{}/", server.address);
    let said = text(&run(&mut curl(&["-v", &url, &url])));
    assert_eq!(said.matches("< HTTP/1.1 200").count(), 2, "{said}");
    assert!(said.contains("Re-using existing connection"), "{said}");

    let (slow, count) = (format!("{url}slow?ms=20"), format!("{url}count"));
    let said = text(&run(
        Command::new("nghttp").args(["-v", "-t60", &url, &slow, &count])
    ));
    assert_eq!(said.matches(":status: 200").count(), 3, "{said}");
    assert_eq!(said.matches("Connected").count(), 1, "{said}");
    assert!(said.contains("slow, but here"), "{said}");
}

/// Larger than any buffer and any window, both ways at once.
#[test]
fn bodies_come_back_unchanged() {
    let server = serve();
    let url = format!("http://{}/echo", server.address);
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    for (flag, _) in PROTOCOLS {
        let mut curl = curl(&[flag, "--data-binary", "@-", &url]);
        curl.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = curl.spawn().expect("curl");
        let mut input = child.stdin.take().expect("a pipe");
        let output = std::thread::scope(|scope| {
            let body = &body;
            scope.spawn(move || input.write_all(body).expect("curl reads"));
            child.wait_with_output().expect("curl ends")
        });
        assert!(output.stdout == body, "{flag}: 5 MB came back changed");
    }
}

/// A handler that blocks parks its own poll, and other tasks are polled on.
#[test]
fn a_handler_that_blocks_holds_up_nobody() {
    let server = serve();
    let url = |path: &str| format!("http://{}/{path}", server.address);
    let mut blocked = curl(&[&url("block?ms=3000")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl");
    wait_for_another(&url(""));
    let said = text(&run(&mut curl(&[&url("slow?ms=1")])));
    assert_eq!(said, "slow, but here\n");
    assert!(
        blocked.try_wait().expect("a child").is_none(),
        "it took so long"
    );
    let output = blocked.wait_with_output().expect("curl ends");
    assert_eq!(text(&output), "blocked nobody\n");
}

/// What is in flight when Ctrl-C comes is answered; then the server ends by itself.
#[test]
fn ctrl_c_lets_requests_in_flight_end() {
    for (flag, _) in PROTOCOLS {
        let mut command = Command::new(async_example("hyper_server"));
        command.arg("127.0.0.1:0").stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut line = move || lines.next().expect("a line").expect("text");
        let url = line().rsplit_once(' ').expect("an address").1.to_owned();
        let slow = format!("{url}slow?ms=1500");
        let slow = curl(&[flag, &slow]).stdout(Stdio::piped()).spawn();
        wait_for_another(&url);
        run(Command::new("kill").args(["-INT", &child.id().to_string()]));
        assert!(line().starts_with("not listening any more"));
        let output = slow.expect("curl").wait_with_output().expect("curl ends");
        assert_eq!(text(&output), "slow, but here\n");
        assert_eq!(line(), "ended");
        assert!(child.wait().expect("the server ends").success());
    }
}

/// Waits until the server at `url` has heard of a request beside those that ask.
fn wait_for_another(url: &str) {
    let count = || {
        let said = text(&run(&mut curl(&[&format!("{url}count")])));
        said.trim().parse::<u32>().expect("a number")
    };
    let mut asked = 1;
    while count() <= asked {
        asked += 1;
    }
}

/// How long a load lasts; 30 s before a release.
fn seconds() -> String {
    env::var("GREENLIT_WRK_SECONDS").unwrap_or("3".to_owned())
}

#[test]
fn wrk_meets_no_error_over_500_connections() {
    let server = serve();
    let (url, duration) = (
        format!("http://{}/", server.address),
        format!("-d{}s", seconds()),
    );
    let wrk = run(Command::new("wrk").args(["-c500", "-t2", "--latency", &duration, &url]));
    let said = text(&wrk);
    println!("{said}");
    assert!(wrk.status.success(), "{said}");
    assert!(!said.contains("Socket errors"), "{said}");
    assert!(!said.contains("Non-2xx"), "{said}");
    let (requests, _) = said.split_once(" requests in ").expect("wrk's summary");
    let requests = requests.rsplit_once(' ').map_or(requests, |(_, n)| n);
    // A bound that any machine keeps: ten requests a connection.
    assert!(
        requests.parse::<u64>().expect("a number") >= 5_000,
        "{said}"
    );
}

#[test]
fn h2load_meets_no_error_over_100_connections_of_10_streams() {
    let server = serve();
    let (url, duration) = (
        format!("http://{}/", server.address),
        format!("-D{}", seconds()),
    );
    let load = run(Command::new("h2load").args(["-c100", "-m10", "-t1", &duration, &url]));
    let said = text(&load);
    println!("{said}");
    assert!(load.status.success(), "{said}");
    let line = said.lines().find(|line| line.starts_with("requests:"));
    let line = line.expect("h2load's summary");
    assert!(line.ends_with("0 failed, 0 errored, 0 timeout"), "{said}");
    let done = line
        .split(", ")
        .find_map(|part| part.strip_suffix(" succeeded"));
    assert!(
        done.expect("a count").parse::<u64>().expect("a number") >= 10_000,
        "{said}"
    );
    let codes = said.lines().find(|line| line.starts_with("status codes:"));
    assert!(
        codes.expect("a line").ends_with("2xx, 0 3xx, 0 4xx, 0 5xx"),
        "{said}"
    );
}

#[test]
fn hypers_client_fetches_from_hypers_server() {
    let server = serve();
    let pages = ["", "slow?ms=20", "block?ms=20", "none"];
    let urls = pages.map(|page| format!("http://{}/{page}", server.address));
    let ends = [
        "200 OK, 39 bytes",
        "200 OK, 15 bytes",
        "200 OK, 15 bytes",
        "404 Not Found, 22 bytes",
    ];
    for (flags, version) in [(&[][..], "HTTP/1.1"), (&["--http2"], "HTTP/2.0")] {
        let mut client = Command::new(async_example("hyper_client"));
        let output = run(client.args(flags).args(&urls));
        let lines = urls.iter().zip(ends);
        let expected: String = lines
            .map(|(url, end)| format!("{url}: {version} {end}\n"))
            .collect();
        assert_eq!(text(&output), expected);
        assert!(output.status.success());
    }
    // Nobody listens there: that page fails, and the others do not.
    let dead = "http://127.0.0.1:1/".to_owned();
    let mut client = Command::new(async_example("hyper_client"));
    let output = run(client.args([&dead, &urls[0]]));
    assert!(!output.status.success());
    assert!(text(&output).contains("HTTP/1.1 200 OK"), "{output:?}");
}

#[test]
fn green_threads_use_an_async_library() {
    let output = run(&mut Command::new(async_example("async_in_green")));
    let mut expected: String = (0..10)
        .map(|n| format!("worker {n} got \"answer to /{n}\"\n"))
        .collect();
    expected += "10 answers over 1 connection, 3 at a time\n";
    assert_eq!(text(&output), expected);
    assert!(output.status.success());
}

#[test]
fn tokios_tasks_await_green_threads() {
    let output = run(&mut Command::new(async_example("green_in_tokio")));
    let expected = "1 + 2 + … + 100 = 5050\n\
                    the echo came back: \"ping\"\n\
                    a future that is not `Send`: 8\n\
                    what took too long: cancelled: tokio has waited long enough\n\
                    a panic is an error: \"no such luck\"\n\
                    after the end: cancelled: the run has ended\n";
    assert_eq!(text(&output), expected);
    assert!(output.status.success());
}
