//! The tour: what greenlit does, each with what it took. Coroutines that take turns, ten thousand
//! green threads that sleep and wake, and an echo server with a thousand clients over real sockets.
//!
//! ```text
//! cargo run --release --example tour
//! ```
//!
//! A client and its connection take two file descriptors here. The tour raises its soft limit, and
//! where that is refused it starts fewer clients and says so.

use greenlit::coroutine::{Family, YieldError};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::thread;
use greenlit::time::{Duration, Instant};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

/// How often A and B go to each other and back when nothing is printed.
const ROUNDS: u32 = 1_000_000;

const SLEEPERS: usize = 10_000;
const NAP: Duration = Duration::from_millis(100);

const CLIENTS: usize = 1_000;
const ECHOES: usize = 20;
const MESSAGE: &[u8; 64] = b"A message of sixty-four bytes, which is what small requests are.";

fn main() -> Result<(), Box<dyn Error>> {
    coroutines()?;
    greenlit::run(|| {
        sleepers()?;
        echo()?;
        Ok(())
    })
}

/// Two coroutines that yield to each other by name, outside any runtime: `examples/ping_pong.rs`
/// has the program with its steps numbered.
fn coroutines() -> Result<(), YieldError> {
    print!("Two coroutines take turns:");
    ping_pong(2, |name| print!(" {name}"))?;
    println!();

    let start = Instant::now();
    ping_pong(ROUNDS, |_| ())?;
    let each = start.elapsed().as_nanos() as f64 / f64::from(2 * ROUNDS);
    println!("  {each:.1} ns from one to the other");
    Ok(())
}

/// Goes A, B, A, B, … until each has had `rounds` turns, and calls `turn` at each.
fn ping_pong(rounds: u32, turn: impl Fn(char) + Copy + 'static) -> Result<(), YieldError> {
    let family = Family::new();
    let (a, b) = (family.declare(), family.declare());
    for (name, own, other) in [('A', a, b), ('B', b, a)] {
        family.define(own, move |here, ()| {
            for _ in 1..rounds {
                turn(name);
                here.yield_to(other)?;
            }
            turn(name);
            // A goes to B once more; when B ends, control comes back to whoever drives the family.
            if own == a {
                here.yield_to(b)?;
            }
            Ok(())
        });
    }
    family.yield_to(a)
}

/// Ten thousand green threads sleep at once. Each notes how late it woke.
fn sleepers() -> io::Result<()> {
    println!("\n{SLEEPERS} green threads sleep for {NAP:?} and wake:");
    let memory = resident()?;
    let start = Instant::now();
    let sleepers: Vec<_> = (0..SLEEPERS)
        .map(|_| {
            thread::spawn(|| {
                let asleep = Instant::now();
                thread::sleep(NAP);
                asleep.elapsed() - NAP
            })
        })
        .collect();
    println!("  spawned in {:?}", start.elapsed());

    // Let them all fall asleep, so that what they take can be seen.
    thread::yield_now();
    let taken = resident()?.saturating_sub(memory) / SLEEPERS;
    println!(
        "  asleep after {:?}, with {taken} bytes of memory each",
        start.elapsed()
    );

    let mut late: Vec<_> = sleepers
        .into_iter()
        .map(|sleeper| sleeper.join().expect("a sleeper does not panic"))
        .collect();
    late.sort();
    println!("  all awake after {:?}", start.elapsed());
    println!("  late by {:?} in the median", late[SLEEPERS / 2]);
    Ok(())
}

/// A server and its clients, all green threads of this one OS thread.
fn echo() -> io::Result<()> {
    let clients = allowed_clients();
    println!("\nA TCP echo server and {clients} clients that send {ECHOES} messages each:");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || serve(&listener));

    let start = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|_| thread::spawn(move || client(address)))
        .collect();
    let mut echoes = 0;
    for client in clients {
        echoes += client.join().expect("a client does not panic")?;
    }
    let took = start.elapsed();
    println!("  {echoes} echoes in {took:?}");
    println!("  {:.0} a second", echoes as f64 / took.as_secs_f64());
    Ok(())
}

/// One green thread for each connection, as one would write it with OS threads.
fn serve(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || io::copy(&mut &stream, &mut &stream));
    }
    Ok(())
}

fn client(server: SocketAddr) -> io::Result<usize> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    for _ in 0..ECHOES {
        stream.write_all(MESSAGE)?;
        let mut answer = [0; MESSAGE.len()];
        stream.read_exact(&mut answer)?;
        assert_eq!(answer, *MESSAGE, "an echo says what was said");
    }
    Ok(ECHOES)
}

/// How many clients the limit on open files allows, after it was raised as far as it goes.
fn allowed_clients() -> usize {
    // Two for a client, and some for stdio, the listener and the runtime.
    let wanted = 2 * CLIENTS as u64 + 64;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return CLIENTS;
    };
    let raised = wanted.min(hard).max(soft);
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
        Ok(()) => raised,
        Err(_) => soft,
    };
    let allowed = CLIENTS.min(limit.saturating_sub(64) as usize / 2).max(1);
    if allowed < CLIENTS {
        println!(
            "\n(At most {limit} open files are allowed, so {allowed} clients instead of {CLIENTS}.)"
        );
    }
    allowed
}

/// Bytes of memory that the process has now.
fn resident() -> io::Result<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    Ok(pages.unwrap_or(0) * 4096)
}
