//! `greenlit::net` beside `std::net`: the same code runs on std, on greenlit outside a runtime and
//! on greenlit inside one, and must see the same. What needs several green threads is in `net.rs`.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::scene::{same_as_std, seen};
use greenlit::net as greenlit_net;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::net as std_net;

/// A connection over loopback: the client's end and the server's.
macro_rules! pair {
    ($net:ident) => {{
        let listener = $net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = $net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (client, server)
    }};
}

fn is_blocking_in_the_kernel(socket: &impl AsFd) -> bool {
    let flags = fcntl(socket.as_fd(), FcntlArg::F_GETFL).unwrap();
    !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

same_as_std! {
    fn smoke() {
        let (mut client, mut server) = pair!(net);
        client.write_all(b"ping").unwrap();
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).unwrap();
        server.write_all(&buffer).unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }
}

same_as_std! {
    fn options_of_a_stream() {
        let (stream, _peer) = pair!(net);
        let mut log = vec![seen(stream.nodelay()), seen(stream.ttl()), seen(stream.take_error())];
        log.push(seen(stream.read_timeout()));
        log.push(seen(stream.write_timeout()));
        log.push(seen(stream.set_nodelay(true)));
        log.push(seen(stream.nodelay()));
        log.push(seen(stream.set_nodelay(false)));
        log.push(seen(stream.nodelay()));
        log.push(seen(stream.set_ttl(42)));
        log.push(seen(stream.ttl()));
        log.push(seen(stream.set_ttl(70_000)));
        log.push(seen(stream.ttl()));
        log
    }
}

same_as_std! {
    fn options_of_a_listener() {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut log = vec![seen(listener.ttl()), seen(listener.take_error())];
        log.push(seen(listener.set_ttl(42)));
        log.push(seen(listener.ttl()));
        log.push(seen(listener.set_ttl(70_000)));
        log
    }
}

#[test]
fn quickack_is_that_of_the_extension_trait() {
    use greenlit::os::linux::net::TcpStreamExt;

    let (stream, _peer) = pair!(greenlit_net);
    stream.set_quickack(true).unwrap();
    assert!(stream.quickack().unwrap());
    stream.set_quickack(false).unwrap();
    assert!(!stream.quickack().unwrap());
}

same_as_std! {
    /// Behaviour 36. Only timeouts that the kernel's clock tick does not round are compared.
    fn timeouts_are_kept_and_zero_is_refused() {
        let (stream, _peer) = pair!(net);
        let mut log = Vec::new();
        for timeout in [
            Some(Duration::from_secs(1)),
            None,
            Some(Duration::from_secs(3)),
            Some(Duration::ZERO),
            Some(Duration::from_secs(1 << 33)),
        ] {
            log.push(seen(stream.set_read_timeout(timeout)));
            log.push(seen(stream.read_timeout()));
            log.push(seen(stream.set_write_timeout(timeout)));
            log.push(seen(stream.write_timeout()));
        }
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        log.push(seen(net::TcpStream::connect_timeout(&address, Duration::ZERO)));
        log
    }
}

same_as_std! {
    /// Behaviour 36: a deadline that is near ends a read and a stuck write with `WouldBlock`, and
    /// not early.
    fn timed_out_calls_say_would_block() {
        let (stream, _peer) = pair!(net);
        let timeout = Duration::from_millis(40);
        stream.set_read_timeout(Some(timeout)).unwrap();
        stream.set_write_timeout(Some(timeout)).unwrap();

        let started = Instant::now();
        let mut log = vec![seen((&stream).read(&mut [0; 8]))];
        assert!(started.elapsed() >= timeout, "early: {:?}", started.elapsed());
        log.push(seen(stream.peek(&mut [0; 8])));
        log.push(seen((&stream).read_vectored(&mut [IoSliceMut::new(&mut [0; 8])])));

        let block = vec![0; 1 << 20];
        for vectored in [false, true] {
            let (waited, stuck) = loop {
                let started = Instant::now();
                let sent = match vectored {
                    false => (&stream).write(&block),
                    true => (&stream).write_vectored(&[IoSlice::new(&block)]),
                };
                if sent.is_err() {
                    break (started.elapsed(), seen(sent));
                }
            };
            assert!(waited >= timeout, "early: {waited:?}");
            log.push(stuck);
        }
        log
    }
}

same_as_std! {
    fn clones_share_data_timeouts_and_mode() {
        let (stream, mut peer) = pair!(net);
        let mut clone = stream.try_clone().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        clone.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut log = vec![seen(clone.read_timeout()), seen(stream.write_timeout())];

        stream.set_nonblocking(true).unwrap();
        log.push(seen(clone.read(&mut [0; 8])));
        clone.set_nonblocking(false).unwrap();

        peer.write_all(b"data").unwrap();
        drop(stream);
        let mut buffer = [0; 4];
        log.push(seen(clone.read_exact(&mut buffer)));
        assert_eq!(&buffer, b"data");

        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let other = listener.try_clone().unwrap();
        other.set_nonblocking(true).unwrap();
        log.push(seen(listener.accept()));
        log.push(seen(listener.incoming().next().unwrap()));
        listener.set_nonblocking(false).unwrap();
        let _client = net::TcpStream::connect(other.local_addr().unwrap()).unwrap();
        drop(listener);
        log.push(seen(other.accept().map(drop)));
        log
    }
}

