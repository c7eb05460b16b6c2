//! hyper's server on greenlit: HTTP/1 and HTTP/2, one task for each connection and no `Send` anywhere.
//! Ctrl-C ends it gracefully: it stops listening, and leaves requests in flight ten seconds.
//!
//! ```text
//! cargo run --release --manifest-path examples/async/Cargo.toml --bin hyper_server     # or … -- 127.0.0.1:0
//! curl http://127.0.0.1:8080/
//! curl --http2-prior-knowledge http://127.0.0.1:8080/
//! curl http://127.0.0.1:8080/slow?ms=1500             # its task sleeps
//! curl http://127.0.0.1:8080/block?ms=1500            # its handler blocks, and the others go on
//! curl --data-binary @file http://127.0.0.1:8080/echo
//! wrk -c 500 http://127.0.0.1:8080/
//! h2load -n 100000 -c 100 -m 10 http://127.0.0.1:8080/
//! ```

use greenlit::cancel::Scope;
use greenlit::hyper::{Executor, Timer};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::time::Duration;
use greenlit::{future, signal, thread};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;

const GRACE: Duration = Duration::from_secs(10);

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or("127.0.0.1:8080".to_owned());
    greenlit::run(|| {
        let listener = TcpListener::bind(address)?;
        println!("listening on http://{}/", listener.local_addr()?);

        let open = Scope::new();
        thread::spawn({
            let open = open.clone();
            move || {
                let _ = signal::ctrl_c();
                open.cancel("Ctrl-C");
            }
        });
        let connections = GracefulShutdown::new();
        let accepted = open.run(|| accept(&listener, &connections));
        drop(listener);
        if let Ok(Err(error)) = accepted {
            return Err(error);
        }

        println!("not listening any more; requests in flight have {GRACE:?}");
        let rest = future::timeout(GRACE, connections.shutdown());
        match future::block_on(rest) {
            Ok(()) => println!("ended"),
            Err(_) => println!("ended, and cut off what was in flight"),
        }
        Ok(())
    })
}

/// Makes a task of each connection, until the scope that it is called in is cancelled.
fn accept(listener: &TcpListener, connections: &GracefulShutdown) -> io::Result<()> {
    // What handlers share need be neither `Send` nor locked: they take turns on one OS thread.
    let requests = Rc::new(Cell::new(0));
    let mut http = Builder::new(Executor);
    http.http1().timer(Timer).pipeline_flush(true);
    http.http2().timer(Timer);
    for stream in listener.incoming() {
        let stream: TcpStream = match stream {
            Ok(stream) => stream,
            // It may be over soon: connections end.
            Err(error) if is_passing(&error) => {
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let requests = requests.clone();
        let service = service_fn(move |request| answer(request, requests.clone()));
        let connection = http.serve_connection(stream, service).into_owned();
        let connection = connections.watch(connection);
        future::spawn(async move {
            // Clients that go away in the middle are nobody's fault here.
            let _ = connection.await;
        });
    }
    Ok(())
}

/// No file descriptors are left, or no memory.
fn is_passing(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    error.kind() == io::ErrorKind::OutOfMemory
        || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

async fn answer(
    request: Request<Incoming>,
    requests: Rc<Cell<u64>>,
) -> Result<Response<Body>, Infallible> {
    requests.set(requests.get() + 1);
    let response = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Response::new(text("Hello from a green thread's neighbour!\n")),
        (&Method::GET, "/slow") => {
            future::sleep(wanted_time(&request)).await;
            Response::new(text("slow, but here\n"))
        }
        (&Method::GET, "/block") => {
            // A call that blocks, in async code: it parks this poll, and another runner polls the rest.
            thread::sleep(wanted_time(&request));
            Response::new(text("blocked nobody\n"))
        }
        (&Method::GET, "/count") => Response::new(text(format!("{}\n", requests.get()))),
        // As it comes, piece by piece.
        (&Method::POST, "/echo") => Response::new(request.into_body().boxed_unsync()),
        _ => {
            let mut response = Response::new(text("there is nothing here\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    };
    Ok(response)
}

/// What stands behind `ms=`.
fn wanted_time(request: &Request<Incoming>) -> Duration {
    let query = request.uri().query().unwrap_or_default();
    let millis = query.strip_prefix("ms=").and_then(|ms| ms.parse().ok());
    Duration::from_millis(millis.unwrap_or(100))
}

fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
