//! Payloads that nobody takes: whether they tell of a panic, and the one report that they get.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Cancelled;
use crate::scheduler::Record;

/// Whether a payload that unwound thread `number` tells of a panic, and not of its own cancel.
pub(crate) fn is_panic(number: u64, payload: &(dyn Any + Send)) -> bool {
    // Nobody has the number 0: it stands for a thread that was leaked.
    !payload
        .downcast_ref::<Cancelled>()
        .is_some_and(|cancelled| [0, number].contains(&cancelled.target))
}

/// Drops a payload that unwound `record`'s thread, and reports it, unless it is of its own cancel.
/// `what` says what it did and who took no notice. Returns whether there was a panic.
pub(crate) fn report_panic(record: &Record, what: &str, payload: Box<dyn Any + Send>) -> bool {
    if !is_panic(record.id.get(), &*payload) {
        return false;
    }
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or(match payload.is::<Cancelled>() {
            true => "the cancel of another green thread",
            false => "a payload that is no string",
        });
    // A closed stderr is no reason to end the process.
    let _ = writeln!(io::stderr(), "greenlit: {record} {what}: {message}");
    // A payload may panic when it is dropped: that one is let go.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    true
}
