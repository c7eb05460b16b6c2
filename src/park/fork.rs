//! fork(2): the child has the forking OS thread alone, in the middle of a green thread, while the
//! reactor's epoll instance is still its parent's. So the runtime ends in the child at once (rule
//! 28).

use std::cell::Cell;
use std::sync::Once;

use super::Core;

thread_local! {
    /// Whether this OS thread was forked inside a runtime.
    static IN_CHILD: Cell<bool> = const { Cell::new(false) };
}

/// Makes forks end the runtime in their child; the first call alone does something.
pub(super) fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: the handler touches two thread-locals that have no destructor, which is all that
        // pthread_atfork(3) asks of a child of a process with several threads. Where registering
        // fails for want of memory, a child is merely not told.
        unsafe { libc::pthread_atfork(None, None, Some(end_in_child)) };
    });
}

extern "C" fn end_in_child() {
    crate::reactor::count_fork();
    if Core::here().is_some() {
        Core::set_current(std::ptr::null());
        IN_CHILD.set(true);
    }
}

/// The child has returned from the run that it was forked in: from here on it is an ordinary OS
/// thread.
pub(super) fn left_run() {
    IN_CHILD.set(false);
}

/// Called where a park finds no runtime.
///
/// # Panics
///
/// In a forked child: nobody could end the wait.
#[track_caller]
pub(crate) fn refuse_in_child() {
    assert!(
        !IN_CHILD.get(),
        "park: this process was forked inside greenlit::run, and the runtime stayed with its parent; \
         exec, exit, or make a new runtime in the child"
    );
}
