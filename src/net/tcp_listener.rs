//! `std::net::TcpListener` on the reactor. Accepting is one system call a connection: the socket
//! arrives non-blocking.

use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use futures_core::Stream;

use nix::sys::socket::{self, Backlog};

use super::addrs;
use super::socket::{Socket, socket_type};
use super::{TcpStream, ToSocketAddrs};
use crate::io::Kind;

/// A TCP socket that listens for connections, shaped as [`std::net::TcpListener`].
///
/// It can be shared by reference between green threads and between OS threads. Dropping it closes
/// the socket.
///
/// # Examples
///
/// An echo server:
///
/// ```no_run
/// use greenlit::{net::TcpListener, thread};
/// use std::io;
///
/// greenlit::run(|| -> io::Result<()> {
///     let listener = TcpListener::bind("127.0.0.1:7000")?;
///     for stream in listener.incoming() {
///         let stream = stream?;
///         thread::spawn(move || io::copy(&mut &stream, &mut &stream));
///     }
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
pub struct TcpListener {
    socket: Socket<std::net::TcpListener>,
}

impl TcpListener {
    /// Makes a listener bound to the first of `addr`'s addresses that can be had. Port 0 asks for a
    /// free port.
    ///
    /// As std does, it sets `SO_REUSEADDR`, so that a server can be started again at once. The
    /// queue of connections that wait to be accepted is as long as the system allows
    /// (`net.core.somaxconn`).
    ///
    /// # Errors
    ///
    /// Of the address tried last; `InvalidInput` if there was none.
    ///
    /// # Cancellation
    ///
    /// Parks only to look up a name.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        addrs::first_success(addr, |address| {
            let listener = std::net::TcpListener::bind(address)?;
            // std's queue of 128 is too short where a thousand green threads may connect before the
            // one that accepts gets its turn: the kernel drops what does not fit, and asks again a
            // second later.
            socket::listen(&listener, Backlog::MAXALLOWABLE)?;
            Ok(TcpListener {
                socket: Socket::from_std(listener)?,
            })
        })
    }

    /// The address the listener is bound to: the way to learn which port 0 became.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }

    /// Takes the next connection, parking until there is one. Several green threads that wait get
    /// theirs in turn.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left (`EMFILE`, `ENFILE`): the connection stays in the queue, and
    /// the next call tries again. `WouldBlock` after
    /// [`set_nonblocking(true)`](Self::set_nonblocking). A connection that its peer has already
    /// given up (`ECONNABORTED`) is no error but skipped.
    ///
    /// # Cancellation
    ///
    /// No connection is lost: one that has arrived stays in the queue.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.socket.accept("TcpListener::accept")?;
        Ok((TcpStream::from_accepted(socket), addrs::ip_address(peer)?))
    }

    /// As [`accept`](Self::accept), as a future.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept), but never `WouldBlock`.
    pub async fn accept_async(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.socket.accept_async().await?;
        let stream = TcpStream::from_accepted(socket);
        Ok((stream, addrs::ip_address(peer)?))
    }

    /// An endless stream of the connections, for async code: the same as awaiting
    /// [`accept_async`](Self::accept_async) in a loop.
    pub fn incoming_async(&self) -> IncomingAsync<'_> {
        IncomingAsync { listener: self }
    }

    /// An endless iterator over the connections: the same as calling [`accept`](Self::accept) in a
    /// loop.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
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

socket_type!(TcpListener, std::net::TcpListener, |_| Kind::NonBlocking);

/// The connections of a [`TcpListener`], without end. Made by [`TcpListener::incoming`].
///
/// # Cancellation
///
/// As [`TcpListener::accept`].
#[derive(Debug)]
#[must_use = "connections are accepted as the iterator is advanced"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _peer)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

/// The connections of a [`TcpListener`], without end, as a stream. Made by
/// [`TcpListener::incoming_async`].
#[derive(Debug)]
#[must_use = "connections are accepted as the stream is polled"]
pub struct IncomingAsync<'a> {
    listener: &'a TcpListener,
}

impl Stream for IncomingAsync<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<TcpStream>>> {
        let accepted = ready!(self.listener.socket.poll_accept(context));
        Poll::Ready(Some(
            accepted.map(|(socket, _peer)| TcpStream::from_accepted(socket)),
        ))
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Incoming<'_>>();
};
