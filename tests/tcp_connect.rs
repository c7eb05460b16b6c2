//! Opening connections: what connect and accept do when they cannot. Errors are compared with
//! std's. All addresses are on loopback, or are refused by the kernel before a packet is sent.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use crate::alone::alone;
use crate::scene::seen;
use greenlit::net::{TcpListener, TcpStream};
use greenlit::thread::{self, yield_now};
use greenlit::time::{Duration, Instant};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, socket,
};

/// A port of loopback on which nobody listens: bound, so that nobody else takes it.
fn refusing_port(host: &str) -> Option<(OwnedFd, SocketAddr)> {
    let listener = std::net::TcpListener::bind((host, 0)).ok()?;
    let address = listener.local_addr().unwrap();
    // A connection holds the port after the listener has gone.
    let client = std::net::TcpStream::connect(address).unwrap();
    let (server, _) = listener.accept().unwrap();
    drop(client);
    Some((server.into(), address))
}

/// A listener whose queue is full, so that the kernel drops further attempts and connects wait, and
/// who fills it.
fn full_listener() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    let fd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    listen(&fd, Backlog::new(0).unwrap()).unwrap();
    let listener = std::net::TcpListener::from(fd);
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100))
    {
        waiting.push(stream);
    }
    (listener, waiting)
}

/// Behaviour 40.
#[test]
fn refused_and_unreachable_are_the_errors_of_std() {
    let ports: Vec<_> = ["127.0.0.1", "::1"]
        .into_iter()
        .filter_map(refusing_port)
        .collect();
    let mut addresses: Vec<SocketAddr> = ports.iter().map(|(_, address)| *address).collect();
    // TCP to a multicast address is unreachable by definition, and one of a link needs to name the
    // link.
    addresses.extend(
        ["224.0.0.1:9", "[ff02::1]:9", "[fe80::1]:9"]
            .map(|text| text.parse::<SocketAddr>().unwrap()),
    );

    for address in addresses {
        let expected = seen(std::net::TcpStream::connect(address));
        let timeout = Duration::from_secs(10);
        assert!(!expected.starts_with("TcpStream"), "{address}");
        assert_eq!(seen(TcpStream::connect(address)), expected, "{address}");
        assert_eq!(
            seen(TcpStream::connect_timeout(&address, timeout)),
            expected,
            "{address}"
        );
        greenlit::run(|| {
            assert_eq!(seen(TcpStream::connect(address)), expected, "{address}");
            assert_eq!(
                seen(TcpStream::connect_timeout(&address, timeout)),
                expected,
                "{address}"
            );
        });
    }
}

/// Behaviour 40.
#[test]
fn a_connect_that_takes_too_long_times_out_as_with_std() {
    let (listener, _waiting) = full_listener();
    let address = listener.local_addr().unwrap();
    let timeout = Duration::from_millis(50);
    let expected = seen(std::net::TcpStream::connect_timeout(&address, timeout));
    let attempt = || {
        let started = Instant::now();
        let outcome = seen(TcpStream::connect_timeout(&address, timeout));
        assert!(started.elapsed() >= timeout);
        outcome
    };
    assert_eq!(attempt(), expected);
    assert_eq!(greenlit::run(attempt), expected);
}

/// Behaviour 40: the others run while a connect is parked, and it ends once the peer has room. (The
/// kernel asks again after a second.)
#[test]
fn a_connect_that_waits_lets_others_run_and_succeeds_later() {
    let (listener, waiting) = full_listener();
    let address = listener.local_addr().unwrap();
    greenlit::run(|| {
        let ran = Rc::new(Cell::new(false));
        let connecting = thread::spawn({
            let ran = Rc::clone(&ran);
            move || {
                let stream = TcpStream::connect(address);
                assert!(ran.get());
                stream
            }
        });
        yield_now();
        assert!(!connecting.is_finished());
        ran.set(true);
        for _ in &waiting {
            drop(listener.accept().unwrap());
        }
        let stream = connecting.join().unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    });
}

