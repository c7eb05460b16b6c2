//! The readiness loop of futures: try; where the call would block, leave the task's waker with the
//! reactor, and have the future polled again. Everything of the runtime is let go before each call,
//! since it may be the user's, and before a waker is cloned, which is (invariant 55).

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, Waker, ready};

use super::readiness::Stand;
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

    /// As [`when_readable`](Self::when_readable), as a future. Where that is dropped before its end,
    /// `op` was not called or has returned `WouldBlock`, and nothing of the future is left.
    ///
    /// # Errors
    ///
    /// Those of `op`, and what epoll_ctl(2) says.
    pub async fn when_readable_async<R>(
        &self,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.when_async(Direction::Read, op).await
    }

    /// As [`when_readable_async`](Self::when_readable_async), for writes.
    ///
    /// # Errors
    ///
    /// Those of `op`, and what epoll_ctl(2) says.
    pub async fn when_writable_async<R>(
        &self,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.when_async(Direction::Write, op).await
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

    async fn when_async<R>(
        &self,
        direction: Direction,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let fd = self.get_ref().as_fd();
        let mut stand = Stand::new(&self.registrations, fd, direction);
        poll_fn(|context| {
            let leave_waker = |waker: &Waker| stand.leave_waker(waker);
            self.poll_loop(context, direction, |_| false, &mut op, leave_waker)
        })
        .await
    }

    /// Readiness is asked of the kernel, since the caller's own calls are not seen here.
    fn poll_ready(&self, context: &mut Context<'_>, direction: Direction) -> Poll<io::Result<()>> {
        let fd = self.get_ref().as_fd();
        self.poll_with(context, direction, |_| {
            match outside::is_ready(fd, direction)? {
                true => Ok(()),
                false => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
    }

    /// An operation whose result says nothing about readiness.
    #[inline]
    pub(crate) fn poll_with<R>(
        &self,
        context: &mut Context<'_>,
        direction: Direction,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let place = self.place(direction);
        let leave_waker = |waker: &Waker| place.leave_waker(waker);
        self.poll_loop(context, direction, |_| false, op, leave_waker)
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
        let place = self.place(Direction::Read);
        let leave_waker = |waker: &Waker| place.leave_waker(waker);
        self.poll_loop(context, Direction::Read, is_short, op, leave_waker)
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
        let place = self.place(Direction::Write);
        let leave_waker = |waker: &Waker| place.leave_waker(waker);
        self.poll_loop(context, Direction::Write, is_short, op, leave_waker)
    }

    /// Whether a call is not known to block.
    fn may_attempt(&self, direction: Direction) -> bool {
        Core::current()
            .and_then(|core| self.registrations.entry(&core.reactor))
            .is_none_or(|entry| entry.is_ready(direction))
    }

    fn place(&self, direction: Direction) -> Place<'_> {
        Place {
            registrations: &self.registrations,
            fd: self.get_ref().as_fd(),
            direction,
        }
    }

    /// The loop. `is_short` says of a result that it proves the readiness consumed; `leave_waker` has a
    /// waker woken when the source becomes ready, and says no where it is.
    fn poll_loop<R>(
        &self,
        context: &mut Context<'_>,
        direction: Direction,
        is_short: impl Fn(&R) -> bool,
        mut op: impl FnMut(&T) -> io::Result<R>,
        mut leave_waker: impl FnMut(&Waker) -> io::Result<bool>,
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
        loop {
            if self.may_attempt(direction) {
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
            if leave_waker(context.waker())? {
                return Poll::Pending;
            }
        }
    }
}

/// One direction of a source, at which a task's waker is left.
struct Place<'a> {
    registrations: &'a reactor::Source,
    fd: BorrowedFd<'a>,
    direction: Direction,
}

impl Place<'_> {
    /// Has `waker` woken when the source becomes ready; false where it is.
    fn leave_waker(&self, waker: &Waker) -> io::Result<bool> {
        let mut own: Option<Waker> = None;
        loop {
            let Some(core) = Core::current() else {
                // Cloning it has led out of the runtime: the next attempt will be the last.
                outside::wait(self.fd, self.direction, None)?;
                return Ok(false);
            };
            let entry = entry_at(self.registrations, core, self.fd)?;
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

/// The entry of a source at the runtime's reactor, with which it is registered if it was not yet.
pub(super) fn entry_at<'a>(
    registrations: &reactor::Source,
    core: &'a Core,
    fd: BorrowedFd<'_>,
) -> io::Result<&'a reactor::Entry> {
    match registrations.entry(&core.reactor) {
        Some(entry) => Ok(entry),
        None => register(registrations, core, fd),
    }
}

/// Registers a source with the runtime's reactor, and wakes who waited for sources that have gone.
pub(super) fn register<'a>(
    registrations: &reactor::Source,
    core: &'a Core,
    fd: BorrowedFd<'_>,
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
