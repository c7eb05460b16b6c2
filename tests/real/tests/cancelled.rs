//! Libraries that read and write by themselves, cancelled in the middle over greenlit's streams: they
//! end at once, and go on afterwards where that makes sense.

mod certificate;

use certificate::Ends;
use greenlit::cancel::{self, Cancelled, Scope};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::thread;
use greenlit::time::{self, Duration, Instant};
use serde_json::{Deserializer, Value, json};
use std::any::Any;
use std::cell::RefCell;
use std::io::{self, BufReader, Read, Write};
use std::rc::Rc;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket, accept_with_config, client};

/// Who ends the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Scope,
    Timeout,
    Handle,
}

const ALL: [By; 3] = [By::Scope, By::Timeout, By::Handle];

/// Runs `body` in a green thread until nothing else can run, so that it waits, and cancels it.
/// Returns what the body did; `None` where the cancel has ended it.
fn cancelled<R: 'static>(by: By, body: impl FnOnce() -> R + 'static) -> Option<R> {
    let scope = Scope::new();
    let inside = scope.clone();
    match by {
        By::Scope => {
            let worker = thread::spawn(move || inside.run(body));
            settle();
            scope.cancel("enough");
            worker.join().unwrap().ok()
        }
        By::Timeout => {
            let limit = Duration::from_millis(50);
            let worker = thread::spawn(move || time::timeout(limit, body));
            worker.join().unwrap().ok()
        }
        By::Handle => {
            let worker = thread::spawn(body);
            settle();
            worker.cancel("enough");
            let payload = |payload: Box<dyn Any + Send>| assert!(payload.is::<Cancelled>());
            worker.join().map_err(payload).ok()
        }
    }
}

/// Lets what has arrived over loopback be read, so that who reads waits for more.
fn settle() {
    let end = Instant::now() + Duration::from_millis(20);
    while Instant::now() < end {
        thread::yield_now();
    }
}

fn shared<T>(value: T) -> Rc<RefCell<T>> {
    Rc::new(RefCell::new(value))
}

