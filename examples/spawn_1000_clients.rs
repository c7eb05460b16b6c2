//! A thousand clients, a green thread each, that all talk to an echo server at the same time.
//!
//! ```text
//! cargo run --release --example spawn_1000_clients                      # with a server of its own
//! cargo run --release --example spawn_1000_clients -- 127.0.0.1:7000    # with echo_server
//! ```
//!
//! It raises its soft limit on open files, and where that is refused it starts fewer clients and
//! says so.

use greenlit::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use greenlit::thread;
use greenlit::time::Instant;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::{env, rc::Rc};

const CLIENTS: usize = 1000;
const ROUNDS: usize = 10;

fn main() -> io::Result<()> {
    greenlit::run(|| {
        let server = match env::args().nth(1) {
            Some(address) => address
                .to_socket_addrs()?
                .next()
                .ok_or(io::ErrorKind::AddrNotAvailable)?,
            None => start_server()?,
        };
        let clients = allowed_clients();

        let started = Instant::now();
        let connected = Rc::new(Cell::new(0));
        let handles: Vec<_> = (0..clients)
            .map(|number| {
                let connected = Rc::clone(&connected);
                thread::spawn(move || talk(server, number, clients, &connected))
            })
            .collect();
        for handle in handles {
            handle.join().expect("a client does not panic")?;
        }
        let echoes = clients * ROUNDS;
        println!(
            "{clients} clients at once, {echoes} echoes, in {:?}",
            started.elapsed()
        );
        Ok(())
    })
}

/// Waits until all clients are connected, then sends its messages and checks what comes back.
fn talk(
    server: SocketAddr,
    number: usize,
    clients: usize,
    connected: &Cell<usize>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    connected.set(connected.get() + 1);
    while connected.get() < clients {
        thread::yield_now();
    }
    for round in 0..ROUNDS {
        let message = format!("client {number}, round {round}");
        stream.write_all(message.as_bytes())?;
        let mut echo = vec![0; message.len()];
        stream.read_exact(&mut echo)?;
        assert_eq!(echo, message.as_bytes(), "an echo says what was said");
    }
    Ok(())
}

/// An echo server in this runtime, for want of one elsewhere.
fn start_server() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || -> io::Result<()> {
        for stream in listener.incoming() {
            let stream = stream?;
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
        Ok(())
    });
    Ok(address)
}

/// How many clients the limit on open files allows, after it was raised as far as need be.
fn allowed_clients() -> usize {
    // Two for a client and its connection, and some for stdio, the listener and the runtime.
    const OTHERS: u64 = 64;
    let wanted = 2 * CLIENTS as u64 + OTHERS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return CLIENTS;
    };
    let raised = wanted.min(hard).max(soft);
    let limit = setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map_or(soft, |()| raised);
    let allowed = CLIENTS
        .min(limit.saturating_sub(OTHERS) as usize / 2)
        .max(1);
    if allowed < CLIENTS {
        println!("at most {limit} open files are allowed: {allowed} clients instead of {CLIENTS}");
    }
    allowed
}
