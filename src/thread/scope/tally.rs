//! How a scope's account is kept: threads leave, the owner waits for the last, and the rest are
//! cancelled.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr;

use crate::clock;
use crate::park::{Cancelled, Cause, Core, Limit, Mask, Outcome, Stop, refuse_in_child};
use crate::scheduler::record::flag;
use crate::scheduler::{Kept, Reason, Record, State, Tally};

/// Why the rest of a scope is cancelled.
pub(super) const PANICKED: Cause = Cause::Static("a green thread of its scope panicked");
pub(super) const FAILED: Cause = Cause::Static("a green thread of its scope failed");
pub(super) const WON: Cause = Cause::Static("another green thread of its scope came in first");

impl Tally {
    /// Waits until no thread is left, and returns with what the caller has to unwind if the wait
    /// was ended by a cancel or a deadlock; it is over nevertheless. `place` is where the scope is
    /// called.
    #[inline]
    pub(super) fn wait_for_all(
        &self,
        place: &'static Location<'static>,
    ) -> Option<Box<dyn Any + Send>> {
        match self.is_empty() {
            true => None,
            false => self.wait_for_some(place),
        }
    }

    fn wait_for_some(&self, place: &'static Location<'static>) -> Option<Box<dyn Any + Send>> {
        let mut ended_by = None;
        while !self.is_empty() {
            let Some(core) = Core::current() else {
                // In a forked child the threads stayed with the parent.
                refuse_in_child();
                strand(place, "the runtime of its green threads does not run here");
            };
            let cancelled = self.is_cancelled();
            let mask = if cancelled { Mask::Yes } else { Mask::No };
            let waited = catch_unwind(AssertUnwindSafe(|| self.wait(core, mask)));
            self.waiter.set(ptr::null());
            match waited {
                Ok(Outcome::Woken) => {}
                Ok(_) => self.cancel(Cause::OWNER_GONE),
                Err(_) if cancelled => {
                    strand(place, "its green threads were cancelled and do not stop")
                }
                Err(payload) => {
                    self.cancel(cause_of(&*payload));
                    ended_by = Some(payload);
                }
            }
        }
        ended_by
    }

    fn wait(&self, core: &Core, mask: Mask) -> Outcome {
        // It may let others run, and unwind.
        if mask == Mask::No && core.check_cancel().is_err() {
            return Outcome::Cancelled;
        }
        let record = core.running();
        self.waiter.set(record);
        let reason = Reason::new("waiting for the green threads of its scope");
        // In a region that forbids it the wait panics, and the threads are cancelled; then it has to be.
        let no_switch = mask == Mask::Yes && record.has(flag::NO_SWITCH);
        if no_switch {
            record.clear(flag::NO_SWITCH);
        }
        let outcome = core.park(&reason, Limit::None, mask, || {
            // Once they are cancelled, nothing that could end the wait would bring it nearer to its end.
            self.is_empty() || mask == Mask::No && self.is_cancelled()
        });
        if no_switch {
            record.set(flag::NO_SWITCH);
        }
        outcome
    }

    /// Cancels the threads that have not ended; those that they wait for in scopes of their own
    /// follow in turn.
    pub(super) fn cancel(&self, cause: Cause) {
        self.cancel_but(ptr::null(), cause);
    }

    /// Cancels all threads but one.
    #[cold]
    fn cancel_but(&self, one: *const Record, cause: Cause) {
        if !self.note_cancel(cause.clone()) {
            return;
        }
        self.for_each(|record| match Core::of(record) {
            _ if ptr::eq(record, one) => {}
            Some(core) => core.cancel_thread(record, cause.clone()),
            // Its run could not stop it, and it waits nowhere any more.
            None => record.cancel(cause.clone()),
        });
        self.fill_places();
        if !self.waiter.get().is_null() {
            self.wake_owner();
        }
    }

