//! The standard streams as futures. Each poll takes the lock for its own length, as each call that blocks
//! does; where another thread holds it, the task is woken when that lets go.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use nix::sys::stat::fstat;

use super::input::{INPUT, INPUT_AWAITERS, Input};
use super::output::{ERROR_TURNS, OUTPUT_TURNS, poll_output};
use super::raw::{Standard, write_once};
use super::{Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock};
use crate::io::{Source, polled_by_reference};
use crate::reactor::Direction;
use crate::sync::MutexGuard;

/// The tasks that wait until a lock is free. Any OS thread may add one and wake them.
pub(super) struct Awaiters {
    wakers: Mutex<Vec<Waker>>,
    /// Whether there are any.
    any: AtomicBool,
}

impl Awaiters {
    pub(super) const fn new() -> Self {
        Self {
            wakers: Mutex::new(Vec::new()),
            any: AtomicBool::new(false),
        }
    }

    fn add(&self, waker: &Waker) {
        let own = waker.clone();
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if !wakers.iter().any(|waiting| waiting.will_wake(&own)) {
            wakers.push(own);
        }
        drop(wakers);
        self.any.store(true, Ordering::SeqCst);
    }

    /// Wakes all. The lock has been let go.
    pub(super) fn wake(&self) {
        if self.any.swap(false, Ordering::SeqCst) {
            let wakers = &mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            let wakers = std::mem::take(wakers);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes what `take` gives, or has the task woken when it may give it.
    pub(super) fn poll<R>(
        &self,
        context: &Context<'_>,
        mut take: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        if let Some(taken) = take() {
            return Poll::Ready(taken);
        }
        self.add(context.waker());
        // It may have become free in between.
        match take() {
            Some(taken) => Poll::Ready(taken),
            None => Poll::Pending,
        }
    }
}

/// The file behind a standard stream, as it was last seen, on the reactors where tasks wait for it.
pub(super) struct Seen {
    /// The device, the number and the flags of the file with its source.
    source: Mutex<Option<(Identity, Arc<Source<BorrowedFd<'static>>>)>>,
}

type Identity = (libc::dev_t, libc::ino_t, u8);

impl Seen {
    pub(super) const fn new() -> Self {
        Self {
            source: Mutex::new(None),
        }
    }

    /// The source of what the file is now. Another one that took the number is another source.
    fn source(&self, standard: Standard) -> io::Result<Arc<Source<BorrowedFd<'static>>>> {
        let fd = standard.as_fd();
        let file = fstat(fd)?;
        let new = Source::new(fd)?;
        let identity = (file.st_dev, file.st_ino, new.kind() as u8);
        let mut seen = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, source)) = &*seen
            && *known == identity
        {
            return Ok(source.clone());
        }
        let new = Arc::new(new);
        let former = seen.replace((identity, new.clone()));
        drop(seen);
        // Dropping it wakes who waits for it, who look again then.
        drop(former);
        Ok(new)
    }
}

static SEEN_IN: Seen = Seen::new();
static SEEN_OUT: Seen = Seen::new();
static SEEN_ERR: Seen = Seen::new();

/// Makes one attempt of `op`, and has the task woken when the next may succeed.
fn attempt(
    standard: Standard,
    direction: Direction,
    context: &mut Context<'_>,
    if_closed: usize,
    mut op: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    let seen = match standard {
        Standard::In => &SEEN_IN,
        Standard::Out => &SEEN_OUT,
        Standard::Err => &SEEN_ERR,
    };
    let result = match seen.source(standard) {
        Ok(source) => ready!(source.poll_with(context, direction, |_| op())),
        Err(error) => Err(error),
    };
    // A standard file descriptor that was closed is as good as /dev/null.
    Poll::Ready(match result {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(if_closed),
        result => result,
    })
}

/// Fills the buffer, unless there is something in it.
fn poll_fill(reader: &mut BufReader<Input>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
    if !reader.buffer().is_empty() {
        return Poll::Ready(Ok(reader.buffer().len()));
    }
    attempt(Standard::In, Direction::Read, context, 0, || {
        reader.get_mut().polls = true;
        let filled = reader.fill_buf().map(<[u8]>::len);
        reader.get_mut().polls = false;
        filled
    })
}

fn poll_read(
    reader: &mut BufReader<Input>,
    context: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    if buf.is_empty() {
        return Poll::Ready(Ok(0));
    }
    ready!(poll_fill(reader, context))?;
    // What is in the buffer is there.
    let count = reader.buffer().len().min(buf.len());
    buf[..count].copy_from_slice(&reader.buffer()[..count]);
    reader.consume(count);
    Poll::Ready(Ok(count))
}

impl AsyncRead for StdinLock<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        poll_read(self.reader(), context, buf)
    }
}

impl AsyncBufRead for StdinLock<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let reader = self.get_mut().reader();
        ready!(poll_fill(reader, context))?;
        Poll::Ready(Ok(reader.buffer()))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.reader().consume(count);
    }
}

/// Each poll locks for its own length; one that waits for input does not keep others from it.
impl AsyncRead for &Stdin {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let take = || Some(StdinLock::new(try_lock(&INPUT)?));
        let mut lock = ready!(INPUT_AWAITERS.poll(context, take));
        poll_read(lock.reader(), context, buf)
    }
}

polled_by_reference!(read Stdin);

fn try_lock<T>(mutex: &'static crate::sync::Mutex<T>) -> Option<MutexGuard<'static, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn poll_output_write(context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
    attempt(Standard::Out, Direction::Write, context, buf.len(), || {
        poll_output(|output| output.write(buf))
    })
}

fn poll_output_flush(context: &mut Context<'_>) -> Poll<io::Result<()>> {
    // What std's `print!` left in std's buffer.
    io::stdout().flush()?;
    attempt(Standard::Out, Direction::Write, context, 0, || {
        poll_output(|output| output.flush().map(|()| 0))
    })
    .map_ok(|_| ())
}

fn poll_error_write(context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
    attempt(Standard::Err, Direction::Write, context, buf.len(), || {
        write_once(Standard::Err.as_fd(), buf)
    })
}

/// As `Stdout::lock` does before it takes its turn.
fn begin_output() {
    let _ = io::stdout().flush();
}

fn begin_error() {}

fn poll_error_flush(_: &mut Context<'_>) -> Poll<io::Result<()>> {
    Poll::Ready(Ok(()))
}

/// `AsyncWrite` for a stream, its references and its lock.
macro_rules! written {
    ($stream:ident, $lock:ident, $turns:ident, $begin:ident, $write:ident, $flush:ident) => {
        impl AsyncWrite for $lock<'_> {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                $write(context, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                $flush(context)
            }

            fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                $flush(context)
            }
        }

        /// Each poll locks for its own length: what two tasks write in several polls is mixed. Closing
        /// flushes.
        impl AsyncWrite for &$stream {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                $begin();
                let _turn = ready!($turns.poll_take(context));
                $write(context, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                let _turn = ready!($turns.poll_take(context));
                $flush(context)
            }

            fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_flush(context)
            }
        }

        polled_by_reference!(write $stream);
    };
}

written!(
    Stdout,
    StdoutLock,
    OUTPUT_TURNS,
    begin_output,
    poll_output_write,
    poll_output_flush
);
written!(
    Stderr,
    StderrLock,
    ERROR_TURNS,
    begin_error,
    poll_error_write,
    poll_error_flush
);
