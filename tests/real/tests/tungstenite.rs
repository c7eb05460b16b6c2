//! tungstenite over greenlit's streams: WebSocket servers and clients on one OS thread.

mod certificate;

use certificate::Ends;
use greenlit::net::{TcpListener, TcpStream};
use greenlit::os::unix::net::UnixStream;
use greenlit::thread;
use greenlit_real::gate::{Gate, together};
use std::io::{Read, Write};
use std::sync::Arc;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Error, Message, WebSocket, accept, accept_hdr, client};

/// How many connections are open at once.
const MANY: usize = 100;

/// More than one `read` brings.
const BYTES: usize = 200 * 1024;

#[test]
fn a_hundred_echoes_are_under_way_at_once() {
    greenlit::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody is answered before the first message of each is there.
        let all_asked = Arc::new(Gate::new(MANY));
        thread::spawn({
            let all_asked = Arc::clone(&all_asked);
            move || {
                for stream in listener.incoming() {
                    let stream = stream.unwrap();
                    let all_asked = Arc::clone(&all_asked);
                    thread::spawn(move || {
                        serve(accept(stream).unwrap(), || all_asked.pass());
                    });
                }
            }
        });

        together(MANY, |number| {
            let stream = TcpStream::connect(address).unwrap();
            let (mut socket, response) = client("ws://localhost/", stream).unwrap();
            assert_eq!(response.status(), 101);
            let text = format!("the words of {number}");
            socket.send(Message::text(&text)).unwrap();
            assert_eq!(socket.read().unwrap(), Message::text(&text));
            assert!(all_asked.is_open(), "an answer before its time");
            talk(socket, number);
        });
    });
}

/// What the handshake carries arrives on the other side, and a server may refuse.
#[test]
fn a_handshake_is_read_and_refused() {
    greenlit::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for stream in listener.incoming().take(2) {
                    let _ = accept_hdr(stream.unwrap(), admit);
                }
            });
            let connect = |path: &str| {
                let stream = TcpStream::connect(address).unwrap();
                let answer = client(format!("ws://localhost{path}"), stream);
                answer.map_err(|error| error.to_string())
            };
            let (_socket, response) = connect("/open").unwrap();
            assert_eq!(response.headers()["x-path"], "/open");
            let refused = connect("/closed").unwrap_err();
            assert!(refused.contains("403"), "{refused}");
        });
    });

    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    fn admit(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let path = request.uri().path();
        if path == "/closed" {
            let refusal = ErrorResponse::new(None);
            let (mut parts, body) = refusal.into_parts();
            parts.status = tungstenite::http::StatusCode::FORBIDDEN;
            return Err(ErrorResponse::from_parts(parts, body));
        }
        let path = path.parse().unwrap();
        response.headers_mut().insert("x-path", path);
        Ok(response)
    }
}

/// A stream is a stream: the same over TLS, and over a Unix socket.
#[test]
fn tls_and_unix_sockets_carry_it_too() {
    greenlit::run(|| {
        let ends = Ends::new();
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut socket = serve(accept(ends.accept(theirs)).unwrap(), || ());
                // TLS has a goodbye of its own.
                socket.get_mut().conn.send_close_notify();
                socket.get_mut().flush().unwrap();
            });
            let stream = ends.connect(ours);
            talk(client("wss://localhost/", stream).unwrap().0, 1);
        });
    });
}

/// A peer that is gone without a word is an error, and no hang.
#[test]
fn a_lost_peer_is_an_error() {
    greenlit::run(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| drop(accept(theirs).unwrap()));
            let (mut socket, _) = client("ws://localhost/", ours).unwrap();
            let error = socket.read().unwrap_err();
            assert!(
                matches!(error, Error::Protocol(_) | Error::Io(_)),
                "{error}"
            );
        });
    });
}

/// Gives back texts and binaries until the client closes; `before_first` runs when the first message
/// has arrived. Returns what is left of the connection.
fn serve<S: Read + Write>(mut socket: WebSocket<S>, before_first: impl FnOnce()) -> WebSocket<S> {
    let mut before_first = Some(before_first);
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                if let Some(before_first) = before_first.take() {
                    before_first();
                }
                socket.send(message).unwrap();
            }
            // Pings and closes are answered by tungstenite, while it reads.
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return socket,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Has one of each kind of message answered, and closes.
fn talk<S: Read + Write>(mut socket: WebSocket<S>, number: usize) {
    let binary = Bytes::from(vec![number as u8; BYTES]);
    socket.send(Message::Binary(binary.clone())).unwrap();
    assert!(
        socket.read().unwrap() == Message::Binary(binary),
        "{number}"
    );

    // Many messages on the way at once come back in order.
    let texts: Vec<_> = (0..20)
        .map(|n| Message::text(format!("{number}.{n}")))
        .collect();
    for text in &texts {
        socket.write(text.clone()).unwrap();
    }
    socket.flush().unwrap();
    for text in texts {
        assert_eq!(socket.read().unwrap(), text);
    }

    let ping = Bytes::from_static(b"are you there");
    socket.send(Message::Ping(ping.clone())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(ping));

    let goodbye = CloseFrame {
        code: CloseCode::Normal,
        reason: "enough".into(),
    };
    socket.close(Some(goodbye.clone())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(Some(goodbye)));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
}
