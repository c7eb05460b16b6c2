//! rustls over greenlit's streams: both ends of a TLS connection, on one OS thread.

mod certificate;

use certificate::Ends;
use greenlit::net::{Shutdown, TcpListener, TcpStream};
use greenlit::thread;
use greenlit::time::Duration;
use greenlit_real::gate::{Gate, together};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

/// How many connections are open at once.
const MANY: usize = 100;

/// Of a message, one way: many records.
const BYTES: usize = 300 * 1024;

/// A message of its own for each connection, and for each way.
fn message(number: usize, way: usize) -> Vec<u8> {
    let words = format!("number {number}, way {way}; ");
    let mut message = words.repeat(BYTES / words.len() + 1).into_bytes();
    message.truncate(BYTES);
    message
}

#[test]
fn a_hundred_connections_talk_at_once() {
    greenlit::run(|| {
        let ends = Arc::new(Ends::new());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody is answered before the last byte of all requests is there.
        let all_asked = Arc::new(Gate::new(MANY));
        thread::spawn({
            let (ends, all_asked) = (Arc::clone(&ends), Arc::clone(&all_asked));
            move || {
                for stream in listener.incoming() {
                    let mut stream = ends.accept(stream.unwrap());
                    let all_asked = Arc::clone(&all_asked);
                    thread::spawn(move || {
                        let mut number = [0];
                        stream.read_exact(&mut number).unwrap();
                        let mut request = vec![0; BYTES];
                        stream.read_exact(&mut request).unwrap();
                        let number = usize::from(number[0]);
                        assert!(request == message(number, 0), "request {number} changed");
                        all_asked.pass();
                        stream.write_all(&message(number, 1)).unwrap();
                        stream.conn.send_close_notify();
                        stream.flush().unwrap();
                    });
                }
            }
        });

        together(MANY, |number| {
            let mut stream = ends.connect(TcpStream::connect(address).unwrap());
            stream.write_all(&[number as u8]).unwrap();
            stream.write_all(&message(number, 0)).unwrap();
            stream.flush().unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(all_asked.is_open(), "an answer before its time");
            assert!(answer == message(number, 1), "answer {number} changed");
        });
    });
}

/// Some megabytes each way over one connection, both ends in turns.
#[test]
fn an_echo_of_many_records_comes_back_unchanged() {
    greenlit::run(|| {
        let ends = Ends::new();
        let (client, server) = connected();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = ends.accept(server);
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    match stream.read(&mut buffer).unwrap() {
                        0 => break,
                        count => stream.write_all(&buffer[..count]).unwrap(),
                    }
                }
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            });
            let mut stream = ends.connect(client);
            for round in 0..8 {
                let sent = message(round, 0);
                let mut received = vec![0; sent.len()];
                let parts = sent.chunks(48 * 1024);
                for (sent, received) in parts.zip(received.chunks_mut(48 * 1024)) {
                    stream.write_all(sent).unwrap();
                    stream.flush().unwrap();
                    stream.read_exact(received).unwrap();
                }
                assert!(received == sent, "round {round} changed");
            }
            stream.conn.send_close_notify();
            stream.flush().unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        });
    });
}

#[test]
fn a_goodbye_is_told_from_a_cut() {
    greenlit::run(|| {
        let ends = Ends::new();
        for says_goodbye in [true, false] {
            let (client, server) = connected();
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut stream = ends.connect(client);
                    stream.write_all(b"all there is").unwrap();
                    if says_goodbye {
                        stream.conn.send_close_notify();
                    }
                    stream.flush().unwrap();
                    stream.sock.shutdown(Shutdown::Write).unwrap();
                    // The other way is open still.
                    let mut last_word = Vec::new();
                    stream.read_to_end(&mut last_word).unwrap();
                    assert_eq!(last_word, b"the last word");
                });
                let mut stream = ends.accept(server);
                let mut words = Vec::new();
                let end = stream.read_to_end(&mut words).map_err(|error| error.kind());
                assert_eq!(words, b"all there is");
                let expected = match says_goodbye {
                    true => Ok(words.len()),
                    false => Err(ErrorKind::UnexpectedEof),
                };
                assert_eq!(end, expected);
                stream.write_all(b"the last word").unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            });
        }
    });
}

/// The timeout is the stream's below, and what it interrupts goes on afterwards.
#[test]
fn a_timeout_passes_through_and_harms_nothing() {
    greenlit::run(|| {
        let ends = Ends::new();
        let (client, server) = connected();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = ends.accept(server);
                let mut word = [0; 5];
                // The answer comes only when it was asked for a second time.
                for _ in 0..2 {
                    stream.read_exact(&mut word).unwrap();
                    assert_eq!(&word, b"hello");
                }
                stream.write_all(b"world").unwrap();
            });
            let mut stream = ends.connect(client);
            stream.write_all(b"hello").unwrap();
            let timeout = Some(Duration::from_millis(20));
            stream.sock.set_read_timeout(timeout).unwrap();
            let mut word = [0; 5];
            let error = stream.read(&mut word).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            stream.sock.set_read_timeout(None).unwrap();
            stream.write_all(b"hello").unwrap();
            stream.read_exact(&mut word).unwrap();
            assert_eq!(&word, b"world");
        });
    });
}

/// A client that does not trust the certificate says so, and both ends learn of it.
#[test]
fn a_stranger_is_turned_away() {
    greenlit::run(|| {
        let (ends, others) = (Ends::new(), Ends::new());
        let (client, server) = connected();
        thread::scope(|scope| {
            scope.spawn(|| {
                let error = ends.accept(server).read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData);
                assert!(error.to_string().contains("alert"), "{error}");
            });
            let error = others.connect(client).write_all(b"hello").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains("certificate"), "{error}");
        });
    });
}

/// Two ends of a TCP connection.
fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}
