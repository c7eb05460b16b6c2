//! Regions of a green thread's execution: the part of it that runs in a cancel scope, before a
//! deadline, behind a shield. They lie in the frames that entered them and form a chain, the
//! innermost first. Pure data: `park` enters, leaves and ends them.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomPinned;
use std::panic::Location;
use std::ptr;

use super::record::{extra, flag};
use super::{Cause, Record};

/// What a region is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It can be cancelled, and have a deadline.
    Scope,
    /// It can be cancelled, and is so by a mere request to what is around it.
    Listener,
    /// What is around it cannot cancel what is in it.
    Shield,
    /// There are frames in it that cannot be unwound.
    NoUnwind,
    /// Nobody else may run while it lasts; where it was entered.
    NoSwitch(&'static Location<'static>),
}

/// How far a region has been told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Nobody has said anything.
    None,
    /// It was asked to, and may take its time.
    Requested,
    /// Its blocking calls end.
    Cancelled,
}

/// One entry of a green thread into a scope, a timeout or a shield.
pub(crate) struct Region {
    kind: Kind,
    stop: Cell<Stop>,
    /// Whether `deadline` is the end of the time that a request left.
    is_grace: Cell<bool>,
    /// When it was made, if the clock was read for that; else 0.
    made_at: u64,
    /// What `Record::mark` said when it was entered: the unwinding that it is in a destructor of.
    pub(crate) around: Cell<u64>,
    /// Whether it was entered on a coroutine's stack, which may be left in the middle of it.
    pub(crate) in_coroutine: Cell<bool>,
    /// The region around it; null for none.
    outer: Cell<*const Region>,
    /// The thread in whose chain it is; null while a suspended coroutine has it, and before and after.
    record: Cell<*const Record>,
    /// When it is cancelled, in nanoseconds since the epoch; `u64::MAX` for never.
    deadline: Cell<u64>,
    /// The earliest deadline that ends calls in here: its own, or one of those around it that no
    /// shield hides. Regions that are cancelled already have none.
    nearest: Cell<u64>,
    /// The number that a payload for it has; 0 until there is one.
    number: Cell<u64>,
    /// Why it stops; `None` while it does not.
    cause: UnsafeCell<Option<Cause>>,
    _pinned: PhantomPinned,
}

impl Region {
    #[inline(always)]
    pub(crate) const fn new(kind: Kind, deadline: u64) -> Self {
        Self {
            kind,
            stop: Cell::new(Stop::None),
            made_at: 0,
            around: Cell::new(0),
            is_grace: Cell::new(false),
            in_coroutine: Cell::new(false),
            outer: Cell::new(ptr::null()),
            record: Cell::new(ptr::null()),
            deadline: Cell::new(deadline),
            nearest: Cell::new(u64::MAX),
            number: Cell::new(0),
            cause: UnsafeCell::new(None),
            _pinned: PhantomPinned,
        }
    }

    /// A scope with a deadline, made at `now`.
    #[inline(always)]
    pub(crate) fn timed(deadline: u64, now: u64) -> Self {
        Self {
            made_at: now,
            ..Self::new(Kind::Scope, deadline)
        }
    }

