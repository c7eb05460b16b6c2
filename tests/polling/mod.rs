//! A waker that counts, and an executor of a few lines, with which tests poll by hand.

#![allow(dead_code, reason = "no test program needs all of it")]

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use greenlit::thread::yield_now;
use greenlit::time::{Duration, Instant};

std::thread_local! {
    /// Whether a poll is under way, and whether it has woken its own task.
    static POLLS: Cell<bool> = const { Cell::new(false) };
    static WOKE_ITSELF: Cell<bool> = const { Cell::new(false) };
}

/// Counts how often its task was woken, but for the times when it woke itself to let others run.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn new() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), Waker::from(count))
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match POLLS.get() {
            true => WOKE_ITSELF.set(true),
            false => _ = self.0.fetch_add(1, Ordering::SeqCst),
        }
    }
}

/// Calls `poll`, again when it has used up its budget.
pub(crate) fn poll_with<R>(
    waker: &Waker,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    loop {
        POLLS.set(true);
        let result = poll(&mut Context::from_waker(waker));
        POLLS.set(false);
        if !WOKE_ITSELF.take() || result.is_ready() {
            return result;
        }
        yield_now();
    }
}

/// Polls once.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    poll_with(waker, |context| Pin::new(&mut *future).poll(context))
}

/// Polls `future` whenever it was woken and at no other time, and lets the other green threads run in
/// between.
pub(crate) fn drive<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let (count, waker) = Count::new();
    let mut seen = 0;
    loop {
        if let Poll::Ready(value) = poll_with(&waker, |context| future.as_mut().poll(context)) {
            return value;
        }
        let end = Instant::now() + Duration::from_secs(30);
        while count.get() == seen {
            assert!(Instant::now() < end, "nobody wakes the future");
            yield_now();
        }
        seen = count.get();
    }
}

/// Reads by one poll.
pub(crate) fn poll_read<R: AsyncRead + Unpin>(
    mut stream: R,
    waker: &Waker,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    poll_with(waker, |context| {
        Pin::new(&mut stream).poll_read(context, buf)
    })
}

pub(crate) async fn read<R: AsyncRead + Unpin>(mut stream: R, buf: &mut [u8]) -> io::Result<usize> {
    poll_fn(|context| Pin::new(&mut stream).poll_read(context, buf)).await
}

pub(crate) async fn read_exact<R: AsyncRead + Unpin>(
    mut stream: R,
    mut buf: &mut [u8],
) -> io::Result<()> {
    while !buf.is_empty() {
        let count = read(&mut stream, buf).await?;
        assert!(count > 0, "the stream has ended early");
        buf = &mut buf[count..];
    }
    Ok(())
}

pub(crate) async fn write_all<W: AsyncWrite + Unpin>(
    mut stream: W,
    mut buf: &[u8],
) -> io::Result<()> {
    while !buf.is_empty() {
        let count = poll_fn(|context| Pin::new(&mut stream).poll_write(context, buf)).await?;
        buf = &buf[count..];
    }
    Ok(())
}

pub(crate) async fn close<W: AsyncWrite + Unpin>(mut stream: W) -> io::Result<()> {
    poll_fn(|context| Pin::new(&mut stream).poll_close(context)).await
}
