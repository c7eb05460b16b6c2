//! Our streams as hyper reads and writes them: what is read goes where hyper wants it, which nobody
//! has to fill with zeros first.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::hyper::rt::{Read, ReadBufCursor, Write};
use futures_io::AsyncWrite;

use crate::net::TcpStream;
use crate::os::unix::net::UnixStream;

/// `recv(2)` into memory that need not be initialised. As many bytes of it as it returns are then.
fn receive(fd: RawFd, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: invariant 122: the kernel writes up to so many bytes there, which are borrowed exclusively.
    let count = unsafe { libc::recv(fd, buf.as_mut_ptr().cast(), buf.len(), libc::MSG_DONTWAIT) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

macro_rules! hyper_stream {
    ($($ours:ty),*) => {$(
        impl Read for $ours {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                mut cursor: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                // SAFETY: invariant 122: bytes are written there, and none is made uninitialised.
                let unfilled = unsafe { cursor.as_mut() };
                let count = ready!(self.poll_receive(context, unfilled.len(), |fd| {
                    receive(fd, unfilled)
                }))?;
                // SAFETY: so many were written at its beginning.
                unsafe { cursor.advance(count) };
                Poll::Ready(Ok(()))
            }
        }

        impl Write for $ours {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                AsyncWrite::poll_write(self, context, buf)
            }

            fn poll_flush(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                AsyncWrite::poll_flush(self, context)
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                AsyncWrite::poll_close(self, context)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                AsyncWrite::poll_write_vectored(self, context, bufs)
            }
        }
    )*};
}

hyper_stream!(TcpStream, &TcpStream, UnixStream, &UnixStream);
