//! The one clock: nothing else in the crate reads the time. `time` shows `Instant` to users; `park`
//! counts in nanoseconds since the epoch.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::OnceLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What nanoseconds count from: the first reading of the process, less a day, so that instants from
/// before it still have a number.
static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();

/// How far before the first reading the epoch lies.
const HEAD_START: Duration = Duration::from_secs(86_400);

fn epoch() -> std::time::Instant {
    *EPOCH.get_or_init(|| {
        let now = std::time::Instant::now();
        now.checked_sub(HEAD_START).unwrap_or(now)
    })
}

/// What the system's clock says at the epoch, modulo 2^64 nanoseconds: the epoch may lie before the
/// system's start.
#[inline]
fn at_epoch() -> u64 {
    static AT_EPOCH: OnceLock<u64> = OnceLock::new();
    *AT_EPOCH.get_or_init(|| {
        // Read in this order the difference is too large if anything, and `now` behind `Instant`: by the
        // time between two readings, the closest of a few, so that whoever compares them one after the
        // other does not see it.
        let pairs = (0..8).map(|_| {
            let since_epoch = nanos(std::time::Instant::now());
            read(ClockId::CLOCK_MONOTONIC).wrapping_sub(since_epoch)
        });
        pairs
            .min_by_key(|at_epoch| at_epoch.cast_signed())
            .unwrap_or(0)
    })
}

/// What the system says, in nanoseconds. Both clocks are there since Linux 2.6.32.
#[inline]
fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("a clock that the system has");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// Nanoseconds since the epoch; a reading takes about 20 ns.
#[inline]
pub(crate) fn now() -> u64 {
    read(ClockId::CLOCK_MONOTONIC).wrapping_sub(at_epoch())
}

/// Nanoseconds since the epoch, by a clock that is behind, and never ahead.
#[inline]
pub(crate) fn coarse() -> u64 {
    read(ClockId::CLOCK_MONOTONIC_COARSE).wrapping_sub(at_epoch())
}

/// Whether `deadline` has passed. Where it is not near, a reading of the coarse clock tells, which
/// takes a quarter of the time.
#[inline]
pub(crate) fn has_passed(deadline: u64) -> bool {
    let coarse = coarse();
    coarse >= deadline || coarse.saturating_add(COARSE_STEP) >= deadline && now() >= deadline
}

/// More than the coarse clock is behind: it is set at each tick of the kernel, of which there are a
/// hundred a second at the least.
const COARSE_STEP: u64 = 20_000_000;

/// An instant as nanoseconds since the epoch: 0 for what lies before it, `u64::MAX` (584 years) for
/// what cannot be counted.
#[inline]
fn nanos(instant: std::time::Instant) -> u64 {
    length(instant.saturating_duration_since(epoch()))
}

/// A duration in whole nanoseconds, `u64::MAX` where it is longer than that counts.
#[inline]
pub(crate) fn length(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The deadline that comes `length` after this call; `u64::MAX` for one past what counts.
#[inline]
pub(crate) fn after(length: Duration) -> u64 {
    now().saturating_add(self::length(length))
}

/// A point on the monotonic clock (`CLOCK_MONOTONIC`, see clock_gettime(2)), with the methods of
/// [`std::time::Instant`] and conversions from and to it.
///
/// # Examples
///
/// ```
/// use greenlit::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let deadline = start + Duration::from_millis(5);
/// assert_eq!(deadline.duration_since(start), Duration::from_millis(5));
/// assert_eq!(start.checked_duration_since(deadline), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(std::time::Instant);

impl Instant {
    /// Reads the clock.
    #[must_use]
    #[inline]
    pub fn now() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time from `earlier` to `self`, zero if `earlier` is the later of the two.
    #[must_use]
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.0.duration_since(earlier.0)
    }

    /// The time from `earlier` to `self`, `None` if `earlier` is the later of the two.
    #[must_use]
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_duration_since(earlier.0)
    }

    /// The time from `earlier` to `self`, zero if `earlier` is the later of the two.
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The time that has passed since `self`.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Self::now().duration_since(*self)
    }

    /// `self + duration`, `None` where the clock cannot represent it.
    #[must_use]
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// `self - duration`, `None` where the clock cannot represent it.
    #[must_use]
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }

    /// The instant so many nanoseconds after the process's epoch; `None` for what never comes.
    pub(crate) fn from_nanos(nanos: u64) -> Option<Self> {
        match nanos {
            u64::MAX => None,
            _ => epoch().checked_add(Duration::from_nanos(nanos)).map(Self),
        }
    }

    /// As `from_nanos`, with the last instant that can be counted for what never comes.
    pub(crate) fn from_nanos_or_last(nanos: u64) -> Self {
        // std's instants reach much further.
        Self(epoch() + Duration::from_nanos(nanos))
    }

    /// Nanoseconds since the process's epoch.
    #[inline]
    pub(crate) fn nanos(self) -> u64 {
        nanos(self.0)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<std::time::Instant> for Instant {
    fn from(instant: std::time::Instant) -> Self {
        Self(instant)
    }
}

impl From<Instant> for std::time::Instant {
    fn from(instant: Instant) -> Self {
        instant.0
    }
}

/// # Panics
///
/// Where the clock cannot represent the sum, as std's does; `checked_add` returns `None` there.
impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// # Panics
///
/// Where the clock cannot represent the difference, as std's does; `checked_sub` returns `None`
/// there.
impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}
