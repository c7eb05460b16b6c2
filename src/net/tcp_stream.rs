//! `std::net::TcpStream` on the reactor: construction, options, conversions. Reading and writing
//! are in `tcp_transfer.rs`.

use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::linux::net::TcpStreamExt;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use super::connect;
use super::options::{self, Options};
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
    pub(super) source: Source<std::net::TcpStream>,
    /// Shared with every clone of this stream.
    pub(super) options: Arc<Options>,
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
            source,
            options: Arc::new(Options::new()),
        }
    }

    /// A connection as [`crate::io::accept`] gives it.
    pub(super) fn from_accepted(socket: OwnedFd) -> TcpStream {
        TcpStream::new(Source::from_owned(
            std::net::TcpStream::from(socket),
            Kind::Stream,
        ))
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the connection has been reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.get_ref().local_addr()
    }

    /// Shuts down reading, writing or both, at once and for all clones. Green threads parked in
    /// such a call return.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection is gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.get_ref().shutdown(how)
    }

    /// Makes a second handle to the same connection. Data and all options are shared.
    ///
    /// A shared reference does the same for less where lifetimes allow it: `&TcpStream` reads and
    /// writes.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        let source = Source::from_owned(self.source.get_ref().try_clone()?, self.source.kind());
        source.set_shared();
        self.source.set_shared();
        Ok(TcpStream {
            source,
            options: Arc::clone(&self.options),
        })
    }

    /// Bounds each following read: one that gets nothing in this time returns `WouldBlock`. `None`
    /// waits for ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero.
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.options.read_timeout.set(dur)
    }

    /// Bounds each following write: one that can hand over nothing in this time returns
    /// `WouldBlock`. `None` waits for ever.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero.
    pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.options.write_timeout.set(dur)
    }

    /// The timeout of reads.
    ///
    /// # Errors
    ///
    /// None; the result is there because std's method has one.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.options.read_timeout.get())
    }

    /// The timeout of writes.
    ///
    /// # Errors
    ///
    /// None; the result is there because std's method has one.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.options.write_timeout.get())
    }

    /// Sets `TCP_NODELAY`: small writes are sent at once rather than gathered.
    ///
    /// # Errors
    ///
    /// What `setsockopt(2)` reports.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.source.get_ref().set_nodelay(nodelay)
    }

    /// The value of `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.source.get_ref().nodelay()
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

    /// Sets `TCP_QUICKACK`, until the kernel resets it: data is acknowledged at once rather than
    /// delayed.
    ///
    /// # Errors
    ///
    /// What `setsockopt(2)` reports.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.source.get_ref().set_quickack(quickack)
    }

    /// The value of `TCP_QUICKACK`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn quickack(&self) -> io::Result<bool> {
        self.source.get_ref().quickack()
    }

    /// Takes the error pending on the socket (`SO_ERROR`), if there is one.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.get_ref().take_error()
    }

    /// Chooses whether reads and writes return `WouldBlock` instead of parking. Clones share the
    /// choice.
    ///
    /// # Errors
    ///
    /// None; the result is there because std's method has one.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.options.set_nonblocking(nonblocking);
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.get_ref().fmt(formatter)
    }
}

/// A socket whose fd was shown may have been duplicated, and leaves the reactor as a clone does
/// when it is closed.
impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.set_shared();
        self.source.get_ref().as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.source.set_shared();
        self.source.get_ref().as_raw_fd()
    }
}

/// Timeouts come along. The socket's mode stays what it was, for whoever shares it; reads and
/// writes park in either mode.
impl From<std::net::TcpStream> for TcpStream {
    fn from(stream: std::net::TcpStream) -> TcpStream {
        // A timeout that cannot be asked for or kept is none, since a conversion has no way to
        // report an error.
        let options = Options::foreign();
        let _ = options
            .read_timeout
            .set(stream.read_timeout().ok().flatten());
        let _ = options
            .write_timeout
            .set(stream.write_timeout().ok().flatten());

        // What only TCP has: other sockets may have come in here, and theirs are other rules.
        let kind = match stream.nodelay() {
            Ok(_) => Kind::Stream,
            Err(_) => Kind::NonBlocking,
        };
        let source = Source::from_owned(stream, kind);
        source.set_shared();
        TcpStream {
            source,
            options: Arc::new(options),
        }
    }
}

/// Timeouts go along. std's stream blocks, unless [`TcpStream::set_nonblocking`] says otherwise or
/// it came in another mode.
impl From<TcpStream> for std::net::TcpStream {
    fn from(stream: TcpStream) -> std::net::TcpStream {
        let TcpStream { source, options } = stream;
        let stream = source.into_inner();

        // An open socket refuses none of these, and a conversion has no way to report an error.
        let _ = stream.set_read_timeout(options.read_timeout.get());
        let _ = stream.set_write_timeout(options.write_timeout.get());
        if let Some(nonblocking) = options.hand_over() {
            let _ = stream.set_nonblocking(nonblocking);
        }
        stream
    }
}

impl From<OwnedFd> for TcpStream {
    fn from(fd: OwnedFd) -> TcpStream {
        TcpStream::from(std::net::TcpStream::from(fd))
    }
}

impl From<TcpStream> for OwnedFd {
    fn from(stream: TcpStream) -> OwnedFd {
        std::net::TcpStream::from(stream).into()
    }
}

impl IntoRawFd for TcpStream {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<TcpStream>();
};
