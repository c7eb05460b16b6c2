//! A coroutine as a future: a poll resumes it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::coroutine::{Coroutine, Resumed};

/// The future that a [`Coroutine`] becomes where it is awaited or spawned: each poll resumes the body,
/// and when that suspends itself, the others have their turn before it goes on.
///
/// The body may block: inside a task that parks the runner which polls it, in a green thread's
/// [`block_on`](super::block_on) that thread. Dropping the future unwinds the body.
///
/// # Panics
///
/// A poll panics with the body's panic, and where the coroutine was done before.
///
/// # Examples
///
/// ```
/// use greenlit::coroutine::Coroutine;
/// use greenlit::future;
///
/// greenlit::run(|| {
///     let count = || {
///         Coroutine::new(|co, ()| {
///             for _ in 0..3 {
///                 co.suspend(()); // The others have their turn.
///             }
///             3
///         })
///     };
///     // As a task's body, and inside another future.
///     let task = future::spawn(count());
///     let sum = future::block_on(async { count().await + task.await.unwrap() });
///     assert_eq!(sum, 6);
/// });
/// ```
#[must_use = "futures do nothing unless they are awaited"]
pub struct CoroutineFuture<R: 'static> {
    coroutine: Coroutine<(), (), R>,
}

impl<R> IntoFuture for Coroutine<(), (), R> {
    type Output = R;
    type IntoFuture = CoroutineFuture<R>;

    fn into_future(self) -> CoroutineFuture<R> {
        CoroutineFuture { coroutine: self }
    }
}

// Its body lies on a stack of its own, which does not move with it.
impl<R> Unpin for CoroutineFuture<R> {}

impl<R> Future for CoroutineFuture<R> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        match self.coroutine.resume(()) {
            Ok(Resumed::Returned(value)) => Poll::Ready(value),
            Ok(Resumed::Yielded(())) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => panic!("poll: {error}"),
        }
    }
}

impl<R> fmt::Debug for CoroutineFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoroutineFuture").finish_non_exhaustive()
    }
}
