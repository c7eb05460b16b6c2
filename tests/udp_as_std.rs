//! `UdpSocket` beside std's: the same code must see the same. All addresses are on loopback, or are
//! refused by the kernel before a packet is sent.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::scene::{same_as_std, seen};

same_as_std! {
    fn smoke() {
        let server = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = client.local_addr().unwrap();
        client.send_to(b"ping", server.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 8];
        let (length, sender) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], sender), (&b"ping"[..], address));
        server.connect(sender).unwrap();
        assert_eq!(server.peer_addr().unwrap(), address);
        assert_eq!(server.send(b"pong!").unwrap(), 5);
        client.recv(&mut buffer).unwrap()
    }
}

same_as_std! {
    fn options() {
        let socket = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut log = vec![seen(socket.broadcast()), seen(socket.set_broadcast(true))];
        log.push(seen(socket.broadcast()));
        log.push(seen(socket.ttl()));
        log.push(seen(socket.set_ttl(42)));
        log.push(seen(socket.set_ttl(70_000)));
        log.push(seen(socket.ttl()));
        log.push(seen(socket.multicast_loop_v4()));
        log.push(seen(socket.set_multicast_loop_v4(false)));
        log.push(seen(socket.multicast_loop_v4()));
        log.push(seen(socket.multicast_ttl_v4()));
        log.push(seen(socket.set_multicast_ttl_v4(7)));
        log.push(seen(socket.multicast_ttl_v4()));
        log.push(seen(socket.multicast_loop_v6()));
        log.push(seen(socket.set_multicast_loop_v6(false)));
        log.push(seen(socket.take_error()));
        log.push(seen(socket.peer_addr()));
        if let Ok(socket) = net::UdpSocket::bind("[::1]:0") {
            log.push(seen(socket.multicast_loop_v6()));
            log.push(seen(socket.set_multicast_loop_v6(false)));
            log.push(seen(socket.multicast_loop_v6()));
        }
        log
    }
}

same_as_std! {
    /// Behaviour 36. Only timeouts that the kernel's clock tick does not round are compared.
    fn timeouts() {
        let socket = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut log = vec![seen(socket.read_timeout()), seen(socket.write_timeout())];
        log.push(seen(socket.set_read_timeout(Some(Duration::ZERO))));
        log.push(seen(socket.set_write_timeout(Some(Duration::ZERO))));
        log.push(seen(socket.set_read_timeout(Some(Duration::from_millis(40)))));
        log.push(seen(socket.set_write_timeout(Some(Duration::from_secs(2)))));
        log.push(seen(socket.read_timeout()));
        log.push(seen(socket.write_timeout()));
        let started = Instant::now();
        log.push(seen(socket.recv(&mut [0])));
        log.push(seen(socket.recv_from(&mut [0])));
        log.push(seen(socket.peek(&mut [0])));
        log.push(seen(socket.peek_from(&mut [0])));
        assert!(started.elapsed() >= Duration::from_millis(4 * 40));
        log.push(seen(socket.set_read_timeout(None)));
        log.push(seen(socket.read_timeout()));
        log
    }
}

same_as_std! {
    fn the_non_blocking_mode() {
        let socket = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let clone = socket.try_clone().unwrap();
        clone.set_nonblocking(true).unwrap();
        let mut log = vec![seen(socket.recv(&mut [0])), seen(socket.recv_from(&mut [0]))];
        log.push(seen(socket.peek(&mut [0])));
        log.push(seen(socket.peek_from(&mut [0])));
        log
    }
}

