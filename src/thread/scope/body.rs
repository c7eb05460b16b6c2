//! A scope's closure, run, and the wait for its threads afterwards; and what came of both.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

use super::tally::cause_of;
use crate::park::{Cancelled, Cause, catches, go_on_unwinding, report, within};
use crate::scheduler::{Kept, Tally};

/// What came of a scope's closure, once all of the scope's threads have ended.
pub(super) enum Ended<R> {
    /// It returned.
    Returned(R),
    /// It was cancelled together with the scope's threads, because of one of them.
    Stopped,
    /// It, or the wait for the threads, was unwound; to be gone on with.
    Unwound(Box<dyn Any + Send>),
}

/// Runs a scope's closure, and waits until each of its threads has ended.
#[inline]
#[track_caller]
pub(super) fn run<R>(tally: &Tally, f: impl FnOnce() -> R) -> Ended<R> {
    let place = Location::caller();
    tally.body_runs.set(true);
    let ended = within(tally.region(), || {
        let result = catch_unwind(AssertUnwindSafe(f));
        tally.body_runs.set(false);
        match result {
            Ok(value) => match tally.wait_for_all(place) {
                None => Ended::Returned(value),
                Some(payload) => Ended::Unwound(payload),
            },
            Err(payload) => unwound(tally, payload, place),
        }
    });
    // All that unwinds in there is caught in there.
    ended.unwrap_or(Ended::Stopped)
}

#[cold]
fn unwound<R>(
    tally: &Tally,
    payload: Box<dyn Any + Send>,
    place: &'static Location<'static>,
) -> Ended<R> {
    let is_stop = catches(tally.region(), &*payload);
    let is_cancel = payload.is::<Cancelled>();
    // What panics after a thread has, in a scope that ends by that, does so because of it.
    let comes_second = !is_cancel && tally.policy().cancels_on_panic && tally.has_panicked();
    if is_cancel {
        tally.cancel(cause_of(&*payload));
    } else if tally.policy().cancels_with_body {
        tally.cancel(Cause::OWNER_GONE);
    }
    match tally.wait_for_all(place) {
        Some(payload) if is_stop => Ended::Unwound(payload),
        _ if is_stop => Ended::Stopped,
        _ if comes_second && tally.has_kept() => {
            let who = format!("the closure of the scope at {place}");
            report(&who, "panicked after a thread had", payload);
            Ended::Stopped
        }
        _ => Ended::Unwound(payload),
    }
}

impl<R> Ended<R> {
    /// The closure's value; where there is none, or a thread panicked, it unwinds.
    ///
    /// # Panics
    ///
    /// So.
    #[inline]
    #[track_caller]
    pub(super) fn or_panic(self, tally: &Tally) -> R {
        match self {
            Self::Unwound(payload) => go_on_unwinding_for(tally, payload),
            Self::Returned(value) if tally.panics.get() == 0 => value,
            Self::Returned(_) | Self::Stopped => panic_for(tally),
        }
    }
}

#[cold]
fn go_on_unwinding_for(tally: &Tally, payload: Box<dyn Any + Send>) -> ! {
    report_kept(tally);
    go_on_unwinding(payload)
}

/// Goes on with the panic of a thread, by its payload if that was kept, or in std's words.
#[cold]
#[track_caller]
pub(super) fn panic_for(tally: &Tally) -> ! {
    if let Some(Kept { payload, .. }) = tally.take_kept() {
        go_on_unwinding(payload);
    }
    panic!("a scoped thread panicked");
}

/// Reports a panic whose payload goes on to nobody, since something else does.
pub(super) fn report_kept(tally: &Tally) {
    if let Some(Kept { who, payload }) = tally.take_kept() {
        report(&who, "panicked and nobody joined it", payload);
    }
}
