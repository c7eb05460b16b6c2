//! `Source<T>`: a file descriptor on the reactor. Every read, write, accept and connect of the
//! crate goes through one of these, and from there through `ready.rs`.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::outside;
use super::polled::wake_released;
use super::shared::{SharedRead, SharedWrite};
use crate::park::Core;
use crate::reactor::{self, Direction};

/// Any file descriptor, with calls that park the green thread where they would block.
///
/// Reads and writes go through `&Source` too, so that one green thread may read while another
/// writes; several in one direction take their turns in order. `O_NONBLOCK` is never changed, since
/// it belongs to the open file description, which other processes may share: on a file without it
/// each call asks poll(2) first whether it would block, and writes at most `PIPE_BUF` bytes at
/// once. Files that epoll refuses, such as those on disk, count as always ready.
///
/// Outside a runtime the calls block the OS thread.
///
/// # Cancellation
///
/// A cancelled green thread unwinds from a call that waits. If it is unwinding already, the call
/// returns an error of the kind `Other`.
///
/// # Examples
///
/// ```
/// use greenlit::{io::Source, thread};
/// use std::io::{Read, Write, pipe};
///
/// greenlit::run(|| -> std::io::Result<()> {
///     let (reader, mut writer) = pipe()?;
///     let reader = thread::spawn(move || {
///         let mut text = String::new();
///         Source::new(reader)?.read_to_string(&mut text).map(|_| text)
///     });
///     thread::yield_now(); // The reader parks meanwhile.
///     writer.write_all(b"through a pipe")?;
///     drop(writer);
///     assert_eq!(reader.join().unwrap()?, "through a pipe");
///     Ok(())
/// }).unwrap();
/// ```
pub struct Source<T: AsFd> {
    /// `None` only while `into_inner` takes it apart.
    inner: Option<T>,
    pub(super) registrations: reactor::Source,
    /// A [`Kind`]: it changes once at the most, when others come to share what nobody shared.
    kind: AtomicU8,
}

/// What is known of a file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A TCP stream that is non-blocking: a short count proves that the next call would block (rule
    /// 14).
    Stream,
    /// Anything else that is non-blocking.
    NonBlocking,
    /// A call on it may block: poll(2) is asked first (rule 16).
    Blocking,
}

const STREAM: u8 = Kind::Stream as u8;
const NON_BLOCKING: u8 = Kind::NonBlocking as u8;

