//! Opens a TCP connection without blocking the OS thread. Called by `TcpStream`'s constructors.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};

use crate::io::{Kind, Source};

/// Connects to `address` and returns the socket, which has `O_NONBLOCK` and `CLOEXEC`.
///
/// # Errors
///
/// `TimedOut` once `timeout` has passed, otherwise what the kernel says.
pub(super) fn connect(
    address: SocketAddr,
    timeout: Option<Duration>,
) -> io::Result<Source<std::net::TcpStream>> {
    let source = open(address)?;
    let address = SockaddrStorage::from(address);
    let waited = source.write_with("TcpStream::connect", timeout, |socket| {
        try_connect(socket, &address)
    });
    match waited {
        Ok(connected) => connected?,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "connection timed out",
            ));
        }
        Err(error) => return Err(error),
    }
    Ok(source)
}

/// As [`connect`], as a future, without a limit.
pub(super) async fn connect_async(address: SocketAddr) -> io::Result<Source<std::net::TcpStream>> {
    let source = open(address)?;
    let address = SockaddrStorage::from(address);
    source
        .when_writable_async(|socket| try_connect(socket, &address))
        .await??;
    Ok(source)
}

fn open(address: SocketAddr) -> io::Result<Source<std::net::TcpStream>> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    Ok(Source::from_owned(
        std::net::TcpStream::from(socket),
        Kind::Stream,
    ))
}

/// The first connect(2) starts the handshake. The next, once the socket is writable, tells how it
/// went, so a wake-up for any other reason is seen to be one. `EAGAIN` does not mean "wait" here: the
/// system lacks a resource.
fn try_connect(
    socket: &std::net::TcpStream,
    address: &SockaddrStorage,
) -> io::Result<io::Result<()>> {
    match socket::connect(socket.as_raw_fd(), address) {
        Err(Errno::EINPROGRESS | Errno::EALREADY) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(()) | Err(Errno::EISCONN) => Ok(Ok(())),
        Err(errno) => Ok(Err(io::Error::from(errno))),
    }
}