/// Behaviour 40: each address is tried; the last error is the one returned.
#[test]
fn each_address_is_tried_in_order() {
    let (_held, refused) = refusing_port("127.0.0.1").unwrap();
    let unreachable: SocketAddr = "224.0.0.1:9".parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = listener.local_addr().unwrap();
    let none: &[SocketAddr] = &[];

    greenlit::run(|| {
        let stream = TcpStream::connect(&[refused, unreachable, good][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        for addresses in [&[refused, unreachable][..], &[unreachable, refused], none] {
            let expected = seen(std::net::TcpStream::connect(addresses));
            assert_eq!(seen(TcpStream::connect(addresses)), expected);
        }
    });
}

/// A name is resolved, then connected to.
#[test]
fn a_name_is_connected_to() {
    greenlit::run(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = TcpStream::connect(("localhost", port)).unwrap();
        assert_eq!(stream.local_addr().unwrap(), listener.accept().unwrap().1);
    });
}

/// Lets the process open no fd beyond those it has, as long as the files returned are open.
#[must_use]
fn refuse_more_files() -> Vec<std::fs::File> {
    let highest = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .max();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, highest.unwrap() + 1, hard).unwrap();
    // Fills what holes there are.
    let mut fillers = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        fillers.push(file);
    }
    fillers
}

/// Behaviour 38: `EMFILE` is returned, the connection stays in the queue, and a loop that only
/// tries again does not keep the green thread that will free an fd from running.
#[test]
fn accept_without_a_file_descriptor_is_an_error_and_loses_nothing() {
    alone(
        "accept_without_a_file_descriptor_is_an_error_and_loses_nothing",
        || {
            greenlit::run(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                // Accepting parks once, so that the listener is registered.
                let first = thread::spawn({
                    let listener = listener.try_clone().unwrap();
                    move || listener.accept().unwrap()
                });
                yield_now();
                let address = listener.local_addr().unwrap();
                let clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
                let (spare, _) = first.join().unwrap();
                let _fillers = refuse_more_files();

                for _ in 0..3 {
                    let error = listener.accept().unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                }
                thread::spawn(move || drop(spare));
                let mut refusals = 0_u64;
                let stream = loop {
                    match listener.accept() {
                        Ok((stream, _)) => break stream,
                        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE)),
                    }
                    refusals += 1;
                    assert!(
                        refusals < 1_000_000,
                        "the loop starves the thread that frees an fd"
                    );
                };
                drop(stream);
                listener.accept().unwrap();
                drop(clients);
            });
        },
    );
}

/// Behaviour 38: a listener that is ready and cannot be served does not keep the reactor busy.
#[test]
fn a_listener_that_cannot_be_served_does_not_spin() {
    alone("a_listener_that_cannot_be_served_does_not_spin", || {
        greenlit::run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let mut peer = std::net::TcpStream::connect(address).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let acceptor = thread::spawn(move || (listener.accept().unwrap_err(), listener));
            yield_now();
            let _client = std::net::TcpStream::connect(address).unwrap();
            let _fillers = refuse_more_files();
            let (error, _listener) = acceptor.join().unwrap();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));

            let before = cpu_time();
            let waker = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(200));
                peer.write_all(b"x")
            });
            stream.read_exact(&mut [0]).unwrap();
            waker.join().unwrap().unwrap();
            let used = cpu_time() - before;
            assert!(
                used < Duration::from_millis(50),
                "{used:?} of CPU time in a wait of 200 ms"
            );
        });
    });
}

fn cpu_time() -> Duration {
    let time = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID.now().unwrap();
    Duration::from(time)
}

/// An abandoned attempt is not reported as anything but what it was.
#[test]
fn zero_timeouts_are_refused() {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let error = greenlit::run(|| TcpStream::connect_timeout(&address, Duration::ZERO)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
