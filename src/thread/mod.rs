//! std::thread's shape for green threads: `spawn`, `Builder`, `JoinHandle`, `Thread`, `scope`,
//! `LocalKey`, `yield_now`, `park`, `sleep`. Outside a runtime each call does what std's does to the
//! OS thread. What std has and is not replaced here is std's own.

mod spawn;
mod try_spawn;
mod join;
mod task;
mod watch;
mod cancel;
mod local;
mod scope;
mod handle;
mod stacks;
mod panic_hook;
mod switches;
mod snapshot;

use std::fmt;
use std::result::Result as StdResult;
use std::time::Duration;

// Names that are declared here stand before those of a glob.
pub use std::thread::*;

pub use crate::park::snapshot::{Kind, Snapshot, State};
pub use cancel::CancelOnDrop;
pub use handle::{Thread, ThreadId, current};
pub use join::JoinHandle;
#[doc(hidden)]
pub use local::LocalNumber;
pub use local::{AccessError, LocalKey};
pub use panic_hook::set_panic_hook;
pub use scope::{
    Race, Scope, ScopeBuilder, ScopedJoinHandle, TryJoinHandle, TryScope, race, scope, try_scope,
};
pub use snapshot::{Dump, all, dump, set_name, snapshot};
pub(crate) use spawn::spawn_from;
pub use spawn::{Builder, spawn, try_spawn};
pub use stacks::{on_os_stack, stack_high_water, trim_stacks};
pub use switches::{assert_switches, no_switch};
pub use try_spawn::TrySpawnError;
pub(crate) use watch::EndWatch;

use crate::clock::{self, Instant};
use crate::park::{Core, Limit, Mask, refuse_in_child};
use crate::scheduler::{Reason, Wakers};

/// Gives the CPU to the other green threads that can run; they run in the order in which they
/// became ready.
///
/// With no other ready thread it returns at once. I/O and timers are served meanwhile, on a budget,
/// so a loop that yields starves neither. Outside a runtime it is [`std::thread::yield_now`].
///
/// # Cancellation
///
/// A cancelled green thread unwinds from here.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let other = thread::spawn(|| println!("2"));
///     println!("1");
///     thread::yield_now();
///     println!("3");
///     other.join().unwrap();
/// });
/// ```
#[inline]
pub fn yield_now() {
    match Core::current() {
        Some(core) => core.yield_now(),
        None => std::thread::yield_now(),
    }
}

/// Gives the CPU to one certain green thread that can run; the caller goes to the end of the run
/// queue.
///
/// # Errors
///
/// Where `target` cannot run: it waits, has ended, is the caller, or does not belong to the runtime
/// that the caller runs in. Nothing has happened then.
///
/// # Cancellation
///
/// A cancelled green thread unwinds from here.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let first = thread::spawn(|| println!("second"));
///     let second = thread::spawn(|| println!("first"));
///     thread::yield_to(second.thread()).unwrap();
///     first.join().unwrap();
///     assert!(thread::yield_to(second.thread()).is_err());
/// });
/// ```
#[inline]
pub fn yield_to(target: &Thread) -> StdResult<(), YieldError> {
    let core = Core::current().ok_or(YieldError::Foreign)?;
    // Others may run here, so the target is looked at afterwards.
    core.before_yield();
    let record = target.ready_record(core)?;
    core.yield_to(record);
    Ok(())
}

/// Why [`yield_to`] could not switch to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum YieldError {
    /// The target waits for something; unpark it first.
    Parked,
    /// The target is the caller.
    Running,
    /// The target has ended.
    Finished,
    /// The target is no green thread of the runtime that the caller runs in.
    Foreign,
}

impl fmt::Display for YieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parked => "yield_to: the target waits for something",
            Self::Running => "yield_to: the target is the caller itself",
            Self::Finished => "yield_to: the target has ended",
            Self::Foreign => "yield_to: the target does not belong to the caller's runtime",
        })
    }
}

impl std::error::Error for YieldError {}

