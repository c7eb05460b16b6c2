//! HTTP on green threads: ureq over a transport of greenlit's, curl, and a server over httparse, all
//! in one runtime on one OS thread.

mod certificate;
mod site;
mod transport;

use certificate::Ends;
use greenlit::process::Command;
use greenlit::sync::{Arc, Event};
use greenlit::thread;
use greenlit::time::Duration;
use greenlit_real::gate::{Gate, together};
use site::{Response, Site, Then};
use std::cell::Cell;
use std::io::ErrorKind;
use transport::agent;
use ureq::config::Config;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Error, SendBody, Timeout};

/// How many requests are in flight at once.
const MANY: usize = 100;

/// Of a body: more than any one `read` brings.
const BYTES: usize = 300 * 1024;

#[test]
fn a_hundred_requests_are_in_flight_at_once() {
    greenlit::run(|| {
        let (site, all_asked) = a_patient_site();
        let agent = agent(Config::default());
        together(MANY, |number| {
            let page = get(&agent, &site.url(&format!("/{number}")));
            assert_eq!(page.unwrap(), format!("page /{number}\n"));
            assert!(all_asked.is_open(), "an answer before its time");
        });
        assert_eq!(site.connections(), MANY);
    });
}

/// The same with a client that knows nothing of greenlit, and is waited for in the same runtime.
#[test]
fn curl_has_a_hundred_requests_in_flight() {
    greenlit::run(|| {
        let (site, _) = a_patient_site();
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--max-time",
            "90",
            "--parallel",
            "--parallel-immediate",
        ]);
        curl.args(["--parallel-max", "100"]);
        let output = curl.arg(site.url("/[1-100]")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let mut pages: Vec<_> = said.lines().collect();
        pages.sort_unstable();
        let mut expected: Vec<_> = (1..=MANY).map(|n| format!("page /{n}")).collect();
        expected.sort_unstable();
        assert_eq!(pages, expected);
    });
}

