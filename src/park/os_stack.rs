//! A call on the OS thread's own, large stack (rule 9): below the place where main was left, in a
//! region where parking is refused.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::{io, ptr, thread};

use super::Core;
use crate::arch::{self, Context};
use crate::stack::{self, Pool, SizeClass};

/// What a suspended execution may need below its stack pointer: the red zone of the CPU's ABI.
const RED_ZONE_BYTES: usize = 128;

/// The least that has to be free below main: less is no large stack.
const LEAST_BYTES: usize = 64 * 1024;

/// At least what `arch::prepare` writes.
const FIRST_BYTES: usize = 1024;

/// The most that a sanitizer is told of a stack's size; `ulimit -s unlimited` is an address space.
const MOST_BYTES: usize = 256 << 20;

/// The stack that stands in where the free part of the OS thread's cannot be found.
const STAND_IN_BYTES: usize = 8 << 20;

/// Runs `f` on the OS thread's own stack, or on one as large, and returns what it returns.
///
/// # Panics
///
/// With `f`'s payload where it panics; where a stack is needed and there is no memory for it.
pub(crate) fn on_os_stack<R>(f: impl FnOnce() -> R) -> R {
    let os_stack = stack::os_stack();
    // AddressSanitizer keeps locals elsewhere, so the stack pointer is what is asked.
    if os_stack.contains(&arch::stack_pointer().addr()) {
        return f();
    }
    let core = Core::current();
    let free = core.and_then(Core::below_main);
    let call = || match free {
        Some((base, limit)) => {
            // SAFETY: invariant 59: it is the unused part of a stack on which nobody runs before
            // the call has returned, since nothing in a region switches to main.
            unsafe { call_on(base, limit, f) }
        }
        None => match on_stand_in(f) {
            Ok(result) => result,
            Err(error) => panic!("on_os_stack: no stack can be made: {error}"),
        },
    };
    let result = match core {
        Some(core) => core.outside_caught(call).and_then(|result| result),
        None => call(),
    };
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

impl Core {
    /// What is free of the OS thread's stack, base and limit. `None` where main is inside a
    /// coroutine, whose resumer's position on that stack nobody here knows.
    fn below_main(&self) -> Option<(*mut u8, *mut u8)> {
        // SAFETY: there is a main thread while anything runs, and its record lives.
        let main = unsafe { &*self.main.get() };
        if ptr::eq(main, self.running()) {
            return None;
        }
        let left_at = main.context.stack_pointer();
        let os_stack = stack::os_stack();
        if !os_stack.contains(&left_at.addr()) {
            return None;
        }
        let down = RED_ZONE_BYTES + left_at.addr() % 16;
        let base = left_at.wrapping_sub(down);
        let bytes = base.addr().checked_sub(os_stack.start)?.min(MOST_BYTES);
        let limit = base.wrapping_sub(bytes & !15);
        if bytes < LEAST_BYTES {
            return None;
        }
        // The first words are written from another stack.
        arch::revive(base, FIRST_BYTES);
        Some((base, limit))
    }
}

/// Runs `f` on a large stack of the pool.
fn on_stand_in<R>(f: impl FnOnce() -> R) -> io::Result<thread::Result<R>> {
    let stack = Pool::current().acquire(SizeClass::for_size(STAND_IN_BYTES)?)?;
    // SAFETY: the stack is this call's own until it is dropped below, after the call has returned.
    Ok(unsafe { call_on(stack.base(), stack.limit(), f) })
}

/// A call and its way back, in the frame that waits for it.
struct Call<F, R> {
    /// The frame that waits.
    here: Context,
    /// The call's own execution.
    there: Context,
    f: UnsafeCell<Option<F>>,
    result: UnsafeCell<Option<thread::Result<R>>>,
}

/// Runs `f` on `[limit, base)`.
///
/// # Safety
///
/// Base and limit are multiples of 16 with 4 KiB or more of writable memory in between, which
/// nothing else uses before this returns. The caller does not leave its own stack meanwhile by other
/// ways: `f` runs in a region, or outside a runtime.
unsafe fn call_on<F, R>(base: *mut u8, limit: *mut u8, f: F) -> thread::Result<R>
where
    F: FnOnce() -> R,
{
    let call = Call {
        here: Context::new(),
        there: Context::new(),
        f: UnsafeCell::new(Some(f)),
        result: UnsafeCell::new(None),
    };
    let data = ptr::from_ref(&call).cast_mut().cast();
    // SAFETY: the caller vouches for the range; `root` may be called with this call, which stays in
    // this frame until the release.
    unsafe { arch::prepare(&call.there, base, limit, root::<F, R>, data) };
    // SAFETY: `there` was prepared just now, and comes back by its last switch.
    unsafe { arch::switch(&call.here, &call.there, ptr::null_mut()) };
    // SAFETY: its execution has made its last switch.
    unsafe { arch::release(&call.there) };
    call.result.into_inner().expect("the call has ended")
}

/// The first frame of a call.
///
/// # Safety
///
/// `data` is the `Call<F, R>` that was prepared with it, and which nobody else touches before the
/// last switch.
unsafe extern "C" fn root<F, R>(_arg: *mut (), data: *mut ()) -> !
where
    F: FnOnce() -> R,
{
    // SAFETY: the caller's duty.
    let call = unsafe { &*data.cast::<Call<F, R>>() };
    run(call);
    // SAFETY: nothing is left on this stack: `run` has returned. The waiting frame was left by the
    // switch that came here.
    unsafe { arch::switch_last(&call.there, &call.here, ptr::null_mut()) }
}

/// Runs the closure, and keeps what comes of it for the frame that waits.
fn run<F, R>(call: &Call<F, R>)
where
    F: FnOnce() -> R,
{
    // SAFETY: the waiting frame does not touch it before the last switch.
    let f = unsafe { &mut *call.f.get() };
    let f = f.take().expect("a call is run once");
    let result = catch_unwind(AssertUnwindSafe(f));
    // SAFETY: the same.
    unsafe { *call.result.get() = Some(result) };
}
