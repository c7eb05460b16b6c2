//! Ticks at equal distances, and what becomes of those that nobody asked for in time. A tick is a
//! sleep until a point in time that was reckoned from the one before it.

use super::{Duration, Instant, sleep_until};

/// Makes an [`Interval`] whose first tick is due at once, and each later one a `period` after the
/// one before it.
///
/// # Panics
///
/// Where `period` is zero.
///
/// # Examples
///
/// ```
/// use greenlit::time::{self, Duration, Instant};
///
/// greenlit::run(|| {
///     let start = Instant::now();
///     for (tick, count) in time::interval(Duration::from_millis(2)).zip(0..3) {
///         println!("{count}: due {:?} after the start", tick - start);
///     }
///     assert!(start.elapsed() >= Duration::from_millis(4));
/// });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// As [`interval`], with a first tick that is due at `start`. If that has passed, ticks have been
/// missed already.
///
/// # Panics
///
/// Where `period` is zero.
///
/// # Examples
///
/// ```
/// use greenlit::time::{self, Duration, Instant};
///
/// greenlit::run(|| {
///     let start = Instant::now() + Duration::from_millis(2);
///     let mut ticks = time::interval_at(start, Duration::from_secs(1));
///     assert_eq!(ticks.tick(), start);
///     assert!(Instant::now() >= start);
/// });
/// ```
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "interval: a period of zero");
    Interval {
        due: start,
        period,
        missed: MissedTicks::default(),
    }
}

/// Ticks at equal distances; made by [`interval`] and [`interval_at`].
///
/// A tick never comes early. How late one comes does not add up, except under
/// [`MissedTicks::Delay`]: the next is reckoned from when this one was due. A tick past the clock's
/// end never comes.
///
/// As an iterator it ticks for ever. It belongs to no runtime, and runs nothing while nobody asks
/// it.
///
/// # Examples
///
/// An arm of [`select!`](crate::select!):
///
/// ```
/// use greenlit::sync::mpsc;
/// use greenlit::time::{self, Duration};
/// use greenlit::{select, thread};
///
/// greenlit::run(|| {
///     let (sender, receiver) = mpsc::channel();
///     let mut ticks = time::interval(Duration::from_millis(1));
///     thread::spawn(move || {
///         time::sleep(Duration::from_millis(5));
///         sender.send("done")
///     });
///     let mut count = 0;
///     loop {
///         select! {
///             recv(receiver) -> word => break assert_eq!(word, Ok("done")),
///             at(ticks.deadline()) => {
///                 ticks.tick();
///                 count += 1;
///             }
///         }
///     }
///     assert!(count >= 1);
/// });
/// ```
#[derive(Debug)]
#[must_use = "an interval ticks when it is asked to: call `tick`, or iterate over it"]
pub struct Interval {
    /// When the next tick is due; changes when a tick has been returned.
    due: Instant,
    /// Never zero.
    period: Duration,
    missed: MissedTicks,
}

impl Interval {
    /// Sets what becomes of ticks that were not asked for in time; [`MissedTicks::Burst`] unless
    /// told otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::time::{self, Duration, Instant, MissedTicks};
    ///
    /// let minute = Duration::from_secs(60);
    /// let start = Instant::now() - 5 * minute / 2;
    /// let mut ticks = time::interval_at(start, minute).missed_ticks(MissedTicks::Skip);
    /// assert_eq!(ticks.tick(), start);
    /// assert_eq!(ticks.deadline(), start + 3 * minute);
    /// ```
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// Waits until the next tick is due, and returns when it was. One that is due already is a
    /// yield.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and the tick is still to come; if it unwinds
    /// already, the call returns at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::time::{self, Duration};
    ///
    /// let period = Duration::from_millis(1);
    /// greenlit::run(|| {
    ///     let mut ticks = time::interval(period);
    ///     let first = ticks.tick();
    ///     assert_eq!(ticks.tick(), first + period);
    /// });
    /// ```
    pub fn tick(&mut self) -> Instant {
        sleep_until(self.due);
        self.take()
    }

