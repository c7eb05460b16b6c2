//! Moves bytes over a stream socket: read, write, peek, whole and scattered. Every system call here
//! carries `MSG_DONTWAIT`, so it does not matter in which mode others keep the socket. Called by
//! `TcpStream` and `UnixStream`.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::sys::socket::{self, MsgFlags};

use super::socket::{Socket, StdSocket};

/// The most buffers the kernel takes in one call (`UIO_MAXIOV`).
pub(super) const MOST_BUFFERS: usize = 1024;

/// The kernel moves this many bytes in one call if it can. It stops a page short of 2 GiB on its
/// own account, and a count that falls short for that reason must not be taken for the sign that
/// the socket is drained.
pub(super) const CERTAIN_BYTES: usize = 1 << 30;

/// How each call that sends is made: without a wait, and without the signal `SIGPIPE`.
pub(super) const SEND: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

impl<S: StdSocket> Socket<S> {
    #[inline]
    pub(super) fn read(&self, what: &'static str, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(what, buf.len(), |fd| {
            Ok(socket::recv(fd, buf, MsgFlags::MSG_DONTWAIT)?)
        })
    }

    #[inline]
    pub(super) fn read_vectored(
        &self,
        what: &'static str,
        bufs: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        let count = bufs.len().min(MOST_BUFFERS);
        let bufs = &mut bufs[..count];
        self.receive(what, bufs.iter().map(|buf| buf.len()).sum(), |fd| {
            Ok(socket::recvmsg::<()>(fd, bufs, None, MsgFlags::MSG_DONTWAIT)?.bytes)
        })
    }

    /// Reads without taking the bytes off the stream.
    pub(super) fn peek_stream(&self, what: &'static str, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        self.read_with(what, |inner| Ok(socket::recv(raw(inner), buf, flags)?))
    }

    #[inline]
    pub(super) fn write(&self, what: &'static str, buf: &[u8]) -> io::Result<usize> {
        self.send_bytes(what, buf.len(), |fd| Ok(socket::send(fd, buf, SEND)?))
    }

    #[inline]
    pub(super) fn write_vectored(
        &self,
        what: &'static str,
        bufs: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(MOST_BUFFERS)];
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        // `writev(2)`, which std uses, does nothing when there is nothing to write.
        if wanted == 0 {
            return Ok(0);
        }
        self.send_bytes(what, wanted, |fd| {
            Ok(socket::sendmsg::<()>(fd, bufs, &[], SEND, None)?)
        })
    }

    /// Runs `receive`, which fills up to `wanted` bytes, and parks while there are none.
    #[inline]
    fn receive(
        &self,
        what: &'static str,
        wanted: usize,
        mut receive: impl FnMut(RawFd) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // The kernel would wait for data that there is no room for.
        if wanted == 0 {
            return Ok(0);
        }
        let wanted = wanted.min(CERTAIN_BYTES);
        self.read_bytes(what, wanted, |inner| receive(raw(inner)))
    }

    /// Runs `send`, which takes up to `wanted` bytes, and parks while there is no room.
    #[inline]
    fn send_bytes(
        &self,
        what: &'static str,
        wanted: usize,
        mut send: impl FnMut(RawFd) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let wanted = wanted.min(CERTAIN_BYTES);
        self.write_bytes(what, wanted, |inner| send(raw(inner)))
    }
}

/// The fd, for nix.
#[inline]
pub(super) fn raw(socket: &impl AsFd) -> RawFd {
    socket.as_fd().as_raw_fd()
}

/// `Read` and `Write` for a type that consists of a [`Socket`] named `socket`, and for references
/// to it.
macro_rules! byte_stream {
    ($ours:ident, $read:literal, $write:literal) => {
        impl io::Read for &$ours {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.socket.read($read, buf)
            }

            fn read_vectored(&mut self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
                self.socket.read_vectored($read, bufs)
            }
        }

        impl io::Write for &$ours {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.socket.write($write, buf)
            }

            fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
                self.socket.write_vectored($write, bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl io::Read for $ours {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        impl io::Write for $ours {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                (&*self).flush()
            }
        }
    };
}
pub(super) use byte_stream;
