//! `as_completed`: futures in the order in which they become ready, for tasks and for threads.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::iter::FusedIterator;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::block_on;

/// Polls all of `futures`, and yields the outputs in the order in which they become ready.
///
/// In async code it is a stream; a thread, green or not, goes through it by `for`. Those that are
/// ready at the beginning come in their own order. To drop it drops the futures that are left: of
/// tasks and threads these are the handles, without which they go on.
///
/// # Cancellation
///
/// Nothing is lost where the future of [`next`](AsCompleted::next) is dropped. A cancelled green
/// thread unwinds from the `next` of the iterator.
///
/// # Examples
///
/// ```
/// use greenlit::future::{self, as_completed};
/// use greenlit::{thread, time::Duration};
///
/// greenlit::run(|| {
///     let threads = [3, 1, 2].map(|n| {
///         thread::spawn(move || {
///             thread::sleep(Duration::from_millis(n));
///             n
///         })
///     });
///     let mut ended = as_completed(threads);
///     // In async code:
///     let first = future::block_on(ended.next()).unwrap();
///     assert_eq!(first.unwrap(), 1);
///     // And without:
///     let rest: Vec<_> = ended.into_iter().map(Result::unwrap).collect();
///     assert_eq!(rest, [2, 3]);
/// });
/// ```
pub fn as_completed<I>(futures: I) -> AsCompleted<<I::Item as IntoFuture>::IntoFuture>
where
    I: IntoIterator<Item: IntoFuture>,
{
    let futures = futures.into_iter().map(IntoFuture::into_future);
    AsCompleted {
        futures: futures.collect(),
    }
}

/// What [`as_completed`] returns.
#[must_use = "futures do nothing unless they are polled"]
pub struct AsCompleted<F> {
    futures: FuturesUnordered<F>,
}

impl<F: Future> AsCompleted<F> {
    /// The next output; `None` when there are no futures left.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is that of streams, and an iterator's blocks"
    )]
    pub fn next(&mut self) -> impl Future<Output = Option<F::Output>> {
        self.futures.next()
    }

    /// How many futures are not ready yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.futures.len()
    }

    /// Whether all have been ready.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.futures.is_empty()
    }
}

impl<F: Future> Stream for AsCompleted<F> {
    type Item = F::Output;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        self.futures.poll_next_unpin(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

/// Its `next` waits, as [`block_on`] does.
impl<F: Future> IntoIterator for AsCompleted<F> {
    type Item = F::Output;
    type IntoIter = Completed<F>;

    fn into_iter(self) -> Completed<F> {
        Completed { futures: self }
    }
}

/// An [`AsCompleted`] for threads: an iterator whose `next` waits.
pub struct Completed<F> {
    futures: AsCompleted<F>,
}

impl<F: Future> Iterator for Completed<F> {
    type Item = F::Output;

    fn next(&mut self) -> Option<F::Output> {
        block_on(self.futures.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.futures.size_hint()
    }
}

impl<F: Future> ExactSizeIterator for Completed<F> {}
impl<F: Future> FusedIterator for Completed<F> {}

impl<F> fmt::Debug for AsCompleted<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("len", &self.futures.len())
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Completed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.futures.fmt(f)
    }
}
