//! `Promise`: a result that somebody will bring, once, and that any number of threads and tasks wait
//! for, as asyncio's `Future`. Whoever waits is polled as a future: there is one list of wakers, in the
//! order in which they came, and it is emptied by who brings the result.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Builder, block_on, timeout_at, yield_now};
use crate::clock::Instant;
use crate::park::{self, Cancelled};
use crate::thread::JoinHandle;

/// A result that is there later: pending, then resolved, failed or cancelled, for good.
///
/// A clone is a handle to the same result. Whoever has one may bring the result, and whoever has one
/// may wait for it: green threads of any runtime and OS threads by [`wait`](Self::wait), futures by
/// `.await`, which gives a clone of the value, or by [`settled`](Self::settled). They are woken in the
/// order in which they came. If nobody brings a result, they wait for ever.
///
/// # Examples
///
/// ```
/// use greenlit::{future::Promise, thread};
///
/// greenlit::run(|| {
///     let promise = Promise::new();
///     let answer = promise.clone();
///     thread::spawn(move || answer.set(42));
///     assert_eq!(*promise.wait().unwrap(), 42);
///     // It is set once.
///     assert_eq!(promise.set(43), Err(43));
/// });
/// ```
pub struct Promise<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    outcome: OnceLock<Outcome<T>>,
    /// Whom to wake, by their numbers; `None` once the outcome is there and they were woken.
    waiters: Mutex<Option<Waiters>>,
}

type Outcome<T> = Result<T, PromiseError>;

#[derive(Default)]
struct Waiters {
    wakers: BTreeMap<u64, Waker>,
    came: u64,
}

/// Why there is no value: the promise failed, or was cancelled.
#[derive(Clone, Debug)]
pub enum PromiseError {
    /// By [`Promise::fail`], with this error.
    Failed(SharedError),
    /// By [`Promise::cancel`].
    Cancelled(Cancelled),
}

/// An error that all who wait for a [`Promise`] have.
pub type SharedError = Arc<dyn Error + Send + Sync>;

impl<T> Promise<T> {
    /// A pending promise.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                outcome: OnceLock::new(),
                waiters: Mutex::new(Some(Waiters::default())),
            }),
        }
    }

    /// Brings the value. Whoever waits is woken, and nobody runs here.
    ///
    /// # Errors
    ///
    /// The value, where the promise is not pending any more.
    pub fn set(&self, value: T) -> Result<(), T> {
        match self.shared.settle(Ok(value)) {
            Err(Ok(value)) => Err(value),
            _ => Ok(()),
        }
    }

    /// Says that there will be no value, and why.
    ///
    /// # Errors
    ///
    /// The error, where the promise is not pending any more.
    pub fn fail(&self, error: impl Into<Box<dyn Error + Send + Sync>>) -> Result<(), SharedError> {
        let error = PromiseError::Failed(error.into().into());
        match self.shared.settle(Err(error)) {
            Err(Err(PromiseError::Failed(error))) => Err(error),
            _ => Ok(()),
        }
    }

    /// Says that nobody wants the value any more. Returns whether it was pending.
    ///
    /// Who works on it may look by [`is_cancelled`](Self::is_cancelled), or wait. The cancel of a
    /// thread or task that waits for a promise does not cancel the promise.
    pub fn cancel(&self, reason: impl Into<Cow<'static, str>>) -> bool {
        let cancelled = Cancelled::of(reason.into().into());
        let error = PromiseError::Cancelled(cancelled);
        self.shared.settle(Err(error)).is_ok()
    }

    /// The value or the error; `None` while it is pending.
    pub fn result(&self) -> Option<Result<&T, &PromiseError>> {
        self.shared.outcome.get().map(Result::as_ref)
    }

    /// Whether it is not pending any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.shared.outcome.get().is_some()
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.result(), Some(Err(PromiseError::Cancelled(_))))
    }

    /// Waits until it is not pending any more.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// Why there is no value.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; if it unwinds already, it waits.
    #[track_caller]
    pub fn wait(&self) -> Result<&T, &PromiseError> {
        block_on(self.settled())
    }

    /// As [`wait`](Self::wait), but no longer than `timeout`; `None` says that it is still pending.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[must_use = "`None` says that it is still pending"]
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<&T, &PromiseError>> {
        block_on(super::timeout(timeout, self.settled())).ok()
    }

    /// As [`wait_timeout`](Self::wait_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[must_use = "`None` says that it is still pending"]
    #[track_caller]
    pub fn wait_deadline(&self, deadline: Instant) -> Option<Result<&T, &PromiseError>> {
        block_on(timeout_at(deadline, self.settled())).ok()
    }

    /// As [`wait`](Self::wait), with a clone of the value or the error.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn join(self) -> Result<T, PromiseError>
    where
        T: Clone,
    {
        self.wait().cloned().map_err(PromiseError::clone)
    }

    /// The future of [`wait`](Self::wait).
    pub fn settled(&self) -> Settled<'_, T> {
        Settled {
            promise: self,
            number: None,
        }
    }

    /// Has `f` called once the promise is not pending any more: by a task of this runtime, after what
    /// is queued by then, and in the order in which callbacks were added. It is never called from
    /// inside [`set`](Self::set), nor from here.
    ///
    /// The handle is that of the callback's task: to drop it changes nothing, to
    /// [cancel](JoinHandle::cancel) it removes a callback that was not called yet. One that panics
    /// keeps no other from being called.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future::Promise, thread};
    ///
    /// greenlit::run(|| {
    ///     let promise = Promise::new();
    ///     let removed = promise.add_done_callback(|_| println!("never"));
    ///     let called = promise.add_done_callback(|done| println!("{:?}", done.result()));
    ///     removed.cancel("no need");
    ///     promise.set(1).unwrap();
    ///     called.join().unwrap();
    /// });
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, f: impl FnOnce(&Self) + 'static) -> JoinHandle<()>
    where
        T: 'static,
    {
        let promise = self.clone();
        let task = async move {
            let mut settled = pin!(promise.settled());
            // The first poll is made here and now, so that callbacks stand in their order.
            let first = poll_fn(|context| Poll::Ready(settled.as_mut().poll(context)));
            match first.await {
                Poll::Ready(_) => yield_now().await,
                Poll::Pending => drop(settled.await),
            }
            f(&promise);
        };
        match Builder::new().eager(true).spawn(task) {
            Ok(handle) => handle,
            Err(error) => panic!("add_done_callback: {error}"),
        }
    }

    /// Whether both are handles to one promise.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Shared<T> {
    /// Gives the outcome back where there is one.
    fn settle(&self, outcome: Outcome<T>) -> Result<(), Outcome<T>> {
        self.outcome.set(outcome)?;
        let waiters = self.waiters().take();
        // In order, and while the lock is let go. A panic of one keeps none from being woken.
        let mut first = None;
        for waker in waiters.into_iter().flat_map(|all| all.wakers.into_values()) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                first.get_or_insert(payload);
            }
        }
        match first {
            Some(payload) => park::go_on_unwinding(payload),
            None => Ok(()),
        }
    }

    fn waiters(&self) -> MutexGuard<'_, Option<Waiters>> {
        // Nothing that panics is done under the lock.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stands in the list until the outcome is there. `number` is the place; `None` at first.
    fn poll(&self, number: &mut Option<u64>, context: &Context<'_>) -> Poll<&Outcome<T>> {
        loop {
            if let Some(outcome) = self.outcome.get() {
                // Who has waited has let others run, and keeps his turn.
                return match number {
                    Some(_) => Poll::Ready(outcome),
                    None => park::proceed(context).map(|()| outcome),
                };
            }
            if let Some(number) = *number
                && let Some(waiters) = &*self.waiters()
                && let Some(waker) = waiters.wakers.get(&number)
                && waker.will_wake(context.waker())
            {
                return Poll::Pending;
            }
            // A waker's clone and drop are the user's: under no lock.
            let waker = context.waker().clone();
            let mut locked = self.waiters();
            if let Some(waiters) = &mut *locked {
                let number = *number.get_or_insert_with(|| {
                    waiters.came += 1;
                    waiters.came
                });
                let before = waiters.wakers.insert(number, waker);
                drop(locked);
                drop(before);
                return Poll::Pending;
            }
        }
    }

    /// Whoever had a place waits no more.
    fn leave(&self, number: Option<u64>) {
        if let Some(number) = number {
            let mut waiters = self.waiters();
            let waker = waiters.as_mut().and_then(|all| all.wakers.remove(&number));
            drop(waiters);
            drop(waker);
        }
    }
}

