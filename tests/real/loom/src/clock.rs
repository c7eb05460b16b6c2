//! No time passes in a model.

use std::time::Duration;

/// A point in time that never comes.
#[derive(Clone, Copy, Debug)]
pub struct Instant;

impl Instant {
    pub(crate) fn nanos(self) -> u64 {
        u64::MAX
    }
}

pub(crate) fn length(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
