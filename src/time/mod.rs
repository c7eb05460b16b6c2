//! std::time's shape: the one clock's `Instant`, `sleep` for green threads, and all that std has
//! besides. `interval` is what std lacks.

mod interval;

// `Instant`, which is declared below, stands before that of the glob.
pub use std::time::*;

pub use crate::clock::Instant;
pub use crate::thread::{sleep, sleep_until};
pub use interval::{Interval, MissedTicks, interval, interval_at};
