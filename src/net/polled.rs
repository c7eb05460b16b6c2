//! Stream sockets as futures: `AsyncRead` and `AsyncWrite`, each call one attempt of the system's.
//! The calls themselves are those of `transfer.rs`. Called by `TcpStream` and `UnixStream`.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::task::{Context, Poll};

use nix::sys::socket::{self, MsgFlags};

use super::socket::{Socket, StdSocket};
use super::transfer::{CERTAIN_BYTES, MOST_BUFFERS, SEND, raw};

impl<S: StdSocket> Socket<S> {
    #[inline]
    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_receive(context, buf.len(), |fd| {
            Ok(socket::recv(fd, buf, MsgFlags::MSG_DONTWAIT)?)
        })
    }

    pub(super) fn poll_read_vectored(
        &self,
        context: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = bufs.len().min(MOST_BUFFERS);
        let bufs = &mut bufs[..count];
        self.poll_receive(context, bufs.iter().map(|buf| buf.len()).sum(), |fd| {
            Ok(socket::recvmsg::<()>(fd, bufs, None, MsgFlags::MSG_DONTWAIT)?.bytes)
        })
    }

    #[inline]
    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(context, buf.len(), |fd| Ok(socket::send(fd, buf, SEND)?))
    }

    pub(super) fn poll_write_vectored(
        &self,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = &bufs[..bufs.len().min(MOST_BUFFERS)];
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        // `writev(2)`, which std uses, does nothing when there is nothing to write.
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        self.poll_send(context, wanted, |fd| {
            Ok(socket::sendmsg::<()>(fd, bufs, &[], SEND, None)?)
        })
    }

    #[inline]
    pub(super) fn poll_receive(
        &self,
        context: &mut Context<'_>,
        wanted: usize,
        mut receive: impl FnMut(RawFd) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        // The kernel would wait for data that there is no room for.
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let wanted = wanted.min(CERTAIN_BYTES);
        self.source()
            .poll_read_bytes(context, wanted, |inner| receive(raw(inner)))
    }

    #[inline]
    fn poll_send(
        &self,
        context: &mut Context<'_>,
        wanted: usize,
        mut send: impl FnMut(RawFd) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let wanted = wanted.min(CERTAIN_BYTES);
        self.source()
            .poll_write_bytes(context, wanted, |inner| send(raw(inner)))
    }
}

/// A connection that is gone has nobody to tell.
pub(super) fn close(shutdown: impl FnOnce(Shutdown) -> io::Result<()>) -> io::Result<()> {
    match shutdown(Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

/// `AsyncRead` and `AsyncWrite` for a type that consists of a [`Socket`] named `socket`, and for
/// references to it.
macro_rules! polled_stream {
    ($ours:ident) => {
        /// The timeout of reads is for calls that block, as is the non-blocking mode.
        impl futures_io::AsyncRead for &$ours {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.socket.poll_read(context, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &mut [io::IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.socket.poll_read_vectored(context, bufs)
            }
        }

        /// The timeout of writes is for calls that block, as is the non-blocking mode. Closing shuts
        /// down the direction that is written.
        impl futures_io::AsyncWrite for &$ours {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.socket.poll_write(context, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.socket.poll_write_vectored(context, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(crate::net::polled::close(|how| self.socket.get().shutdown(how)))
            }
        }

        impl $ours {
            /// Polls `receive`, one attempt of the system's to read up to `wanted` bytes that does not
            /// block.
            #[allow(dead_code, reason = "the feature `hyper` reads by it")]
            pub(crate) fn poll_receive(
                &self,
                context: &mut Context<'_>,
                wanted: usize,
                receive: impl FnMut(std::os::fd::RawFd) -> io::Result<usize>,
            ) -> Poll<io::Result<usize>> {
                self.socket.poll_receive(context, wanted, receive)
            }
        }

        crate::io::polled_by_reference!(read $ours);
        crate::io::polled_by_reference!(write $ours);
    };
}
pub(super) use polled_stream;
