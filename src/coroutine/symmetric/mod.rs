//! Symmetric coroutines: `yield_to` goes straight from one to another, with no hop over a parent.
//! `transfer.rs` has the names and errors, `core.rs` the switch; this file is what the user calls.

mod core;
mod transfer;

pub use self::transfer::{Ending, Member, Transfer, YieldError, YieldErrorKind};

use self::core::{Core, News, Progress, Record};
use super::{
    Ground, State, UNWIND_ATTEMPTS, default_class, drop_quietly, may_unwind, misplaced, unwind,
};
use crate::stack::SizeClass;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{Location, resume_unwind};
use std::rc::Rc;

/// Coroutines that yield to each other by name, and pass a `T` each time.
///
/// Whoever calls [`Family::yield_to`] drives the family: it waits there until a member yields back
/// to it, returns with it as the next, or panics. Members are [declared](Family::declare) before
/// they are [defined](Family::define), so that their bodies can name each other. Nothing runs, and
/// no stack is taken, before a member is first yielded to.
///
/// Dropping the family unwinds the members that are suspended, in the reverse of the order in which
/// they were declared, and drops the bodies of those that never began.
///
/// # Examples
///
/// ```
/// use greenlit::coroutine::{Family, YieldError};
///
/// let family = Family::new();
/// let (double, increment) = (family.declare(), family.declare());
/// family.define(double, move |here, n: u32| {
///     let n = here.yield_to(increment.with(n * 2))?;
///     Ok(increment.with(n * 2))
/// });
/// family.define(increment, move |here, n| {
///     let n = here.yield_to(double.with(n + 1))?;
///     Ok(here.main().with(n + 1))
/// });
/// assert_eq!(family.yield_to(double.with(1))?, 7);
/// # Ok::<(), YieldError<u32>>(())
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn assert_send<T: Send>() {}
/// assert_send::<greenlit::coroutine::Family>();
/// ```
///
/// ```compile_fail,E0277
/// fn assert_sync<T: Sync>() {}
/// assert_sync::<greenlit::coroutine::Family>();
/// ```
pub struct Family<T: 'static = ()> {
    core: Rc<Core<T>>,
}

impl<T> Family<T> {
    /// An empty family. Its members' stacks have the size that green threads have by default.
    pub fn new() -> Self {
        Self::on_class(default_class())
    }

    /// The same with stacks of which `bytes` can be used, at least 16 KiB; rounded up.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a size that cannot be served.
    pub fn with_stack_size(bytes: usize) -> io::Result<Self> {
        Ok(Self::on_class(SizeClass::for_size(bytes)?))
    }

    fn on_class(class: SizeClass) -> Self {
        Self {
            core: Rc::new(Core::new(class)),
        }
    }

    /// Adds a member whose body comes later.
    #[track_caller]
    pub fn declare(&self) -> Member<T> {
        self.core.declare(Location::caller())
    }

    /// Gives a member its body. The second parameter is the value that it is first yielded to with;
    /// what it returns names who is next after its end, see [`Ending`].
    ///
    /// # Panics
    ///
    /// When the member has a body already, or belongs to another family.
    #[track_caller]
    pub fn define<F, E>(&self, member: Member<T>, f: F)
    where
        F: FnOnce(&Switcher<T>, T) -> E + 'static,
        E: Ending<T>,
    {
        let Some(record) = self.core.record(member) else {
            panic!("define: the coroutine belongs to another family");
        };
        let defined = record.progress.get() != Progress::Undefined;
        assert!(!defined, "define: the coroutine has a body already");
        let main = self.main();
        let body = Box::new(move |here: &_, value| f(here, value).into_transfer(main));
        record.define(body, Location::caller());
    }

    /// Whoever drives the family, as a target.
    pub fn main(&self) -> Member<T> {
        Member::new(self.core.id, &raw const self.core.main)
    }

    /// Drives the family: goes to a member, and returns when one goes to [`main`](Family::main),
    /// with the value it brings.
    ///
    /// # Panics
    ///
    /// With the panic of whichever member panics meanwhile.
    ///
    /// # Errors
    ///
    /// The target cannot be gone to, or the family is driven already; see [`YieldErrorKind`].
    ///
    /// # Cancellation
    ///
    /// It does not park by itself. If a member parks and is cancelled there, the member unwinds,
    /// and then the caller.
    pub fn yield_to(&self, transfer: impl Into<Transfer<T>>) -> Result<T, YieldError<T>> {
        let Transfer { to, value } = transfer.into();
        let core = &*self.core;
        if core.main.progress.get() != Progress::Running {
            return Err(YieldError::new(YieldErrorKind::Driven, value));
        }
        let target = match core.target(to) {
            Ok(target) => target,
            Err(kind) => return Err(YieldError::new(kind, value)),
        };
        // SAFETY: `target` is suspended, says the function that found it, and main runs: the
        // caller.
        match unsafe { core.go_with(value, &core.main, target) } {
            // SAFETY: the news are here.
            News::Value => Ok(unsafe { core.take_value() }),
            News::Panic => resume_unwind(core.take_payload()),
            News::Unwind | News::Stuck => unreachable!("nobody drops the family"),
        }
    }

