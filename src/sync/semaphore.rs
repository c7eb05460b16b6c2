//! `Semaphore`: permits that are handed out in the order in which they were asked for.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::spin_lock::{Locked, SpinLock};
use super::waiters::{How, Waiters};
use crate::clock::{self, Instant};
use crate::park::{Caller, Limit, Outcome};

/// A counting semaphore between green threads of any runtime and plain OS threads, as asyncio's and
/// tokio's.
///
/// Permits go to those who wait in the order in which they came: one that asks for many is not
/// overtaken by others that ask for few.
///
/// # Examples
///
/// Two at a time:
///
/// ```
/// use greenlit::{sync::Semaphore, thread};
///
/// static SLOTS: Semaphore = Semaphore::new(2);
///
/// greenlit::run(|| {
///     let jobs = [(); 5].map(|()| thread::spawn(|| {
///         let _slot = SLOTS.acquire();
///         thread::yield_now();
///         SLOTS.available_permits()
///     }));
///     jobs.map(|job| assert!(job.join().unwrap() < 2));
///     assert_eq!(SLOTS.available_permits(), 2);
/// });
/// ```
pub struct Semaphore {
    queue: SpinLock<Queue>,
}

pub(super) struct Queue {
    permits: usize,
    /// How many permits each one wants.
    pub(super) waiters: Waiters<usize>,
}

/// Permits of a [`Semaphore`]; dropping it gives them back.
#[must_use = "if unused the permit is given back immediately"]
#[derive(Debug)]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

/// As [`Permit`], of a semaphore that it keeps: it may go to another thread.
#[must_use = "if unused the permit is given back immediately"]
#[derive(Debug)]
pub struct OwnedPermit {
    semaphore: Arc<Semaphore>,
    count: usize,
}

impl Semaphore {
    /// A semaphore with so many permits.
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        Self {
            queue: SpinLock::new(Queue {
                permits,
                waiters: Waiters::new(),
            }),
        }
    }

    /// Takes one permit; parks until there is one.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread leaves the queue and unwinds; if it unwinds already, it waits.
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1)
    }

    /// Takes `count` permits at once.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many(&self, count: usize) -> Permit<'_> {
        self.take(count, Limit::None);
        self.permit(count)
    }

    /// Takes one permit if there is one, and nobody waits.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if they are there, and nobody waits.
    pub fn try_acquire_many(&self, count: usize) -> Option<Permit<'_>> {
        let mut queue = self.queue.lock();
        queue.take_now(count).then(|| self.permit(count))
    }

    /// Takes one permit, or none if there is none within `timeout`; none too where a cancelled
    /// thread unwinds already.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<'_>> {
        self.acquire_many_timeout(1, timeout)
    }

    /// As [`acquire_timeout`](Self::acquire_timeout), until a point in time.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_deadline(&self, deadline: Instant) -> Option<Permit<'_>> {
        self.acquire_many_deadline(1, deadline)
    }

    /// As [`acquire_timeout`](Self::acquire_timeout), of `count` permits.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many_timeout(&self, count: usize, timeout: Duration) -> Option<Permit<'_>> {
        self.take(count, Limit::After(clock::length(timeout)))
            .then(|| self.permit(count))
    }

    /// As [`acquire_many_timeout`](Self::acquire_many_timeout), until a point in time.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many_deadline(&self, count: usize, deadline: Instant) -> Option<Permit<'_>> {
        self.take(count, Limit::At(deadline.nanos()))
            .then(|| self.permit(count))
    }

    /// As [`acquire`](Self::acquire), for a permit that goes elsewhere.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>) -> OwnedPermit {
        self.take(1, Limit::None);
        self.owned()
    }

    /// As [`try_acquire`](Self::try_acquire), for a permit that goes elsewhere.
    pub fn try_acquire_owned(self: Arc<Self>) -> Option<OwnedPermit> {
        let taken = self.queue.lock().take_now(1);
        taken.then(|| self.owned())
    }

    /// As [`acquire_timeout`](Self::acquire_timeout), for a permit that goes elsewhere.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned_timeout(self: Arc<Self>, timeout: Duration) -> Option<OwnedPermit> {
        self.take(1, Limit::After(clock::length(timeout)))
            .then(|| self.owned())
    }

    /// As [`acquire_owned_timeout`](Self::acquire_owned_timeout), until a point in time.
    ///
    /// # Cancellation
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned_deadline(self: Arc<Self>, deadline: Instant) -> Option<OwnedPermit> {
        self.take(1, Limit::At(deadline.nanos()))
            .then(|| self.owned())
    }

    /// Adds so many permits, and hands them to those who wait.
    ///
    /// # Panics
    ///
    /// If there would be more than `usize::MAX`.
    pub fn add_permits(&self, count: usize) {
        let mut queue = self.queue.lock();
        let Some(permits) = queue.permits.checked_add(count) else {
            drop(queue);
            panic!("add_permits: there would be more than usize::MAX permits");
        };
        queue.permits = permits;
        self.hand_out(queue);
    }

    /// How many permits could be taken now.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.queue.lock().permits
    }

    pub(super) fn queue(&self) -> &SpinLock<Queue> {
        &self.queue
    }

    pub(super) fn permit(&self, count: usize) -> Permit<'_> {
        Permit {
            semaphore: self,
            count,
        }
    }

    pub(super) fn owned(self: Arc<Self>) -> OwnedPermit {
        OwnedPermit {
            semaphore: self,
            count: 1,
        }
    }

    #[track_caller]
    fn take(&self, count: usize, limit: Limit) -> bool {
        let caller = Caller::current();
        let unwinds = caller.check_cancel().is_err();
        let mut how = How::shared("acquiring a permit", limit).masked_if(unwinds);
        loop {
            let mut queue = self.queue.lock();
            if queue.take_now(count) {
                drop(queue);
                caller.spend();
                return true;
            }
            if unwinds && limit != Limit::None {
                return false;
            }
            // Those behind one that wanted many may be served at once.
            let left = Left(self);
            let outcome = self.queue.wait(
                caller,
                queue,
                |queue| &queue.waiters,
                count,
                how,
                || self.add_permits(count),
            );
            if outcome == Outcome::Woken {
                mem::forget(left);
                return true;
            }
            drop(left);
            if limit != Limit::None {
                return false;
            }
            // It unwinds already: locks park all the same.
            how = how.masked_if(true);
        }
    }

    /// Gives permits to the first of the queue, as long as there are enough.
    pub(super) fn hand_out<'a>(&'a self, mut queue: Locked<'a, Queue>) {
        loop {
            let permits = queue.permits;
            let Some(next) = queue.waiters.pop_if(|count| *count <= permits) else {
                return;
            };
            let left = permits - *next.note();
            let unparker = next.release();
            queue.permits = left;
            drop(queue);
            unparker.unpark();
            queue = self.queue.lock();
        }
    }
}

impl Queue {
    pub(super) fn take_now(&mut self, count: usize) -> bool {
        let enough = self.permits >= count && self.waiters.first().is_none();
        if enough {
            self.permits -= count;
        }
        enough
    }
}

/// A waiter left the queue without its permits.
struct Left<'a>(&'a Semaphore);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.hand_out(self.0.queue.lock());
    }
}

impl Permit<'_> {
    /// How many permits it stands for.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes the permits out of circulation: they are not given back.
    pub fn forget(self) {
        mem::forget(self);
    }
}

impl OwnedPermit {
    /// Takes the permit out of circulation: it is not given back.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.count);
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.count);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish_non_exhaustive()
    }
}

impl std::panic::UnwindSafe for Semaphore {}
impl std::panic::RefUnwindSafe for Semaphore {}