impl<T: AsFd> Source<T> {
    /// Puts `inner` on the reactor; it is registered when a call first has to wait.
    ///
    /// # Errors
    ///
    /// `EBADF` where the file descriptor is closed.
    pub fn new(inner: T) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(inner.as_fd(), FcntlArg::F_GETFL)?);
        let kind = match flags.contains(OFlag::O_NONBLOCK) {
            true => Kind::NonBlocking,
            false => Kind::Blocking,
        };
        Ok(Self {
            inner: Some(inner),
            registrations: reactor::Source::new(true),
            kind: AtomicU8::new(kind as u8),
        })
    }

    /// A file descriptor that this crate made, and that nobody else has a duplicate of.
    pub(crate) fn from_owned(inner: T, kind: Kind) -> Self {
        Self {
            inner: Some(inner),
            registrations: reactor::Source::new(false),
            kind: AtomicU8::new(kind as u8),
        }
    }

    /// What is known of it; true of each duplicate too.
    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Relaxed) {
            STREAM => Kind::Stream,
            NON_BLOCKING => Kind::NonBlocking,
            _ => Kind::Blocking,
        }
    }

    /// It is in the blocking mode from now on.
    pub(super) fn set_blocking(&self) {
        self.kind.store(Kind::Blocking as u8, Ordering::Relaxed);
    }

    /// From now on the open file description has another file descriptor (rule 15).
    pub(crate) fn set_shared(&self) {
        self.registrations.set_shared();
    }

    /// What was put on the reactor.
    #[must_use]
    #[inline]
    pub fn get_ref(&self) -> &T {
        self.inner.as_ref().expect("only into_inner takes it")
    }

    /// Takes it off the reactor again.
    #[must_use = "dropping the source would have closed it too"]
    pub fn into_inner(mut self) -> T {
        self.deregister(false);
        self.inner.take().expect("only into_inner takes it")
    }

    fn deregister(&mut self, closes: bool) {
        let Some(inner) = &self.inner else { return };
        let fd = inner.as_fd();
        let here = Core::here();
        let reactor = here.map(|core| &core.reactor);
        self.registrations.deregister(fd, reactor, closes);
        if let Some(core) = here {
            wake_released(core);
        }
    }

    /// Waits until a read would not block: there is something to read, or the end, or an error.
    ///
    /// # Errors
    ///
    /// What epoll_ctl(2) and poll(2) say, `EBADF` for a closed file descriptor.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; see [`Source`].
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait(Direction::Read, "waiting to read")
    }

    /// Waits until a write would not block.
    ///
    /// # Errors
    ///
    /// As [`wait_readable`](Self::wait_readable).
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; see [`Source`].
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait(Direction::Write, "waiting to write")
    }

    /// Calls `op` until it returns something other than `WouldBlock`, and waits in between until a
    /// read would not block. `op` must not block the OS thread; what it returns first is returned.
    ///
    /// # Errors
    ///
    /// Those of `op`, and what epoll_ctl(2) says.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; see [`Source`].
    pub fn when_readable<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.when_ready(Direction::Read, "waiting to read", op)
    }

    /// As [`when_readable`](Self::when_readable), for writes.
    ///
    /// # Errors
    ///
    /// Those of `op`, and what epoll_ctl(2) says.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; see [`Source`].
    pub fn when_writable<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.when_ready(Direction::Write, "waiting to write", op)
    }

    fn wait(&self, direction: Direction, what: &'static str) -> io::Result<()> {
        // Readiness is asked of the kernel, since the caller's own calls are not seen here.
        let fd = self.get_ref().as_fd();
        self.ready_loop(
            direction,
            what,
            None,
            |()| false,
            |_| match outside::is_ready(fd, direction)? {
                true => Ok(()),
                false => Err(io::ErrorKind::WouldBlock.into()),
            },
        )
    }

    /// An operation in the read direction.
    #[inline]
    pub(crate) fn read_with<R>(
        &self,
        what: &'static str,
        timeout: Option<Duration>,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.ready_loop(Direction::Read, what, timeout, |_| false, op)
    }

    /// An operation in the write direction.
    #[inline]
    pub(crate) fn write_with<R>(
        &self,
        what: &'static str,
        timeout: Option<Duration>,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.ready_loop(Direction::Write, what, timeout, |_| false, op)
    }

    /// A read of up to `wanted` bytes: where it moves fewer, a TCP stream is known to be empty.
    #[inline]
    pub(crate) fn read_bytes(
        &self,
        what: &'static str,
        timeout: Option<Duration>,
        wanted: usize,
        op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.ready_loop(
            Direction::Read,
            what,
            timeout,
            |&count| 0 < count && count < wanted,
            op,
        )
    }

    /// A write of `wanted` bytes: where it moves fewer, a TCP stream's buffer is known to be full.
    #[inline]
    pub(crate) fn write_bytes(
        &self,
        what: &'static str,
        timeout: Option<Duration>,
        wanted: usize,
        op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.ready_loop(Direction::Write, what, timeout, |&count| count < wanted, op)
    }

    /// What one write may ask of a blocking file: poll(2) vouches for that much, while a longer
    /// write would block the OS thread until a reader, perhaps one of its own green threads, has
    /// made room.
    pub(super) fn cut<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        match self.kind() {
            Kind::Blocking => &buffer[..buffer.len().min(libc::PIPE_BUF)],
            Kind::Stream | Kind::NonBlocking => buffer,
        }
    }

    /// The same for several buffers: the one write that a blocking file may be asked for.
    pub(super) fn cut_vectored<'a>(&self, buffers: &'a [IoSlice<'_>]) -> Option<&'a [u8]> {
        if self.kind() != Kind::Blocking {
            return None;
        }
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        Some(self.cut(first.map_or(&[], |buffer| buffer)))
    }
}

impl<T: AsFd> Drop for Source<T> {
    fn drop(&mut self) {
        self.deregister(true);
    }
}

impl<T: AsFd> AsFd for Source<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(self.get_ref()).finish()
    }
}

impl<T: AsFd + SharedRead> Read for &Source<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when_ready(Direction::Read, "reading", |inner| {
            inner.read_shared(buffer)
        })
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.when_ready(Direction::Read, "reading", |inner| {
            inner.read_vectored_shared(buffers)
        })
    }
}

impl<T: AsFd + SharedWrite> Write for &Source<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // What the mode is may change while this waits.
        self.when_ready(Direction::Write, "writing", |inner| {
            inner.write_shared(self.cut(buffer))
        })
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.when_ready(Direction::Write, "writing", |inner| {
            match self.cut_vectored(buffers) {
                Some(buffer) => inner.write_shared(buffer),
                None => inner.write_vectored_shared(buffers),
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.when_ready(Direction::Write, "flushing", |inner| inner.flush_shared())
    }
}

impl<T: AsFd + SharedRead> Read for Source<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl<T: AsFd + SharedWrite> Write for Source<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}