#[test]
fn a_hundred_requests_over_tls_are_in_flight_at_once() {
    greenlit::run(|| {
        let ends = Arc::new(Ends::new());
        let all_asked = Arc::new(Gate::new(MANY));
        let wrap = {
            let ends = Arc::clone(&ends);
            move |stream| ends.accept(stream)
        };
        let site = Site::open_over(wrap, {
            let all_asked = Arc::clone(&all_asked);
            move |request| {
                all_asked.pass();
                Response::new(200, request.body.clone())
            }
        });
        let roots =
            RootCerts::new_with_certs(&[Certificate::from_der(&ends.certificate).to_owned()]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = agent(Agent::config_builder().tls_config(tls).build());
        // The certificate is for the name, which is looked up each time.
        let url = format!("https://localhost:{}/", site.address.port());
        together(MANY, |number| {
            let body = vec![number as u8; 4096];
            let mut answer = agent.post(&url).send(&body).unwrap();
            assert!(answer.body_mut().read_to_vec().unwrap() == body);
            assert!(all_asked.is_open(), "an answer before its time");
        });
    });
}

#[test]
fn bodies_come_back_unchanged() {
    greenlit::run(|| {
        let site = Site::open(|request| match request.method.as_str() {
            "POST" => Response::new(200, request.body.clone()),
            _ => Response::new(405, ""),
        });
        let agent = agent(Config::default());
        let body: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
        let mut sized = agent.post(site.url("/")).send(&body).unwrap();
        assert!(sized.body_mut().read_to_vec().unwrap() == body);
        // Without a length it goes out in chunks.
        let mut reader = &body[..];
        let chunks = SendBody::from_reader(&mut reader);
        let mut chunked = agent.post(site.url("/")).send(chunks).unwrap();
        assert!(chunked.body_mut().read_to_vec().unwrap() == body);
        assert_eq!(site.connections(), 1);
    });
}

#[test]
fn a_connection_is_kept_until_the_server_closes_it() {
    greenlit::run(|| {
        let site = Site::open(|request| Response {
            then: match request.path.as_str() {
                "/last" => Then::Close,
                "/lost" => Then::Vanish,
                _ => Then::Keep,
            },
            ..Response::new(200, "page")
        });
        let agent = agent(Config::default());
        for (round, path) in ["/last", "/lost", "/"].into_iter().enumerate() {
            for _ in 0..10 {
                assert_eq!(get(&agent, &site.url("/")).unwrap(), "page");
            }
            assert_eq!(site.connections(), round + 1);
            // After this one it is the transport that has to see that the connection is gone.
            assert_eq!(get(&agent, &site.url(path)).unwrap(), "page");
            while path != "/" && site.ended() == round {
                thread::yield_now();
            }
        }
    });
}

/// More green threads than connections in the pool, all through one agent: its lock, which is std's,
/// stalls nobody.
#[test]
fn a_pool_is_shared() {
    greenlit::run(|| {
        let site = Site::open(|request| Response::new(200, request.path.clone()));
        let agent = agent(
            Agent::config_builder()
                .max_idle_connections_per_host(5)
                .build(),
        );
        together(MANY, |number| {
            for round in 0..10 {
                let path = format!("/{number}/{round}");
                assert_eq!(get(&agent, &site.url(&path)).unwrap(), path);
            }
        });
        assert!(site.connections() < 10 * MANY, "{}", site.connections());
    });
}

/// The server answers when all hundred have given up, and not before.
#[test]
fn a_hundred_timeouts_pass_at_once() {
    greenlit::run(|| {
        let given_up = Arc::new(Event::new());
        let site = Site::open({
            let given_up = Arc::clone(&given_up);
            move |request| {
                if request.path == "/late" {
                    given_up.wait();
                }
                Response::new(200, "page")
            }
        });
        let config = Agent::config_builder();
        let agent = agent(
            config
                .timeout_recv_response(Some(Duration::from_millis(100)))
                .build(),
        );
        let (under_way, most) = (Cell::new(0), Cell::new(0));
        together(MANY, |_| {
            under_way.update(|count| count + 1);
            most.set(most.get().max(under_way.get()));
            let error = get(&agent, &site.url("/late")).unwrap_err();
            under_way.update(|count| count - 1);
            let is_timeout = matches!(error, Error::Timeout(Timeout::RecvResponse));
            assert!(is_timeout, "{error}");
        });
        assert_eq!(most.get(), MANY);
        given_up.set();
        let patient = transport::agent(Config::default());
        assert_eq!(get(&patient, &site.url("/late")).unwrap(), "page");
    });
}

#[test]
fn failures_are_told_apart() {
    greenlit::run(|| {
        let site = Site::open(|request| Response::new(404, request.path.clone()));
        let agent = agent(Config::default());
        let missing = get(&agent, &site.url("/nothing")).unwrap_err();
        assert!(matches!(missing, Error::StatusCode(404)), "{missing}");
        // A port that was free a moment ago, and that nobody listens on.
        let closed = greenlit::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        match get(&agent, &format!("http://{address}/")).unwrap_err() {
            Error::Io(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
            other => panic!("{other}"),
        }
    });
}

/// What an agent's `shutdown` does to requests in the middle of a `read`.
#[test]
fn a_shutdown_ends_what_is_parked() {
    greenlit::run(|| {
        // All have asked, and nobody is ever answered.
        let all_asked = Arc::new(Gate::new(11));
        let site = Site::open({
            let all_asked = Arc::clone(&all_asked);
            move |_| {
                all_asked.pass();
                loop {
                    thread::park();
                }
            }
        });
        let agent = agent(Config::default());
        thread::scope(|scope| {
            let asking: Vec<_> = (0..10)
                .map(|_| scope.spawn(|| get(&agent, &site.url("/")).map_err(|e| e.to_string())))
                .collect();
            all_asked.pass();
            agent.clone().shutdown();
            for asking in asking {
                let answer = asking.join().unwrap();
                assert!(answer.is_err(), "{answer:?}");
            }
        });
    });
}

/// A server that answers nobody before it has been asked a hundred times.
fn a_patient_site() -> (Site, Arc<Gate>) {
    let all_asked = Arc::new(Gate::new(MANY));
    let site = Site::open({
        let all_asked = Arc::clone(&all_asked);
        move |request| {
            all_asked.pass();
            Response::new(200, format!("page {}\n", request.path))
        }
    });
    (site, all_asked)
}

fn get(agent: &Agent, url: &str) -> Result<String, Error> {
    agent.get(url).call()?.body_mut().read_to_string()
}