    /// What a member is doing; `None` for one of another family. Where another runs, or the green
    /// thread that drives the family is parked, the running member is [`State::Normal`].
    pub fn state(&self, member: Member<T>) -> Option<State> {
        self.core
            .record(member)
            .map(|record| match record.progress.get() {
                Progress::Undefined | Progress::Ready | Progress::Suspended => State::Suspended,
                Progress::Running if record.ground().is_some_and(Ground::is_under_caller) => {
                    State::Running
                }
                Progress::Running => State::Normal,
                Progress::Done => State::Done,
            })
    }
}

impl<T> Default for Family<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Family<T> {
    fn drop(&mut self) {
        let core = &self.core;
        if core.main.progress.get() != Progress::Running {
            // A member runs, and its driver's borrow of the family has been leaked.
            mem::forget(Rc::clone(core));
            return;
        }
        // Nobody can declare another: that takes the family.
        let records = core.records.take();
        for record in records.iter().rev() {
            match record.progress.get() {
                Progress::Suspended => core.unwind(record),
                Progress::Ready => drop_quietly(record.body.take()),
                Progress::Undefined | Progress::Running | Progress::Done => {}
            }
        }
    }
}

impl<T> fmt::Debug for Family<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family")
            .field("id", &self.core.id)
            .field("members", &self.core.records.borrow().len())
            .finish_non_exhaustive()
    }
}

/// What the body of a symmetric coroutine yields with.
pub struct Switcher<T: 'static = ()> {
    /// The member whose body has this; it lives as long as the body runs.
    record: *const Record<T>,
    /// The member's stack, on which the caller of `yield_to` must be.
    ground: Ground,
}

impl<T> Switcher<T> {
    fn new(record: &Record<T>, ground: Ground) -> Self {
        Self { record, ground }
    }

    /// Goes straight to another member, or to [`main`](Switcher::main); returns when somebody goes
    /// to this one, with the value they bring.
    ///
    /// If the family is dropped instead, it unwinds; see the [module](crate::coroutine).
    ///
    /// # Panics
    ///
    /// When it is called anywhere but in the member's own body: in a coroutine that the body has
    /// resumed, or in another green thread.
    ///
    /// # Errors
    ///
    /// The target cannot be gone to; see [`YieldErrorKind`].
    // Inlined, so that each place has a branch prediction of its own, and the returns of the one
    // who is left are not mistaken for those of the one who goes on.
    #[inline(always)]
    #[track_caller]
    pub fn yield_to(&self, transfer: impl Into<Transfer<T>>) -> Result<T, YieldError<T>> {
        if !self.ground.is_under_caller() {
            misplaced("yield_to");
        }
        let Transfer { to, value } = transfer.into();
        // SAFETY: the caller is on the member's stack, so the body runs; the record outlives it.
        let record = unsafe { &*self.record };
        // SAFETY: whoever drives the family waits, and keeps it while it does.
        let core = unsafe { &*record.core };
        if core.closing.get().is_some() {
            return Err(self.refuse(core, value));
        }
        let target = match core.target(to) {
            Ok(target) => target,
            Err(kind) => return Err(YieldError::new(kind, value)),
        };
        let mid_unwinding = std::thread::panicking();
        // SAFETY: the record is that of the execution that calls, and `target` is suspended.
        match unsafe { core.go_with(value, record, target) } {
            // SAFETY: the news are here.
            News::Value => Ok(unsafe { core.take_value() }),
            _ if may_unwind(mid_unwinding) => unwind(),
            _ => self.give_up(core),
        }
    }

    /// Whoever drives the family, as a target.
    pub fn main(&self) -> Member<T> {
        // SAFETY: the body that has this runs or is suspended, so its record lives.
        let record = unsafe { &*self.record };
        // SAFETY: and its family.
        let core = unsafe { &*record.core };
        Member::new(core.id, &raw const core.main)
    }

    /// A member that is being unwound yields: it is unwound again, or, in a destructor, told no.
    #[cold]
    #[inline(never)]
    fn refuse(&self, core: &Core<T>, value: T) -> YieldError<T> {
        let attempts = core.closing.get().unwrap_or(0) + 1;
        core.closing.set(Some(attempts));
        if attempts > UNWIND_ATTEMPTS {
            mem::forget(value);
            self.give_up(core);
        }
        if may_unwind(true) {
            drop(value);
            unwind();
        }
        YieldError::new(YieldErrorKind::Closing, value)
    }

    /// Goes to main for good without unwinding.
    #[cold]
    #[inline(never)]
    fn give_up(&self, core: &Core<T>) -> ! {
        // SAFETY: as in `yield_to`.
        let record = unsafe { &*self.record };
        // SAFETY: the record is that of the execution that calls, and main waits.
        unsafe { core.go(News::Stuck, record, &core.main) };
        unreachable!("a coroutine that was leaked runs on");
    }
}

impl<T> fmt::Debug for Switcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switcher").finish_non_exhaustive()
    }
}
