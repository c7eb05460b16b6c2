//! `Event`: a flag that threads wait for, as asyncio's and threading's of Python.

use std::fmt;
use std::time::Duration;

use super::spin_lock::SpinLock;
use super::waiters::Waiters;
use crate::clock::{self, Instant};
use crate::park::Limit;

/// A flag that green threads of any runtime, and plain OS threads, wait for.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::Event, thread};
///
/// static START: Event = Event::new();
///
/// greenlit::run(|| {
///     let runners = [1, 2].map(|_| thread::spawn(|| START.wait()));
///     thread::yield_now();
///     START.set();
///     // Those who wait now are let go, whatever comes after.
///     START.clear();
///     runners.map(|runner| runner.join().unwrap());
/// });
/// ```
pub struct Event {
    pub(super) queue: SpinLock<Queue>,
}

pub(super) struct Queue {
    pub(super) is_set: bool,
    /// How often it was set: those who came before are let go by it.
    pub(super) sets: u64,
    /// What `sets` was when each one came.
    pub(super) waiters: Waiters<u64>,
}

impl Event {
    /// A flag that is not set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue: SpinLock::new(Queue {
                is_set: false,
                sets: 0,
                waiters: Waiters::new(),
            }),
        }
    }

    /// Sets the flag, and lets go all that wait now, in the order in which they came.
    pub fn set(&self) {
        let mut queue = self.queue.lock();
        queue.is_set = true;
        queue.sets += 1;
        let sets = queue.sets;
        self.queue
            .release_while(queue, |queue| &queue.waiters, |came| *came < sets);
    }

    /// Clears the flag: whoever comes from now on waits.
    pub fn clear(&self) {
        self.queue.lock().is_set = false;
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.queue.lock().is_set
    }

    /// Waits until the flag is set.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; if it unwinds already, it waits.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_limited(Limit::None);
    }

    /// Waits until the flag is set, but no longer than `timeout`. Returns whether it was; false too
    /// where a cancelled thread unwinds already.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    #[must_use = "false says that the time is over"]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_limited(Limit::After(clock::length(timeout)))
    }

    /// As [`wait_timeout`](Self::wait_timeout), until a point in time.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    #[must_use = "false says that the deadline has passed"]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_limited(Limit::At(deadline.nanos()))
    }

    #[track_caller]
    fn wait_limited(&self, limit: Limit) -> bool {
        self.queue.wait_for(
            "waiting for an event",
            limit,
            |queue| queue.is_set,
            |queue| &queue.waiters,
            |queue| queue.sets,
        )
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .finish_non_exhaustive()
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl std::panic::UnwindSafe for Event {}
impl std::panic::RefUnwindSafe for Event {}
