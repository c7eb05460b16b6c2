//! `std::os::linux`: what extends greenlit's types is greenlit's, the rest is std's.

pub use std::os::linux::*;

pub mod net;