    #[inline(always)]
    pub(crate) fn made_at(&self) -> u64 {
        self.made_at
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    #[inline]
    pub(crate) fn stop(&self) -> Stop {
        self.stop.get()
    }

    /// The thread in whose chain it is; null for none.
    #[inline]
    pub(crate) fn record(&self) -> *const Record {
        self.record.get()
    }

    /// When it ends by itself; `u64::MAX` for never, and once it is cancelled.
    #[inline]
    pub(crate) fn deadline(&self) -> u64 {
        match self.stop.get() {
            Stop::Cancelled => u64::MAX,
            Stop::None | Stop::Requested => self.deadline.get(),
        }
    }

    /// The earliest deadline of it and of what is around it.
    #[inline]
    pub(crate) fn nearest(&self) -> u64 {
        self.nearest.get()
    }

    /// Sets another deadline. The chain that it is in has to be `refresh`ed.
    pub(crate) fn set_deadline(&self, deadline: u64, is_grace: bool) {
        self.deadline.set(deadline);
        self.is_grace.set(is_grace);
    }

    /// Asks it to end, or ends it. The first cause stays; what was said before is not taken back.
    pub(crate) fn stop_with(&self, stop: Stop, cause: Cause) {
        if self.stop.get() < stop {
            if self.stop.get() == Stop::None {
                // SAFETY: invariant 40: one OS thread uses it, and what is replaced is `None`.
                unsafe { *self.cause.get() = Some(cause) };
            }
            self.stop.set(stop);
        }
    }

    /// Ends it if its deadline is not after `now`. A request keeps its own cause when its time is
    /// over.
    pub(crate) fn expire(&self, now: u64) {
        if self.deadline() > now {
            return;
        }
        if self.stop.get() == Stop::Requested && !self.is_grace.get() {
            // SAFETY: as in `stop_with`; a cause that goes runs no code of the user's.
            unsafe { *self.cause.get() = Some(Cause::Deadline) };
        }
        self.stop_with(Stop::Cancelled, Cause::Deadline);
    }

    /// Why it stops.
    pub(crate) fn cause(&self) -> Option<Cause> {
        // SAFETY: as in `stop_with`; the reference ends with the statement, which only clones.
        unsafe { (*self.cause.get()).clone() }
    }

    /// The number of payloads for it, 0 if there was none.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    pub(crate) fn set_number(&self, number: u64) {
        self.number.set(number);
    }

    #[inline(always)]
    fn refresh_nearest(&self, around: u64) -> u64 {
        let nearest = match self.kind {
            Kind::Shield => self.deadline(),
            Kind::Scope | Kind::Listener | Kind::NoUnwind | Kind::NoSwitch(_) => {
                self.deadline().min(around)
            }
        };
        self.nearest.set(nearest);
        nearest
    }
}

/// The regions from `innermost` outwards.
pub(crate) fn outwards<'a>(innermost: *const Region) -> impl Iterator<Item = &'a Region> {
    // SAFETY: invariant 90: what a chain names lives, and nobody leaves a region while a caller
    // walks: that would take a switch.
    let mut next = unsafe { innermost.as_ref() };
    std::iter::from_fn(move || {
        let region = next?;
        // SAFETY: as above.
        next = unsafe { region.outer.get().as_ref() };
        Some(region)
    })
}

impl Record {
    /// The regions that the thread is in, the innermost first.
    pub(crate) fn regions<'a>(&self) -> impl Iterator<Item = &'a Region> {
        outwards(self.innermost.get())
    }

    /// The earliest deadline that ends the thread's blocking calls; `u64::MAX` for none.
    #[inline]
    pub(crate) fn nearest_deadline(&self) -> u64 {
        // SAFETY: invariant 90.
        let innermost = unsafe { self.innermost.get().as_ref() };
        match innermost {
            Some(region) => region.nearest(),
            None => self.deadline.get(),
        }
    }

    /// Makes `region` the innermost.
    ///
    /// # Safety
    ///
    /// It is in no chain, stays in place until `leave` was called, and that happens before its frame
    /// goes.
    #[inline]
    pub(crate) unsafe fn enter(&self, region: &Region) {
        let around = self.nearest_deadline();
        region.outer.set(self.innermost.get());
        region.record.set(self);
        region.refresh_nearest(around);
        self.innermost.set(region);
    }

