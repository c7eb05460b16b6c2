//! `Barrier`: lets a fixed number of threads wait for each other.

use std::fmt;

use super::spin_lock::{Locked, SpinLock};
use super::waiters::{How, Waiters};
use crate::park::{Caller, Limit, Outcome};

/// A barrier, as [`std::sync::Barrier`], between green threads of any runtime and plain OS threads.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::Barrier, thread};
/// use std::rc::Rc;
///
/// greenlit::run(|| {
///     let barrier = Rc::new(Barrier::new(3));
///     let threads = [1, 2, 3].map(|_| {
///         let barrier = barrier.clone();
///         thread::spawn(move || barrier.wait().is_leader())
///     });
///     let leaders = threads.map(|thread| thread.join().unwrap());
///     assert_eq!(leaders, [false, false, true]);
/// });
/// ```
pub struct Barrier {
    parties: usize,
    pub(super) queue: SpinLock<Queue>,
}

pub(super) struct Queue {
    /// How many wait for this generation to be complete.
    pub(super) arrived: usize,
    /// How often the barrier has opened.
    pub(super) generation: u64,
    /// The generation that each one waits for the end of.
    pub(super) waiters: Waiters<u64>,
}

/// Tells one of the threads that a [`Barrier`] let go from the others.
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this thread came last, and so let the others go.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl BarrierWaitResult {
    /// That of one who did not come last.
    pub(super) fn follower() -> Self {
        Self(false)
    }
}

impl Barrier {
    /// A barrier for `parties` threads; 0 counts as 1.
    #[must_use]
    pub const fn new(parties: usize) -> Self {
        Self {
            parties,
            queue: SpinLock::new(Queue {
                arrived: 0,
                generation: 0,
                waiters: Waiters::new(),
            }),
        }
    }

    /// Waits until as many threads as the barrier is for have called this. Then it can be used
    /// again.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and counts as if it had not come: the others wait
    /// for one more. If it unwinds already, it waits.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        let caller = Caller::current();
        let unwinds = caller.check_cancel().is_err();
        let mut queue = match self.open_as_last() {
            Ok(result) => {
                caller.spend();
                return result;
            }
            Err(queue) => queue,
        };
        let generation = queue.generation;
        queue.arrived += 1;

        let mut how = How::shared("waiting at a barrier", Limit::None).masked_if(unwinds);
        let arrival = Arrival {
            barrier: self,
            generation,
        };
        loop {
            let outcome = self.queue.wait(
                caller,
                queue,
                |queue| &queue.waiters,
                generation,
                how,
                || {},
            );
            if outcome == Outcome::Woken {
                break;
            }
            // It unwinds already, and has to wait all the same.
            how = how.masked_if(true);
            queue = self.queue.lock();
            if queue.generation != generation {
                break;
            }
        }
        std::mem::forget(arrival);
        BarrierWaitResult(false)
    }
}

impl Barrier {
    /// Opens the barrier if the caller is the last; else returns the lock, and the caller has not
    /// come yet.
    pub(super) fn open_as_last(&self) -> Result<BarrierWaitResult, Locked<'_, Queue>> {
        let mut queue = self.queue.lock();
        if queue.arrived + 1 < self.parties {
            return Err(queue);
        }
        let generation = queue.generation;
        queue.arrived = 0;
        queue.generation += 1;
        self.queue
            .release_while(queue, |queue| &queue.waiters, |waits| *waits == generation);
        Ok(BarrierWaitResult(true))
    }

    /// One that came in `generation` leaves, unless the barrier has opened since.
    pub(super) fn take_back(&self, generation: u64) {
        let mut queue = self.queue.lock();
        if queue.generation == generation {
            queue.arrived -= 1;
        }
    }
}

/// One thread's arrival; dropped where the thread is cancelled before the barrier has opened.
struct Arrival<'a> {
    barrier: &'a Barrier,
    generation: u64,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.barrier.take_back(self.generation);
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult")
            .field("is_leader", &self.is_leader())
            .finish()
    }
}

impl std::panic::UnwindSafe for Barrier {}
impl std::panic::RefUnwindSafe for Barrier {}
