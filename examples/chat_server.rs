//! A chat server as one writes it with OS threads, ported by its `use` lines and a `run`.
//!
//! ```text
//! $ cargo run --release --example chat_server
//! $ nc 127.0.0.1 7000                  $ nc 127.0.0.1 7000
//! hello                                127.0.0.1:50324: hello
//! ```

use greenlit::io::{self, BufRead, BufReader, Write};
use greenlit::net::{SocketAddr, TcpListener, TcpStream};
use greenlit::sync::mpsc::{self, Receiver, Sender};
use greenlit::thread;
use std::collections::HashMap;

/// What happens to a client.
enum Event {
    Joined(SocketAddr, TcpStream),
    Said(SocketAddr, String),
    Left(SocketAddr),
}

fn main() -> io::Result<()> {
    greenlit::run(|| {
        let (events, receiver) = mpsc::channel();
        thread::spawn(move || hub(receiver));
        let listener = TcpListener::bind("127.0.0.1:7000")?;
        for stream in listener.incoming() {
            let (stream, events) = (stream?, events.clone());
            thread::spawn(move || listen(stream, events));
        }
        Ok(())
    })
}

/// Tells the hub what one client says. Its end, however it comes, is the client's leaving.
fn listen(stream: TcpStream, events: Sender<Event>) -> io::Result<()> {
    let from = stream.peer_addr()?;
    let _ = events.send(Event::Joined(from, stream.try_clone()?));
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let _ = events.send(Event::Said(from, format!("{from}: {line}\n")));
    }
    let _ = events.send(Event::Left(from));
    Ok(())
}

/// Passes on to all what one of them says.
fn hub(events: Receiver<Event>) {
    let mut clients = HashMap::<_, TcpStream>::new();
    for event in events {
        match event {
            Event::Joined(client, stream) => drop(clients.insert(client, stream)),
            Event::Left(client) => drop(clients.remove(&client)),
            // One that cannot be written to leaves.
            Event::Said(from, line) => clients.retain(|client, stream| {
                *client == from || stream.write_all(line.as_bytes()).is_ok()
            }),
        }
    }
}
