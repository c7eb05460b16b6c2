//! The readiness loop of futures: try; where the call would block, leave the task's waker with the
//! reactor, and have the future polled again. Everything of the runtime is let go before each call,
//! since it may be the user's, and before a waker is cloned, which is (invariant 55).

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, Waker, ready};

use super::ready::retry_interrupted;
use super::{Kind, Source, outside};
use crate::park::{self, Core, refuse_in_child};
use crate::reactor::{self, Direction};

impl<T: AsFd> Source<T> {
    /// Polls until a read would not block: there is something to read, or the end, or an error. The
    /// last waker of each task that polled is woken then.
    ///
    /// Outside a runtime it blocks the OS thread, as do all calls that poll.
    ///
    /// # Errors
    ///
    /// As [`wait_readable`](Self::wait_readable).
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(context, Direction::Read)
    }

    /// As [`poll_readable`](Self::poll_readable), for a write.
    ///
    /// # Errors
    ///
    /// As [`wait_readable`](Self::wait_readable).
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(context, Direction::Write)
    }

    /// Calls `op`; where it returns `WouldBlock`, the task is woken when a read would not block, and is
    /// to call this again. So any file descriptor becomes something that async code reads. `op` must
    /// not block the OS thread.
    ///
    /// Any number of tasks may poll one source; each is woken.
    ///
    /// # Errors
    ///
    /// Those of `op`, and what epoll_ctl(2) says.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::io::Source;
    /// use greenlit::{future, thread};
    /// use std::future::poll_fn;
    /// use std::io::{Read, Write, pipe};
    ///
    /// greenlit::run(|| -> std::io::Result<()> {
    ///     let (reader, mut writer) = pipe()?;
    ///     let source = Source::new(reader)?;
    ///     let writes = thread::spawn(move || writer.write_all(b"x"));
    ///     let mut byte = [0];
    ///     future::block_on(poll_fn(|context| {
    ///         source.poll_when_readable(context, |mut pipe| pipe.read(&mut byte))
    ///     }))?;
    ///     assert_eq!(&byte, b"x");
    ///     writes.join().unwrap()
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_when_readable<R>(
        &self,
        context: &mut Context<'_>,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(context, Direction::Read, op)
    }

    /// As [`poll_when_readable`](Self::poll_when_readable), for writes.
    ///
    /// # Errors
    ///
    /// Those of `op`, and what epoll_ctl(2) says.
    pub fn poll_when_writable<R>(
        &self,
        context: &mut Context<'_>,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_with(context, Direction::Write, op)
    }

    /// Readiness is asked of the kernel, since the caller's own calls are not seen here.
    fn poll_ready(&self, context: &mut Context<'_>, direction: Direction) -> Poll<io::Result<()>> {
        let fd = self.get_ref().as_fd();
        self.poll_loop(
            context,
            direction,
            |()| false,
            |_| match outside::is_ready(fd, direction)? {
                true => Ok(()),
                false => Err(io::ErrorKind::WouldBlock.into()),
            },
        )
    }

    /// An operation whose result says nothing about readiness.
    #[inline]
    pub(crate) fn poll_with<R>(
        &self,
        context: &mut Context<'_>,
        direction: Direction,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_loop(context, direction, |_| false, op)
    }

    /// A read of up to `wanted` bytes: where it moves fewer, a TCP stream is known to be empty.
    #[inline]
    pub(crate) fn poll_read_bytes(
        &self,
        context: &mut Context<'_>,
        wanted: usize,
        op: impl FnMut(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let is_short = |&count: &usize| 0 < count && count < wanted;
        self.poll_loop(context, Direction::Read, is_short, op)
    }

    /// A write of `wanted` bytes: where it moves fewer, a TCP stream's buffer is known to be full.
    #[inline]
    pub(crate) fn poll_write_bytes(
        &self,
        context: &mut Context<'_>,
        wanted: usize,
        op: impl FnMut(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let is_short = |&count: &usize| count < wanted;
        self.poll_loop(context, Direction::Write, is_short, op)
    }

    /// The loop. `is_short` says of a result that it proves the readiness consumed.
    fn poll_loop<R>(
        &self,
        context: &mut Context<'_>,
        direction: Direction,
        is_short: impl Fn(&R) -> bool,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let inner = self.get_ref();
        let mut attempt = || {
            if self.kind() == Kind::Blocking && !outside::is_ready(inner.as_fd(), direction)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            op(inner)
        };
        if Core::current().is_none() {
            refuse_in_child();
            return Poll::Ready(outside::repeat(inner.as_fd(), direction, None, attempt));
        }
        ready!(park::proceed(context));
        let place = Place {
            registrations: &self.registrations,
            fd: inner.as_fd(),
            direction,
        };
        loop {
            if place.is_ready() {
                match retry_interrupted(&mut attempt) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => {
                        if let Some(core) = Core::current() {
                            let entry = self.registrations.entry(&core.reactor);
                            self.note_short(entry, direction, &is_short, &result);
                        }
                        return Poll::Ready(result);
                    }
                }
                self.consume(direction)?;
            }
            if place.leave_waker(context.waker())? {
                return Poll::Pending;
            }
        }
    }
}

/// One direction of a source, at which a task's waker is left.
struct Place<'a> {
    registrations: &'a reactor::Source,
    fd: std::os::fd::BorrowedFd<'a>,
    direction: Direction,
}

impl Place<'_> {
    /// Whether a call is not known to block.
    fn is_ready(&self) -> bool {
        Core::current()
            .and_then(|core| self.registrations.entry(&core.reactor))
            .is_none_or(|entry| entry.is_ready(self.direction))
    }

    /// Has `waker` woken when the source becomes ready; false where it is.
    fn leave_waker(&self, waker: &Waker) -> io::Result<bool> {
        let mut own: Option<Waker> = None;
        loop {
            let Some(core) = Core::current() else {
                // Cloning it has led out of the runtime: the next attempt will be the last.
                outside::wait(self.fd, self.direction, None)?;
                return Ok(false);
            };
            let entry = match self.registrations.entry(&core.reactor) {
                Some(entry) => entry,
                None => register(self.registrations, core, self.fd)?,
            };
            if entry.is_ready(self.direction) {
                return Ok(false);
            }
            if core.reactor.awaits(entry, self.direction, waker) {
                return Ok(true);
            }
            let Some(own) = own.take() else {
                own = Some(waker.clone());
                continue;
            };
            self.registrations.set_awaited();
            let is_spent = |waker: &Waker| core.is_spent(waker);
            let spent = core
                .reactor
                .add_polled(entry, self.direction, own, is_spent);
            drop(spent);
            return Ok(true);
        }
    }
}

/// Registers a source with the runtime's reactor, and wakes who waited for sources that have gone.
pub(super) fn register<'a>(
    registrations: &reactor::Source,
    core: &'a Core,
    fd: std::os::fd::BorrowedFd<'_>,
) -> io::Result<&'a reactor::Entry> {
    let entry = registrations.register(&core.reactor, fd);
    wake_released(core);
    entry
}

/// Wakes who waited for sources that have gone.
pub(super) fn wake_released(core: &Core) {
    for waker in core.reactor.take_released() {
        core.wake(waker);
    }
}

/// `AsyncRead` or `AsyncWrite` for a type by what its shared reference does.
macro_rules! polled_by_reference {
    (read $($ours:tt)*) => {
        /// As its shared reference.
        impl futures_io::AsyncRead for $($ours)* {
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
    (write $($ours:tt)*) => {
        /// As its shared reference.
        impl futures_io::AsyncWrite for $($ours)* {
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