    /// Cancels the scope's closure, if it still runs, and then the threads: so it is unwound from a wait
    /// for one of them before that one has ended. The running thread is not cancelled: it is the one
    /// that brings this about, by its end.
    #[cold]
    pub(super) fn stop(&self, cause: Cause) {
        if self.body_runs.get() {
            self.region().stop_with(Stop::Cancelled, cause.clone());
            // SAFETY: invariant 90: a region is in the chain of a record that lives, or in none.
            let owner = unsafe { self.region().record().as_ref() };
            if let (Some(owner), Some(core)) = (owner, Core::here()) {
                core.have_looked(owner);
            }
        }
        let ends = Core::current().map_or(ptr::null(), |core| ptr::from_ref(core.running()));
        self.cancel_but(ends, cause);
    }

    /// Asks the threads to come to an end, and cancels them at `deadline`.
    #[cold]
    pub(super) fn request(&self, cause: Cause, deadline: u64) {
        if self.is_cancelled() {
            return;
        }
        self.note_request(cause.clone(), deadline);
        self.for_each(|record| match Core::of(record) {
            Some(core) => core.request_thread(record, cause.clone(), deadline),
            None => record.request(cause.clone(), deadline),
        });
        if let Some(core) = Core::here() {
            core.wake_listeners();
        }
    }

    /// Tells a thread, which was spawned just now, what the others were told. It does not begin where
    /// they would not go on.
    #[cold]
    pub(super) fn tell(&self, record: &Record) {
        if let Some(cause) = self.cause() {
            return record.cancel(cause);
        }
        if let (Some((cause, deadline)), Some(core)) = (self.grace(), Core::current()) {
            match deadline <= clock::now() {
                true => record.cancel(cause),
                false => core.request_thread(record, cause, deadline),
            }
        }
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
#[inline]
pub(in crate::thread) fn leave(record: &Record, panicked: bool) {
    // SAFETY: invariant 64: the scope waits for this thread, which stands in its list until the
    // next lines.
    let tally = unsafe { &*record.scope() };
    // SAFETY: invariant 95: a thread with a scope was entered there, and ends once.
    unsafe { tally.leave(record) };
    if panicked || tally.is_limited() {
        tally.look_after(record, panicked);
    }
    // Nobody runs before this thread has left its stack, so the scope is still there.
    if tally.is_empty() && !tally.waiter.get().is_null() {
        tally.wake_owner();
    }
}

impl Tally {
    /// What the end of one thread means to others.
    #[cold]
    fn look_after(&self, ended: &Record, panicked: bool) {
        if panicked {
            self.panics.set(self.panics.get() + 1);
            self.note_panic(ended);
            if self.policy().cancels_on_panic {
                self.stop(PANICKED);
            }
        }
        if self.is_limited() {
            self.give_place();
        }
    }

    #[cold]
    fn wake_owner(&self) {
        if let Some(core) = Core::here() {
            core.unpark(self.waiter.get());
        }
    }
}

/// Takes the payload of a panic that nobody joins, if the scope keeps it: that of the thread which
/// panicked first. Else it gives it back.
pub(in crate::thread) fn keep(
    record: &Record,
    payload: Box<dyn Any + Send>,
) -> Option<Box<dyn Any + Send>> {
    // SAFETY: invariants 64 and 65: the thread has not left the scope, or its handle goes now.
    let tally = unsafe { &*record.scope() };
    // A cancel that came to the wrong root must not look like one of the owner's.
    if !tally.policy().keeps_panic || payload.is::<Cancelled>() {
        return Some(payload);
    }
    if record.state.get() != State::Done {
        tally.note_panic(record);
    }
    if !tally.panicked_first(record) {
        return Some(payload);
    }
    tally.keep(Kept {
        who: record.to_string(),
        payload,
    });
    None
}

/// The scope can neither wait for its threads nor go on without them, since they may use what they
/// have borrowed from it.
#[cold]
fn strand(place: &Location<'_>, why: &str) -> ! {
    let _ = writeln!(
        io::stderr(),
        "greenlit: the scope at {place} cannot end: {why}"
    );
    std::process::abort();
}
