//! The timers of futures that are polled outside any runtime, and the OS thread that wakes them. It
//! is started when it is needed, and ends when it has had nothing to do for a while.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use crate::clock;
use crate::park::report;

/// How long the OS thread stays where no timer is set.
const LINGER: Duration = Duration::from_secs(1);

static TIMERS: Mutex<Timers> = Mutex::new(Timers {
    set: BTreeMap::new(),
    next_key: 0,
    served_in: 0,
});

/// The OS thread waits here, and is told when the first timer is another, and earlier.
static CHANGED: Condvar = Condvar::new();

struct Timers {
    /// By deadline and key, so that equal deadlines fire in the order in which they were set.
    set: BTreeMap<(u64, u64), Waker>,
    next_key: u64,
    /// The process in which the OS thread runs; 0 where there is none. A forked child has its parent's
    /// timers and not its OS threads.
    served_in: u32,
}

fn lock() -> MutexGuard<'static, Timers> {
    TIMERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets a timer, and returns its key.
///
/// # Panics
///
/// Where no OS thread can be started.
pub(super) fn set(deadline: u64, waker: Waker) -> u64 {
    let mut timers = lock();
    let key = timers.next_key;
    timers.next_key += 1;
    timers.insert(deadline, key, waker);
    let process = process::id();
    if timers.served_in != process {
        timers.served_in = process;
        let started = thread::Builder::new().name("greenlit-timer".to_owned());
        if let Err(error) = started.spawn(serve) {
            timers.served_in = 0;
            let waker = timers.set.remove(&(deadline, key));
            drop(timers);
            drop(waker);
            panic!("sleep: the OS thread that wakes futures outside a runtime: {error}");
        }
    }
    key
}

/// Unsets a timer, if it has not fired. The caller drops the waker, which may be anybody's.
pub(super) fn unset(deadline: u64, key: u64) -> Option<Waker> {
    lock().set.remove(&(deadline, key))
}

/// Moves a timer to another deadline; false where it has fired.
pub(super) fn move_to(deadline: u64, key: u64, new_deadline: u64) -> bool {
    let mut timers = lock();
    match timers.set.remove(&(deadline, key)) {
        Some(waker) => {
            timers.insert(new_deadline, key, waker);
            true
        }
        None => false,
    }
}

/// Has a timer wake `waker` instead of another. Where it has fired, `waker` comes back.
pub(super) fn change_waker(deadline: u64, key: u64, waker: Waker) -> Option<Waker> {
    let mut timers = lock();
    let Some(own) = timers.set.get_mut(&(deadline, key)) else {
        return Some(waker);
    };
    let before = std::mem::replace(own, waker);
    drop(timers);
    drop(before);
    None
}

impl Timers {
    fn insert(&mut self, deadline: u64, key: u64, waker: Waker) {
        self.set.insert((deadline, key), waker);
        let first = self.set.first_key_value().map(|(first, _)| *first);
        if first == Some((deadline, key)) {
            CHANGED.notify_one();
        }
    }

    /// Takes out the first timer whose deadline is not after `now`.
    fn pop_due(&mut self, now: u64) -> Option<Waker> {
        let first = self.set.first_entry()?;
        match first.key().0 <= now {
            true => Some(first.remove()),
            false => None,
        }
    }
}

/// The OS thread: wakes whom to wake, and sleeps until the next deadline.
fn serve() {
    let mut timers = lock();
    loop {
        let now = clock::now();
        if let Some(waker) = timers.pop_due(now) {
            drop(timers);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                report(&"a waker", "panicked", payload);
            }
            timers = lock();
            continue;
        }
        let next = timers.set.first_key_value().map(|(first, _)| first.0);
        let length = match next {
            Some(deadline) => Duration::from_nanos(deadline - now),
            None => LINGER,
        };
        let woken = CHANGED.wait_timeout(timers, length);
        let timed_out;
        (timers, timed_out) = woken.unwrap_or_else(PoisonError::into_inner);
        if timed_out.timed_out() && next.is_none() && timers.set.is_empty() {
            timers.served_in = 0;
            return;
        }
    }
}
