//! `yield_now` for futures.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Lets the other tasks and green threads that can run have their turn.
///
/// # Cancellation
///
/// Nothing is lost where the future is dropped.
///
/// # Examples
///
/// ```
/// use greenlit::future;
///
/// greenlit::run(|| {
///     let other = future::spawn(async { println!("1") });
///     let this = future::spawn(async {
///         future::yield_now().await;
///         println!("2");
///     });
///     this.join().unwrap();
///     other.join().unwrap();
/// });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { has_yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct YieldNow {
    has_yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
