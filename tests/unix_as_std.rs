//! `os::unix::net` beside std's: the same code must see the same.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::scene::{Folder, same_as_std, seen};

/// An abstract name that no other test has.
macro_rules! abstract_address {
    ($os:ident, $name:literal) => {{
        use $os::linux::net::SocketAddrExt;

        let name = format!("greenlit {} {}", std::process::id(), $name);
        $os::unix::net::SocketAddr::from_abstract_name(name).unwrap()
    }};
}

same_as_std! {
    fn smoke() {
        let folder = Folder::new();
        let path = folder.join("socket");
        let listener = os::unix::net::UnixListener::bind(&path).unwrap();
        let mut client = os::unix::net::UnixStream::connect(&path).unwrap();
        let (mut server, address) = listener.accept().unwrap();
        assert!(address.is_unnamed() && server.peer_addr().unwrap().is_unnamed());
        for address in [listener.local_addr(), server.local_addr(), client.peer_addr()] {
            assert_eq!(address.unwrap().as_pathname(), Some(&*path));
        }
        client.write_all(b"ping").unwrap();
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).unwrap();
        (&server).write_all(&buffer).unwrap();
        drop(server);
        let mut answer = String::new();
        (&client).read_to_string(&mut answer).unwrap();
        answer
    }
}

same_as_std! {
    fn options() {
        let (stream, _peer) = os::unix::net::UnixStream::pair().unwrap();
        let (datagram, _other) = os::unix::net::UnixDatagram::pair().unwrap();
        let folder = Folder::new();
        let listener = os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
        let mut log = vec![seen(listener.take_error())];
        log.push(seen(listener.set_nonblocking(true)));
        log.push(seen(listener.try_clone().unwrap().accept()));
        macro_rules! both {
            ($call:ident($($argument:expr)?)) => {
                log.push(seen(stream.$call($($argument)?)));
                log.push(seen(datagram.$call($($argument)?)));
            };
        }
        both!(take_error());
        both!(read_timeout());
        both!(write_timeout());
        both!(set_read_timeout(Some(Duration::ZERO)));
        both!(set_write_timeout(Some(Duration::ZERO)));
        both!(set_read_timeout(Some(Duration::from_millis(40))));
        both!(set_write_timeout(Some(Duration::from_secs(2))));
        both!(read_timeout());
        both!(write_timeout());
        let started = Instant::now();
        log.push(seen((&stream).read(&mut [0])));
        log.push(seen(datagram.recv(&mut [0])));
        log.push(seen(datagram.recv_from(&mut [0])));
        assert!(started.elapsed() >= Duration::from_millis(3 * 40));
        both!(set_read_timeout(None));
        both!(read_timeout());
        both!(set_nonblocking(true));
        log.push(seen((&stream).read(&mut [0])));
        log.push(seen(stream.try_clone().unwrap().read(&mut [0])));
        log.push(seen(datagram.recv(&mut [0])));
        log.push(seen(datagram.try_clone().unwrap().recv_from(&mut [0])));
        log
    }
}

same_as_std! {
    /// Behaviour 40, and misuse.
    fn errors() {
        use os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

        let folder = Folder::new();
        let [nothing, gone, file, stream, datagram] =
            ["nothing", "gone", "file", "stream", "datagram"].map(|name| folder.join(name));
        let long = folder.join("x".repeat(200));
        let nul = folder.join("a\0b");
        let nowhere = nothing.join("deeper");
        std::fs::write(&file, "no socket").unwrap();
        drop(UnixListener::bind(&gone).unwrap());
        let _listener = UnixListener::bind(&stream).unwrap();
        let _receiver = UnixDatagram::bind(&datagram).unwrap();
        let unbound = UnixDatagram::unbound().unwrap();
        let mut log = vec![seen(unbound.send(b"x")), seen(unbound.peer_addr())];
        for path in [&nothing, &gone, &file, &stream, &datagram, &long, &nul, &nowhere] {
            log.push(seen(UnixStream::connect(path).map(drop)));
            log.push(seen(unbound.send_to(b"x", path)));
            log.push(seen(unbound.connect(path)));
            if path != &nothing {
                log.push(seen(UnixListener::bind(path).map(drop)));
                log.push(seen(UnixDatagram::bind(path).map(drop)));
            }
        }
        let unnamed = SocketAddr::from_pathname("").unwrap();
        log.push(seen(UnixStream::connect_addr(&unnamed).map(drop)));
        log.push(seen(unbound.connect_addr(&unnamed)));
        log.push(seen(unbound.send_to_addr(b"x", &unnamed)));
        let unknown = abstract_address!(os, "unknown");
        log.push(seen(UnixStream::connect_addr(&unknown).map(drop)));
        log.push(seen(unbound.connect_addr(&unknown)));
        log.push(seen(unbound.send_to_addr(b"x", &unknown)));
        log.push(seen(unbound.send_to(&vec![0; 1 << 24], &datagram)));

        // A receiver that talks to another one takes nothing from us.
        let (_one, other) = UnixDatagram::pair().unwrap();
        let taken = folder.join("taken");
        let busy = UnixDatagram::bind(&taken).unwrap();
        busy.connect(&datagram).unwrap();
        log.push(seen(unbound.send_to(b"x", &taken)));
        log.push(seen(unbound.connect(&taken)));
        drop(_one);
        log.push(seen(other.send(b"x")));
        log.push(seen(UnixListener::bind_addr(&SocketAddr::from_pathname(&stream).unwrap()).map(drop)));
        log
    }
}

