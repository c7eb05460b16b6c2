//! Regions of a green thread, entered and ended: which cancel a blocking call has to obey, what that
//! unwinds with, and who takes it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr;
use std::thread::panicking;

use super::around::requested_around;
use super::task::requested_task;
use super::{Cancelled, Cause, Core};
use crate::arch;
use crate::clock;
use crate::coroutine::carried;
use crate::scheduler::record::flag;
use crate::scheduler::region::{Kind, Region, Stop};
use crate::scheduler::{Reason, Record, State};
use crate::stack;

thread_local! {
    /// How many listeners there are on this OS thread: without any, nobody has to be woken.
    static LISTENERS: Cell<usize> = const { Cell::new(0) };
}

/// Whether anybody of this OS thread listens for requests.
pub(super) fn has_listeners() -> bool {
    LISTENERS.get() != 0
}

/// Whose cancel a blocking call has to obey.
#[derive(Clone, Copy)]
pub(super) enum Pending<'a> {
    /// The whole thread's.
    Thread,
    /// That of a region that it is in.
    Region(&'a Region),
}

/// Runs `f` in `region`. Outside a runtime it just runs.
///
/// # Errors
///
/// The cause, where a cancel of the region unwound `f`. What unwinds it otherwise goes on.
#[inline]
pub(crate) fn within<R>(region: &Region, f: impl FnOnce() -> R) -> Result<R, Cause> {
    let Some(core) = Core::current() else {
        return Ok(f());
    };
    // SAFETY: invariant 90: the region stays where it is while it is borrowed, and is left two lines
    // below, before which nothing unwinds.
    unsafe { enter(core, region) };
    let result = catch_unwind(AssertUnwindSafe(f));
    leave(region);
    match result {
        Ok(value) => Ok(value),
        Err(payload) => Err(take(region, payload)),
    }
}

/// The cause, if `payload` is of a cancel of `region`; else it unwinds on.
#[cold]
fn take(region: &Region, payload: Box<dyn Any + Send>) -> Cause {
    if !catches(region, &*payload) {
        go_on_unwinding(payload);
    }
    region.cause().unwrap_or(Cause::Deadline)
}

/// Notes that the running thread has caught `payload`, so that it does not unwind any more. Returns
/// whether that is of a cancel of `region`.
#[cold]
pub(crate) fn catches(region: &Region, payload: &(dyn Any + Send)) -> bool {
    if let Some(core) = Core::current() {
        match region.around.get() {
            0 => core.unmark_unwinding(core.running()),
            // A destructor has caught it, and the unwinding around that goes on.
            mark => {
                core.mark_unwinding(core.running());
                core.running().put_mark(mark);
            }
        }
    }
    region.number() != 0
        && payload
            .downcast_ref::<Cancelled>()
            .is_some_and(|cancelled| cancelled.target == region.number())
}

/// Goes on with an unwinding that was caught.
pub(crate) fn go_on_unwinding(payload: Box<dyn Any + Send>) -> ! {
    match Core::current() {
        Some(core) => core.resume_unwind(payload),
        None => resume_unwind(payload),
    }
}

/// Runs `f`; what is around it cannot cancel what is in it. A cancel comes at the first blocking
/// call afterwards.
pub(crate) fn shielded<R>(f: impl FnOnce() -> R) -> R {
    within_plain(Kind::Shield, f)
}

/// Runs `f`, which has frames that cannot be unwound: its blocking calls do without.
pub(crate) fn not_unwound<R>(f: impl FnOnce() -> R) -> R {
    within_plain(Kind::NoUnwind, f)
}

/// Runs `f`; where it would switch it panics.
#[track_caller]
pub(crate) fn not_switched<R>(f: impl FnOnce() -> R) -> R {
    within_plain(Kind::NoSwitch(Location::caller()), f)
}

/// Runs `f` in a region that nothing is aimed at.
fn within_plain<R>(kind: Kind, f: impl FnOnce() -> R) -> R {
    let Some(core) = Core::current() else {
        return f();
    };
    let region = Region::new(kind, u64::MAX);
    let _entered = Entered::new(core, &region);
    f()
}

