//! An executor that greenlit knows nothing of: it polls one future by hand, with a waker of its own.

#![allow(dead_code, reason = "no test binary needs all of it")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use greenlit::thread::{self, Thread};

/// What a waker of ours wakes: a thread, green or not. It counts.
pub(crate) struct Bell {
    thread: Thread,
    rings: AtomicUsize,
}

impl Bell {
    /// That of the calling thread.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            thread: thread::current(),
            rings: AtomicUsize::new(0),
        })
    }

    pub(crate) fn rings(&self) -> usize {
        self.rings.load(Ordering::Acquire)
    }

    /// Waits until it has rung so often; for the thread that made it.
    pub(crate) fn wait_for(&self, rings: usize) {
        while self.rings() < rings {
            thread::park();
        }
    }

    /// How many wakers of it there are somewhere.
    pub(crate) fn wakers(self: &Arc<Self>) -> usize {
        Arc::strong_count(self) - 1
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rings.fetch_add(1, Ordering::AcqRel);
        self.thread.unpark();
    }
}

/// Polls once.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F, bell: &Arc<Bell>) -> Poll<F::Output> {
    let waker = Waker::from(bell.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// Polls whenever it is woken, until it is ready.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let bell = Bell::new();
    let mut future = pin!(future);
    loop {
        let seen = bell.rings();
        if let Poll::Ready(value) = poll(&mut future, &bell) {
            return value;
        }
        bell.wait_for(seen + 1);
    }
}
