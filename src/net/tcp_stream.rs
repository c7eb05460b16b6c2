//! `std::net::TcpStream` on the reactor: construction and options. Reading and writing are in
//! `transfer.rs`, conversions in `socket.rs`.

use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use super::connect;
use super::options;
use super::polled::polled_stream;
use super::socket::{Socket, socket_timeouts, socket_type};
use super::transfer::byte_stream;
use super::{ToSocketAddrs, addrs};
use crate::io::{Kind, Source};

/// A TCP connection, shaped as [`std::net::TcpStream`].
///
/// It is read and written through [`Read`](io::Read) and [`Write`](io::Write), by value or by
/// shared reference: one green thread may read while another writes. When several read, they get
/// what arrives in the order in which they came. Dropping it closes the connection.
///
/// A write may take a part of the buffer only, as [`Write::write`](io::Write::write) warns; std's
/// blocking sockets seldom do. Use [`write_all`](io::Write::write_all).
///
/// # Examples
///
/// ```no_run
/// use greenlit::net::TcpStream;
/// use std::io::{Read, Write};
///
/// greenlit::run(|| {
///     let mut stream = TcpStream::connect("127.0.0.1:7000")?;
///     stream.write_all(b"hello")?;
///     let mut reply = [0; 5];
///     stream.read_exact(&mut reply)
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream {
    pub(super) socket: Socket<std::net::TcpStream>,
}

impl TcpStream {
    /// Connects to the first of `addr`'s addresses that answers, parking until one does.
    ///
    /// # Errors
    ///
    /// Of the address tried last; `InvalidInput` if there was none.
    ///
    /// # Cancellation
    ///
    /// The attempt is given up and its socket closed.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        addrs::first_success(addr, |address| {
            Ok(TcpStream::new(connect::connect(address, None)?))
        })
    }

    /// As [`connect`](Self::connect), as a future. Where that is dropped, the attempt is given up and
    /// its socket closed.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_async<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        addrs::first_success_async(addr, async |address| {
            Ok(TcpStream::new(connect::connect_async(address).await?))
        })
        .await
    }

    /// Connects to one address, and gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// `TimedOut` when the time is over; `InvalidInput` for a timeout of zero.
    ///
    /// # Cancellation
    ///
    /// The attempt is given up and its socket closed.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(options::zero_timeout());
        }
        Ok(TcpStream::new(connect::connect(*addr, Some(timeout))?))
    }

    /// A connection that this crate opened: non-blocking and not shared.
    fn new(source: Source<std::net::TcpStream>) -> TcpStream {
        TcpStream {
            socket: Socket::own(source),
        }
    }

    /// A connection as [`crate::io::accept`] gives it.
    pub(super) fn from_accepted(socket: OwnedFd) -> TcpStream {
        TcpStream::new(Source::from_owned(
            std::net::TcpStream::from(socket),
            Kind::Stream,
        ))
    }

    /// Reads without taking the data off the connection, parking until there is some. 0 means its
    /// end.
    ///
    /// # Errors
    ///
    /// As a read: `WouldBlock` when the timeout of reads passes or in the non-blocking mode.
    ///
    /// # Cancellation
    ///
    /// No data is lost.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek_stream("TcpStream::peek", buf)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the connection has been reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }

    /// Shuts down reading, writing or both, at once and for all clones. Green threads parked in
    /// such a call return.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.get().shutdown(how)
    }

    /// Sets `TCP_NODELAY`: small writes are sent at once rather than gathered.
    ///
    /// # Errors
    ///
    /// What `setsockopt(2)` reports.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.get().set_nodelay(nodelay)
    }

    /// The value of `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.get().nodelay()
    }

    /// Sets `IP_TTL`, the time to live of the packets sent from this socket.
    ///
    /// # Errors
    ///
    /// When the value is out of range.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.get().set_ttl(ttl)
    }

    /// The value of `IP_TTL`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.get().ttl()
    }
}

// Only TCP has `nodelay`: other sockets may have come in here, and theirs are other rules.
socket_type!(
    TcpStream,
    std::net::TcpStream,
    |stream| match stream.nodelay() {
        Ok(_) => Kind::Stream,
        Err(_) => Kind::NonBlocking,
    }
);
socket_timeouts!(TcpStream);
byte_stream!(TcpStream, "TcpStream::read", "TcpStream::write");
polled_stream!(TcpStream);