same_as_std! {
    /// Behaviour 40, and misuse.
    fn errors() {
        let socket = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let none: &[net::SocketAddr] = &[];
        let mut log = vec![seen(socket.send(b"x")), seen(socket.peer_addr())];
        log.push(seen(socket.send_to(b"x", none)));
        log.push(seen(socket.send_to(b"x", "127.0.0.1:0")));
        log.push(seen(socket.send_to(b"x", "[::1]:9")));
        log.push(seen(socket.send_to(b"x", "no port")));
        log.push(seen(socket.send_to(&[0; 1 << 17], socket.local_addr().unwrap())));
        log.push(seen(socket.connect(none)));
        log.push(seen(socket.connect("[::1]:9")));
        log.push(seen(socket.connect("255.255.255.255:9")));
        log.push(seen(net::UdpSocket::bind(none).map(drop)));
        log.push(seen(net::UdpSocket::bind(socket.local_addr().unwrap()).map(drop)));
        log.push(seen(net::UdpSocket::bind("192.0.2.1:0").map(drop)));

        // Nobody has the port any more: the kernel says so after the first datagram.
        let gone = net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        socket.connect(gone).unwrap();
        log.push(seen(socket.send(b"refused")));
        log.push(seen(socket.recv(&mut [0; 8])));
        log.push(seen(socket.send(b"refused")));
        log.push(seen(socket.send(b"and reported here")));
        log.push(seen(socket.send(b"refused")));
        log.push(seen(socket.take_error().map(|error| error.map(|error| error.kind()))));
        log
    }
}

same_as_std! {
    /// Behaviour 37: one call, one datagram. What does not fit in is cut off, an empty datagram is
    /// one too, and an empty buffer takes one.
    fn datagrams_are_neither_joined_nor_split() {
        let sender = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let receiver = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        for datagram in [&b"first"[..], b"", b"third", b"fourth", b"fifth"] {
            sender.send(datagram).unwrap();
        }
        let mut buffer = [0; 16];
        let mut log = vec![seen(receiver.peek(&mut buffer)), seen(receiver.peek(&mut [0; 2]))];
        log.push(seen(receiver.peek_from(&mut [0; 2]).map(|(length, _)| length)));
        log.push(seen(receiver.recv(&mut buffer[..3])));
        log.push(String::from_utf8_lossy(&buffer[..5]).into_owned());
        log.push(seen(receiver.recv(&mut buffer)));
        log.push(seen(receiver.recv(&mut [])));
        log.push(seen(receiver.recv_from(&mut buffer[..1]).map(|(length, _)| length)));
        log.push(seen(receiver.recv(&mut buffer)));
        log.push(String::from_utf8_lossy(&buffer[..5]).into_owned());
        log
    }
}

same_as_std! {
    /// The largest datagram there is arrives whole.
    fn the_largest_datagram() {
        let sender = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let receiver = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let datagram: Vec<u8> = (0..65_507_u32).map(|byte| byte as u8).collect();
        sender.send_to(&datagram, receiver.local_addr().unwrap()).unwrap();
        let mut buffer = vec![0; 1 << 16];
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], datagram);
        length
    }
}

same_as_std! {
    /// Groups on loopback. A host without IPv6 has only the first.
    fn multicast() {
        let group = Ipv4Addr::new(239, 255, 77, 77);
        let receiver = net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = receiver.local_addr().unwrap().port();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let sender = net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = Ipv4Addr::LOCALHOST;
        let mut log = vec![seen(receiver.leave_multicast_v4(&group, &local))];
        log.push(seen(receiver.join_multicast_v4(&local, &local)));
        log.push(seen(receiver.join_multicast_v4(&group, &local)));
        log.push(seen(receiver.join_multicast_v4(&group, &local)));
        log.push(seen(sender.send_to(b"to all", (group, port))));
        log.push(seen(receiver.recv(&mut [0; 16])));
        log.push(seen(receiver.leave_multicast_v4(&group, &local)));

        if let Ok(receiver) = net::UdpSocket::bind("[::]:0") {
            let group = "ff01::7777".parse::<Ipv6Addr>().unwrap();
            let loopback = nix::net::if_::if_nametoindex("lo").unwrap();
            log.push(seen(receiver.leave_multicast_v6(&group, loopback)));
            log.push(seen(receiver.join_multicast_v6(&Ipv6Addr::LOCALHOST, loopback)));
            log.push(seen(receiver.join_multicast_v6(&group, u32::MAX)));
            log.push(seen(receiver.join_multicast_v6(&group, loopback)));
            log.push(seen(receiver.leave_multicast_v6(&group, loopback)));
        }
        log
    }
}
