//! An echo server: one green thread a connection, written as one would with OS threads and
//! `std::net`.
//!
//! ```text
//! cargo run --release --example echo_server            # or with an address: … -- 127.0.0.1:0
//! nc 127.0.0.1 7000
//! ```

use greenlit::net::TcpListener;
use greenlit::thread;
use greenlit::time::Duration;
use std::{env, io};

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:7000".to_owned());
    greenlit::run(|| {
        let listener = TcpListener::bind(address)?;
        println!("listening on {}", listener.local_addr()?);
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => {
                    thread::spawn(move || io::copy(&mut &stream, &mut &stream));
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
