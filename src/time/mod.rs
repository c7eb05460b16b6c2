//! std::time's shape: the one clock's `Instant` and `sleep` for green threads, and all that std has
//! besides. `interval` and `timeout` are what std lacks.

mod interval;
mod timeout;

// `Instant`, which is declared below, stands before that of the glob.
pub use std::time::*;

pub use crate::clock::Instant;
pub use crate::thread::{sleep, sleep_until};
pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use timeout::{Elapsed, timeout, timeout_at};