    /// Cuts off the innermost regions as far as `is_part` says yes to each, and returns the innermost
    /// of them; null if there is none. They are in no chain then.
    pub(crate) fn detach(&self, is_part: impl Fn(&Region) -> bool) -> *const Region {
        let first = self.innermost.get();
        let mut last: *const Region = ptr::null();
        for region in self.regions().take_while(|region| is_part(region)) {
            region.record.set(ptr::null());
            last = region;
        }
        // SAFETY: invariant 90: it is of the chain that was walked just now.
        let Some(last) = (unsafe { last.as_ref() }) else {
            return ptr::null();
        };
        self.innermost.set(last.outer.replace(ptr::null()));
        first
    }

    /// Puts regions that were cut off on top of the thread's own.
    ///
    /// # Safety
    ///
    /// `first` came from `detach`, and nobody has left a region of that piece or put it back since.
    pub(crate) unsafe fn attach(&self, first: *const Region) {
        let mut last = None;
        for region in outwards(first) {
            region.record.set(self);
            last = Some(region);
        }
        if let Some(last) = last {
            last.outer.set(self.innermost.get());
            self.innermost.set(first);
            self.refresh_deadlines();
        }
    }

    /// Sums the deadlines of the chain up anew.
    pub(crate) fn refresh_deadlines(&self) {
        let chain: Vec<_> = self.regions().collect();
        chain
            .iter()
            .rev()
            .fold(self.deadline.get(), |around, region| {
                region.refresh_nearest(around)
            });
    }
}

/// The thread as a whole, as the region around all others.
impl Record {
    /// Marks the thread as cancelled. The first cause stays.
    pub(crate) fn cancel(&self, cause: Cause) {
        self.set(flag::CANCELLED);
        self.deadline.set(u64::MAX);
        self.set_cause(cause);
    }

    /// Asks the thread to come to an end until `deadline`.
    pub(crate) fn request(&self, cause: Cause, deadline: u64) {
        self.set(flag::REQUESTED);
        self.set_cause(cause);
        if !self.has(flag::CANCELLED) {
            self.deadline.set(self.deadline.get().min(deadline));
        }
    }

    /// Cancels the thread if the time of a request is over at `now`.
    pub(crate) fn expire(&self, now: u64) {
        if self.deadline.get() <= now {
            self.cancel(Cause::Deadline);
        }
    }

    /// Why the thread is cancelled, or asked to end.
    pub(crate) fn cause(&self) -> Option<Cause> {
        // SAFETY: invariant 40: one OS thread uses it, and the reference ends with the statement, which
        // only clones.
        unsafe { (*self.cause.get()).clone() }
    }

    fn set_cause(&self, cause: Cause) {
        if !self.has_extra(extra::CAUSE) {
            self.add_extra(extra::CAUSE);
            // SAFETY: as in `cause`; what is replaced is `None`.
            unsafe { *self.cause.get() = Some(cause) };
        }
    }

    pub(super) fn forget_cause(&self) {
        self.deadline.set(u64::MAX);
        self.cancels.set(0);
        // SAFETY: as in `cause`; what goes is words, which run no code.
        unsafe { *self.cause.get() = None };
    }

    /// That the thread unwinds, and by what; 0 where it does not.
    #[inline(always)]
    pub(crate) fn mark(&self) -> u64 {
        match self.has(flag::UNWINDING) {
            true => self.mark_of_unwinding(),
            false => 0,
        }
    }

    #[cold]
    fn mark_of_unwinding(&self) -> u64 {
        let by_cancel = u64::from(self.has(flag::BY_CANCEL));
        self.unwinding.get() << 2 | by_cancel << 1 | 1
    }

    /// Takes off the thread that it unwinds, on behalf of a coroutine that is left meanwhile; 0 where it
    /// does not.
    pub(crate) fn take_mark(&self) -> u64 {
        let mark = self.mark();
        self.clear(flag::UNWINDING | flag::BY_CANCEL);
        mark
    }

    /// Puts what `take_mark` gave on the thread that continues the coroutine.
    pub(crate) fn put_mark(&self, mark: u64) {
        self.clear(flag::BY_CANCEL);
        self.set(match mark & 2 {
            0 => flag::UNWINDING,
            _ => flag::UNWINDING | flag::BY_CANCEL,
        });
        self.unwinding.set(mark >> 2);
    }

