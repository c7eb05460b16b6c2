//! Many futures as one. Those that only wait are futures-util's; here are those that spawn, that keep
//! all errors, or that give back what is not ready. In a thread, `block_on` waits for each of them.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::thread::Result as Ended;
use std::time::Duration;

use futures_util::future::{JoinAll, join_all};
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt, StreamExt};

use super::{AsCompleted, as_completed, sleep, spawn};
use crate::thread::CancelOnDrop;

/// Spawns a task for each of `futures`, in their order, and waits for all: results and payloads, in
/// the same order.
///
/// The tasks begin whether the returned future is awaited or not. To drop it cancels those that have
/// not ended.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// use greenlit::future::{self, gather};
///
/// greenlit::run(|| {
///     let squares = future::block_on(gather((1..4).map(|n| async move { n * n })));
///     assert!(squares.into_iter().map(Result::unwrap).eq([1, 4, 9]));
/// });
/// ```
#[track_caller]
pub fn gather<I>(futures: I) -> JoinAll<CancelOnDrop<<I::Item as IntoFuture>::Output>>
where
    I: IntoIterator<Item: IntoFuture<IntoFuture: 'static, Output: 'static>>,
{
    let mut handles = Vec::new();
    for future in futures {
        handles.push(spawn(future).cancel_on_drop());
    }
    join_all(handles)
}

/// As [`gather`], but ready with the first task that panics or is cancelled: its payload is the error,
/// and the others go on by themselves.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Errors
///
/// The payload of the first task that ended without an output.
///
/// # Examples
///
/// ```
/// use greenlit::future::{self, try_gather};
///
/// greenlit::run(|| {
///     let all = future::block_on(try_gather((1..4).map(|n| async move { n * n })));
///     assert_eq!(all.unwrap(), [1, 4, 9]);
/// });
/// ```
#[track_caller]
pub fn try_gather<I>(
    futures: I,
) -> impl Future<Output = Ended<Vec<<I::Item as IntoFuture>::Output>>> + use<I>
where
    I: IntoIterator<Item: IntoFuture<IntoFuture: 'static, Output: 'static>>,
{
    let tasks = FuturesUnordered::new();
    for (index, future) in futures.into_iter().enumerate() {
        let future = spawn(future).cancel_on_drop();
        tasks.push(Indexed { index, future });
    }
    gathered(tasks)
}

async fn gathered<T>(mut tasks: FuturesUnordered<Indexed<CancelOnDrop<T>>>) -> Ended<Vec<T>> {
    let mut values: Vec<_> = (0..tasks.len()).map(|_| None).collect();
    while let Some((index, result)) = tasks.next().await {
        match result {
            Ok(value) => values[index] = Some(value),
            Err(payload) => {
                for task in tasks {
                    // Detached.
                    drop(task.future.into_inner());
                }
                return Err(payload);
            }
        }
    }
    Ok(values.into_iter().flatten().collect())
}

/// Waits for the first of `futures` that is ready, and drops the others. Of several that are ready at
/// once the first in their order wins. With no future it is never ready.
///
/// Tasks and threads go on where their handles are dropped:
/// [`cancel_on_drop`](crate::thread::JoinHandle::cancel_on_drop) says that they are not to.
/// [`thread::race`](crate::thread::race) is for green threads that borrow.
///
/// # Cancellation
///
/// Dropping the future drops all of `futures`.
///
/// # Examples
///
/// ```
/// use greenlit::future::{self, race};
/// use greenlit::time::Duration;
///
/// greenlit::run(|| {
///     let runners = [30, 10, 20].map(|n| async move {
///         future::sleep(Duration::from_millis(n)).await;
///         n
///     });
///     assert_eq!(future::block_on(race(runners)), 10);
/// });
/// ```
pub fn race<I>(futures: I) -> impl Future<Output = <I::Item as IntoFuture>::Output> + use<I>
where
    I: IntoIterator<Item: IntoFuture>,
{
    let futures = as_completed(futures);
    async {
        match { futures }.next().await {
            Some(output) => output,
            None => std::future::pending().await,
        }
    }
}

/// Waits for the first of `futures` that is ready with `Ok`, and drops the others, as [`race`] does.
///
/// # Errors
///
/// Those of all, in the order in which they came, where none succeeds.
///
/// # Examples
///
/// ```
/// use greenlit::future::{self, select_ok};
///
/// greenlit::run(|| {
///     let mirrors = ["first", "second", "third"].map(|name| async move {
///         match name {
///             "first" => Err("is down"),
///             up => Ok(up),
///         }
///     });
///     assert_eq!(future::block_on(select_ok(mirrors)), Ok("second"));
/// });
/// ```
pub fn select_ok<I, T, E>(futures: I) -> impl Future<Output = Result<T, Vec<E>>> + use<I, T, E>
where
    I: IntoIterator<Item: IntoFuture<Output = Result<T, E>>>,
{
    first_ok(as_completed(futures))
}

async fn first_ok<F, T, E>(mut futures: AsCompleted<F>) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut errors = Vec::new();
    while let Some(result) = futures.next().await {
        match result {
            Ok(value) => return Ok(value),
            Err(error) => errors.push(error),
        }
    }
    Err(errors)
}

