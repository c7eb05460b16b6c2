//! Work that would stall the OS thread runs on a pool of others (the crate `blocking`) while the
//! green thread that asked for it is parked. Name lookup calls it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::park::{Core, Limit, Mask};
use crate::scheduler::{Reason, Wakers};

/// Runs `f` on another OS thread and returns its result; other green threads run meanwhile. Outside
/// a runtime it runs `f` in place.
///
/// # Panics
///
/// With `f`'s payload where it panics.
///
/// # Cancellation
///
/// A cancelled green thread does not wait for `f`, which runs to its end elsewhere.
pub(crate) fn offload<R: Send + 'static>(
    what: &'static str,
    f: impl FnOnce() -> R + Send + 'static,
) -> R {
    let Some(core) = Core::current() else {
        return f();
    };
    let _ = core.check_cancel();
    let record = core.running();
    let result = Arc::new(Mutex::new(None));
    let letter = {
        let (number, mailbox) = (record.id.get(), core.mailbox.clone());
        let record = ptr::from_ref(record).expose_provenance();
        let result = result.clone();
        move || {
            let value = catch_unwind(AssertUnwindSafe(f));
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            mailbox.unpark(ptr::with_exposed_provenance(record), number);
        }
    };
    blocking::unblock(letter).detach();

    let _counted = Counted::new(core);
    let is_done = || {
        result
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    };
    let reason = Reason::new(what).woken_by(Wakers::Event);
    // A destructor that runs while its thread unwinds waits for the result all the same.
    if !wait(core, reason, Mask::No, &is_done) {
        wait(core, reason, Mask::Yes, &is_done);
    }
    let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    match value.expect("the wait ended with a result") {
        Ok(value) => value,
        Err(payload) => resume_unwind(payload),
    }
}

fn wait(core: &Core, reason: Reason, mask: Mask, is_done: &dyn Fn() -> bool) -> bool {
    core.park(&reason, Limit::None, mask, is_done);
    is_done()
}

/// Counts a job while somebody waits for it, so that the wait is no deadlock.
struct Counted<'a>(&'a Core);

impl<'a> Counted<'a> {
    fn new(core: &'a Core) -> Self {
        core.offloaded.set(core.offloaded.get() + 1);
        Self(core)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.offloaded.set(self.0.offloaded.get() - 1);
    }
}