same_as_std! {
    fn nonblocking_calls_return_at_once() {
        let (stream, mut peer) = pair!(net);
        stream.set_nonblocking(true).unwrap();
        let mut log = vec![seen((&stream).read(&mut [0; 8])), seen(stream.peek(&mut [0; 8]))];

        // Acknowledgements may make room again between the two.
        let block = vec![0; 1 << 20];
        for vectored in [false, true] {
            log.push(loop {
                let sent = match vectored {
                    false => (&stream).write(&block),
                    true => (&stream).write_vectored(&[IoSlice::new(&block)]),
                };
                if sent.is_err() {
                    break seen(sent);
                }
            });
        }

        peer.write_all(b"data").unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.peek(&mut [0]).unwrap();
        stream.set_nonblocking(true).unwrap();
        log.push(seen((&stream).read(&mut [0; 8])));
        log.push(seen((&stream).read(&mut [0; 8])));
        log
    }
}

same_as_std! {
    /// There is data to read, since std's empty read waits for some. greenlit's never waits:
    /// `net.rs` shows that.
    fn empty_buffers_take_nothing() {
        let (mut stream, mut peer) = pair!(net);
        peer.write_all(b"x").unwrap();
        stream.peek(&mut [0]).unwrap();
        let mut log = vec![
            seen(stream.read(&mut [])),
            seen(stream.read_vectored(&mut [])),
            seen(stream.read_vectored(&mut [IoSliceMut::new(&mut [])])),
            seen(stream.peek(&mut [])),
            seen(stream.write(&[])),
            seen(stream.write_vectored(&[])),
            seen(stream.write_vectored(&[IoSlice::new(&[])])),
        ];
        stream.shutdown(Shutdown::Both).unwrap();
        log.push(seen(stream.write(&[])));
        log.push(seen(stream.write_vectored(&[])));
        log.push(seen(stream.write(&[1])));
        log.push(seen(stream.write_vectored(&[IoSlice::new(&[1])])));
        log.push(seen(stream.read(&mut [0])));
        log.push(seen(stream.flush()));
        log
    }
}

same_as_std! {
    /// More buffers than one system call takes: the call moves what it can.
    fn scattered_buffers_are_filled_in_order() {
        let (mut client, mut server) = pair!(net);
        let bytes: Vec<u8> = (0..2000).map(|index| index as u8).collect();
        let sent = {
            let parts: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
            client.write_vectored(&parts).unwrap()
        };
        client.write_all(&bytes[sent..]).unwrap();
        drop(client);

        let mut received = vec![0; 2000];
        let mut filled = 0;
        let mut counts = Vec::new();
        loop {
            let mut parts: Vec<_> = received[filled..].chunks_mut(1).map(IoSliceMut::new).collect();
            match server.read_vectored(&mut parts).unwrap() {
                0 => break,
                count => {
                    filled += count;
                    counts.push(count <= 1024);
                }
            }
        }
        (sent, filled, received == bytes, counts.into_iter().all(|within| within))
    }
}

same_as_std! {
    fn peek_leaves_the_data() {
        let (mut client, mut server) = pair!(net);
        client.write_all(b"abc").unwrap();
        let mut buffer = [0; 8];
        let log = [seen(server.peek(&mut buffer[..2])), seen(server.peek(&mut buffer[..2])), seen(server.read(&mut buffer))];
        (log, buffer)
    }
}

same_as_std! {
    fn addresses_agree_on_both_ends() {
        let listener = net::TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(client.local_addr().unwrap(), peer);
        assert_eq!(server.peer_addr().unwrap(), peer);
        assert_eq!(client.peer_addr().unwrap(), listener.local_addr().unwrap());
        server.local_addr().unwrap().ip()
    }
}

same_as_std! {
    fn ipv6_works_where_the_machine_has_it() {
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0);
        net::TcpListener::bind(address).map_err(|error| error.kind()).map(|listener| {
            let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, peer) = listener.accept().unwrap();
            assert_eq!(client.local_addr().unwrap(), peer);
            server.write_all(b"six").unwrap();
            let mut buffer = [0; 3];
            client.read_exact(&mut buffer).unwrap();
            (buffer, peer.ip())
        })
    }
}

