//! The sources of `sync` over loom's atomics, and a thread that parks as loom's do in place of
//! `park`'s: the queue, its lock, the choice, and what is handed over are the real ones.
#![no_std]
#![expect(dead_code, reason = "of each source, what the models need is used")]

extern crate shim as std;

mod clock;
pub mod park;
mod scheduler;

pub mod sync;