/// Runs `f`, and says whether the running green thread gave others a chance to run meanwhile. `None`
/// outside a runtime.
pub(crate) fn watched<R>(f: impl FnOnce() -> R) -> (R, Option<bool>) {
    let Some(core) = Core::current() else {
        return (f(), None);
    };
    let was_watched = core.running().has(flag::WATCHED);
    core.running().set(flag::WATCHED);
    let result = f();
    // A coroutine may have carried the call to another thread: then others ran.
    let record = Core::current().map_or(core.running(), Core::running);
    let switched = !record.has(flag::WATCHED);
    if !was_watched {
        record.clear(flag::WATCHED);
    }
    (result, Some(switched))
}

/// Takes the region out of its chain however the call ends.
struct Entered<'a>(&'a Region);

impl<'a> Entered<'a> {
    fn new(core: &Core, region: &'a Region) -> Self {
        // SAFETY: invariant 90: the region stays where it is while it is borrowed, and the drop of
        // what is made here, which nobody forgets, leaves it.
        unsafe { enter(core, region) };
        Self(region)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        leave(self.0);
    }
}

/// Makes `region` the running thread's innermost.
///
/// # Safety
///
/// It stays in place until `leave` was called, and that happens before its frame goes.
#[inline(always)]
unsafe fn enter(core: &Core, region: &Region) {
    let record = core.running();
    // Of a thread that has caught what it was marked for by hand, only std knows that it is over.
    if record.has(flag::UNWINDING) && panicking() {
        region.around.set(record.mark());
    }
    // SAFETY: the caller's duty; it was in no chain before.
    unsafe { record.enter(region) };
    if !core.is_on_own_stack(record, ptr::from_ref(region).cast()) {
        region.in_coroutine.set(true);
        carried::add(&CARRIER);
    }
    if region.nearest() != u64::MAX {
        record.set(flag::DEADLINE);
        if region.nearest() <= region.made_at() {
            core.expire(record);
        }
    }
    if region.kind() != Kind::Scope || region.stop() != Stop::None {
        mark(record, region);
    }
}

#[inline(always)]
fn leave(region: &Region) {
    if region.in_coroutine.get() {
        carried::remove();
    }
    if region.kind() == Kind::Listener {
        LISTENERS.set(LISTENERS.get() - 1);
    }
    let record = region.leave();
    // SAFETY: invariant 90: it was in the chain of a record that lives.
    let Some(record) = (unsafe { record.as_ref() }) else {
        return;
    };
    if region.kind() != Kind::Scope {
        refresh(record);
    } else if record.has(flag::DEADLINE) && record.nearest_deadline() == u64::MAX {
        record.clear(flag::DEADLINE);
    }
}

/// Notes on the record what `region`, which it has entered, asks it to look at.
#[cold]
fn mark(record: &Record, region: &Region) {
    if region.kind() == Kind::Listener {
        LISTENERS.set(LISTENERS.get() + 1);
    }
    record.set(match region.kind() {
        // Both may have been cancelled, or asked to end, before they were entered.
        Kind::Scope | Kind::Listener => flag::STOPPED,
        Kind::Shield => 0,
        Kind::NoUnwind => flag::NO_UNWIND,
        Kind::NoSwitch(_) => flag::NO_SWITCH,
    });
    if region.nearest() == u64::MAX {
        record.clear(flag::DEADLINE);
    }
}

/// Notes on the record what the regions that it is in ask it to look at.
fn refresh(record: &Record) {
    let mut flags = match record.nearest_deadline() {
        u64::MAX => 0,
        _ => flag::DEADLINE,
    };
    if record.has(flag::NO_UNWIND | flag::NO_SWITCH) {
        for region in record.regions() {
            flags |= match region.kind() {
                Kind::NoUnwind => flag::NO_UNWIND,
                Kind::NoSwitch(_) => flag::NO_SWITCH,
                Kind::Scope | Kind::Listener | Kind::Shield => 0,
            };
        }
    }
    record.clear(flag::DEADLINE | flag::NO_UNWIND | flag::NO_SWITCH);
    record.set(flags);
}

