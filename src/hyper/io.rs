//! `Io`: whatever is `AsyncRead` and `AsyncWrite`, as hyper reads and writes it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::hyper::rt::{Read, ReadBufCursor, Write};
use futures_io::{AsyncRead, AsyncWrite};

/// How much is read at once: it is filled with zeros before.
const MOST_BYTES: usize = 16 * 1024;

/// hyper's view of a stream that is [`AsyncRead`] and [`AsyncWrite`]: TLS, a pipe, what a test makes up.
///
/// Our own sockets need no wrapper, and are read a little faster without.
#[derive(Clone, Copy, Debug, Default)]
pub struct Io<T> {
    inner: T,
}

impl<T> Io<T> {
    /// Wraps a stream.
    pub const fn new(inner: T) -> Self {
        Self { inner }
    }

    /// The stream.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The stream.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The stream, without the wrapper.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead + Unpin> Read for Io<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: invariant 122: bytes are written there, and none is made uninitialised.
        let unfilled = unsafe { cursor.as_mut() };
        let length = unfilled.len().min(MOST_BYTES);
        let buf = &mut unfilled[..length];
        buf.fill(MaybeUninit::new(0));
        // SAFETY: all of it has just been written.
        let buf = unsafe { buf.assume_init_mut() };
        let count = ready!(Pin::new(&mut self.inner).poll_read(context, buf))?;
        assert!(
            count <= length,
            "poll_read: more bytes than there was room for"
        );
        // SAFETY: so many were initialised at its beginning, and more.
        unsafe { cursor.advance(count) };
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Write for Io<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }

    /// As [`AsyncWrite`] has it, which cannot tell: a stream that knows no better writes the first of
    /// several buffers.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bufs)
    }
}
