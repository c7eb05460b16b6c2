//! AddressSanitizer: it must know the bounds of the stack in use, and keeps a fake stack for each.
//!
//! Which stack a context was left on, it tells us itself: at the end of each switch it reports the
//! bounds that were in force before it. So a context that was left inside a corosensei coroutine,
//! which announces its own switches, remembers the coroutine's bounds, and the OS thread's stack
//! needs no special case.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use crate::arch::Entry;

unsafe extern "C" {
    /// Saves the fake stack (or, for null, destroys it) and names the stack to come.
    fn __sanitizer_start_switch_fiber(
        fake_stack: *mut *mut c_void,
        bottom: *const c_void,
        size: usize,
    );
    /// Restores the fake stack and reports the bounds of the stack that was left.
    fn __sanitizer_finish_switch_fiber(
        fake_stack: *mut c_void,
        old_bottom: *mut *const c_void,
        old_size: *mut usize,
    );
    fn __asan_unpoison_memory_region(address: *const c_void, size: usize);
}

/// The bounds of the stack that a context's execution was left on, or will begin on.
pub(in crate::arch) struct Mark {
    bottom: Cell<*const c_void>,
    size: Cell<usize>,
}

impl Mark {
    pub(in crate::arch) const fn new() -> Self {
        Self {
            bottom: Cell::new(ptr::null()),
            size: Cell::new(0),
        }
    }
}

/// The fake stack of a suspended execution.
pub(in crate::arch) struct Left(*mut c_void);

thread_local! {
    /// The mark of the execution that is being left, for whoever arrives; null when it is over.
    static LEAVING: Cell<*const Mark> = const { Cell::new(ptr::null()) };
}

/// A new stack: it carries no poison of earlier frames.
///
/// # Safety
///
/// The range is memory that nothing uses.
pub(in crate::arch) unsafe fn prepare(mark: &Mark, base: *mut u8, limit: *mut u8) {
    let size = base.addr() - limit.addr();
    mark.bottom.set(limit.cast_const().cast());
    mark.size.set(size);
    // SAFETY: nothing uses the range.
    unsafe { __asan_unpoison_memory_region(limit.cast_const().cast(), size) };
}

/// What the root frame calls: it reports the arrival, then calls the entry.
pub(in crate::arch) fn first_function(_entry: Entry) -> *const () {
    unsafe extern "C" fn first(arg: *mut (), data: *mut (), entry: Entry) -> ! {
        // SAFETY: a new stack has no fake stack, and it was switched to just now.
        unsafe { arrive(Left(ptr::null_mut())) };
        // SAFETY: `prepare`'s caller allows the call.
        unsafe { entry(arg, data) }
    }
    first as *const ()
}

/// A switch begins.
///
/// # Safety
///
/// The switch to `to`'s execution is the next step, and `from` outlives it.
#[inline(always)]
pub(in crate::arch) unsafe fn leave(from: &Mark, to: &Mark) -> Left {
    LEAVING.set(from);
    let mut fake_stack = ptr::null_mut();
    // SAFETY: `to`'s bounds are those it was prepared with, or was left on.
    unsafe {
        __sanitizer_start_switch_fiber(&raw mut fake_stack, to.bottom.get(), to.size.get());
    }
    Left(fake_stack)
}

/// The last switch of an execution begins.
///
/// # Safety
///
/// The switch to `to`'s execution is the next step, and the running one is not continued.
#[inline(always)]
pub(in crate::arch) unsafe fn leave_last(to: &Mark) {
    LEAVING.set(ptr::null());
    // SAFETY: as in `leave`; null says that the fake stack is needed no more.
    unsafe {
        __sanitizer_start_switch_fiber(ptr::null_mut(), to.bottom.get(), to.size.get());
    }
}

/// A switch has ended.
///
/// # Safety
///
/// `left` is what the execution that was continued just now had kept.
#[inline(always)]
pub(in crate::arch) unsafe fn arrive(left: Left) {
    let mut bottom = ptr::null();
    let mut size = 0;
    // SAFETY: the caller vouches for the fake stack.
    unsafe { __sanitizer_finish_switch_fiber(left.0, &raw mut bottom, &raw mut size) };
    let leaving = LEAVING.get();
    if !leaving.is_null() {
        // SAFETY: the execution that left a moment ago is suspended, so its context is in place.
        let mark = unsafe { &*leaving };
        mark.bottom.set(bottom);
        mark.size.set(size);
    }
}

/// The execution of a context is over: `leave_last` has told so already.
///
/// # Safety
///
/// None here; ThreadSanitizer has some.
pub(in crate::arch) unsafe fn release(_mark: &Mark) {}

/// A corosensei coroutine: it announces its own switches.
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

#[cfg(test)]
mod tests {
    use super::Mark;
    use crate::arch::{Context, prepare, release, stack_pointer, switch, switch_last};
    use std::ptr;

    impl Mark {
        fn covers(&self, address: *mut u8) -> bool {
            let offset = address.addr().wrapping_sub(self.bottom.get().addr());
            offset < self.size.get()
        }
    }

    /// Checks what is known of main while it is suspended, then ends.
    unsafe extern "C" fn check(main: *mut (), own: *mut ()) -> ! {
        // SAFETY: the test passes its own context.
        let main = unsafe { &*main.cast::<Context>() };
        // SAFETY: it prepared this execution with its context as data.
        let own = unsafe { &*own.cast::<Context>() };
        let covered = main.mark.covers(main.stack_pointer()) && own.mark.covers(stack_pointer());
        let answer = ptr::without_provenance_mut(usize::from(covered));
        // SAFETY: main waits, and nothing here needs to be dropped.
        unsafe { switch_last(own, main, answer) }
    }

    #[test]
    fn a_context_knows_the_stack_that_it_was_left_on() {
        let mut stack = vec![0_u128; 4096];
        let (limit, base) = (stack.as_mut_ptr_range().start, stack.as_mut_ptr_range().end);
        let (main, own) = (Context::new(), Context::new());
        let data = (&raw const own).cast_mut().cast();
        // SAFETY: the stack is unused, and both contexts stay in place until the release.
        unsafe { prepare(&own, base.cast(), limit.cast(), check, data) };
        // SAFETY: `own` was prepared just now.
        let answer = unsafe { switch(&main, &own, (&raw const main).cast_mut().cast()) };
        // SAFETY: its execution has ended.
        unsafe { release(&own) };
        assert_eq!(answer.addr(), 1);
        assert!(main.mark.covers(stack_pointer()));
    }
}