/// What a coroutine does with the regions on its stack when it is left and continued.
pub(super) static CARRIER: carried::Carrier = carried::Carrier {
    detach,
    attach,
    is_marked: || Core::current().is_some_and(|core| core.running().has(flag::UNWINDING)),
    take_mark: || Core::current().map_or(0, |core| core.running().take_mark()),
    put_mark: |mark| {
        if let Some(core) = Core::current() {
            core.running().put_mark(mark);
        }
    },
};

fn detach(holds: &dyn Fn(*const ()) -> bool) -> *const () {
    let Some(core) = Core::current() else {
        return ptr::null();
    };
    let record = core.running();
    let piece = record.detach(|region| holds(ptr::from_ref(region).cast()));
    refresh(record);
    piece.cast()
}

/// # Safety
///
/// `piece` came from `detach`, and was not attached since.
unsafe fn attach(piece: *const ()) {
    // Outside a runtime they are in no chain: nobody's cancel reaches them any more.
    let Some(core) = Core::current() else {
        return;
    };
    let record = core.running();
    // SAFETY: the caller's duty; the coroutine's frames, in which the regions are, did not run.
    unsafe { record.attach(piece.cast()) };
    // What they ask for is looked at anew, and what threads of scopes in there could not see.
    record.set(flag::STOPPED | flag::NO_UNWIND | flag::NO_SWITCH);
    refresh(record);
    if record.has(flag::CANCELLED | flag::REQUESTED)
        || record.regions().any(|region| region.stop() != Stop::None)
    {
        core.wake_listeners();
    }
}

impl Core {
    /// In a region in which nothing may switch.
    ///
    /// # Panics
    ///
    /// Always, and names the region.
    #[cold]
    pub(super) fn refuse_switch(&self, record: &Record, reason: Option<&Reason>) -> ! {
        let entered_at = record.regions().find_map(|region| match region.kind() {
            Kind::NoSwitch(place) => Some(place.to_string()),
            _ => None,
        });
        let entered_at = entered_at.unwrap_or_default();
        match reason {
            Some(reason) => panic!(
                "no_switch: a call would wait ({reason}) in the region that was entered at {entered_at}"
            ),
            None => panic!("no_switch: a yield in the region that was entered at {entered_at}"),
        }
    }

    /// Whether the caller is in a coroutine's body, which may be continued by another thread.
    pub(crate) fn is_in_coroutine(&self) -> bool {
        !self.is_on_own_stack(self.running(), arch::stack_pointer())
    }

    /// Whether what lies at `address` is on the running thread's own stack, and not on a coroutine's.
    #[inline]
    fn is_on_own_stack(&self, record: &Record, address: *const u8) -> bool {
        match record.stack.get() {
            // SAFETY: invariant 36: a slot that is out may be looked at.
            Some(slot) => unsafe { slot.as_ref() }.holds(address),
            // Where the system does not say where the OS thread's own stack is, it takes longer to tell.
            None => stack::os_stack().contains(&address.addr()) || !stack::holds(address),
        }
    }

    /// Which cancel the running thread's blocking calls have to obey: that of the outermost, of all
    /// that no shield hides.
    #[cold]
    pub(super) fn pending<'a>(&self, record: &Record) -> Option<Pending<'a>> {
        let mut found = None;
        // The outermost one, as long as nothing around it is cancelled.
        let mut listener = None;
        for region in record.regions() {
            match region.stop() {
                Stop::Cancelled => {
                    found = Some(region);
                    listener = None;
                }
                Stop::Requested if listener.is_some() => found = listener,
                Stop::Requested | Stop::None => {}
            }
            match region.kind() {
                Kind::Listener => listener = Some(region),
                Kind::Shield => return found.map(Pending::Region),
                Kind::Scope | Kind::NoUnwind | Kind::NoSwitch(_) => {}
            }
        }
        if record.has(flag::CANCELLED) {
            return Some(Pending::Thread);
        }
        if listener.is_some() && (record.has(flag::REQUESTED) || requested_around(record).is_some())
        {
            found = listener;
        }
        if found.is_none() {
            record.clear(flag::STOPPED);
        }
        found.map(Pending::Region)
    }

