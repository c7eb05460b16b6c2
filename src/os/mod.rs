//! `std::os` for Linux: std's own items, but for the types and traits that have a twin here.

// What this module has itself shadows what the glob brings.
pub use std::os::*;

pub mod unix;
pub mod linux;
#[expect(unsafe_code, reason = "`FromRawFd`'s method is unsafe to call")]
mod from_raw;
