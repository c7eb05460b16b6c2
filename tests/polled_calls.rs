//! The calls of sockets as futures: accept, connect, datagrams, look-ups.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_core::Stream;
use greenlit::future::{block_on, spawn};
use greenlit::io::{Read, Source, Write, split};
use greenlit::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use greenlit::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use greenlit::{run, thread};

use crate::polling::{Count, close, poll_once, poll_with, read, read_exact, write_all};
use crate::scene::{Folder, settle, until};

fn is_send<T: Send>(future: T) -> T {
    future
}

async fn next<S: Stream + Unpin>(mut stream: S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await
}

/// A server and its clients, all tasks.
#[test]
fn connections_are_accepted_and_made() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(async move {
            let (stream, peer) = is_send(listener.accept_async()).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), peer);
            let mut incoming = listener.incoming_async();
            let second = next(&mut incoming).await.unwrap().unwrap();
            for stream in [stream, second] {
                let mut buf = [0; 4];
                read_exact(&stream, &mut buf).await.unwrap();
                write_all(&stream, &buf).await.unwrap();
            }
        });
        let clients: Vec<_> = (0..2)
            .map(|_| {
                spawn(async move {
                    let stream = is_send(TcpStream::connect_async(address)).await.unwrap();
                    write_all(&stream, b"ping").await.unwrap();
                    let mut buf = [0; 4];
                    read_exact(&stream, &mut buf).await.unwrap();
                    assert_eq!(&buf, b"ping");
                    assert_eq!(read(&stream, &mut buf).await.unwrap(), 0);
                })
            })
            .collect();
        server.join().unwrap();
        for client in clients {
            client.join().unwrap();
        }
        let refused = block_on(TcpStream::connect_async(address)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn unix_connections_are_accepted_and_made() {
    let folder = Folder::new();
    run(|| {
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = spawn(async move {
            let (stream, _) = is_send(listener.accept_async()).await.unwrap();
            write_all(&stream, b"first").await.unwrap();
            let second = next(listener.incoming_async()).await.unwrap().unwrap();
            write_all(&second, b"other").await.unwrap();
        });
        for expected in [b"first", b"other"] {
            let mut buf = [0; 5];
            block_on(async {
                let stream = is_send(UnixStream::connect_async(&path)).await.unwrap();
                read_exact(&stream, &mut buf).await.unwrap();
            });
            assert_eq!(&buf, expected);
        }
        server.join().unwrap();
    });
}

/// A connect to a listener whose queue is full waits on another OS thread for its room.
#[test]
fn a_unix_connect_waits_for_room() {
    let folder = Folder::new();
    run(|| {
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                spawn(async move { UnixStream::connect_async(path).await.unwrap() })
            })
            .collect();
        settle();
        for _ in &clients {
            listener.accept().unwrap();
        }
        for client in clients {
            client.join().unwrap();
        }
    });
}

/// A future that is dropped before a connection has come leaves nothing behind, and takes none.
#[test]
fn a_dropped_accept_takes_no_connection() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (count, waker) = Count::new();
        {
            let mut accept = pin!(listener.accept_async());
            assert!(poll_with(&waker, |context| accept.as_mut().poll(context)).is_pending());
            assert_eq!(Arc::strong_count(&count), 3);
        }
        assert_eq!(Arc::strong_count(&count), 2);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        settle();
        assert_eq!(count.get(), 0);
        listener.accept().unwrap();
    });
}