/// Blocks until somebody calls [`Thread::unpark`] on this thread's handle, or has called it since
/// the last park. As with std's it may return early; callers check their condition in a loop.
///
/// # Panics
///
/// In the main green thread, where every green thread is parked and nothing can wake one: a
/// deadlock.
///
/// # Cancellation
///
/// A cancelled green thread unwinds from here; if it unwinds already, the call returns at once.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let waiter = thread::spawn(thread::park);
///     waiter.thread().unpark();
///     waiter.join().unwrap();
/// });
/// ```
pub fn park() {
    match Core::current() {
        Some(core) => handle::park(core, Limit::None),
        None => {
            refuse_in_child();
            std::thread::park();
        }
    }
}

/// As [`park`], but not longer than `timeout`. The time starts at the next look at the clock, at
/// most about 100 µs after the call, so a park that is ended first does not read it.
///
/// # Cancellation
///
/// As [`park`].
pub fn park_timeout(timeout: Duration) {
    match Core::current() {
        Some(core) => handle::park(core, Limit::After(clock::length(timeout))),
        None => {
            refuse_in_child();
            std::thread::park_timeout(timeout);
        }
    }
}

/// As [`park_timeout`], in milliseconds.
///
/// # Cancellation
///
/// As [`park`].
#[deprecated(note = "replaced by `park_timeout`, as std's")]
pub fn park_timeout_ms(milliseconds: u32) {
    park_timeout(Duration::from_millis(milliseconds.into()));
}

/// Whether the calling green thread unwinds, by a panic of its own or by a cancel; outside a runtime
/// it is [`std::thread::panicking`], which speaks of the OS thread.
///
/// A green thread may wait in a destructor in the middle of its unwinding, and others then run. They
/// are told `false`; also, and that is wrong, one that begins to panic by itself meanwhile.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// struct Guard;
/// impl Drop for Guard {
///     fn drop(&mut self) {
///         assert!(thread::panicking());
///         // The main green thread runs here.
///         thread::yield_now();
///     }
/// }
///
/// greenlit::run(|| {
///     let child = thread::spawn(|| {
///         let _guard = Guard;
///         std::panic::resume_unwind(Box::new(()));
///     });
///     thread::yield_now();
///     assert!(!thread::panicking());
///     assert!(child.join().is_err());
/// });
/// ```
#[must_use]
pub fn panicking() -> bool {
    let somebody = std::thread::panicking();
    match Core::current() {
        Some(core) if somebody => core.unwinds(core.running()),
        _ => somebody,
    }
}

/// Blocks for at least `duration`, counted from the call. A duration past the clock's end never
/// ends.
///
/// # Cancellation
///
/// A cancelled green thread unwinds from here; if it unwinds already, the call returns at once.
///
/// # Examples
///
/// ```
/// use greenlit::{thread, time::{Duration, Instant}};
///
/// greenlit::run(|| {
///     let start = Instant::now();
///     thread::sleep(Duration::from_millis(2));
///     assert!(start.elapsed() >= Duration::from_millis(2));
/// });
/// ```
pub fn sleep(duration: Duration) {
    match Core::current() {
        Some(core) => sleep_to(core, clock::after(duration)),
        None => {
            refuse_in_child();
            std::thread::sleep(duration);
        }
    }
}

/// As [`sleep`], in milliseconds.
///
/// # Cancellation
///
/// As [`sleep`].
#[deprecated(note = "replaced by `sleep`, as std's")]
pub fn sleep_ms(milliseconds: u32) {
    sleep(Duration::from_millis(milliseconds.into()));
}

/// Blocks until `deadline`; a deadline that has passed is a yield.
///
/// # Cancellation
///
/// As [`sleep`].
pub fn sleep_until(deadline: Instant) {
    match Core::current() {
        Some(core) => sleep_to(core, deadline.nanos()),
        None => {
            refuse_in_child();
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

fn sleep_to(core: &Core, deadline: u64) {
    if core.check_cancel().is_err() {
        return;
    }
    let reason = Reason::new("sleeping").woken_by(Wakers::Event);
    core.park(&reason, Limit::At(deadline), Mask::No, || false);
}
