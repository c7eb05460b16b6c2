//! Moves bytes over a `TcpStream`: read, write, peek, whole and scattered. Every system call here
//! carries `MSG_DONTWAIT`, so it does not matter in which mode others keep the socket.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::TcpStream as StdStream;
use std::os::fd::AsRawFd;

use nix::sys::socket::{self, MsgFlags};

use super::TcpStream;

/// The most buffers the kernel takes in one call (`UIO_MAXIOV`).
const MOST_BUFFERS: usize = 1024;

/// The kernel moves this many bytes in one call if it can. It stops a page short of 2 GiB on its
/// own account, and a count that falls short for that reason must not be taken for the sign that
/// the socket is drained.
const CERTAIN_BYTES: usize = 1 << 30;

impl TcpStream {
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
        if buf.is_empty() {
            return Ok(0);
        }
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        let mut receive = |stream: &StdStream| Ok(socket::recv(stream.as_raw_fd(), buf, flags)?);
        if self.options.is_nonblocking() {
            return receive(self.source.get_ref());
        }
        self.source
            .read_with("TcpStream::peek", self.options.read_timeout.get(), receive)
    }

    /// Runs `receive`, which fills up to `wanted` bytes, and parks while there are none.
    #[inline]
    fn receive(
        &self,
        wanted: usize,
        mut receive: impl FnMut(&StdStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // The kernel would wait for data that there is no room for.
        if wanted == 0 {
            return Ok(0);
        }
        if self.options.is_nonblocking() {
            return receive(self.source.get_ref());
        }
        let wanted = wanted.min(CERTAIN_BYTES);
        self.source.read_bytes(
            "TcpStream::read",
            self.options.read_timeout.get(),
            wanted,
            receive,
        )
    }

    /// Runs `send`, which takes up to `wanted` bytes, and parks while there is no room.
    #[inline]
    fn send(
        &self,
        wanted: usize,
        mut send: impl FnMut(&StdStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.options.is_nonblocking() {
            return send(self.source.get_ref());
        }
        let wanted = wanted.min(CERTAIN_BYTES);
        self.source.write_bytes(
            "TcpStream::write",
            self.options.write_timeout.get(),
            wanted,
            send,
        )
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf.len(), |stream| {
            Ok(socket::recv(
                stream.as_raw_fd(),
                buf,
                MsgFlags::MSG_DONTWAIT,
            )?)
        })
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let count = bufs.len().min(MOST_BUFFERS);
        let bufs = &mut bufs[..count];
        self.receive(bufs.iter().map(|buf| buf.len()).sum(), |stream| {
            let fd = stream.as_raw_fd();
            Ok(socket::recvmsg::<()>(fd, bufs, None, MsgFlags::MSG_DONTWAIT)?.bytes)
        })
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        self.send(buf.len(), |stream| {
            Ok(socket::send(stream.as_raw_fd(), buf, flags)?)
        })
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(MOST_BUFFERS)];
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        // `writev(2)`, which std uses, does nothing when there is nothing to write.
        if wanted == 0 {
            return Ok(0);
        }
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        self.send(wanted, |stream| {
            Ok(socket::sendmsg::<()>(
                stream.as_raw_fd(),
                bufs,
                &[],
                flags,
                None,
            )?)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}
