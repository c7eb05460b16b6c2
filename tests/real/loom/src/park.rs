//! What `sync` needs of `park`, over loom's threads. A wait with a limit gives up at once or after it
//! was unparked: both are tried.

use core::cell::Cell;

use core::task::{Context, Poll, Waker};
use loom::cell::UnsafeCell;
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
    home: Home,
    abandoned: AtomicBool,
}

enum Home {
    Thread(Arc<Notify>),
    /// loom sees to it that nobody uses the waker while another does.
    Future(UnsafeCell<Option<Waker>>),
}

// SAFETY: loom watches the cell.
unsafe impl Send for Waiter {}
// SAFETY: as above.
unsafe impl Sync for Waiter {}

impl Waiter {
    pub(crate) unsafe fn new(_: Caller<'_>) -> Self {
        Self {
            home: Home::Thread(Arc::new(Notify::new())),
            abandoned: AtomicBool::new(false),
        }
    }

    pub(crate) fn of_future() -> Self {
        Self {
            home: Home::Future(UnsafeCell::new(None)),
            abandoned: AtomicBool::new(false),
        }
    }

    fn slot(&self) -> &UnsafeCell<Option<Waker>> {
        match &self.home {
            Home::Future(slot) => slot,
            Home::Thread(_) => unreachable!("a thread has no waker"),
        }
    }

    pub(crate) unsafe fn will_wake(&self, waker: &Waker) -> bool {
        // SAFETY: loom watches the cell.
        self.slot().with(|slot| {
            unsafe { &*slot }
                .as_ref()
                .is_some_and(|kept| kept.will_wake(waker))
        })
    }

    pub(crate) unsafe fn set_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: as above.
        self.slot()
            .with_mut(|slot| core::mem::replace(unsafe { &mut *slot }, waker))
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
            match &self.home {
                Home::Thread(token) => token.wait(),
                Home::Future(_) => unreachable!("a future does not park"),
            }
        }
    }

    pub(crate) unsafe fn unparker_for_now(&self) -> Unparker {
        match &self.home {
            Home::Thread(token) => Unparker::Thread(token.clone()),
            // SAFETY: the caller has the queue's lock.
            Home::Future(_) => Unparker::Future(unsafe { self.set_waker(None) }),
        }
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

pub(crate) enum Unparker {
    Thread(Arc<Notify>),
    Future(Option<Waker>),
}

impl Unparker {
    pub(crate) fn unpark(self) {
        match self {
            Self::Thread(token) => token.notify(),
            Self::Future(Some(waker)) => waker.wake(),
            Self::Future(None) => {}
        }
    }
}

pub(crate) fn proceed(_: &Context<'_>) -> Poll<()> {
    Poll::Ready(())
}
