//! `std::net::TcpListener` on the reactor. Accepting is one system call a connection: the socket
//! arrives non-blocking.

use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::{fmt, io};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{self, Backlog};

use super::addrs;
use super::options::Options;
use super::{TcpStream, ToSocketAddrs};
use crate::io::{Kind, Source, accept};

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
    source: Source<std::net::TcpListener>,
    /// Shared with every clone of this listener.
    options: Arc<Options>,
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
            listener.set_nonblocking(true)?;
            Ok(TcpListener {
                source: Source::from_owned(listener, Kind::NonBlocking),
                options: Arc::new(Options::new()),
            })
        })
    }

    /// The address the listener is bound to: the way to learn which port 0 became.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().local_addr()
    }

    /// Makes a second handle to the same socket. The queue of connections and all options are
    /// shared.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        let source = Source::from_owned(self.source.get_ref().try_clone()?, Kind::NonBlocking);
        source.set_shared();
        self.source.set_shared();
        Ok(TcpListener {
            source,
            options: Arc::clone(&self.options),
        })
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
        let take = |listener: &std::net::TcpListener| {
            // Others may have put the description into blocking mode, so it is asked first.
            if self.options.is_foreign() && !is_readable(listener.as_fd())? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            skip_aborted(|| accept(listener.as_fd()))
        };
        let (socket, peer) = if self.options.is_nonblocking() {
            take(self.source.get_ref())?
        } else {
            self.source.read_with("TcpListener::accept", None, take)?
        };
        Ok((TcpStream::from_accepted(socket), peer))
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
        self.source.get_ref().set_ttl(ttl)
    }

    /// The value of `IP_TTL`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn ttl(&self) -> io::Result<u32> {
        self.source.get_ref().ttl()
    }

    /// Takes the error pending on the socket (`SO_ERROR`), if there is one.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.get_ref().take_error()
    }

    /// Chooses whether [`accept`](Self::accept) returns `WouldBlock` instead of parking. Clones
    /// share the choice.
    ///
    /// # Errors
    ///
    /// None; the result is there because std's method has one.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.options.set_nonblocking(nonblocking);
        Ok(())
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.get_ref().fmt(formatter)
    }
}

/// A socket whose fd was shown may have been duplicated, and leaves the reactor as a clone does
/// when it is closed.
impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.set_shared();
        self.source.get_ref().as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.source.set_shared();
        self.source.get_ref().as_raw_fd()
    }
}

/// The socket's mode stays what it was, for whoever shares it. `accept` parks here in either mode.
impl From<std::net::TcpListener> for TcpListener {
    fn from(listener: std::net::TcpListener) -> TcpListener {
        let source = Source::from_owned(listener, Kind::NonBlocking);
        source.set_shared();
        TcpListener {
            source,
            options: Arc::new(Options::foreign()),
        }
    }
}

/// std's listener blocks, unless [`TcpListener::set_nonblocking`] says otherwise or it came in
/// another mode.
impl From<TcpListener> for std::net::TcpListener {
    fn from(listener: TcpListener) -> std::net::TcpListener {
        let TcpListener { source, options } = listener;
        let listener = source.into_inner();
        if let Some(nonblocking) = options.hand_over() {
            // Only a closed fd is refused, and this one is open.
            let _ = listener.set_nonblocking(nonblocking);
        }
        listener
    }
}

impl From<OwnedFd> for TcpListener {
    fn from(fd: OwnedFd) -> TcpListener {
        TcpListener::from(std::net::TcpListener::from(fd))
    }
}

impl From<TcpListener> for OwnedFd {
    fn from(listener: TcpListener) -> OwnedFd {
        std::net::TcpListener::from(listener).into()
    }
}

impl IntoRawFd for TcpListener {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

/// The connections of a [`TcpListener`], without end. Made by [`TcpListener::incoming`].
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

/// Calls `accept` until it gives anything but a connection that was aborted in the queue.
/// Each such answer takes one connection off the queue, so this ends.
fn skip_aborted<T>(mut accept: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match accept() {
            Err(error) if error.raw_os_error() == Some(Errno::ECONNABORTED as i32) => {}
            outcome => return outcome,
        }
    }
}

/// Whether there is a connection or an error to take, without waiting for one.
fn is_readable(listener: BorrowedFd<'_>) -> io::Result<bool> {
    let mut polled = [PollFd::new(listener, PollFlags::POLLIN)];
    Ok(nix::poll::poll(&mut polled, PollTimeout::ZERO)? > 0)
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<TcpListener>();
    assert_send_sync::<Incoming<'_>>();
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Behaviour 38. No kernel at hand returns `ECONNABORTED` from `accept4`, so the answers are
    /// made up.
    #[test]
    fn aborted_connections_are_skipped_and_other_errors_are_not() {
        let mut answers = vec![
            Err(Errno::EMFILE),
            Ok(7),
            Err(Errno::ECONNABORTED),
            Err(Errno::ECONNABORTED),
        ];
        let mut accept = || {
            answers
                .pop()
                .expect("no more answers")
                .map_err(io::Error::from)
        };

        assert_eq!(skip_aborted(&mut accept).unwrap(), 7);
        let error = skip_aborted(&mut accept).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EMFILE as i32));
    }
}
