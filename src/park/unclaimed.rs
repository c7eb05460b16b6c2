//! Payloads that nobody takes: whether they tell of a panic, and the one report that they get.

use std::any::Any;
use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Cancelled, Core};
use crate::scheduler::Record;

impl Core {
    /// The record of the green thread whose code runs now. `None` outside a runtime, and in regions
    /// where parking is refused. Unlike `running` it may be asked at any point of the scheduler, as
    /// a panic hook is.
    pub(crate) fn who_runs<'a>() -> Option<&'a Record> {
        let head = Self::current()?.run_queue.head();
        // SAFETY: invariant 42: members of the ring live; null where a turn is under way.
        unsafe { head.as_ref() }
    }
}

/// Whether a payload that unwound thread `number` tells of a panic, and not of its own cancel.
pub(crate) fn is_panic(number: u64, payload: &(dyn Any + Send)) -> bool {
    payload
        .downcast_ref::<Cancelled>()
        .is_none_or(|cancelled| cancelled.target != number)
}

/// What a panic said, if it said it in words.
pub(crate) fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Drops a payload that unwound `record`'s thread, and reports it, unless it is of its own cancel.
/// `what` says what it did and who took no notice. Returns whether there was a panic.
pub(crate) fn report_panic(record: &Record, what: &str, payload: Box<dyn Any + Send>) -> bool {
    let panicked = is_panic(record.id.get(), &*payload);
    if panicked {
        report(record, what, payload);
    }
    panicked
}

/// Drops the payload of a panic, and reports it, by a line on stderr.
pub(crate) fn report(who: &dyn fmt::Display, what: &str, payload: Box<dyn Any + Send>) {
    tell(who, what, &*payload);
    // A payload may panic when it is dropped: that one is let go.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// Says on stderr what `who` did, and with what payload.
pub(super) fn tell(who: &dyn fmt::Display, what: &str, payload: &(dyn Any + Send)) {
    let foreign = payload.downcast_ref::<Cancelled>();
    let foreign = foreign.map(|cancelled| {
        let reason = cancelled.reason();
        format!("a cancel that was not its own ({reason})")
    });
    let message = message(payload)
        .or(foreign.as_deref())
        .unwrap_or("a payload that is no string");
    // A closed stderr is no reason to end the process.
    let _ = writeln!(io::stderr(), "greenlit: {who} {what}: {message}");
}
