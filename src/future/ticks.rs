//! The ticks of an interval as futures.

use super::sleep_until;
use crate::clock::Instant;
use crate::time::Interval;

impl Interval {
    /// As [`tick`](Self::tick), for async code: ready when the next tick is due, with when it was.
    ///
    /// # Panics
    ///
    /// As [`future::sleep`](crate::future::sleep).
    ///
    /// # Cancellation
    ///
    /// A tick that is dropped before it was ready is still to come.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, time::{self, Duration}};
    ///
    /// let period = Duration::from_millis(1);
    /// greenlit::run(|| {
    ///     future::block_on(async {
    ///         let mut ticks = time::interval(period);
    ///         let first = ticks.tick_async().await;
    ///         assert_eq!(ticks.tick_async().await, first + period);
    ///     });
    /// });
    /// ```
    pub async fn tick_async(&mut self) -> Instant {
        sleep_until(self.deadline()).await;
        self.take()
    }
}
