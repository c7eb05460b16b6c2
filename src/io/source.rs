//! `Source<T>`: a file descriptor on the reactor, and the one readiness loop that every read,
//! write, accept and connect of the crate goes through.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::outside;
use crate::clock;
use crate::park::{Core, Limit, Mask, Outcome, refuse_in_child};
use crate::reactor::{self, Direction, Entry};
use crate::scheduler::{Reason, WaitNode, Wakers};

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
    registrations: reactor::Source,
    kind: Kind,
}

/// What is known of a file descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A TCP stream that is non-blocking: a short count proves that the next call would block (rule
    /// 14).
    Stream,
    /// Anything else that is non-blocking.
    NonBlocking,
    /// A call on it may block: poll(2) is asked first (rule 16).
    Blocking,
}

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
            kind,
        })
    }

    /// A file descriptor that this crate made, and that nobody else has a duplicate of.
    pub(crate) fn from_owned(inner: T, kind: Kind) -> Self {
        Self {
            inner: Some(inner),
            registrations: reactor::Source::new(false),
            kind,
        }
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
        let here = Core::here().map(|core| &core.reactor);
        self.registrations.deregister(inner.as_fd(), here, closes);
    }

    /// Waits until a read would not block: there is something to read, or the end, or an error.
    ///
    /// # Errors
    ///
    /// What epoll_ctl(2) and poll(2) say, `EBADF` for a closed file descriptor.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait(Direction::Read, "waiting to read", None)
    }

    /// Waits until a write would not block.
    ///
    /// # Errors
    ///
    /// As [`wait_readable`](Self::wait_readable).
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait(Direction::Write, "waiting to write", None)
    }

    /// Calls `op` until it returns something other than `WouldBlock`, and waits in between until a
    /// read would not block. `op` must not wait itself; what it returns first is returned.
    ///
    /// # Errors
    ///
    /// Those of `op`, and what epoll_ctl(2) says.
    pub fn when_readable<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.read_with("waiting to read", None, op)
    }

    /// As [`when_readable`](Self::when_readable), for writes.
    ///
    /// # Errors
    ///
    /// Those of `op`, and what epoll_ctl(2) says.
    pub fn when_writable<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.write_with("waiting to write", None, op)
    }

    fn wait(
        &self,
        direction: Direction,
        what: &'static str,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        // Readiness is asked of the kernel, since the caller's own calls are not seen here.
        self.ready_loop(
            direction,
            what,
            timeout,
            |()| false,
            |inner| match outside::is_ready(inner.as_fd(), direction)? {
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

    /// The one readiness loop: try; where the call would block, park until the reactor says that it
    /// would not, and try again. `is_short` says of a result that it proves the readiness consumed.
    #[inline]
    fn ready_loop<R>(
        &self,
        direction: Direction,
        what: &'static str,
        timeout: Option<Duration>,
        is_short: impl Fn(&R) -> bool,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let inner = self.get_ref();
        let blocking = self.kind == Kind::Blocking;
        let mut attempt = || {
            if blocking && !outside::is_ready(inner.as_fd(), direction)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            op(inner)
        };
        let Some(core) = Core::current() else {
            refuse_in_child();
            return outside::repeat(inner.as_fd(), direction, timeout, attempt);
        };
        core.check_cancel().map_err(|_| cancelled())?;

        let mut entry = self.registrations.entry(&core.reactor);
        // Whoever waits already comes first, and what is known to block is not tried.
        if entry
            .is_none_or(|entry| entry.is_ready(direction) && entry.waiters(direction).is_empty())
        {
            match retry_interrupted(&mut attempt) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    self.note_short(entry, direction, &is_short, &result);
                    core.spend();
                    return result;
                }
            }
            if let Some(entry) = entry
                && !entry.clear(direction)
            {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        let entry = match entry.take() {
            Some(entry) => entry,
            None => self.registrations.register(&core.reactor, inner.as_fd())?,
        };
        let result = self.park_ready(core, entry, direction, what, timeout, &mut attempt)?;
        self.note_short(Some(entry), direction, &is_short, &result);
        result
    }

    /// Parks in the queue of `direction` until it is this thread's turn and `attempt` does not say
    /// `WouldBlock`.
    fn park_ready<R>(
        &self,
        core: &Core,
        entry: &Entry,
        direction: Direction,
        what: &'static str,
        timeout: Option<Duration>,
        attempt: &mut dyn FnMut() -> io::Result<R>,
    ) -> io::Result<io::Result<R>> {
        let node = WaitNode::new(core.running());
        let waiters = entry.waiters(direction);
        // SAFETY: invariant 43: the node is pinned to this frame and unlinked by its drop; the
        // queue lies in an entry that stays with this source, which is borrowed.
        unsafe { waiters.push(&node) };
        let place = Place {
            core,
            entry,
            direction,
            node: &node,
        };
        core.reactor.waiting.set(core.reactor.waiting.get() + 1);

        let mut result = None;
        let number = u64::try_from(self.get_ref().as_fd().as_raw_fd()).unwrap_or(0);
        let reason = Reason::new(what).on("fd ", number).woken_by(Wakers::Event);
        let limit = timeout.map_or(Limit::None, |timeout| Limit::After(clock::length(timeout)));
        let outcome = core.park(&reason, limit, Mask::No, || {
            while waiters.is_first(&node) && entry.is_ready(direction) {
                match retry_interrupted(&mut *attempt) {
                    // Where no event will come, the caller gets the error: it asked a file to
                    // block.
                    Err(error)
                        if error.kind() == io::ErrorKind::WouldBlock && entry.clear(direction) => {}
                    other => {
                        result = Some(other);
                        return true;
                    }
                }
            }
            false
        });
        drop(place);
        match (outcome, result) {
            (_, Some(result)) => Ok(result),
            (Outcome::Cancelled, None) => Err(cancelled()),
            (_, None) => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        }
    }

    /// What one write may ask of a blocking file: poll(2) vouches for that much, while a longer
    /// write would block the OS thread until a reader, perhaps one of its own green threads, has
    /// made room.
    fn cut<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        match self.kind {
            Kind::Blocking => &buffer[..buffer.len().min(libc::PIPE_BUF)],
            Kind::Stream | Kind::NonBlocking => buffer,
        }
    }

    /// Forgets the readiness that a short count proved consumed.
    #[inline]
    fn note_short<R>(
        &self,
        entry: Option<&Entry>,
        direction: Direction,
        is_short: &impl Fn(&R) -> bool,
        result: &io::Result<R>,
    ) {
        if self.kind == Kind::Stream
            && let (Some(entry), Ok(value)) = (entry, result)
            && is_short(value)
        {
            entry.clear_short(direction);
        }
    }
}

/// A waiter's place in a queue. Who leaves it while the source is ready hands the turn to the next.
struct Place<'a> {
    core: &'a Core,
    entry: &'a Entry,
    direction: Direction,
    node: &'a WaitNode,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.core
            .reactor
            .waiting
            .set(self.core.reactor.waiting.get() - 1);
        self.node.unlink();
        let next = self.entry.waiters(self.direction).first();
        if !next.is_null() && self.entry.is_ready(self.direction) {
            self.core.unpark(next);
        }
    }
}

