//! What green threads use of their stacks, and how to give back what parked ones no longer need.

use std::mem::ManuallyDrop;

use crate::park::{self, Core};
use crate::scheduler::{Record, State};
use crate::stack::Stack;

/// The most bytes that the calling green thread has had on its stack, in whole pages; counted since
/// its stack was last trimmed, so a pooled stack may show what its last user needed. `None` for the
/// main green thread and outside a runtime, where the stack is the OS thread's own.
///
/// It costs a system call (mincore(2)). Use it to choose a
/// [`stack_size`](crate::thread::Builder::stack_size).
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let used = thread::spawn(|| thread::stack_high_water().unwrap()).join().unwrap();
///     assert!(used >= 4096);
/// });
/// ```
#[must_use]
pub fn stack_high_water() -> Option<usize> {
    let record = Core::current()?.running();
    with_stack(record, Stack::high_water)
}

/// Gives the memory back to the kernel that parked green threads of this runtime once used on their
/// stacks and have left. Returns how many stacks were looked at.
///
/// A stack that goes back to the pool is trimmed anyway; this is for threads that worked deeply and
/// now wait for long. It costs one system call (madvise(2)) a parked thread, so call it seldom. A
/// thread that is parked inside a coroutine is passed over.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let idle = thread::spawn(thread::park);
///     thread::yield_now();
///     assert_eq!(thread::trim_stacks(), 1);
///     idle.thread().unpark();
///     idle.join().unwrap();
/// });
/// ```
pub fn trim_stacks() -> usize {
    let Some(core) = Core::current() else {
        return 0;
    };
    let mut count = 0;
    core.for_each_live(|record| {
        if record.state.get() != State::Parked {
            return;
        }
        let left_at = record.context.stack_pointer();
        let trimmed = with_stack(record, |stack| {
            let inside = stack.limit() <= left_at && left_at <= stack.base();
            if inside {
                // SAFETY: the thread is parked, and was left on this very stack, at `left_at`.
                unsafe { stack.trim(left_at) };
            }
            inside
        });
        count += usize::from(trimmed == Some(true));
    });
    count
}

/// Runs `f` on the OS thread's own stack, 8 MiB and more as a rule, and returns what it returns: for
/// a call that needs more stack than a green thread has, such as a deep recursion or a C library that
/// does not say how much it takes. It costs two switches, and no system call.
///
/// On that stack another green thread, the main one, is in the middle of its work, so nothing can
/// switch there while `f` runs: `f` is outside the runtime. A blocking call in it blocks the OS
/// thread with all its green threads, as does a lock that another one of them holds, and
/// [`spawn`](crate::thread::spawn) panics. Where the caller stands on the OS thread's stack already,
/// as the main green thread and all code outside a runtime do, `f` is simply called.
///
/// While the main green thread is inside a coroutine, a stack of 8 MiB from the pool stands in.
///
/// # Panics
///
/// With `f`'s payload where it panics; where there is no memory for a stack that stands in.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// fn depth(n: u32) -> u32 {
///     let frame = std::hint::black_box([0_u8; 1024]);
///     if n == 0 { frame[0].into() } else { depth(n - 1) + 1 }
/// }
///
/// greenlit::run(|| {
///     let small = thread::Builder::new().stack_size(16 * 1024);
///     let deep = small.spawn(|| thread::on_os_stack(|| depth(1000))).unwrap();
///     assert_eq!(deep.join().unwrap(), 1000);
/// });
/// ```
pub fn on_os_stack<F, T>(f: F) -> T
where
    F: FnOnce() -> T,
{
    park::on_os_stack(f)
}

/// Looks at the stack that a record owns.
fn with_stack<R>(record: &Record, f: impl FnOnce(&Stack) -> R) -> Option<R> {
    // SAFETY: the record owns the stack, and goes on owning it: this second `Stack` is never
    // dropped, and is gone before anybody could take the first.
    let stack = ManuallyDrop::new(unsafe { Stack::from_raw(record.stack.get()?) });
    Some(f(&stack))
}
