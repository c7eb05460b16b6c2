//! `AsyncRead` and `AsyncWrite` of `Source` and of the halves of a stream, and the macros by which the
//! other streams have them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

use super::shared::{SharedRead, SharedWrite};
use super::{ReadHalf, Source, WriteHalf};
use crate::reactor::Direction;

/// Each poll is one attempt; what is read is the caller's.
impl<T: AsFd + SharedRead> AsyncRead for &Source<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(context, Direction::Read, |inner| inner.read_shared(buf))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(context, Direction::Read, |inner| {
            inner.read_vectored_shared(bufs)
        })
    }
}

/// Closing flushes, and shuts down the direction that is written where it is a socket. What is no
/// socket, a pipe for one, is closed by dropping it.
impl<T: AsFd + SharedWrite> AsyncWrite for &Source<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(context, Direction::Write, |inner| {
            inner.write_shared(self.cut(buf))
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(context, Direction::Write, |inner| {
            match self.cut_vectored(bufs) {
                Some(buf) => inner.write_shared(buf),
                None => inner.write_vectored_shared(bufs),
            }
        })
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(context, Direction::Write, SharedWrite::flush_shared)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        match shutdown(self.get_ref().as_fd().as_raw_fd(), Shutdown::Write) {
            Ok(()) | Err(Errno::ENOTSOCK | Errno::ENOTCONN) => Poll::Ready(Ok(())),
            Err(errno) => Poll::Ready(Err(errno.into())),
        }
    }
}

/// `AsyncRead` or `AsyncWrite` for a type by what its shared reference does.
macro_rules! polled_by_reference {
    (read $ours:ty $(, $T:ident: $($bound:tt)*)?) => {
        /// As its shared reference.
        impl $(<$T: $($bound)*>)? futures_io::AsyncRead for $ours {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read(context, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &mut [io::IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read_vectored(context, bufs)
            }
        }
    };
    (write $ours:ty $(, $T:ident: $($bound:tt)*)?) => {
        /// As its shared reference.
        impl $(<$T: $($bound)*>)? futures_io::AsyncWrite for $ours {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write(context, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write_vectored(context, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_flush(context)
            }

            fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_close(context)
            }
        }
    };
}
pub(crate) use polled_by_reference;

polled_by_reference!(read Source<T>, T: AsFd + SharedRead);
polled_by_reference!(write Source<T>, T: AsFd + SharedWrite);

/// `AsyncRead` for a type that is an [`End`](super::End) of a pipe, and for references to it.
macro_rules! polled_end_is_read {
    ($ours:ident) => {
        impl futures_io::AsyncRead for &$ours {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                // It is not asked of poll(2) whether there is something: nothing is wanted.
                if buf.is_empty() {
                    return Poll::Ready(Ok(0));
                }
                Pin::new(&mut self.0.source()).poll_read(context, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &mut [io::IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0.source()).poll_read_vectored(context, bufs)
            }
        }

        crate::io::polled_by_reference!(read $ours);
    };
}
pub(crate) use polled_end_is_read;

/// `AsyncWrite` for a type that is an [`End`](super::End) of a pipe, and for references to it.
macro_rules! polled_end_is_written {
    ($ours:ident) => {
        /// Closing does nothing: the pipe is closed when the value is dropped.
        impl futures_io::AsyncWrite for &$ours {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0.source()).poll_write(context, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0.source()).poll_write_vectored(context, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }

        crate::io::polled_by_reference!(write $ours);
    };
}
pub(crate) use polled_end_is_written;

impl<T> AsyncRead for ReadHalf<T>
where
    for<'a> &'a T: AsyncRead,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_ref()).poll_read(context, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_ref()).poll_read_vectored(context, bufs)
    }
}

/// Closing it closes the stream's direction that is written.
impl<T> AsyncWrite for WriteHalf<T>
where
    for<'a> &'a T: AsyncWrite,
{
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_ref()).poll_write(context, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_ref()).poll_write_vectored(context, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_ref()).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_ref()).poll_close(context)
    }
}
