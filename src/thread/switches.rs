//! `no_switch` and `assert_switches`: code that relies on running alone, and tests that some does
//! not.

use crate::park;

/// Runs `f`, in which no other green thread of this runtime may run: a call that would wait, or yield,
/// panics there and names this place.
///
/// Between two blocking calls a green thread is alone on its OS thread, and code may rely on
/// that: it keeps a [`std::sync::Mutex`] locked, or a `RefCell` borrowed. This holds it to what it
/// relies on. Blocking calls that are ready pass. Fairness has to wait until `f` has ended, so keep it
/// short. Outside a runtime `f` just runs.
///
/// # Panics
///
/// Where `f` would switch: `no_switch: a call would wait (joining green thread #7) in the region that was
/// entered at src/main.rs:10:5`.
///
/// # Cancellation
///
/// A cancelled green thread unwinds from the blocking calls in `f`, ready or not.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
/// use std::sync::Mutex;
///
/// let total = Mutex::new(0);
/// greenlit::run(|| {
///     thread::no_switch(|| {
///         let mut total = total.lock().unwrap();
///         // Nobody else of this OS thread meets the lock: nothing here waits.
///         *total += 1;
///     });
/// });
/// assert_eq!(total.into_inner().unwrap(), 1);
/// ```
///
/// ```should_panic
/// use greenlit::thread;
///
/// greenlit::run(|| thread::no_switch(thread::yield_now));
/// ```
#[track_caller]
pub fn no_switch<R>(f: impl FnOnce() -> R) -> R {
    park::not_switched(f)
}

/// Runs `f`, and asserts that it gave other green threads the chance to run: that it parked, or
/// yielded. For tests of code that must not hold the OS thread.
///
/// # Panics
///
/// Where it did not, and outside a runtime, where nothing switches.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let answer = thread::assert_switches(|| thread::spawn(|| 42).join().unwrap());
///     assert_eq!(answer, 42);
/// });
/// ```
#[track_caller]
pub fn assert_switches<R>(f: impl FnOnce() -> R) -> R {
    match park::watched(f) {
        (result, Some(true)) => result,
        (_, Some(false)) => panic!(
            "assert_switches: nobody else could have run meanwhile; let it wait for something, or call yield_now"
        ),
        (_, None) => panic!(
            "assert_switches: no runtime runs on this OS thread; call it inside greenlit::run"
        ),
    }
}