/// Makes a future of each item by `f`, and waits for all of them, of which no more than `limit` are
/// under way at once. The outputs are in the order of the items.
///
/// # Panics
///
/// If the limit is 0.
///
/// # Examples
///
/// ```
/// use greenlit::future::{self, map_bounded};
///
/// greenlit::run(|| {
///     let doubles = map_bounded(1..=5, 2, |n| async move {
///         future::yield_now().await;
///         2 * n
///     });
///     assert_eq!(future::block_on(doubles), [2, 4, 6, 8, 10]);
/// });
/// ```
pub fn map_bounded<I, F, A>(
    items: I,
    limit: usize,
    f: F,
) -> impl Future<Output = Vec<A::Output>> + use<I, F, A>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> A,
    A: IntoFuture,
{
    assert!(
        limit > 0,
        "map_bounded: with a limit of 0 nothing is ever done"
    );
    let futures = items.into_iter().map(f).map(IntoFuture::into_future);
    stream::iter(futures).buffered(limit).collect()
}

/// Outputs with the places of their futures among those that were given, in the order in which they
/// were ready; and the futures that were not, in their own order.
pub type Waited<F> = (Vec<(usize, <F as Future>::Output)>, Vec<F>);

/// Waits for `futures` until one is ready of whose output `until` says that it is enough, or all are
/// ready. What is not ready is given back.
///
/// `|_| true` waits for the first, `|_| false` for all, `Result::is_err` for the first error. Whatever
/// else is ready by then counts as done. Futures that are not `Unpin`, as async blocks, are boxed
/// (`Box::pin`) or spawned.
///
/// # Cancellation
///
/// Dropping the future drops those that are not ready, and the outputs of those that are.
///
/// # Examples
///
/// ```
/// use greenlit::{future, thread};
///
/// greenlit::run(|| {
///     let threads = [thread::spawn(thread::park), thread::spawn(|| ())];
///     let (done, pending) = future::block_on(future::wait(threads, |_| true));
///     assert!(matches!(done[..], [(1, Ok(()))]));
///     pending[0].thread().unpark();
/// });
/// ```
pub fn wait<I, F>(
    futures: I,
    until: impl FnMut(&F::Output) -> bool,
) -> impl Future<Output = Waited<F>>
where
    I: IntoIterator<Item: IntoFuture<IntoFuture = F, Output = F::Output>>,
    F: Future + Unpin,
{
    wait_limited(indexed(futures), std::future::pending::<()>(), until)
}

/// As [`wait`], but no longer than `timeout`, which is no error: what is ready by then is done.
///
/// # Cancellation
///
/// As [`wait`].
///
/// # Examples
///
/// ```
/// use greenlit::{future, thread, time::Duration};
///
/// greenlit::run(|| {
///     let threads = [thread::spawn(thread::park), thread::spawn(|| ())];
///     let moment = Duration::from_millis(1);
///     let (done, pending) = future::block_on(future::wait_timeout(threads, moment, |_| false));
///     assert_eq!((done.len(), pending.len()), (1, 1));
///     pending[0].thread().unpark();
/// });
/// ```
pub fn wait_timeout<I, F>(
    futures: I,
    timeout: Duration,
    until: impl FnMut(&F::Output) -> bool,
) -> impl Future<Output = Waited<F>>
where
    I: IntoIterator<Item: IntoFuture<IntoFuture = F, Output = F::Output>>,
    F: Future + Unpin,
{
    wait_limited(indexed(futures), sleep(timeout), until)
}

fn indexed<I>(futures: I) -> FuturesUnordered<Indexed<<I::Item as IntoFuture>::IntoFuture>>
where
    I: IntoIterator<Item: IntoFuture>,
{
    let futures = futures.into_iter().map(IntoFuture::into_future);
    let indexed = futures.enumerate();
    indexed
        .map(|(index, future)| Indexed { index, future })
        .collect()
}

async fn wait_limited<F: Future + Unpin>(
    mut left: FuturesUnordered<Indexed<F>>,
    limit: impl Future,
    mut until: impl FnMut(&F::Output) -> bool,
) -> Waited<F> {
    let mut done = Vec::new();
    let mut limit = pin!(limit.fuse());
    poll_fn(|context| {
        let mut is_over = false;
        // To its end: what is ready counts.
        while let Poll::Ready(next) = left.poll_next_unpin(context) {
            let Some((index, output)) = next else {
                return Poll::Ready(());
            };
            is_over |= until(&output);
            done.push((index, output));
        }
        match is_over || limit.as_mut().poll(context).is_ready() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    let mut left: Vec<_> = left.into_iter().collect();
    left.sort_by_key(|future| future.index);
    (done, left.into_iter().map(|left| left.future).collect())
}

/// A future with its place among others.
struct Indexed<F> {
    index: usize,
    future: F,
}

impl<F: Future + Unpin> Future for Indexed<F> {
    type Output = (usize, F::Output);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let index = self.index;
        self.future
            .poll_unpin(context)
            .map(|output| (index, output))
    }
}
