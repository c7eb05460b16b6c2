//! Moves datagrams over a socket: one call, one datagram. A buffer that is too small cuts it off,
//! as std's do, and an empty one takes it all the same. Every system call here carries
//! `MSG_DONTWAIT`. Called by `UdpSocket` and `UnixDatagram`.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, MsgFlags, SockaddrLike, SockaddrStorage};

use super::socket::{Socket, StdSocket};
use super::transfer::{SEND, raw};
use crate::io::receive_from;

impl<S: StdSocket> Socket<S> {
    /// Takes the next datagram, or with `MSG_PEEK` in `flags` only looks at it.
    pub(super) fn recv(
        &self,
        what: &'static str,
        buf: &mut [u8],
        flags: MsgFlags,
    ) -> io::Result<usize> {
        let flags = flags | MsgFlags::MSG_DONTWAIT;
        self.next_datagram(what, 0, |inner| Ok(socket::recv(raw(inner), buf, flags)?))
    }

    /// As [`recv`](Self::recv), and says who sent it.
    pub(super) fn recv_from(
        &self,
        what: &'static str,
        buf: &mut [u8],
        flags: MsgFlags,
    ) -> io::Result<(usize, Option<SockaddrStorage>)> {
        let flags = flags | MsgFlags::MSG_DONTWAIT;
        let end = (0, None);
        self.next_datagram(what, end, |inner| receive_from(inner.as_fd(), buf, flags))
    }

    /// Runs `receive` and parks while there is nothing, or returns `end` once the socket is shut
    /// down for reading. The kernel says that only to a call that blocks: to others it says that
    /// they would, although no event is to come.
    fn next_datagram<R: Copy>(
        &self,
        what: &'static str,
        end: R,
        mut receive: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        self.read_with(what, |inner| match self.options.is_nonblocking() {
            true => receive(inner),
            false => receive_or_end(inner, end, &mut receive),
        })
    }

    /// As [`recv`](Self::recv), as a future.
    pub(super) async fn recv_async(&self, buf: &mut [u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT;
        let mut receive = |inner: &S| Ok(socket::recv(raw(inner), buf, flags)?);
        let source = self.source();
        source
            .when_readable_async(|inner| receive_or_end(inner, 0, &mut receive))
            .await
    }

    /// As [`recv_from`](Self::recv_from), as a future.
    pub(super) async fn recv_from_async(
        &self,
        buf: &mut [u8],
    ) -> io::Result<(usize, Option<SockaddrStorage>)> {
        let flags = MsgFlags::MSG_DONTWAIT;
        let mut receive = |inner: &S| receive_from(inner.as_fd(), buf, flags);
        let source = self.source();
        source
            .when_readable_async(|inner| receive_or_end(inner, (0, None), &mut receive))
            .await
    }

    /// As [`send`](Self::send), as a future.
    pub(super) async fn send_async(&self, buf: &[u8]) -> io::Result<usize> {
        let source = self.source();
        source
            .when_writable_async(|inner| Ok(socket::send(raw(inner), buf, SEND)?))
            .await
    }

    /// As [`send_to`](Self::send_to), as a future.
    pub(super) async fn send_to_async(
        &self,
        buf: &[u8],
        address: SockaddrStorage,
    ) -> io::Result<usize> {
        let source = self.source();
        source
            .when_writable_async(|inner| Ok(socket::sendto(raw(inner), buf, &address, SEND)?))
            .await
    }

    /// Sends one datagram to the socket's peer.
    pub(super) fn send(&self, what: &'static str, buf: &[u8]) -> io::Result<usize> {
        self.write_with(what, |inner| Ok(socket::send(raw(inner), buf, SEND)?))
    }

    /// Sends one datagram to `address`.
    pub(super) fn send_to(
        &self,
        what: &'static str,
        buf: &[u8],
        address: &dyn SockaddrLike,
    ) -> io::Result<usize> {
        self.write_with(what, |inner| {
            Ok(socket::sendto(raw(inner), buf, address, SEND)?)
        })
    }
}

/// Runs `receive`, which returns `end` once the socket is shut down for reading.
fn receive_or_end<S: AsFd, R: Copy>(
    inner: &S,
    end: R,
    receive: &mut impl FnMut(&S) -> io::Result<R>,
) -> io::Result<R> {
    match receive(inner) {
        Err(error) if would_block(&error) && is_shut(inner)? => {
            // What came before it was shut is still there.
            match receive(inner) {
                Err(error) if would_block(&error) => Ok(end),
                outcome => outcome,
            }
        }
        outcome => outcome,
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Whether nothing more is to be received.
fn is_shut(socket: &impl AsFd) -> io::Result<bool> {
    let flag = PollFlags::from_bits_retain(libc::POLLRDHUP);
    let mut polled = [PollFd::new(socket.as_fd(), flag)];
    match poll(&mut polled, PollTimeout::ZERO) {
        // A signal is told of only where there is nothing else to tell.
        Ok(0) | Err(Errno::EINTR) => return Ok(false),
        Ok(_) => {}
        Err(errno) => return Err(errno.into()),
    }
    // nix does not know the flag, and shows what contains it as `None`.
    Ok(polled[0].revents().is_none_or(|got| got.contains(flag)))
}
