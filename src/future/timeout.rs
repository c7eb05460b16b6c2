//! `timeout` for futures: one that has to be ready by a deadline.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::sleep::{Sleep, sleep, sleep_until};
use crate::clock::Instant;
use crate::time::Elapsed;

/// Awaits `future`, and gives it up when `length` has passed since this call.
///
/// It is [`time::timeout`](crate::time::timeout) for async code. Where the future is ready, however
/// late, its value is returned; one that is not is dropped together with the timeout, as soon as that
/// has been awaited. With a length of zero the future is polled once. A length past the clock's end
/// never passes.
///
/// # Errors
///
/// [`Elapsed`] where the deadline has passed before the future was ready.
///
/// # Panics
///
/// As [`sleep`].
///
/// # Cancellation
///
/// Dropping a timeout drops its future, and leaves nothing behind.
///
/// # Examples
///
/// ```
/// use greenlit::future::{self, timeout};
/// use greenlit::time::Duration;
///
/// greenlit::run(|| {
///     let long = Duration::from_secs(3600);
///     let late = timeout(Duration::from_millis(1), future::sleep(long));
///     assert!(future::block_on(late).is_err());
///     let ready = timeout(Duration::ZERO, async { 7 });
///     assert_eq!(future::block_on(ready), Ok(7));
/// });
/// ```
pub fn timeout<F: IntoFuture>(length: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        sleep: sleep(length),
        future: future.into_future(),
    }
}

/// Awaits `future`, and gives it up at `deadline`, as [`timeout`] does. With a deadline that has passed
/// the future is polled once.
///
/// # Errors
///
/// As [`timeout`].
///
/// # Panics
///
/// As [`timeout`].
///
/// # Cancellation
///
/// As [`timeout`].
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        sleep: sleep_until(deadline),
        future: future.into_future(),
    }
}

pin_project! {
    /// A future that has to be ready by a deadline; made by [`timeout`] and [`timeout_at`].
    #[must_use = "a future does nothing until it is polled: await it"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

impl<F> Timeout<F> {
    /// When the future is given up.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.sleep.deadline()
    }

    /// Moves the deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::future;
    /// use greenlit::time::{Duration, Instant};
    /// use std::pin::pin;
    ///
    /// greenlit::run(|| {
    ///     let soon = Duration::from_millis(1);
    ///     let mut slow = pin!(future::timeout(soon, future::sleep(2 * soon)));
    ///     slow.as_mut().reset(Instant::now() + Duration::from_secs(3600));
    ///     assert!(future::block_on(slow).is_ok());
    /// });
    /// ```
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        self.project().sleep.reset(deadline);
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The value wins.
        if let Poll::Ready(value) = this.future.poll(context) {
            return Poll::Ready(Ok(value));
        }
        this.sleep
            .poll_deadline(context)
            .map(|()| Err(Elapsed::new()))
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
