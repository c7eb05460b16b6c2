//! What threads of scopes leave behind, and what their panics say: for the tests of scopes' policies.

#![allow(dead_code, reason = "no test binary needs all of it")]

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use greenlit::thread;

/// Counts its drops.
pub(crate) struct Counted<'a>(pub(crate) &'a Cell<u32>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Waits in its destructor.
pub(crate) struct Slow<'a>(pub(crate) &'a Cell<u32>);

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        (0..5).for_each(|_| thread::yield_now());
        self.0.set(self.0.get() + 1);
    }
}

pub(crate) fn yields(times: u32) {
    (0..times).for_each(|_| thread::yield_now());
}

/// Runs `f`, which has to panic.
pub(crate) fn payload_of<T>(f: impl FnOnce() -> T) -> Box<dyn Any + Send> {
    catch_unwind(AssertUnwindSafe(|| drop(f()))).expect_err("a panic")
}

/// What a panic of `f` said.
pub(crate) fn panic_of<T>(f: impl FnOnce() -> T) -> &'static str {
    *payload_of(f).downcast().expect("a message")
}
