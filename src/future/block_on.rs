//! `block_on`: a thread, green or not, waits for a future.

use std::future::IntoFuture;
use std::pin::pin;
use std::task::Poll;

use crate::park::Wakeup;

/// Waits until `future` is ready, and returns its output.
///
/// In a green thread it parks that one alone; the others run meanwhile. Outside a runtime it blocks
/// the OS thread. The future is polled here, on the caller's stack; it need be neither `Send` nor
/// `'static`. Its waker may be cloned and kept, and used from any OS thread.
///
/// # Panics
///
/// If the future does. In the main green thread, at a deadlock: where nobody has the future's waker, or
/// the process has one OS thread, and nothing else can happen.
///
/// # Cancellation
///
/// A cancelled green thread unwinds from here, and drops the future. Where it cannot be unwound, it waits.
///
/// # Examples
///
/// ```
/// use greenlit::{future, thread};
///
/// let sum = greenlit::run(|| {
///     let child = thread::spawn(|| 2);
///     future::block_on(async { child.await.unwrap() + 3 })
/// });
/// assert_eq!(sum, 5);
/// ```
#[track_caller]
#[inline]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let mut wakeup = Wakeup::new();
    loop {
        if let Poll::Ready(output) = wakeup.poll(future.as_mut()) {
            return output;
        }
        wakeup.wait("waiting for a future");
    }
}
