//! ThreadSanitizer: each execution is a fiber with a call stack and a clock of its own.

use std::cell::Cell;
use std::ffi::{c_uint, c_void};
use std::ptr;

use crate::arch::Entry;

unsafe extern "C" {
    fn __tsan_get_current_fiber() -> *mut c_void;
    fn __tsan_create_fiber(flags: c_uint) -> *mut c_void;
    fn __tsan_destroy_fiber(fiber: *mut c_void);
    /// With flags 0 a switch also orders what was done before it before what is done after it.
    fn __tsan_switch_to_fiber(fiber: *mut c_void, flags: c_uint);
}

/// The fibers of a context.
pub(in crate::arch) struct Mark {
    /// The fiber that was running when the execution was left.
    fiber: Cell<*mut c_void>,
    /// The fiber that `prepare` made, until `release`; null when there is none.
    own: Cell<*mut c_void>,
}

impl Mark {
    pub(in crate::arch) const fn new() -> Self {
        Self {
            fiber: Cell::new(ptr::null_mut()),
            own: Cell::new(ptr::null_mut()),
        }
    }
}

/// An execution keeps nothing while it is suspended.
pub(in crate::arch) struct Left;

/// A new stack.
///
/// # Safety
///
/// None here; AddressSanitizer has some.
pub(in crate::arch) unsafe fn prepare(mark: &Mark, _base: *mut u8, _limit: *mut u8) {
    // SAFETY: a fiber may be made at any time.
    let fiber = unsafe { __tsan_create_fiber(0) };
    mark.fiber.set(fiber);
    mark.own.set(fiber);
}

/// What the root frame calls.
pub(in crate::arch) fn first_function(entry: Entry) -> *const () {
    entry as *const ()
}

/// A switch begins. It must be inlined, as `switch` is: a function that ends after the fiber has
/// changed would be taken off the other's call stack.
///
/// # Safety
///
/// The switch to `to`'s execution is the next step.
#[inline(always)]
pub(in crate::arch) unsafe fn leave(from: &Mark, to: &Mark) -> Left {
    // SAFETY: an OS thread always has a fiber.
    from.fiber.set(unsafe { __tsan_get_current_fiber() });
    // SAFETY: `to`'s fiber is its own, or the one it was left in, and neither is destroyed.
    unsafe { __tsan_switch_to_fiber(to.fiber.get(), 0) };
    Left
}

/// The last switch of an execution begins.
///
/// # Safety
///
/// The switch to `to`'s execution is the next step.
#[inline(always)]
pub(in crate::arch) unsafe fn leave_last(to: &Mark) {
    // SAFETY: as in `leave`.
    unsafe { __tsan_switch_to_fiber(to.fiber.get(), 0) };
}

/// A switch has ended.
///
/// # Safety
///
/// None here; AddressSanitizer has some.
#[inline(always)]
pub(in crate::arch) unsafe fn arrive(_left: Left) {}

/// The execution of a context is over.
///
/// # Safety
///
/// `mark` was prepared, and its own fiber is not the running one.
pub(in crate::arch) unsafe fn release(mark: &Mark) {
    let fiber = mark.own.replace(ptr::null_mut());
    mark.fiber.set(ptr::null_mut());
    // SAFETY: `prepare` made the fiber, it does not run, and the line above took it away.
    unsafe { __tsan_destroy_fiber(fiber) };
}

/// A corosensei coroutine, which does not announce its switches to ThreadSanitizer itself.
///
/// Without a fiber of its own its frames would be taken off the call stack of whoever resumed it
/// last, who may be another than the one who began it.
pub(crate) struct Nested {
    fiber: *mut c_void,
}

impl Nested {
    pub(crate) fn new() -> Self {
        // SAFETY: a fiber may be made at any time.
        Self {
            fiber: unsafe { __tsan_create_fiber(0) },
        }
    }

    /// The coroutine is about to be resumed; gives what `leave` needs.
    #[inline(always)]
    pub(crate) fn enter(&self) -> Outer {
        // SAFETY: an OS thread always has a fiber.
        let outer = Outer(unsafe { __tsan_get_current_fiber() });
        // SAFETY: the fiber lives as long as `self`.
        unsafe { __tsan_switch_to_fiber(self.fiber, 0) };
        outer
    }

    /// The coroutine has suspended or returned.
    ///
    /// # Safety
    ///
    /// `outer` comes from the `enter` before, in the same function.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self, outer: Outer) {
        // SAFETY: the fiber was the running one at `enter`, and is suspended since.
        unsafe { __tsan_switch_to_fiber(outer.0, 0) };
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        // SAFETY: `new` made it, and a coroutine is not dropped while it runs.
        unsafe { __tsan_destroy_fiber(self.fiber) };
    }
}

/// The fiber that runs around a coroutine.
pub(crate) struct Outer(*mut c_void);
