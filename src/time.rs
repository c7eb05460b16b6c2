//! std::time's shape: the one clock's `Instant`, `Duration`, and `sleep` for green threads.

pub use std::time::Duration;

pub use crate::clock::Instant;
pub use crate::thread::{sleep, sleep_until};