/// The future of [`Promise::settled`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Settled<'a, T> {
    promise: &'a Promise<T>,
    /// Its place among those who wait; `None` before the first poll.
    number: Option<u64>,
}

/// A promise that is awaited.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Awaited<T> {
    promise: Promise<T>,
    /// As in [`Settled`].
    number: Option<u64>,
}

impl<'a, T> Future for Settled<'a, T> {
    type Output = Result<&'a T, &'a PromiseError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let promise = self.promise;
        let outcome = promise.shared.poll(&mut self.number, context);
        outcome.map(Result::as_ref)
    }
}

impl<T: Clone> Future for Awaited<T> {
    type Output = Result<T, PromiseError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { promise, number } = self.get_mut();
        promise.shared.poll(number, context).map(Result::clone)
    }
}

impl<T> Drop for Settled<'_, T> {
    fn drop(&mut self) {
        self.promise.shared.leave(self.number);
    }
}

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        self.promise.shared.leave(self.number);
    }
}

impl<T: Clone> IntoFuture for Promise<T> {
    type Output = Result<T, PromiseError>;
    type IntoFuture = Awaited<T>;

    fn into_future(self) -> Awaited<T> {
        Awaited {
            promise: self,
            number: None,
        }
    }
}

impl<'a, T> IntoFuture for &'a Promise<T> {
    type Output = Result<&'a T, &'a PromiseError>;
    type IntoFuture = Settled<'a, T>;

    fn into_future(self) -> Settled<'a, T> {
        self.settled()
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Default for Promise<T> {
    fn default() -> Self {
        Self::new()
    }
}

// What is written once is never seen half.
impl<T> UnwindSafe for Promise<T> {}
impl<T> RefUnwindSafe for Promise<T> {}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.result() {
            None => "Promise(pending)",
            Some(Ok(_)) => "Promise(resolved)",
            Some(Err(PromiseError::Failed(_))) => "Promise(failed)",
            Some(Err(PromiseError::Cancelled(_))) => "Promise(cancelled)",
        })
    }
}

impl<T> fmt::Debug for Settled<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Settled").field(self.promise).finish()
    }
}

impl<T> fmt::Debug for Awaited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Awaited").field(&self.promise).finish()
    }
}

impl fmt::Display for PromiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Cancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl Error for PromiseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Cancelled(_) => None,
        }
    }
}