same_as_std! {
    fn abstract_addresses() {
        use os::unix::net::{UnixDatagram, UnixListener, UnixStream};

        let address = abstract_address!(os, "listener");
        let listener = UnixListener::bind_addr(&address).unwrap();
        let mut client = UnixStream::connect_addr(&address).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"abstract").unwrap();
        let mut buffer = [0; 8];
        server.read_exact(&mut buffer).unwrap();
        let mut log = vec![seen(UnixListener::bind_addr(&address).map(drop))];
        log.push(seen(client.peer_addr()));

        let [one, other] = [abstract_address!(os, "one"), abstract_address!(os, "other")];
        let sender = UnixDatagram::bind_addr(&one).unwrap();
        let receiver = UnixDatagram::bind_addr(&other).unwrap();
        log.push(seen(sender.send_to_addr(b"hello", &other)));
        log.push(seen(receiver.recv_from(&mut buffer)));
        receiver.connect_addr(&one).unwrap();
        log.push(seen(receiver.send(b"answer")));
        log.push(seen(sender.recv_from(&mut buffer)));
        log.push(seen(receiver.peer_addr()));
        log.push(seen(sender.local_addr()));
        log
    }
}

same_as_std! {
    /// Behaviour 37.
    fn streams_end() {
        use os::unix::net::UnixStream;

        // In order, and by half.
        let (mut one, mut other) = UnixStream::pair().unwrap();
        other.write_all(b"last").unwrap();
        let mut log = vec![seen(other.shutdown(Shutdown::Write))];
        log.push(seen(one.read(&mut [0; 8])));
        log.push(seen(one.read(&mut [0; 8])));
        log.push(seen(one.write(b"back")));
        log.push(seen(other.read(&mut [0; 8])));
        log.push(seen(other.write(b"shut")));
        drop(other);
        log.push(seen(one.write(b"nobody")));
        log.push(seen(one.read(&mut [0; 8])));
        log.push(seen(one.shutdown(Shutdown::Both)));

        // With something unread.
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(b"unread").unwrap();
        drop(other);
        log.push(seen(one.read(&mut [0; 8])));
        log.push(seen(one.read(&mut [0; 8])));
        log.push(seen(one.write(b"")));
        log
    }
}

same_as_std! {
    fn vectored_io() {
        let (mut one, other) = os::unix::net::UnixStream::pair().unwrap();
        let mut log = vec![seen(one.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")]))];
        log.push(seen(one.write_vectored(&[])));
        let (mut first, mut second) = ([0; 3], [0; 8]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        log.push(seen((&other).read_vectored(&mut buffers)));
        log.push(format!("{first:?} {second:?}"));
        log.push(seen(one.flush()));
        log
    }
}

same_as_std! {
    /// Behaviour 37: one call, one datagram. What does not fit in is cut off, an empty datagram is
    /// one too, and an empty buffer takes one.
    fn datagrams_are_neither_joined_nor_split() {
        let (sender, receiver) = os::unix::net::UnixDatagram::pair().unwrap();
        for datagram in [&b"first"[..], b"", b"third", b"fourth", b"fifth"] {
            assert_eq!(sender.send(datagram).unwrap(), datagram.len());
        }
        let mut buffer = [0; 16];
        let mut log = vec![seen(receiver.recv(&mut buffer[..3]))];
        log.push(String::from_utf8_lossy(&buffer[..5]).into_owned());
        log.push(seen(receiver.recv(&mut buffer)));
        log.push(seen(receiver.recv(&mut [])));
        log.push(seen(receiver.recv_from(&mut buffer[..1])));
        log.push(seen(receiver.recv_from(&mut buffer)));
        log.push(String::from_utf8_lossy(&buffer[..5]).into_owned());

        // Half-closed: an end is read as a datagram of no bytes.
        log.push(seen(receiver.shutdown(Shutdown::Read)));
        log.push(seen(receiver.recv(&mut buffer)));
        log.push(seen(sender.send(b"x")));
        log
    }
}

same_as_std! {
    /// Who sent a datagram is told as std tells it.
    fn senders_have_names() {
        use os::unix::net::UnixDatagram;

        let folder = Folder::new();
        let (from, to) = (folder.join("from"), folder.join("to"));
        let receiver = UnixDatagram::bind(&to).unwrap();
        let named = UnixDatagram::bind(&from).unwrap();
        named.send_to(b"named", &to).unwrap();
        UnixDatagram::unbound().unwrap().send_to(b"unnamed", &to).unwrap();
        let (length, sender) = receiver.recv_from(&mut [0; 8]).unwrap();
        assert_eq!((length, sender.as_pathname()), (5, Some(&*from)));
        let unnamed = receiver.recv_from(&mut [0; 8]);
        named.connect(&to).unwrap();
        assert_eq!(named.peer_addr().unwrap().as_pathname(), Some(&*to));
        seen(unnamed)
    }
}
