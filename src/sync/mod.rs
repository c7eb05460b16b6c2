//! `std::sync`'s shape on green threads, and what std lacks. All of it is shared by green threads of
//! any runtime and by plain OS threads, which block as usual; where a green thread would have to
//! wait, it parks and lets the others run.
//!
//! What std has and this module does not replace (`Arc`, `atomic`, …) is std's.

mod spin_lock;
mod waiters;
mod poisoning;
mod mutex;

pub use std::sync::*;

pub use mutex::{Mutex, MutexGuard};
