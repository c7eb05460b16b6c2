//! No sanitizer: nothing is told, and nothing is left of it in the machine code.

use crate::arch::Entry;

/// What belongs to a context.
pub(in crate::arch) struct Mark;

impl Mark {
    pub(in crate::arch) const fn new() -> Self {
        Self
    }
}

/// What an execution keeps while it is suspended.
pub(in crate::arch) struct Left;

/// A new stack.
///
/// # Safety
///
/// None here; the sanitizers have some.
#[inline(always)]
pub(in crate::arch) unsafe fn prepare(_mark: &Mark, _base: *mut u8, _limit: *mut u8) {}

/// What the root frame calls.
#[inline(always)]
pub(in crate::arch) fn first_function(entry: Entry) -> *const () {
    entry as *const ()
}

/// A switch begins.
///
/// # Safety
///
/// None here; the sanitizers have some.
#[inline(always)]
pub(in crate::arch) unsafe fn leave(_from: &Mark, _to: &Mark) -> Left {
    Left
}

/// The last switch of an execution begins.
///
/// # Safety
///
/// None here; the sanitizers have some.
#[inline(always)]
pub(in crate::arch) unsafe fn leave_last(_to: &Mark) {}

/// A switch has ended.
///
/// # Safety
///
/// None here; the sanitizers have some.
#[inline(always)]
pub(in crate::arch) unsafe fn arrive(_left: Left) {}

/// The execution of a context is over.
///
/// # Safety
///
/// None here; the sanitizers have some.
#[inline(always)]
pub(in crate::arch) unsafe fn release(_mark: &Mark) {}

/// A corosensei coroutine: nothing more to announce of it.
pub(crate) struct Nested;

impl Nested {
    pub(crate) fn new() -> Self {
        Self
    }

    /// The coroutine is about to be resumed; gives what `leave` needs.
    #[inline(always)]
    pub(crate) fn enter(&self) -> Outer {
        Outer
    }

    /// The coroutine has suspended or returned.
    ///
    /// # Safety
    ///
    /// None here; ThreadSanitizer has some.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self, _outer: Outer) {}
}

/// What runs around a coroutine.
pub(crate) struct Outer;
