//! An async library inside green threads: each calls it as if it blocked, by `block_on`, which parks
//! that green thread alone. The library is hyper's HTTP/2 client, over one connection that all share;
//! how many requests are in flight at once is bounded by a semaphore of tokio's, which needs no runtime.
//!
//! ```text
//! $ cargo run --release --manifest-path examples/async/Cargo.toml --bin async_in_green
//! worker 0 got "answer to /0"
//! …
//! worker 9 got "answer to /9"
//! 10 answers over 1 connection, 3 at a time
//! ```

use greenlit::future::block_on;
use greenlit::hyper::Executor;
use greenlit::net::{TcpListener, TcpStream};
use greenlit::time::Duration;
use greenlit::{future, thread};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::sync::Semaphore;

const WORKERS: usize = 10;
const AT_ONCE: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    greenlit::run(|| {
        let in_flight = Rc::new(InFlight::default());
        let address = serve(in_flight.clone())?;

        let stream = TcpStream::connect(address)?;
        let (client, connection) =
            block_on(hyper::client::conn::http2::handshake(Executor, stream))?;
        let driver = future::spawn(connection);

        let permits = Rc::new(Semaphore::new(AT_ONCE));
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let (mut client, permits) = (client.clone(), permits.clone());
                thread::spawn(move || {
                    let _permit = block_on(permits.acquire()).expect("it is never closed");
                    let request = Request::get(format!("http://{address}/{number}"));
                    let request = request
                        .body(Empty::<Bytes>::new())
                        .expect("it is well-formed");
                    let response = block_on(client.send_request(request))?;
                    let body = block_on(response.into_body().collect())?;
                    Ok::<_, hyper::Error>(body.to_bytes())
                })
            })
            .collect();
        for (number, worker) in workers.into_iter().enumerate() {
            let answer = worker.join().expect("no worker panics")?;
            println!("worker {number} got {:?}", String::from_utf8_lossy(&answer));
        }
        println!(
            "{WORKERS} answers over 1 connection, {} at a time",
            in_flight.most.get()
        );

        drop(client);
        driver.join().expect("no panic")?;
        Ok(())
    })
}

#[derive(Default)]
struct InFlight {
    now: Cell<usize>,
    most: Cell<usize>,
}

/// A server for one connection, in a green thread.
fn serve(in_flight: Rc<InFlight>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let service = service_fn(|request: Request<Incoming>| {
            let in_flight = in_flight.clone();
            async move {
                in_flight.now.set(in_flight.now.get() + 1);
                in_flight
                    .most
                    .set(in_flight.most.get().max(in_flight.now.get()));
                future::sleep(Duration::from_millis(5)).await;
                in_flight.now.set(in_flight.now.get() - 1);
                let answer = format!("answer to {}", request.uri().path());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
            }
        });
        let http = hyper::server::conn::http2::Builder::new(Executor);
        block_on(http.serve_connection(stream, service)).expect("the client closes it in order");
    });
    Ok(address)
}