    /// Why somebody asked the running thread to come to an end, softly or not: what is outermost, as
    /// far as no shield hides it.
    pub(crate) fn requested(&self) -> Option<Cancelled> {
        let record = self.running();
        self.look_at_deadlines(record);
        let mut found = None;
        for region in record.regions() {
            if region.stop() != Stop::None {
                found = Some(region);
            }
            if region.kind() == Kind::Shield {
                return found.map(|region| cancelled_region(self, region));
            }
        }
        if record.has(flag::CANCELLED | flag::REQUESTED) {
            return Some(cancelled_thread(record));
        }
        if let Some(cancelled) = requested_task(record) {
            return Some(cancelled);
        }
        match requested_around(record) {
            Some(cause) => Some(Cancelled::of(cause)),
            None => found.map(|region| cancelled_region(self, region)),
        }
    }

    /// Whether there is a cancel that the running thread has to obey now.
    pub(crate) fn is_cancelled(&self) -> bool {
        let record = self.running();
        self.look_at_deadlines(record);
        record.has(flag::CANCELLED | flag::STOPPED) && self.pending(record).is_some()
    }

    /// What the cancel tells that the running thread has to obey now.
    pub(crate) fn cancelled(&self) -> Option<Cancelled> {
        let record = self.running();
        self.look_at_deadlines(record);
        let pending = self.pending(record)?;
        Some(self.cancelled_by(record, pending))
    }

    fn cancelled_by(&self, record: &Record, pending: Pending<'_>) -> Cancelled {
        match pending {
            Pending::Thread => cancelled_thread(record),
            Pending::Region(region) => {
                if region.stop() != Stop::Cancelled {
                    // A listener that hears of a request around it.
                    let cause = self.requested().map(|cancelled| cancelled.cause);
                    region.stop_with(Stop::Cancelled, cause.unwrap_or(Cause::Deadline));
                }
                cancelled_region(self, region)
            }
        }
    }

    /// Starts the unwinding of the running thread by the cancel that it has to obey.
    pub(super) fn unwind_by(&self, record: &Record, pending: Pending<'_>) -> ! {
        let mut cancelled = self.cancelled_by(record, pending);
        cancelled.mark = self.mark_unwinding_by_cancel(record);
        resume_unwind(Box::new(cancelled));
    }

    /// Starts the unwinding of the running thread, which is cancelled as a whole.
    pub(crate) fn unwind(&self, record: &Record) -> ! {
        self.unwind_by(record, Pending::Thread)
    }

    /// Notes which deadlines of the running thread have passed; none, most often.
    pub(super) fn look_at_deadlines(&self, record: &Record) {
        if record.has(flag::DEADLINE) && clock::has_passed(record.nearest_deadline()) {
            self.expire(record);
        }
    }

    /// A deadline of the thread has passed.
    #[cold]
    pub(super) fn expire(&self, record: &Record) {
        let now = clock::now();
        for region in record.regions() {
            region.expire(now);
        }
        record.expire(now);
        record.set(flag::STOPPED);
        record.refresh_deadlines();
        refresh(record);
    }

    /// Cancels a green thread, which may be the running one: its next blocking call ends, or the one
    /// that it waits in. One that has ended is left as it is.
    pub(crate) fn cancel_thread(&self, record: &Record, cause: Cause) {
        if record.state.get() != State::Done {
            record.cancel(cause);
            self.unpark(record);
        }
    }

    /// Asks a green thread to come to an end, and cancels it at `deadline` if it has not.
    pub(crate) fn request_thread(&self, record: &Record, cause: Cause, deadline: u64) {
        if record.state.get() != State::Done {
            record.request(cause, deadline);
            self.have_looked(record);
        }
    }

    /// Has a thread look at its regions anew, some of which were told something.
    pub(crate) fn have_looked(&self, record: &Record) {
        record.set(flag::STOPPED);
        record.refresh_deadlines();
        refresh(record);
        self.look_at_deadlines(record);
        self.unpark(record);
    }
}

/// What the cancel of a thread as a whole tells.
pub(crate) fn cancelled_thread(record: &Record) -> Cancelled {
    Cancelled::aimed(record.id.get(), record.cause().unwrap_or(Cause::END_OF_RUN))
}

fn cancelled_region(core: &Core, region: &Region) -> Cancelled {
    if region.number() == 0 {
        region.set_number(core.number());
    }
    Cancelled::aimed(region.number(), region.cause().unwrap_or(Cause::Deadline))
}
