//! `std::os::unix::net::UnixDatagram` on the reactor. Receiving is in `net/datagram.rs`,
//! conversions in `net/socket.rs`.

use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{self, MsgFlags};

use super::super::socket::{Socket, is_ready, socket_timeouts, socket_type};
use super::super::transfer::{SEND, raw};
use super::address;
use crate::io::Kind;
use crate::time::Instant;

const SEND_TO: &str = "UnixDatagram::send_to";

/// A Unix datagram socket, shaped as [`std::os::unix::net::UnixDatagram`].
///
/// Each call sends or receives one datagram. One that is longer than the buffer that it is received
/// into is cut off; none is lost otherwise, since whoever sends waits for room. All methods take a
/// shared reference: one green thread may receive while another sends, and several that receive get
/// datagrams in the order in which they came.
///
/// # Examples
///
/// ```
/// use greenlit::os::unix::net::UnixDatagram;
/// use greenlit::thread;
///
/// greenlit::run(|| -> std::io::Result<()> {
///     let (ours, theirs) = UnixDatagram::pair()?;
///     thread::spawn(move || theirs.send(b"one"));
///     let mut buf = [0; 64];
///     let length = ours.recv(&mut buf)?;
///     assert_eq!(&buf[..length], b"one");
///     Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    socket: Socket<StdDatagram>,
}

socket_type!(UnixDatagram, StdDatagram, |_| Kind::NonBlocking);
socket_timeouts!(UnixDatagram);

