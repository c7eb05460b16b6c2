//! `std::os::unix::net::UnixListener` on the reactor. How it accepts is in `net/accept.rs`,
//! conversions in `net/socket.rs`.

use std::iter::FusedIterator;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use futures_core::Stream;

use super::super::socket::{Socket, socket_type};
use super::{UnixStream, address};
use crate::io::Kind;

/// A Unix socket that listens for connections, shaped as [`std::os::unix::net::UnixListener`].
///
/// It can be shared by reference between green threads and between OS threads. Dropping it closes
/// the socket and leaves the file at its path, as std's does.
///
/// # Examples
///
/// An echo server:
///
/// ```no_run
/// use greenlit::os::unix::net::UnixListener;
/// use greenlit::thread;
/// use std::io;
///
/// greenlit::run(|| -> io::Result<()> {
///     let listener = UnixListener::bind("/tmp/echo")?;
///     for stream in listener.incoming() {
///         let stream = stream?;
///         thread::spawn(move || io::copy(&mut &stream, &mut &stream));
///     }
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
pub struct UnixListener {
    socket: Socket<StdListener>,
}

socket_type!(UnixListener, StdListener, |_| Kind::NonBlocking);

impl UnixListener {
    /// Makes a listener bound to `path`, where a file of the type socket comes to be.
    ///
    /// # Errors
    ///
    /// `AddrInUse` where there is a file already; `InvalidInput` for a path that is too long or
    /// contains a zero byte.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::from_std(StdListener::bind(path)?)
    }

    /// Makes a listener bound to `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::from_std(StdListener::bind_addr(socket_addr)?)
    }

    fn from_std(listener: StdListener) -> io::Result<UnixListener> {
        let socket = Socket::from_std(listener)?;
        Ok(UnixListener { socket })
    }

    /// Takes the next connection, parking until there is one. Several green threads that wait get
    /// theirs in turn.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left (`EMFILE`, `ENFILE`): the connection stays in the queue, and
    /// the next call tries again. `WouldBlock` after
    /// [`set_nonblocking(true)`](Self::set_nonblocking).
    ///
    /// # Cancellation
    ///
    /// No connection is lost: one that has arrived stays in the queue.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, peer) = self.socket.accept("UnixListener::accept")?;
        let stream = UnixStream::from_accepted(socket);
        Ok((stream, address::from_system(peer)?))
    }

    /// As [`accept`](Self::accept), as a future.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept), but never `WouldBlock`.
    pub async fn accept_async(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, peer) = self.socket.accept_async().await?;
        let stream = UnixStream::from_accepted(socket);
        Ok((stream, address::from_system(peer)?))
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

    /// The address the listener is bound to.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

/// The connections of a [`UnixListener`], without end. Made by [`UnixListener::incoming`].
///
/// # Cancellation
///
/// As [`UnixListener::accept`].
#[derive(Debug)]
#[must_use = "connections are accepted as the iterator is advanced"]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _peer)| stream))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedIterator for Incoming<'_> {}

/// The connections of a [`UnixListener`], without end, as a stream. Made by
/// [`UnixListener::incoming_async`].
#[derive(Debug)]
#[must_use = "connections are accepted as the stream is polled"]
pub struct IncomingAsync<'a> {
    listener: &'a UnixListener,
}

impl Stream for IncomingAsync<'_> {
    type Item = io::Result<UnixStream>;

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<UnixStream>>> {
        let accepted = ready!(self.listener.socket.poll_accept(context));
        Poll::Ready(Some(
            accepted.map(|(socket, _peer)| UnixStream::from_accepted(socket)),
        ))
    }
}
