//! How a scope's account is kept: threads leave, the owner waits for the last, and the rest are
//! cancelled.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr;

use crate::park::{Cancelled, Cause, Core, Limit, Mask, Outcome, refuse_in_child};
use crate::scheduler::{Reason, Record, Tally};

impl Tally {
    /// Waits until no thread is left, and returns with what the caller has to unwind if the wait
    /// was ended by a cancel or a deadlock; it is over nevertheless.
    #[track_caller]
    pub(super) fn wait_for_all(&self) -> Option<Box<dyn Any + Send>> {
        let mut ended_by = None;
        while !self.is_empty() {
            let Some(core) = Core::current() else {
                // In a forked child the threads stayed with the parent.
                refuse_in_child();
                strand("the runtime of its green threads does not run here");
            };
            let cancelled = self.is_cancelled();
            let mask = if cancelled { Mask::Yes } else { Mask::No };
            let waited = catch_unwind(AssertUnwindSafe(|| self.wait(core, mask)));
            self.waiter.set(ptr::null());
            match waited {
                Ok(Outcome::Woken) => {}
                Ok(_) => self.cancel(Cause::OWNER_GONE),
                Err(_) if cancelled => strand("its green threads were cancelled and do not stop"),
                Err(payload) => {
                    self.cancel(cause_of(&*payload));
                    ended_by = Some(payload);
                }
            }
        }
        ended_by
    }

    #[track_caller]
    fn wait(&self, core: &Core, mask: Mask) -> Outcome {
        // It may let others run, and unwind.
        if mask == Mask::No && core.check_cancel().is_err() {
            return Outcome::Cancelled;
        }
        self.waiter.set(core.running());
        let reason = Reason::new("waiting for the green threads of its scope");
        core.park(&reason, Limit::None, mask, || self.is_empty())
    }

    /// Cancels the threads that have not ended; those that they wait for in scopes of their own
    /// follow in turn.
    #[cold]
    pub(super) fn cancel(&self, cause: Cause) {
        if !self.note_cancel(cause.clone()) {
            return;
        }
        let core = Core::here();
        self.for_each(|record| match core {
            Some(core) if core.owns(record) => core.cancel_thread(record, cause.clone()),
            // Its run could not stop it, and it waits nowhere any more.
            _ => record.cancel(cause.clone()),
        });
    }
}

/// Why the threads of an owner that unwinds with `payload` are cancelled.
pub(super) fn cause_of(payload: &(dyn Any + Send)) -> Cause {
    match payload.downcast_ref::<Cancelled>() {
        Some(cancelled) => cancelled.cause.clone(),
        None => Cause::OWNER_GONE,
    }
}

/// A scope's thread ends, on its own stack, where nothing is left of its closure. From here on it
/// touches nothing that it may have borrowed.
pub(in crate::thread) fn leave(record: &Record, panicked: bool) {
    // SAFETY: invariant 64: the scope waits for this thread, which stands in its list until the
    // next lines.
    let tally = unsafe { &*record.scope() };
    tally.panics.set(tally.panics.get() + usize::from(panicked));
    let waiter = tally.waiter.get();
    // SAFETY: invariant 95: a thread with a scope was entered there, and ends once.
    unsafe { tally.leave(record) };
    if tally.is_empty()
        && !waiter.is_null()
        && let Some(core) = Core::current()
    {
        // Nobody runs before this thread has left its stack, so the scope is still there.
        core.unpark(waiter);
    }
}

/// The scope can neither wait for its threads nor go on without them, since they may use what they
/// have borrowed from it.
#[cold]
#[track_caller]
fn strand(why: &str) -> ! {
    let place = Location::caller();
    let _ = writeln!(
        io::stderr(),
        "greenlit: the scope at {place} cannot end: {why}"
    );
    std::process::abort();
}