    /// The thread ends. What a foreign coroutine has left in its chain is in none from here on.
    #[inline]
    pub(crate) fn drop_regions(&self) {
        // Each may be in a coroutine of its own, and go before those that were in it.
        let mut at = self.innermost.replace(ptr::null());
        // SAFETY: invariant 90: it is in the chain.
        while let Some(region) = unsafe { at.as_ref() } {
            region.record.set(ptr::null());
            at = region.outer.replace(ptr::null());
        }
    }
}

impl Region {
    /// Takes it out of its chain, and returns whose that is; null if it is in none. Most often it is
    /// the innermost.
    #[inline]
    pub(crate) fn leave(&self) -> *const Record {
        let record = self.record.replace(ptr::null());
        // SAFETY: invariant 90: a region is in the chain of a record that lives.
        let Some(thread) = (unsafe { record.as_ref() }) else {
            return record;
        };
        let outer = self.outer.replace(ptr::null());
        if ptr::eq(thread.innermost.get(), self) {
            thread.innermost.set(outer);
        } else {
            self.leave_the_middle(thread, outer);
        }
        record
    }

    /// A foreign coroutine was suspended in a region, and is continued in another order.
    #[cold]
    fn leave_the_middle(&self, thread: &Record, outer: *const Self) {
        for inner in thread.regions() {
            if ptr::eq(inner.outer.get(), self) {
                inner.outer.set(outer);
            }
        }
        thread.refresh_deadlines();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_chain(f: impl FnOnce(&Record)) {
        let arena = super::super::Arena::new();
        // SAFETY: the arena lives to the end of the test.
        let record = unsafe { &*arena.acquire() };
        record.references.set(1);
        f(record);
        // SAFETY: counted once, above.
        unsafe { arena.release(record) };
    }

    #[test]
    fn the_nearest_deadline_is_that_of_what_no_shield_hides() {
        in_chain(|record| {
            let outer = Region::new(Kind::Scope, 10);
            let shield = Region::new(Kind::Shield, u64::MAX);
            let inner = Region::new(Kind::Scope, 20);
            // SAFETY: all are left below, in this frame.
            unsafe { record.enter(&outer) };
            assert_eq!(record.nearest_deadline(), 10);
            // SAFETY: as above.
            unsafe { record.enter(&shield) };
            assert_eq!(record.nearest_deadline(), u64::MAX);
            // SAFETY: as above.
            unsafe { record.enter(&inner) };
            assert_eq!(record.nearest_deadline(), 20);
            inner.expire(20);
            record.refresh_deadlines();
            assert_eq!((inner.stop(), outer.stop()), (Stop::Cancelled, Stop::None));
            assert_eq!(record.nearest_deadline(), u64::MAX);
            inner.leave();
            shield.leave();
            assert_eq!(record.nearest_deadline(), 10);
            outer.leave();
            assert_eq!(record.regions().count(), 0);
        });
    }

    #[test]
    fn a_piece_is_cut_off_and_put_back() {
        in_chain(|record| {
            let regions = [5, 9, 7].map(|deadline| Region::new(Kind::Scope, deadline));
            for region in &regions {
                // SAFETY: all are left below, in this frame.
                unsafe { record.enter(region) };
            }
            let piece = record.detach(|region| !ptr::eq(region, &regions[0]));
            assert!(ptr::eq(piece, &regions[2]));
            assert_eq!(record.nearest_deadline(), 5);
            regions[0].leave();
            // SAFETY: it was cut off just now.
            unsafe { record.attach(piece) };
            assert_eq!(record.nearest_deadline(), 7);
            assert_eq!(regions[1].nearest(), 9);
            // Out of order, as a foreign coroutine does it.
            regions[1].leave();
            regions[2].leave();
            assert!(record.innermost.get().is_null());
        });
    }
}