impl UnixDatagram {
    /// Makes a socket bound to `path`, where a file of the type socket comes to be.
    ///
    /// # Errors
    ///
    /// `AddrInUse` where there is a file already; `InvalidInput` for a path that is too long or
    /// contains a zero byte.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(StdDatagram::bind(path)?)
    }

    /// Makes a socket bound to `socket_addr`, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(StdDatagram::bind_addr(socket_addr)?)
    }

    /// Makes a socket without an address, which can send.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(StdDatagram::unbound()?)
    }

    /// Makes two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = StdDatagram::pair()?;
        Ok((UnixDatagram::from_std(one)?, UnixDatagram::from_std(other)?))
    }

    fn from_std(datagram: StdDatagram) -> io::Result<UnixDatagram> {
        let socket = Socket::from_std(datagram)?;
        Ok(UnixDatagram { socket })
    }

    /// Makes the socket that is bound to `path` this one's peer: [`send`](Self::send) sends to it,
    /// and only what it sends is received.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such file; `ConnectionRefused` where nobody has it open;
    /// `InvalidInput` for a path that is too long or contains a zero byte.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        // The kernel only notes the peer, whatever the socket's mode is.
        self.socket.get().connect(path)
    }

    /// As [`connect`](Self::connect), to an address, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        self.socket.get().connect_addr(socket_addr)
    }

    /// Sends `buf` as one datagram to the peer, parking while there is no room for it.
    ///
    /// # Errors
    ///
    /// `NotConnected` without a peer; `ConnectionRefused` where it has gone; `EMSGSIZE` for a
    /// buffer that is too long; `WouldBlock` when the timeout of writes passes or in the
    /// non-blocking mode.
    ///
    /// # Cancellation
    ///
    /// Nothing was sent.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send("UnixDatagram::send", buf)
    }

    /// Sends `buf` as one datagram to the socket that is bound to `path`, parking while there is no
    /// room for it. (The kernel tells of room at another socket only to its peers, so a socket that
    /// is made its peer waits for it.)
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect) and [`send`](Self::send).
    ///
    /// # Cancellation
    ///
    /// Nothing was sent.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// As [`send_to`](Self::send_to), to an address, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect) and [`send`](Self::send).
    ///
    /// # Cancellation
    ///
    /// Nothing was sent.
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        let address = address::to_system(socket_addr)?;
        let timeout = self.socket.options.write_timeout.get();
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut had_room = false;
        loop {
            let outcome = self
                .socket
                .try_once(|inner| Ok(socket::sendto(raw(inner), buf, &address, SEND)?));
            match outcome {
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && !self.socket.options.is_nonblocking() => {}
                outcome => return outcome,
            }

            let (receiver, has_room) = look_at(socket_addr)?;
            match (has_room, had_room) {
                (false, _) => receiver.wait_writable(SEND_TO, deadline)?,
                (true, false) => {}
                (true, true) => self.socket.wait_writable(SEND_TO, deadline)?,
            }
            had_room = has_room;
        }
    }

    /// As [`send`](Self::send), as a future.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), but never `WouldBlock`.
    pub async fn send_async(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send_async(buf).await
    }

    /// As [`send_to`](Self::send_to), as a future.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), but never `WouldBlock`.
    pub async fn send_to_async<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        let address = SocketAddr::from_pathname(path)?;
        self.send_to_addr_async(buf, &address).await
    }

    /// As [`send_to_addr`](Self::send_to_addr), as a future.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), but never `WouldBlock`.
    pub async fn send_to_addr_async(
        &self,
        buf: &[u8],
        socket_addr: &SocketAddr,
    ) -> io::Result<usize> {
        let address = address::to_system(socket_addr)?;
        let mut had_room = false;
        loop {
            match socket::sendto(raw(self.socket.get()), buf, &address, SEND) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                outcome => return Ok(outcome?),
            }
            let (receiver, has_room) = look_at(socket_addr)?;
            match (has_room, had_room) {
                (false, _) => receiver.wait_writable_async().await?,
                (true, false) => {}
                (true, true) => self.socket.wait_writable_async().await?,
            }
            had_room = has_room;
        }
    }

    /// As [`recv`](Self::recv), as a future. No datagram is lost where that is dropped.
    ///
    /// # Errors
    ///
    /// What `recv(2)` reports.
    pub async fn recv_async(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv_async(buf).await
    }

    /// As [`recv_from`](Self::recv_from), as a future. No datagram is lost where that is dropped.
    ///
    /// # Errors
    ///
    /// What `recvfrom(2)` reports.
    pub async fn recv_from_async(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, sender) = self.socket.recv_from_async(buf).await?;
        Ok((length, address::from_system(sender)?))
    }

    /// Receives one datagram into `buf`, parking until there is one, and returns its length, or
    /// that of the buffer where it does not fit in: the rest is lost.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the timeout of reads passes or in the non-blocking mode.
    ///
    /// # Cancellation
    ///
    /// No datagram is lost.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket
            .recv("UnixDatagram::recv", buf, MsgFlags::empty())
    }

    /// As [`recv`](Self::recv), and returns who sent the datagram.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancellation
    ///
    /// No datagram is lost.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let what = "UnixDatagram::recv_from";
        let (length, sender) = self.socket.recv_from(what, buf, MsgFlags::empty())?;
        Ok((length, address::from_system(sender)?))
    }

    /// The address the socket is bound to, if it is.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` without one.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().peer_addr()
    }

    /// Shuts down receiving, sending or both, at once and for all clones. Green threads parked in
    /// such a call return.
    ///
    /// # Errors
    ///
    /// What `shutdown(2)` reports.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.get().shutdown(how)
    }
}

/// A socket whose peer is the one at `socket_addr`, and whether that one has room.
///
/// Where a send finds none, either the receiver's queue is full or the sender's own buffer. The second
/// is waited for only once the first was seen not to be so twice: if the sender has a peer, the kernel
/// calls it writable only while the peer has room, too.
fn look_at(socket_addr: &SocketAddr) -> io::Result<(Socket<StdDatagram>, bool)> {
    let receiver = Socket::from_std(StdDatagram::unbound()?)?;
    let has_room = match receiver.get().connect_addr(socket_addr) {
        Ok(()) => is_ready(receiver.get(), PollFlags::POLLOUT)?,
        // The next try says why, if it concerns the sender too.
        Err(_) => true,
    };
    Ok((receiver, has_room))
}