/// Two ends of a TCP connection.
fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn json_ends_in_a_document_and_those_before_it_are_kept() {
    for by in ALL {
        greenlit::run(|| {
            let (reader, mut writer) = connected();
            writer.write_all(br#"{"number": 1} {"number": 2"#).unwrap();
            let (reader, values) = (Rc::new(reader), shared(Vec::new()));
            let body = {
                let (reader, values) = (Rc::clone(&reader), Rc::clone(&values));
                move || {
                    for value in Deserializer::from_reader(BufReader::new(&*reader)).into_iter() {
                        let value: Value = value.unwrap();
                        values.borrow_mut().push(value);
                    }
                }
            };
            assert!(cancelled(by, body).is_none(), "{by:?}");
            assert_eq!(*values.borrow(), [json!({"number": 1})], "{by:?}");

            // Another document, of another reader.
            writer.write_all(b"[3]").unwrap();
            drop(writer);
            let value: Value = serde_json::from_reader(&*reader).unwrap();
            assert_eq!(value, json!([3]));
        });
    }
}

/// Frames of which nobody knows whether they unwind: the library gets an error that it passes on.
#[test]
fn json_that_cannot_be_unwound_gets_an_error() {
    greenlit::run(|| {
        let (reader, mut writer) = connected();
        writer.write_all(b"[1, 2").unwrap();
        let body = move || {
            cancel::no_unwind(|| serde_json::from_reader::<_, Value>(BufReader::new(&reader)))
        };
        let error = cancelled(By::Scope, body).unwrap().unwrap_err();
        assert_eq!(error.io_error_kind(), Some(io::ErrorKind::Other));
        let error = io::Error::from(error);
        assert!(
            error.get_ref().is_some_and(|inner| inner.is::<Cancelled>()),
            "{error:?}"
        );
    });
}

#[test]
fn a_handshake_ends_whose_other_end_is_silent() {
    for by in ALL {
        greenlit::run(|| {
            let (ends, (near, mut far)) = (Ends::new(), connected());
            let body = move || ends.connect(near).write_all(b"hello");
            assert!(cancelled(by, body).is_none(), "{by:?}");
            // Its greeting, and its end: the stream was dropped.
            let mut greeting = Vec::new();
            far.read_to_end(&mut greeting).unwrap();
            assert_eq!(greeting[0], 22, "a handshake record");
        });
    }
}

/// The bytes that came are in rustls's buffer, and the read after it goes on from them.
#[test]
fn half_a_tls_record_waits_for_its_other_half() {
    for by in ALL {
        greenlit::run(|| {
            let (ends, (near, far)) = (Ends::new(), connected());
            let (mut far, near) = (ends.accept(far), shared(ends.connect(near)));
            let greeter = thread::spawn({
                let near = Rc::clone(&near);
                move || near.borrow_mut().write_all(b"hello").unwrap()
            });
            far.read_exact(&mut [0; 5]).unwrap();
            greeter.join().unwrap();

            let message: Vec<u8> = (0..9000_u32).map(|at| at as u8).collect();
            far.conn.writer().write_all(&message).unwrap();
            let mut wire = Vec::new();
            while far.conn.wants_write() {
                far.conn.write_tls(&mut wire).unwrap();
            }
            let (first, second) = wire.split_at(wire.len() / 2);
            far.sock.write_all(first).unwrap();
            let body = {
                let near = Rc::clone(&near);
                move || near.borrow_mut().read(&mut [0; 100])
            };
            assert!(cancelled(by, body).is_none(), "{by:?}");

            far.sock.write_all(second).unwrap();
            let mut received = vec![0; message.len()];
            near.borrow_mut().read_exact(&mut received).unwrap();
            assert!(received == message, "{by:?}");
        });
    }
}

/// tungstenite enlarges its buffer for a read and cuts it down to size afterwards, so that one which
/// was unwound in the middle is good for nothing but its drop. Where it gets an error instead, as from
/// any stream with a timeout, it goes on.
#[test]
fn half_a_websocket_frame_ends_the_read_and_an_error_lets_it_go_on() {
    for by in ALL {
        for unwinds in [true, false] {
            greenlit::run(|| {
                let (near, mut server) = websockets();
                let payload: Vec<u8> = (0..1000_u32).map(|at| at as u8).collect();
                let mut frame = vec![0x82, 126, 0x03, 0xe8];
                frame.extend(&payload);
                let (first, second) = frame.split_at(500);
                server.get_mut().write_all(first).unwrap();
                let body = {
                    let near = Rc::clone(&near);
                    move || match unwinds {
                        true => near.borrow_mut().read(),
                        false => cancel::no_unwind(|| near.borrow_mut().read()),
                    }
                };
                let ended = cancelled(by, body);
                assert_eq!(ended.is_none(), unwinds, "{by:?}");
                let Some(result) = ended else {
                    drop(near);
                    let end = server.get_mut().read(&mut [0]).unwrap();
                    assert_eq!(end, 0, "the stream was dropped");
                    return;
                };
                match result.unwrap_err() {
                    Error::Io(error) => {
                        assert!(error.get_ref().is_some_and(|inner| inner.is::<Cancelled>()));
                    }
                    error => panic!("{error:?}"),
                }
                server.get_mut().write_all(second).unwrap();
                let message = near.borrow_mut().read().unwrap();
                assert_eq!(message, Message::binary(payload), "{by:?}");
            });
        }
    }
}

/// What could not be written yet lies in tungstenite's buffer.
#[test]
fn a_websocket_message_is_sent_on_after_a_cancel() {
    for by in ALL {
        greenlit::run(|| {
            let (near, mut server) = websockets();
            // More than any socket's buffers hold.
            let message = Message::binary(vec![b'x'; 24 << 20]);
            let body = {
                let (near, message) = (Rc::clone(&near), message.clone());
                move || near.borrow_mut().send(message)
            };
            assert!(cancelled(by, body).is_none(), "{by:?}");

            let receiver = thread::spawn(move || server.read().unwrap());
            near.borrow_mut().flush().unwrap();
            assert!(receiver.join().unwrap() == message, "{by:?}");
        });
    }
}

/// Two ends of a WebSocket, which bound no message's size.
fn websockets() -> (Rc<RefCell<WebSocket<TcpStream>>>, WebSocket<TcpStream>) {
    let (near, far) = connected();
    let config = WebSocketConfig::default().max_frame_size(None);
    let accept = move || accept_with_config(far, Some(config)).unwrap();
    let server = thread::spawn(accept);
    let (near, _) = client("ws://localhost/", near).unwrap();
    (shared(near), server.join().unwrap())
}