#[inline]
fn retry_interrupted<R>(attempt: &mut (impl FnMut() -> io::Result<R> + ?Sized)) -> io::Result<R> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What I/O returns to a cancelled thread that cannot be unwound. Never `Interrupted`, which std's
/// loops retry for ever.
#[cold]
fn cancelled() -> io::Error {
    io::Error::other("the green thread is cancelled")
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

impl<T: AsFd> Read for &Source<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_bytes("reading", None, buffer.len(), |mut inner| {
            inner.read(buffer)
        })
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = buffers.iter().map(|buffer| buffer.len()).sum();
        self.read_bytes("reading", None, wanted, |mut inner| {
            inner.read_vectored(buffers)
        })
    }
}

impl<T: AsFd> Write for &Source<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let buffer = self.cut(buffer);
        self.write_bytes("writing", None, buffer.len(), |mut inner| {
            inner.write(buffer)
        })
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.kind == Kind::Blocking {
            let first = buffers.iter().find(|buffer| !buffer.is_empty());
            return self.write(first.map_or(&[], |buffer| buffer));
        }
        let wanted = buffers.iter().map(|buffer| buffer.len()).sum();
        self.write_bytes("writing", None, wanted, |mut inner| {
            inner.write_vectored(buffers)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_with("flushing", None, |mut inner| inner.flush())
    }
}

impl<T: AsFd> Read for Source<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(buffers)
    }
}

impl<T: AsFd> Write for Source<T>
where
    for<'a> &'a T: Write,
{
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
