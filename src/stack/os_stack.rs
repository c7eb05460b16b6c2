//! Where the OS thread's own stack lies. Asked once an OS thread, by who wants to run on it.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

thread_local! {
    /// The answer of the first question; empty before it.
    static BOUNDS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// The addresses from the limit to the base of the stack that the OS thread was started on. Empty
/// where the system does not say.
#[inline]
pub(crate) fn os_stack() -> Range<usize> {
    if BOUNDS.get() == (0, 0) {
        BOUNDS.set(ask().unwrap_or((1, 1)));
    }
    let (limit, base) = BOUNDS.get();
    limit..base
}

/// For the process's first thread the C library reads /proc/self/maps, and takes the limit from
/// `RLIMIT_STACK`.
fn ask() -> Option<(usize, usize)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: a thread may ask for its own identity at any time.
    let thread = unsafe { libc::pthread_self() };
    // SAFETY: it initialises the attributes of a thread that runs, or says that it did not.
    if unsafe { libc::pthread_getattr_np(thread, attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut limit, mut bytes) = (ptr::null_mut(), 0);
    // SAFETY: they are initialised, and the answers are written to two locals.
    let error =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut limit, &raw mut bytes) };
    // SAFETY: they were initialised above, and are not used again.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    let base = limit.addr().checked_add(bytes)?;
    (error == 0).then_some((limit.addr(), base))
}

#[cfg(test)]
mod tests {
    use super::os_stack;

    #[test]
    fn each_os_thread_knows_its_own_stack() {
        let holds = |bounds: std::ops::Range<usize>| {
            let local = 0_u8;
            bounds.contains(&(&raw const local).addr())
        };
        let here = os_stack();
        let there = std::thread::spawn(move || {
            assert!(holds(os_stack()));
            os_stack()
        });
        let there = there.join().unwrap();
        assert!(here.end <= there.start || there.end <= here.start);
    }
}
