//! hyper's client on greenlit: each page is fetched by a green thread, which waits for hyper's futures.
//!
//! ```text
//! cargo run --release --manifest-path examples/async/Cargo.toml --bin hyper_client -- http://127.0.0.1:8080/ …
//! … --bin hyper_client -- --http2 http://127.0.0.1:8080/ …       # over one connection for each host
//! ```

use greenlit::hyper::{Executor, Timer};
use greenlit::net::TcpStream;
use greenlit::{future, thread};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::{Request, Response, Uri};
use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

type Page = Result<Response<Bytes>, Box<dyn Error>>;
type Http2 = http2::SendRequest<Empty<Bytes>>;

fn main() -> ExitCode {
    let (flags, urls): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with("--"));
    let is_http2 = flags.iter().any(|flag| flag == "--http2");
    greenlit::run(|| {
        // Futures and their results stay on this OS thread, so they need not be `Send`.
        let mut connections = BTreeMap::new();
        let pages: Vec<_> = urls
            .iter()
            .map(|url| {
                let uri = url.parse::<Uri>();
                let connection = match (&uri, is_http2) {
                    (Ok(uri), true) => {
                        let host = uri.authority().map(ToString::to_string);
                        let connection = connections.entry(host);
                        Some(connection.or_insert_with(|| connect(uri).ok()).clone())
                    }
                    _ => None,
                };
                thread::spawn(move || match connection {
                    None => fetch(&uri?),
                    Some(Some(http2)) => fetch_over(http2, &uri?),
                    Some(None) => Err("there is no connection".into()),
                })
            })
            .collect();
        let mut failed = false;
        for (url, page) in urls.iter().zip(pages) {
            match page.join().expect("no page panics") {
                Ok(page) => {
                    let (version, status) = (page.version(), page.status());
                    println!("{url}: {version:?} {status}, {} bytes", page.body().len());
                }
                Err(error) => {
                    eprintln!("{url}: {error}");
                    failed = true;
                }
            }
        }
        ExitCode::from(u8::from(failed))
    })
}

/// A connection of its own, by HTTP/1.
fn fetch(uri: &Uri) -> Page {
    // This parks the green thread, as std's `connect` blocks an OS thread.
    let stream = TcpStream::connect(address(uri)?)?;
    future::block_on(async {
        let (mut requests, connection) = http1::handshake(stream).await?;
        // It ends when `requests` has gone.
        future::spawn(connection);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::get(path)
            .header(HOST, host)
            .body(Empty::<Bytes>::new())?;
        whole(requests.send_request(request).await?).await
    })
}

/// A connection that all pages of one host share, by HTTP/2.
fn connect(uri: &Uri) -> Result<Http2, Box<dyn Error>> {
    let stream = TcpStream::connect(address(uri)?)?;
    let mut http = http2::Builder::new(Executor);
    http.timer(Timer);
    let (requests, connection) = future::block_on(http.handshake(stream))?;
    future::spawn(connection);
    Ok(requests)
}

fn fetch_over(mut http2: Http2, uri: &Uri) -> Page {
    future::block_on(async {
        let request = Request::get(uri).body(Empty::new())?;
        whole(http2.send_request(request).await?).await
    })
}

/// The response with all of its body.
async fn whole(response: Response<hyper::body::Incoming>) -> Page {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}

fn address(uri: &Uri) -> Result<(String, u16), Box<dyn Error>> {
    let host = uri.host().ok_or("the URL names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), uri.port_u16().unwrap_or(80)))
}