#[test]
fn datagrams_are_sent_and_received() {
    run(|| {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let echo = spawn(async move {
            let mut buf = [0; 64];
            let (length, sender) = is_send(server.recv_from_async(&mut buf)).await.unwrap();
            is_send(server.send_to_async(&buf[..length], sender))
                .await
                .unwrap();
            server.connect(sender).unwrap();
            let length = is_send(server.recv_async(&mut buf)).await.unwrap();
            is_send(server.send_async(&buf[..length])).await.unwrap();
        });
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(address).unwrap();
        for word in [b"one", b"two"] {
            assert_eq!(block_on(client.send_async(word)).unwrap(), 3);
            let mut buf = [0; 64];
            assert_eq!(block_on(client.recv_async(&mut buf)).unwrap(), 3);
            assert_eq!(&buf[..3], word);
        }
        echo.join().unwrap();
        let error = block_on(client.send_to_async(b"x", &[][..])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

/// A datagram that finds no room waits for it: the receiver's queue holds few.
#[test]
fn unix_datagrams_wait_for_room() {
    const COUNT: u32 = 1000;
    let folder = Folder::new();
    run(|| {
        let path = folder.join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        let sends = spawn(async move {
            for number in 0..COUNT {
                let bytes = number.to_le_bytes();
                is_send(sender.send_to_async(&bytes, &path)).await.unwrap();
            }
        });
        settle();
        let receives = spawn(async move {
            for number in 0..COUNT {
                let mut bytes = [0; 4];
                let (length, _) = is_send(receiver.recv_from_async(&mut bytes)).await.unwrap();
                assert_eq!((length, u32::from_le_bytes(bytes)), (4, number));
            }
            receiver.shutdown(std::net::Shutdown::Read).unwrap();
            // The end is told, although no event tells it.
            assert_eq!(receiver.recv_async(&mut [0; 4]).await.unwrap(), 0);
        });
        sends.join().unwrap();
        receives.join().unwrap();

        let (near, far) = UnixDatagram::pair().unwrap();
        let receives = spawn(async move {
            let mut bytes = [0; 4];
            for number in 0..COUNT {
                assert_eq!(is_send(far.recv_async(&mut bytes)).await.unwrap(), 4);
                assert_eq!(u32::from_le_bytes(bytes), number);
            }
        });
        for number in 0..COUNT {
            block_on(is_send(near.send_async(&number.to_le_bytes()))).unwrap();
        }
        receives.join().unwrap();
    });
}

/// Names are looked up elsewhere; what is no name is known at once.
#[test]
fn names_are_looked_up() {
    fn first(result: io::Result<impl Iterator<Item = std::net::SocketAddr>>) -> u16 {
        result.unwrap().next().unwrap().port()
    }
    run(|| {
        let (_, waker) = Count::new();
        assert!(poll_once(&mut "127.0.0.1:7".to_socket_addrs_async(), &waker).is_ready());
        assert_eq!(first(block_on("127.0.0.1:7".to_socket_addrs_async())), 7);
        assert_eq!(first(block_on(("localhost", 9).to_socket_addrs_async())), 9);
        let owned = String::from("localhost:11");
        assert_eq!(first(block_on(owned.to_socket_addrs_async())), 11);
        assert!(block_on("no port".to_socket_addrs_async()).is_err());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        block_on(is_send(TcpStream::connect_async((
            "127.0.0.1".to_owned(),
            port,
        ))))
        .unwrap();
    });
}

/// Halves are read and written by tasks, and closing the one that writes is the peer's end.
#[test]
fn halves_are_polled() {
    run(|| {
        let (stream, peer) = UnixStream::pair().unwrap();
        let (mut reader, mut writer) = split(stream);
        let reads = spawn(async move {
            let mut buf = [0; 4];
            read_exact(&mut reader, &mut buf).await.unwrap();
            buf
        });
        let writes = spawn(async move {
            write_all(&mut writer, b"ping").await.unwrap();
            close(&mut writer).await.unwrap();
            writer
        });
        let mut text = String::new();
        (&peer).read_to_string(&mut text).unwrap();
        assert_eq!(text, "ping");
        (&peer).write_all(b"pong").unwrap();
        assert_eq!(&reads.join().unwrap(), b"pong");
        drop(writes.join().unwrap());
    });
}

/// Any file descriptor, in both modes: what blocks is asked first, and written a little at a time.
#[test]
fn a_source_is_polled_in_both_modes() {
    const BYTES: usize = 1 << 20;
    run(|| {
        for nonblocking in [false, true] {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            for end in [&near, &far] {
                end.set_nonblocking(nonblocking).unwrap();
            }
            let (near, mut far) = (Source::new(near).unwrap(), Source::new(far).unwrap());
            let writes = spawn(async move {
                write_all(&near, &vec![7; BYTES]).await.unwrap();
                close(&near).await.unwrap();
                // Closing shuts a socket down, and leaves it open.
                assert_eq!(read(&near, &mut [0]).await.unwrap(), 1);
            });
            let reads = spawn(async move {
                let (mut buf, mut total) = (vec![0; 10_000], 0);
                loop {
                    match read(&mut far, &mut buf).await.unwrap() {
                        0 => break,
                        count => total += count,
                    }
                }
                write_all(&mut far, b"x").await.unwrap();
                total
            });
            assert_eq!(reads.join().unwrap(), BYTES);
            writes.join().unwrap();
        }
    });
}

/// A task that is cancelled while it waits leaves nothing behind; one that polls the stream afterwards
/// is woken alone.
#[test]
fn a_cancelled_task_leaves_the_stream_to_others() {
    run(|| {
        let (near, far) = UnixStream::pair().unwrap();
        let near = Arc::new(near);
        for _ in 0..100 {
            let waits = spawn({
                let near = near.clone();
                async move { read(&*near, &mut [0]).await }
            });
            thread::yield_now();
            waits.cancel("enough");
            waits.join().unwrap_err();
        }
        until(|| Arc::strong_count(&near) == 1);
        let reads = spawn(async move { read(&*near, &mut [0]).await.unwrap() });
        thread::yield_now();
        (&far).write_all(b"x").unwrap();
        assert_eq!(reads.join().unwrap(), 1);
    });
}
