//! What green threads use of their stacks, and how to give back what parked ones no longer need.

use std::mem::ManuallyDrop;

use crate::park::Core;
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

/// Looks at the stack that a record owns.
fn with_stack<R>(record: &Record, f: impl FnOnce(&Stack) -> R) -> Option<R> {
    // SAFETY: the record owns the stack, and goes on owning it: this second `Stack` is never
    // dropped, and is gone before anybody could take the first.
    let stack = ManuallyDrop::new(unsafe { Stack::from_raw(record.stack.get()?) });
    Some(f(&stack))
}
