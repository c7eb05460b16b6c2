//! `std::net::UdpSocket` on the reactor: construction, sending and receiving. Its options are in
//! `udp_options.rs`, conversions in `socket.rs`.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;
use std::{fmt, io};

use nix::sys::socket::{MsgFlags, SockaddrStorage};

use super::socket::{Socket, socket_timeouts, socket_type};
use super::{ToSocketAddrs, addrs};
use crate::io::Kind;

/// A UDP socket, shaped as [`std::net::UdpSocket`].
///
/// Each call sends or receives one datagram. One that is longer than the buffer that it is received
/// into is cut off. All methods take a shared reference: one green thread may receive while another
/// sends, and several that receive get datagrams in the order in which they came.
///
/// # Examples
///
/// ```
/// use greenlit::{net::UdpSocket, thread};
///
/// greenlit::run(|| -> std::io::Result<()> {
///     let server = UdpSocket::bind("127.0.0.1:0")?;
///     let address = server.local_addr()?;
///     thread::spawn(move || -> std::io::Result<()> {
///         let mut buf = [0; 64];
///         loop {
///             let (length, peer) = server.recv_from(&mut buf)?;
///             server.send_to(&buf[..length], peer)?;
///         }
///     });
///
///     let client = UdpSocket::bind("127.0.0.1:0")?;
///     client.connect(address)?;
///     client.send(b"echo")?;
///     let mut reply = [0; 64];
///     let length = client.recv(&mut reply)?;
///     assert_eq!(&reply[..length], b"echo");
///     Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket {
    pub(super) socket: Socket<std::net::UdpSocket>,
}

socket_type!(UdpSocket, std::net::UdpSocket, |_| Kind::NonBlocking);
socket_timeouts!(UdpSocket);

impl UdpSocket {
    /// Makes a socket bound to the first of `addr`'s addresses that can be had. Port 0 asks for a
    /// free port.
    ///
    /// # Errors
    ///
    /// Of the address tried last; `InvalidInput` if there was none.
    ///
    /// # Cancellation
    ///
    /// Parks only to look up a name.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        addrs::first_success(addr, |address| {
            let socket = Socket::from_std(std::net::UdpSocket::bind(address)?)?;
            Ok(UdpSocket { socket })
        })
    }

    /// Makes the first of `addr`'s addresses that can be had the socket's peer: [`send`](Self::send)
    /// sends to it, and only what it sends is received.
    ///
    /// # Errors
    ///
    /// Of the address tried last; `InvalidInput` if there was none. That nobody listens there is
    /// not known yet: a later call returns `ConnectionRefused`.
    ///
    /// # Cancellation
    ///
    /// Parks only to look up a name.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        // The kernel only notes the address, whatever the socket's mode is.
        addrs::first_success(addr, |address| self.socket.get().connect(address))
    }

    /// Sends `buf` as one datagram to the peer, parking while there is no room for it.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` before [`connect`](Self::connect); `EMSGSIZE` for a buffer that is too long;
    /// `ConnectionRefused` where the peer refused an earlier one; `WouldBlock` when the timeout of
    /// writes passes or in the non-blocking mode.
    ///
    /// # Cancellation
    ///
    /// Nothing was sent.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send("UdpSocket::send", buf)
    }

    /// Sends `buf` as one datagram to the first of `addr`'s addresses, parking while there is no
    /// room for it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no address, otherwise as [`send`](Self::send).
    ///
    /// # Cancellation
    ///
    /// Nothing was sent. Also parks to look up a name.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let address = addr.to_socket_addrs()?.next();
        let address = SockaddrStorage::from(address.ok_or_else(no_address)?);
        self.socket.send_to("UdpSocket::send_to", buf, &address)
    }

    /// Receives one datagram into `buf`, parking until there is one, and returns its length, or
    /// that of the buffer where it does not fit in: the rest is lost.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` where the peer refused what was sent; `WouldBlock` when the timeout of
    /// reads passes or in the non-blocking mode.
    ///
    /// # Cancellation
    ///
    /// No datagram is lost.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv("UdpSocket::recv", buf, MsgFlags::empty())
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
        self.receive_from("UdpSocket::recv_from", buf, MsgFlags::empty())
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
    pub async fn send_to_async<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let address = addr.to_socket_addrs_async().await?.next();
        let address = SockaddrStorage::from(address.ok_or_else(no_address)?);
        self.socket.send_to_async(buf, address).await
    }

    /// As [`recv`](Self::recv), as a future. No datagram is lost where that is dropped.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), but never `WouldBlock`.
    pub async fn recv_async(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv_async(buf).await
    }

    /// As [`recv_from`](Self::recv_from), as a future. No datagram is lost where that is dropped.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), but never `WouldBlock`.
    pub async fn recv_from_async(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, sender) = self.socket.recv_from_async(buf).await?;
        Ok((length, addrs::ip_address(sender)?))
    }

    /// As [`recv`](Self::recv), but leaves the datagram where it is: the next call gets it again.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancellation
    ///
    /// No datagram is lost.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.recv("UdpSocket::peek", buf, MsgFlags::MSG_PEEK)
    }

    /// As [`peek`](Self::peek), and returns who sent the datagram.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancellation
    ///
    /// No datagram is lost.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from("UdpSocket::peek_from", buf, MsgFlags::MSG_PEEK)
    }

    fn receive_from(
        &self,
        what: &'static str,
        buf: &mut [u8],
        flags: MsgFlags,
    ) -> io::Result<(usize, SocketAddr)> {
        let (length, sender) = self.socket.recv_from(what, buf, flags)?;
        Ok((length, addrs::ip_address(sender)?))
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` before [`connect`](Self::connect).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().peer_addr()
    }

    /// The address the socket is bound to: the way to learn which port 0 became.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get().local_addr()
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to")
}
