//! `WaitGroup`: waits until a number of things are done, as Go's.

use std::fmt;
use std::time::Duration;

use super::spin_lock::SpinLock;
use super::waiters::Waiters;
use crate::clock::{self, Instant};
use crate::park::Limit;

/// Counts what is under way, and waits until all of it is done: between green threads of any runtime
/// and plain OS threads, as Go's `sync.WaitGroup`.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::WaitGroup, thread};
///
/// static DOWNLOADS: WaitGroup = WaitGroup::new();
///
/// greenlit::run(|| {
///     for _ in 0..3 {
///         let download = DOWNLOADS.enter();
///         thread::spawn(move || {
///             thread::yield_now();
///             drop(download);
///         });
///     }
///     DOWNLOADS.wait();
///     assert_eq!(DOWNLOADS.count(), 0);
/// });
/// ```
pub struct WaitGroup {
    pub(super) queue: SpinLock<Queue>,
}

pub(super) struct Queue {
    pub(super) count: usize,
    /// How often the count came to 0: those who came before are let go by it.
    pub(super) rounds: u64,
    /// What `rounds` was when each one came.
    pub(super) waiters: Waiters<u64>,
}

/// One thing of a [`WaitGroup`] that is under way; dropping it says that it is done.
#[must_use = "if unused it counts as done immediately"]
#[derive(Debug)]
pub struct Member<'a> {
    group: &'a WaitGroup,
}

impl WaitGroup {
    /// Nothing is under way.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue: SpinLock::new(Queue {
                count: 0,
                rounds: 0,
                waiters: Waiters::new(),
            }),
        }
    }

    /// Counts one more thing, until what is returned is dropped: by a panic or a cancel too.
    pub fn enter(&self) -> Member<'_> {
        self.add(1);
        Member { group: self }
    }

    /// Counts so many more things; each is followed by a [`done`](Self::done).
    ///
    /// # Panics
    ///
    /// If there would be more than `usize::MAX`.
    pub fn add(&self, count: usize) {
        let mut queue = self.queue.lock();
        let Some(sum) = queue.count.checked_add(count) else {
            drop(queue);
            panic!("add: a wait group cannot count that far");
        };
        queue.count = sum;
    }

    /// One thing is done. The last one lets go all that wait.
    ///
    /// # Panics
    ///
    /// If nothing was under way.
    pub fn done(&self) {
        let mut queue = self.queue.lock();
        if queue.count == 0 {
            drop(queue);
            panic!("done: nothing of this wait group was under way");
        }
        queue.count -= 1;
        if queue.count > 0 {
            return;
        }
        queue.rounds += 1;
        let rounds = queue.rounds;
        self.queue
            .release_while(queue, |queue| &queue.waiters, |came| *came < rounds);
    }

    /// How many things are under way.
    #[must_use]
    pub fn count(&self) -> usize {
        self.queue.lock().count
    }

    /// Waits until nothing is under way.
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

    /// As [`wait`](Self::wait), but no longer than `timeout`. Returns whether nothing is under way;
    /// false too where a cancelled thread unwinds already.
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
            "waiting for a group",
            limit,
            |queue| queue.count == 0,
            |queue| &queue.waiters,
            |queue| queue.rounds,
        )
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.group.done();
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl std::panic::UnwindSafe for WaitGroup {}
impl std::panic::RefUnwindSafe for WaitGroup {}