    /// Takes the tick that has come, and reckons the next.
    pub(crate) fn take(&mut self) -> Instant {
        let due = self.due;
        self.due = self.missed.next_due(due, self.period);
        due
    }

    /// When the next tick is due, for [`select!`](crate::select!) and the like. It does not take the
    /// tick.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.due
    }

    /// Lets the next tick come a period from now, and the later ones a period after each other from
    /// there.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::time::{self, Duration, Instant};
    ///
    /// let period = Duration::from_secs(1);
    /// let mut ticks = time::interval(period);
    /// let now = Instant::now();
    /// ticks.reset();
    /// assert!(ticks.deadline() >= now + period);
    /// ```
    pub fn reset(&mut self) {
        self.due = later(Instant::now(), self.period);
    }

    /// The time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}

/// Ticks for ever.
impl Iterator for Interval {
    type Item = Instant;

    /// As [`Interval::tick`].
    fn next(&mut self) -> Option<Instant> {
        Some(self.tick())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

/// What an [`Interval`] does about ticks that are not asked for in time. With a period of 10 ms,
/// where the second tick, due at 10, is asked for at 34:
///
/// ```text
///             0         10        20        30        40        50        60
/// in time     1         2         3         4         5         6         7
/// Burst       1 (busy until 34)                 234   5         6         7
/// Skip        1 (busy until 34)                 2     3         4         5
/// Delay       1 (busy until 34)                 2         3         4
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// Every tick comes, late ones right after each other until the interval has caught up. For
    /// what counts ticks.
    #[default]
    Burst,
    /// The next tick comes a period after this one was returned: two are at least a period apart,
    /// and a late one shifts all that follow. For what must rest in between.
    Delay,
    /// The late tick comes, and the next that is still ahead; those between them never do. For what
    /// is to be done at certain times.
    Skip,
}

impl MissedTicks {
    /// When the tick after the one that was due at `due`, and comes now, is due.
    fn next_due(self, due: Instant, period: Duration) -> Instant {
        match self {
            Self::Burst => later(due, period),
            Self::Delay => later(Instant::now(), period),
            Self::Skip => later(last_due(due, Instant::now(), period), period),
        }
    }
}

/// The last of the points `due`, `due + period`, `due + 2 * period` … that `now` has reached; `due`
/// if it has reached none.
fn last_due(due: Instant, now: Instant, period: Duration) -> Instant {
    let late = now.saturating_duration_since(due);
    if late < period {
        return due;
    }
    let since = Duration::from_nanos_u128(late.as_nanos() % period.as_nanos());
    now.checked_sub(since).unwrap_or(due)
}

/// `instant + period`, or what is as good as never where the clock does not count so far.
fn later(instant: Instant, period: Duration) -> Instant {
    // More than 584 years ahead, where parks and sleeps end no more.
    let never = || Instant::now() + Duration::from_nanos(u64::MAX);
    instant.checked_add(period).unwrap_or_else(never)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_point_that_was_reached_is_found() {
        let period = Duration::from_millis(10);
        let due = Instant::now();
        let after = |micros| due + Duration::from_micros(micros);
        let table = [
            (0, 0),
            (9_999, 0),
            (10_000, 10_000),
            (10_001, 10_000),
            (39_999, 30_000),
            (40_000, 40_000),
        ];
        for (now, last) in table {
            assert_eq!(last_due(due, after(now), period), after(last), "{now}");
        }
        // A sleep that a cancel has cut short.
        let early = due.checked_sub(period).unwrap();
        assert_eq!(last_due(due, early, period), due);
    }

    #[test]
    fn lateness_of_centuries_is_reckoned() {
        let due = Instant::now();
        let late = Duration::from_secs(1_000 * 365 * 86_400);
        let now = due + late;
        assert_eq!(last_due(due, now, Duration::from_nanos(1)), now);
        assert_eq!(last_due(due, now, late), now);
        assert_eq!(last_due(due, now, late + Duration::from_nanos(1)), due);
    }
}
