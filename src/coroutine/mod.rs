//! Coroutines: functions with stacks of their own that are left in the middle and continued.
//!
//! There are three kinds. An *asymmetric* [`Coroutine`] goes back to whoever resumed it, and passes
//! values both ways. A [`Generator`] is one that only gives values out, as an iterator. *Symmetric*
//! coroutines are members of a [`Family`]: each names whom it yields to, and goes there straight.
//!
//! They run where they are driven from: on a plain OS thread, or in a green thread of a runtime.
//! In a green thread their bodies may call whatever parks, and it is the green thread that parks,
//! while its siblings run.
//!
//! # Who may touch what
//!
//! What a body is given (a [`Suspender`], [`Yielder`] or [`Switcher`]) works only in the body
//! itself, that is on the coroutine's own stack. In a coroutine that the body resumes, or in
//! another green thread, it panics and names the place.
//!
//! # What becomes of a suspended body
//!
//! Dropping a coroutine in the middle of its body unwinds it: the call that suspended it ends in a
//! panic without a message, so that the destructors of its locals run, each once, in reverse. A
//! body that catches this and suspends once more is told again. What cannot be unwound is leaked: a
//! body that was suspended by a destructor during a panic, one that never stops catching, and every
//! suspended body in a program with `panic = "abort"`.

pub(crate) mod carried;
mod asymmetric;
mod generator;
mod symmetric;
#[cfg(test)]
mod tests;

pub use self::asymmetric::{Coroutine, ResumeError, Resumed, Suspender};
pub use self::generator::{Generator, Yielder};
pub use self::symmetric::{Ending, Family, Member, Switcher, Transfer, YieldError, YieldErrorKind};

use crate::arch;
use crate::stack::{self, Owner, Pool, SizeClass, Stack};
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

/// How often a body that catches its unwinding and suspends again is told again. The number has no
/// proof: it is far more than nested `catch_unwind`s need, and a body in an endless loop meets it
/// in a moment.
const UNWIND_ATTEMPTS: usize = 100;

/// Larger closures are boxed, so that the smallest stack holds any. A cache line or two are put on
/// the stack itself, which is touched there anyway.
const LARGEST_CLOSURE_ON_STACK: usize = 256;

/// What a coroutine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It waits to be resumed, or has not begun.
    Suspended,
    /// It is what runs: whoever asks is inside its body.
    Running,
    /// It was resumed and is not what runs: it has resumed another, or the green thread that
    /// resumed it is parked or has yielded.
    Normal,
    /// Its body has returned or panicked.
    Done,
}

/// The ends of a coroutine's own stack.
#[derive(Clone, Copy)]
struct Ground {
    /// The lowest usable address.
    limit: usize,
    /// From there to the base.
    bytes: usize,
}

impl Ground {
    fn of(stack: &Stack) -> Self {
        let limit = stack.limit().addr();
        Self {
            limit,
            bytes: stack.base().addr() - limit,
        }
    }

    /// Whether the caller runs on this stack (invariant 50).
    #[inline(always)]
    fn is_under_caller(self) -> bool {
        self.holds(arch::stack_pointer().addr())
    }

    #[inline(always)]
    fn holds(self, address: usize) -> bool {
        address.wrapping_sub(self.limit) < self.bytes
    }
}

/// Takes a stack for a coroutine that was created at `place`.
fn acquire(class: SizeClass, place: &'static Location<'static>) -> io::Result<Stack> {
    let stack = Pool::current().acquire(class)?;
    let owner = Owner {
        data: std::ptr::from_ref(place).cast(),
        describe,
    };
    // SAFETY: `describe` may be called with a location at any time, since it lives for ever, and
    // writing one neither allocates nor locks.
    unsafe { stack.set_owner(owner) };
    Ok(stack)
}

/// The class of stacks that coroutines have when nothing else is asked for.
fn default_class() -> SizeClass {
    SizeClass::for_size(stack::default_size()).expect("the default stack size is served")
}

/// Names a coroutine in the report of an overflow.
///
/// # Safety
///
/// `place` is a `&'static Location<'static>`.
unsafe fn describe(place: *const (), out: &mut dyn fmt::Write) -> fmt::Result {
    // SAFETY: the caller vouches for it.
    let place = unsafe { &*place.cast::<Location<'static>>() };
    write!(out, "coroutine created at {place}")
}

/// The payload with which a coroutine that is dropped is unwound.
struct Unwound;

/// Ends the running body with an unwinding that prints no message.
#[cold]
fn unwind() -> ! {
    std::panic::resume_unwind(Box::new(Unwound))
}

/// Whether a body that is suspended may be unwound now, given that `std::thread::panicking()` was
/// `mid_unwinding` when it suspended.
///
/// A body that was suspended by a destructor in the middle of an unwinding must not be unwound: a
/// second unwinding that leaves a destructor aborts. The count of panics belongs to the OS thread,
/// so `mid_unwinding` may be somebody else's fault; but when it is zero now, nobody's is in flight.
fn may_unwind(mid_unwinding: bool) -> bool {
    !cfg!(panic = "abort") && (!mid_unwinding || !std::thread::panicking())
}

/// Drops a user's value whose destructor may panic, where no panic may go on. The hook has printed
/// the message.
fn drop_quietly<T>(value: T) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(value)));
    // The payload's destructor may panic as well, and so on without end.
    let dropped = dropped.or_else(|payload| catch_unwind(AssertUnwindSafe(|| drop(payload))));
    if let Err(payload) = dropped {
        mem::forget(payload);
    }
}

/// The one panic for misuse: `act` was done outside the coroutine it belongs to. The message names
/// the place, so that whoever gets the payload only, such as a joiner, knows it too.
#[cold]
#[inline(never)]
#[track_caller]
fn misplaced(act: &str) -> ! {
    let place = Location::caller();
    panic!("{act} at {place} is outside of the coroutine that it belongs to")
}