same_as_std! {
    fn bind_errors() {
        let taken = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let none: &[SocketAddr] = &[];
        [
            seen(net::TcpListener::bind(address)),
            seen(net::TcpListener::bind("192.0.2.1:0")),
            seen(net::TcpListener::bind("127.0.0.1")),
            seen(net::TcpListener::bind("127.0.0.1:http")),
            seen(net::TcpListener::bind(none)),
            seen(net::TcpListener::bind(&[address, SocketAddr::from(([127, 0, 0, 1], 0))][..]).map(drop)),
        ]
    }
}

same_as_std! {
    /// A port whose connections linger in TIME_WAIT can be bound again: `SO_REUSEADDR` is set.
    fn a_port_can_be_bound_again_at_once() {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = net::TcpStream::connect(address).unwrap();
        drop(listener.accept().unwrap());
        drop(client);
        drop(listener);
        seen(net::TcpListener::bind(address).map(drop))
    }
}

#[test]
fn debug_output_is_that_of_std() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let expected = (format!("{listener:?}"), format!("{stream:?}"));

    let listener = greenlit::net::TcpListener::from(listener);
    let stream = greenlit::net::TcpStream::from(stream);
    assert_eq!((format!("{listener:?}"), format!("{stream:?}")), expected);
    assert!(format!("{:?}", listener.incoming()).contains(&expected.0));
}

#[test]
fn sockets_made_here_block_again_once_they_are_stds() {
    let (client, server) = pair!(greenlit_net);
    assert!(!is_blocking_in_the_kernel(&client));
    assert!(!is_blocking_in_the_kernel(&server));
    assert!(is_blocking_in_the_kernel(&std::net::TcpStream::from(
        client
    )));
    assert!(is_blocking_in_the_kernel(&OwnedFd::from(server)));

    let listener = greenlit_net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(!is_blocking_in_the_kernel(&listener));
    assert!(is_blocking_in_the_kernel(&std::net::TcpListener::from(
        listener
    )));

    let (client, _server) = pair!(greenlit_net);
    client.set_nonblocking(true).unwrap();
    assert!(!is_blocking_in_the_kernel(&std::net::TcpStream::from(
        client
    )));
}

#[test]
fn sockets_from_elsewhere_are_never_switched() {
    for nonblocking in [false, true] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nonblocking(nonblocking).unwrap();
        listener.set_nonblocking(nonblocking).unwrap();

        let (stream, listener) = greenlit::run(|| {
            let mut stream = greenlit_net::TcpStream::from(stream);
            let listener = greenlit_net::TcpListener::from(listener);
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            assert_eq!(is_blocking_in_the_kernel(&stream), !nonblocking);
            assert_eq!(is_blocking_in_the_kernel(&listener), !nonblocking);
            (
                std::net::TcpStream::from(stream),
                std::net::TcpListener::from(listener),
            )
        });
        assert_eq!(is_blocking_in_the_kernel(&stream), !nonblocking);
        assert_eq!(is_blocking_in_the_kernel(&listener), !nonblocking);
    }
}

#[test]
fn timeouts_travel_with_a_conversion() {
    let (stream, _peer) = pair!(std_net);
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let stream = greenlit_net::TcpStream::from(stream);
    assert_eq!(stream.read_timeout().unwrap(), Some(Duration::from_secs(2)));
    assert_eq!(stream.write_timeout().unwrap(), None);

    stream.set_read_timeout(None).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let stream = std::net::TcpStream::from(stream);
    assert_eq!(stream.read_timeout().unwrap(), None);
    assert_eq!(
        stream.write_timeout().unwrap(),
        Some(Duration::from_secs(3))
    );
}

/// A clone that becomes std's turns the shared description blocking; the one that stays must not
/// block on it.
#[test]
fn a_clone_given_to_std_does_not_make_the_other_block() {
    let listener = greenlit_net::TcpListener::bind("127.0.0.1:0").unwrap();
    let given = std::net::TcpListener::from(listener.try_clone().unwrap());
    assert!(is_blocking_in_the_kernel(&listener));
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);

    let client = greenlit_net::TcpStream::connect(given.local_addr().unwrap()).unwrap();
    drop(listener.accept().unwrap());
    let given = std::net::TcpStream::from(client.try_clone().unwrap());
    assert!(is_blocking_in_the_kernel(&given));
    client.set_nonblocking(true).unwrap();
    let _ = (&client).read(&mut [0]);
}

#[test]
fn raw_fds_go_out_and_come_back() {
    let (client, mut server) = pair!(greenlit_net);
    let number = client.as_raw_fd();
    let raw = client.into_raw_fd();
    assert_eq!(raw, number);

    #[expect(unsafe_code, reason = "std offers no other way back from a raw fd")]
    // SAFETY: `into_raw_fd` has just given up the ownership of this open fd.
    let owned = unsafe { OwnedFd::from_raw_fd(raw) };
    let mut client = greenlit_net::TcpStream::from(owned);
    client.write_all(b"back").unwrap();
    let mut buffer = [0; 4];
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"back");
}
