//! `std::os::unix::net::UnixStream` on the reactor. Reading and writing are in `net/transfer.rs`,
//! conversions in `net/socket.rs`.

use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::{SocketAddr, UnixStream as StdStream};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};

use super::super::polled::polled_stream;
use super::super::socket::{Socket, socket_timeouts, socket_type};
use super::super::transfer::byte_stream;
use super::address;
use crate::blocking;
use crate::io::{Kind, Source};

/// How long a connect that waits for a full listener goes on after its caller has gone. Any length
/// does that is long for a thread and short for a process.
const PATIENCE: Duration = Duration::from_secs(1);

/// A Unix stream socket, shaped as [`std::os::unix::net::UnixStream`].
///
/// It is read and written through [`Read`](io::Read) and [`Write`](io::Write), by value or by
/// shared reference: one green thread may read while another writes. When several read, they get
/// what arrives in the order in which they came. Dropping it closes the connection.
///
/// A write may take a part of the buffer only, as [`Write::write`](io::Write::write) warns. Use
/// [`write_all`](io::Write::write_all).
///
/// # Examples
///
/// ```
/// use greenlit::os::unix::net::UnixStream;
/// use greenlit::thread;
/// use std::io::{Read, Write};
///
/// greenlit::run(|| -> std::io::Result<()> {
///     let (mut ours, mut theirs) = UnixStream::pair()?;
///     thread::spawn(move || theirs.write_all(b"hello"));
///     let mut text = String::new();
///     ours.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream {
    socket: Socket<StdStream>,
}

// A short count proves nothing here: a message that passes descriptors ends a read, and more may
// lie behind it.
socket_type!(UnixStream, StdStream, |_| Kind::NonBlocking);
socket_timeouts!(UnixStream);
byte_stream!(UnixStream, "UnixStream::read", "UnixStream::write");
polled_stream!(UnixStream);

impl UnixStream {
    /// Connects to the socket that is bound to `path`, parking while its queue of connections is
    /// full.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such file; `ConnectionRefused` where nobody listens;
    /// `InvalidInput` for a path that is too long or contains a zero byte.
    ///
    /// # Cancellation
    ///
    /// The attempt is given up.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the socket that is bound to `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancellation
    ///
    /// The attempt is given up.
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        let address = address::to_system(socket_addr)?;
        let socket = new_socket(SockFlag::SOCK_NONBLOCK)?;
        match socket::connect(socket.as_raw_fd(), &address) {
            Ok(()) => Ok(UnixStream::from_accepted(socket)),
            Err(Errno::EAGAIN) => UnixStream::wait_for_room(address),
            Err(errno) => Err(errno.into()),
        }
    }

    /// As [`connect`](Self::connect), as a future. Where that is dropped, the attempt is given up.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_async<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        let address = SocketAddr::from_pathname(path)?;
        UnixStream::connect_addr_async(&address).await
    }

    /// As [`connect_addr`](Self::connect_addr), as a future. Where that is dropped, the attempt is given
    /// up.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_addr_async(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        let address = address::to_system(socket_addr)?;
        let socket = new_socket(SockFlag::SOCK_NONBLOCK)?;
        match socket::connect(socket.as_raw_fd(), &address) {
            Ok(()) => Ok(UnixStream::from_accepted(socket)),
            Err(Errno::EAGAIN) => {
                let caller = Arc::new(());
                let waits = Arc::downgrade(&caller);
                let connect = move || connect_blocking(&address, &waits);
                let stream = blocking::unblock_async(connect).await?;
                stream.set_nonblocking(true)?;
                Ok(UnixStream::from_accepted(stream.into()))
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Connects to a listener whose queue is full. No event says when there is room again, so
    /// another OS thread waits for it in connect(2).
    fn wait_for_room(address: UnixAddr) -> io::Result<UnixStream> {
        let caller = Arc::new(());
        let waits = Arc::downgrade(&caller);
        let stream = blocking::offload_io("UnixStream::connect", move || {
            connect_blocking(&address, &waits)
        })?;
        stream.set_nonblocking(true)?;
        Ok(UnixStream::from_accepted(stream.into()))
    }

    /// Makes two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = StdStream::pair()?;
        let stream = |end| {
            let socket = Socket::from_std(end)?;
            Ok::<_, io::Error>(UnixStream { socket })
        };
        Ok((stream(one)?, stream(other)?))
    }

    /// A connection as [`crate::io::accept`] gives it: non-blocking and not shared.
    pub(super) fn from_accepted(socket: OwnedFd) -> UnixStream {
        let stream = StdStream::from(socket);
        UnixStream {
            socket: Socket::own(Source::from_owned(stream, Kind::NonBlocking)),
        }
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }

    /// The address of the other end, which has none if it did not bind one.
    ///
    /// # Errors
    ///
    /// What `getpeername(2)` reports.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().peer_addr()
    }

    /// Shuts down reading, writing or both, at once and for all clones. Green threads parked in
    /// such a call return.
    ///
    /// # Errors
    ///
    /// What `shutdown(2)` reports.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.get().shutdown(how)
    }
}

fn new_socket(flags: SockFlag) -> io::Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    Ok(socket::socket(
        AddressFamily::Unix,
        SockType::Stream,
        flags,
        None,
    )?)
}

/// Connects on an OS thread that may block, for as long as the `caller` is there.
fn connect_blocking(address: &UnixAddr, caller: &Weak<()>) -> io::Result<StdStream> {
    let stream = StdStream::from(new_socket(SockFlag::empty())?);
    // The kernel's limit for connects, too.
    stream.set_write_timeout(Some(PATIENCE))?;
    loop {
        match socket::connect(stream.as_raw_fd(), address) {
            Ok(()) => break,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if caller.strong_count() > 0 => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    stream.set_write_timeout(None)?;
    Ok(stream)
}
