//! What `sync` needs of `park`, over loom's threads. A wait with a limit gives up at once or after it
//! was unparked: both are tried.

use core::cell::Cell;

use loom::sync::Arc;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicBool, Ordering};
use std::sync::atomic::AtomicU64;

pub(crate) use crate::scheduler::{Links, WaitNode};

pub(crate) const HOLDER_SHIFT: u32 = 2;

loom::thread_local! {
    static NUMBER: Cell<u64> = Cell::new(0);
}

/// Says who the calling thread is; 0 is nobody.
pub fn call_me(number: u64) {
    NUMBER.with(|cell| cell.set(number));
}

#[derive(Clone, Copy)]
pub(crate) struct Caller<'a>(core::marker::PhantomData<&'a ()>);

impl Caller<'_> {
    pub(crate) fn current() -> Self {
        Self(core::marker::PhantomData)
    }

    pub(crate) fn number(self) -> u64 {
        NUMBER.with(Cell::get)
    }

    pub(crate) fn has_news(self) -> bool {
        false
    }

    pub(crate) fn is_cancelled(self) -> bool {
        false
    }

    pub(crate) fn check_cancel(self) -> Result<(), ()> {
        Ok(())
    }

    pub(crate) fn spend(self) {}

    pub(crate) fn panics(self) -> bool {
        false
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Limit {
    None,
    At(u64),
    After(u64),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mask {
    No,
    Yes,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    Woken,
    TimedOut,
    Cancelled,
}

#[derive(Clone, Copy)]
pub(crate) struct Reason;

impl Reason {
    pub(crate) fn new(_: &'static str) -> Self {
        Self
    }

    pub(crate) fn shared(_: &'static str) -> Self {
        Self
    }

    pub(crate) unsafe fn held(self, _: *const AtomicU64) -> Self {
        self
    }
}

pub(crate) struct Waiter {
    token: Arc<Notify>,
    number: u64,
    abandoned: AtomicBool,
}

impl Waiter {
    pub(crate) unsafe fn new(caller: Caller<'_>) -> Self {
        Self {
            token: Arc::new(Notify::new()),
            number: caller.number(),
            abandoned: AtomicBool::new(false),
        }
    }

    pub(crate) fn park_limited(
        &self,
        _: Caller<'_>,
        _: Reason,
        limit: Limit,
        _: Mask,
        mut done: impl FnMut() -> bool,
    ) -> Outcome {
        loop {
            if done() {
                return Outcome::Woken;
            }
            if limit != Limit::None {
                return Outcome::TimedOut;
            }
            self.token.wait();
        }
    }

    pub(crate) unsafe fn unparker_for_now(&self) -> Unparker {
        Unparker(self.token.clone())
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

pub(crate) struct Unparker(Arc<Notify>);

impl Unparker {
    pub(crate) fn unpark(self) {
        self.0.notify();
    }
}
