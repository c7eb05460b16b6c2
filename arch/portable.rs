//! The switch on any other CPU: the same contract, kept by corosensei.
//!
//! corosensei knows parents and children, the contract knows equals. So every prepared execution is
//! a coroutine, and all of them are children of the OS thread's own execution, the *driver*. A
//! switch from one to another is a suspend that tells the driver whom to resume next.

use std::cell::{Cell, UnsafeCell};
use std::convert::Infallible;
use std::ptr;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::Entry;

/// What a suspended execution needs to continue.
#[repr(C)]
pub(super) struct Saved {
    /// The child that was running when the execution was left; null when that was the driver, or
    /// before the first switch. It is not always `own`: a green thread may be left while a
    /// symmetric coroutine runs for it.
    child: Cell<*const Child>,
    /// The child that `prepare` made for this context, until `release`; null when there is none.
    own: Cell<*mut Child>,
    /// A place below all that the suspended execution needs of its stack.
    sp: Cell<*mut u8>,
}

impl Saved {
    pub(super) const fn new() -> Self {
        Self {
            child: Cell::new(ptr::null()),
            own: Cell::new(ptr::null_mut()),
            sp: Cell::new(ptr::null_mut()),
        }
    }

    pub(super) fn stack_pointer(&self) -> *mut u8 {
        self.sp.get()
    }
}

/// A prepared execution.
struct Child {
    /// Borrowed exclusively by `drive` while the child runs, and by nobody while it does not.
    coroutine: UnsafeCell<Coroutine<*mut (), Order, Infallible, Borrowed>>,
    /// What it suspends itself with: set as its first act, valid while it is started.
    yielder: Cell<*const Yielder<*mut (), Order>>,
}

/// What a child tells the driver when it suspends: whom to continue with what.
struct Order {
    to: *const Saved,
    arg: *mut (),
}

/// A stack that somebody else owns.
struct Borrowed {
    base: StackPointer,
    limit: StackPointer,
}

// SAFETY: `prepare`'s caller vouches for 4 KiB at least, for the guard, and for `base`'s alignment;
// nothing asks for the alignment of `limit`, which is only reported to the sanitizer.
unsafe impl Stack for Borrowed {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }
}

thread_local! {
    /// The child that runs on this OS thread, also while it runs on the stack of a coroutine that
    /// it resumed; null while the driver does.
    static RUNNING: Cell<*const Child> = const { Cell::new(ptr::null()) };
}

/// How far below the caller's frame a suspended execution's stack may reach: the frames of this
/// file and of corosensei's suspend. A page is more than was ever seen, in a debug build.
const SUSPEND_FRAMES_BYTES: usize = 4096;

/// Makes the coroutine.
///
/// # Safety
///
/// As for `super::prepare`; `first` is `entry`, since corosensei announces its switches itself.
pub(super) unsafe fn prepare(
    saved: &Saved,
    base: *mut u8,
    limit: *mut u8,
    _first: *const (),
    entry: Entry,
    data: *mut (),
) {
    let address = |end: *mut u8| StackPointer::new(end.addr()).expect("no stack lies at null");
    let stack = Borrowed {
        base: address(base),
        limit: address(limit),
    };
    let coroutine = Coroutine::with_stack(stack, move |yielder, arg| {
        let child = RUNNING.get();
        // SAFETY: `drive` has set RUNNING to the child that it resumes, and `release` frees no
        // child that runs.
        let child = unsafe { &*child };
        child.yielder.set(yielder);
        // SAFETY: `prepare`'s caller allows the call.
        unsafe { entry(arg, data) }
    });
    let child = Box::into_raw(Box::new(Child {
        coroutine: UnsafeCell::new(coroutine),
        yielder: Cell::new(ptr::null()),
    }));
    saved.child.set(child);
    saved.own.set(child);
    saved
        .sp
        .set(base.wrapping_sub(SUSPEND_FRAMES_BYTES).max(limit));
}

/// Saves the running execution in `from` and continues `to`.
///
/// # Safety
///
/// As for `super::switch`.
#[inline]
pub(super) unsafe fn switch(from: &Saved, to: &Saved, arg: *mut ()) -> *mut () {
    let running = RUNNING.get();
    from.child.set(running);
    from.sp
        .set(stack_pointer().wrapping_sub(SUSPEND_FRAMES_BYTES));
    if running.is_null() {
        // SAFETY: this is the driver, and the caller vouches for `to`.
        unsafe { drive(Order { to, arg }) }
    } else {
        // SAFETY: a child that runs has not been released.
        let child = unsafe { &*running };
        // SAFETY: setting it was the child's first act, and it is valid while the child is started.
        let yielder = unsafe { &*child.yielder.get() };
        // If the caller is on the stack of a coroutine that the child has resumed, then it is this
        // stack's position that corosensei saves, and that the driver resumes (invariant 33).
        yielder.suspend(Order { to, arg })
    }
}

/// Resumes one child after another, until one switches to the driver itself.
///
/// # Safety
///
/// No child runs, and every order names a context that `super::switch` may switch to.
unsafe fn drive(mut order: Order) -> *mut () {
    loop {
        // SAFETY: the order names a valid context.
        let to = unsafe { &*order.to };
        let running = to.child.get();
        if running.is_null() {
            return order.arg;
        }
        RUNNING.set(running);
        // SAFETY: the child is prepared or suspended, and not released.
        let child = unsafe { &*running };
        // SAFETY: nothing else has a reference to the coroutine of a child that does not run.
        let coroutine = unsafe { &mut *child.coroutine.get() };
        let result = coroutine.resume(order.arg);
        RUNNING.set(ptr::null());
        order = match result {
            CoroutineResult::Yield(next) => next,
            CoroutineResult::Return(never) => match never {},
        };
    }
}

/// Continues `to`; the running execution is never resumed.
///
/// # Safety
///
/// As for `super::switch_last`.
pub(super) unsafe fn switch_last(from: &Saved, to: &Saved, arg: *mut ()) -> ! {
    // SAFETY: the caller's duties are the callee's.
    unsafe { switch(from, to, arg) };
    unreachable!("an execution was continued after its last switch");
}

/// Frees the coroutine, without unwinding it.
///
/// # Safety
///
/// As for `super::release`.
pub(super) unsafe fn release(saved: &Saved) {
    let child = saved.own.replace(ptr::null_mut());
    saved.child.set(ptr::null());
    // SAFETY: `prepare` made the box, and the line above took it out of the context.
    let mut child = unsafe { Box::from_raw(child) };
    let coroutine = child.coroutine.get_mut();
    // SAFETY: the execution is over, or its stack is leaked, or it has not begun and its closure
    // holds two raw words; so nothing needs to be dropped.
    unsafe { coroutine.force_reset() };
}

/// Fetches nothing: there is no portable way to.
#[inline(always)]
pub(super) fn prefetch(_address: *const u8) {}

/// The address of a local.
#[inline(always)]
pub(super) fn stack_pointer() -> *mut u8 {
    let mut local = 0_u8;
    // What the optimiser cannot see into lies in memory.
    std::hint::black_box(&raw mut local)
}

/// Asks nothing: there is no portable way to.
#[inline(always)]
pub(super) fn ask_valgrind(_request: &[usize; 6]) {}
