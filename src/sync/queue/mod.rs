//! `Queue`: items for whoever comes, in one of three orders, and the account of those that are not
//! done yet, as asyncio's `Queue`, `LifoQueue` and `PriorityQueue`. What channels are for is in
//! `mpmc`: here nobody disconnects, and the end is said by `shutdown`.

mod error;
mod futures;
mod order;
mod state;
mod waits;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Mutex;
use std::time::Duration;

use self::state::{State, dismiss_all, finish};
use super::spin_lock::SpinLock;
use crate::clock::{self, Instant};
use crate::park::Limit;

pub use error::{ShutDown, TryGetError, TryPutError};
pub use order::{Fifo, Heap, Lifo, Order, Priority};

/// A queue between green threads of any runtime and plain OS threads, as asyncio's: with or without a
/// bound, in the order of its type, with [`task_done`](Self::task_done) and [`join`](Self::join) for
/// who wants to know when all is done, and with [`shutdown`](Self::shutdown).
///
/// An item belongs to who has waited the longest: a later [`try_get`](Self::try_get) finds the queue
/// empty. Which item it is, the queue's order says when the waiter comes to take it.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::queue::Queue, thread};
///
/// static JOBS: Queue<u32> = Queue::new();
///
/// greenlit::run(|| {
///     let workers = [1, 2].map(|_| {
///         thread::spawn(|| {
///             let mut sum = 0;
///             while let Ok(job) = JOBS.get() {
///                 sum += job;
///                 JOBS.task_done();
///             }
///             sum
///         })
///     });
///     (1..=10).for_each(|job| JOBS.put(job).unwrap());
///     JOBS.join();
///     JOBS.shutdown(false);
///     let sums = workers.map(|worker| worker.join().unwrap());
///     assert_eq!(sums.iter().sum::<u32>(), 55);
/// });
/// ```
pub struct Queue<T, O = Fifo<T>> {
    state: SpinLock<State<O>>,
    /// The lock hands items from one OS thread to another: only those that are `Send`.
    _items: PhantomData<Mutex<T>>,
}

/// A [`Queue`] whose last item leaves it first.
///
/// # Examples
///
/// ```
/// use greenlit::sync::queue::Queue;
///
/// let stack = Queue::lifo();
/// stack.put('a').unwrap();
/// stack.put('b').unwrap();
/// assert_eq!((stack.get(), stack.get()), (Ok('b'), Ok('a')));
/// ```
pub type LifoQueue<T> = Queue<T, Lifo<T>>;

/// A [`Queue`] whose items have priorities: the least leaves it first, and those of equal priority in
/// the order in which they came.
///
/// # Examples
///
/// ```
/// use greenlit::sync::queue::{PriorityQueue, Queue};
///
/// let jobs: PriorityQueue<u8, &str> = Queue::priority();
/// jobs.put((2, "sweep")).unwrap();
/// jobs.put((1, "extinguish")).unwrap();
/// assert_eq!(jobs.get(), Ok((1, "extinguish")));
/// ```
pub type PriorityQueue<P, T> = Queue<(P, T), Heap<P, T>>;

impl<T> Queue<T> {
    /// A queue without bound: first in, first out.
    #[must_use]
    pub const fn new() -> Self {
        Self::of(Fifo::new())
    }
}

impl<T> LifoQueue<T> {
    /// A queue without bound: last in, first out.
    #[must_use]
    pub const fn lifo() -> Self {
        Self::of(Lifo::new())
    }
}

impl<P: Priority, T> PriorityQueue<P, T> {
    /// A queue without bound: least priority first.
    #[must_use]
    pub const fn priority() -> Self {
        Self::of(Heap::new())
    }
}

impl<T, O> Queue<T, O> {
    const fn of(items: O) -> Self {
        Self {
            state: SpinLock::new(State::new(items)),
            _items: PhantomData,
        }
    }
}

impl<T, O: Order<T>> Queue<T, O> {
    /// The same queue with a bound: so many items may lie in it.
    ///
    /// # Panics
    ///
    /// If the bound is 0: nothing could ever be put in. A channel hands over without a place between:
    /// [`mpmc::sync_channel(0)`](super::mpmc::sync_channel).
    #[must_use]
    pub fn with_bound(self, bound: usize) -> Self {
        assert!(bound > 0, "with_bound: a queue of bound 0 never has room");
        self.state.lock().bound = bound;
        self
    }

    /// Puts an item in; parks while there is no room for it.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// The item, where the queue was shut down.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here and puts nothing in. If it unwinds already and would
    /// have to wait, it gets the error.
    #[track_caller]
    pub fn put(&self, item: T) -> Result<(), ShutDown<T>> {
        self.put_limited(item, Limit::None)
            .map_err(|error| ShutDown(error.into_inner()))
    }

    /// Puts an item in if there is room. It does not park, and no other green thread runs.
    ///
    /// # Errors
    ///
    /// The item, where there is no room, or where the queue was shut down.
    pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        let mut state = self.lock_to_put();
        if state.is_shut {
            return Err(TryPutError::ShutDown(item));
        }
        if !state.has_room() {
            return Err(TryPutError::Full(item));
        }
        let rest = state.push(item);
        finish(state, rest);
        Ok(())
    }

    /// As [`put`](Self::put), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// The item, where there was no room in time, or where the queue was shut down.
    ///
    /// # Cancellation
    ///
    /// As [`put`](Self::put); the error is `ShutDown`.
    #[track_caller]
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), TryPutError<T>> {
        self.put_limited(item, Limit::After(clock::length(timeout)))
    }

    /// As [`put_timeout`](Self::put_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`put_timeout`](Self::put_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`put_timeout`](Self::put_timeout).
    #[track_caller]
    pub fn put_deadline(&self, item: T, deadline: Instant) -> Result<(), TryPutError<T>> {
        self.put_limited(item, Limit::At(deadline.nanos()))
    }

    /// Takes the next item out; parks while there is none. What lies in a queue that was shut down can
    /// still be got.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// Where there is no item, and the queue was shut down.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here and takes no item. If it unwinds already and would
    /// have to wait, it gets the error.
    #[track_caller]
    pub fn get(&self) -> Result<T, ShutDown> {
        self.get_limited(Limit::None).map_err(|_| ShutDown(()))
    }

    /// Takes the next item out, if there is one that belongs to nobody who waits. It does not park,
    /// and no other green thread runs.
    ///
    /// # Errors
    ///
    /// Where there is no such item, and whether the queue was shut down.
    pub fn try_get(&self) -> Result<T, TryGetError> {
        self.get_now().map_err(|(_, error)| error)
    }

    /// As [`get`](Self::get), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// Where there was no item in time, or where the queue was shut down.
    ///
    /// # Cancellation
    ///
    /// As [`get`](Self::get); the error is `ShutDown`.
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, TryGetError> {
        self.get_limited(Limit::After(clock::length(timeout)))
    }

    /// As [`get_timeout`](Self::get_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`get_timeout`](Self::get_timeout).
    #[track_caller]
    pub fn get_deadline(&self, deadline: Instant) -> Result<T, TryGetError> {
        self.get_limited(Limit::At(deadline.nanos()))
    }

    /// What was to be done with one item that was got is done. The last one lets go all who
    /// [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// If it is called more often than items were put in.
    pub fn task_done(&self) {
        let mut state = self.state.lock();
        if state.unfinished == 0 {
            drop(state);
            panic!("task_done: called more often than items were put in");
        }
        state.finish(1);
        self.release_joiners(state);
    }

    /// Waits until each item that was put in was got, and reported as done.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; if it unwinds already, it waits.
    #[track_caller]
    pub fn join(&self) {
        self.join_limited(Limit::None);
    }

    /// As [`join`](Self::join), but no longer than `timeout`. Returns whether all is done; false too
    /// where a cancelled thread unwinds already.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Self::join).
    #[track_caller]
    #[must_use = "false says that the time is over"]
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.join_limited(Limit::After(clock::length(timeout)))
    }

    /// As [`join_timeout`](Self::join_timeout), until a point in time.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Self::join).
    #[track_caller]
    #[must_use = "false says that the deadline has passed"]
    pub fn join_deadline(&self, deadline: Instant) -> bool {
        self.join_limited(Limit::At(deadline.nanos()))
    }

    /// Ends the queue: nothing can be put in any more, who waits for room gets the error, and who
    /// waits for items gets it as soon as there are none. If `immediate` there are none from now on:
    /// those that lie here are dropped, and count as done.
    pub fn shutdown(&self, immediate: bool) {
        let empty = immediate.then(|| O::with_room(0));
        let mut state = self.state.lock();
        state.is_shut = true;
        let dropped = empty.map(|empty| std::mem::replace(&mut state.items, empty));
        if let Some(dropped) = &dropped {
            state.finish(dropped.len());
        }
        self.release_joiners(state);
        dismiss_all(&self.state);
        drop(dropped);
    }

    /// Whether it was shut down.
    #[must_use]
    pub fn is_shutdown(&self) -> bool {
        self.state.lock().is_shut
    }

    /// How many items lie in the queue. Those that belong to waiters that were woken, and have not
    /// taken them yet, count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Whether no item lies in the queue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether so many items lie in the queue as may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.items.len() >= state.bound
    }

    /// How many items may lie in the queue; `None` where there is no bound.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        let bound = self.state.lock().bound;
        (bound != usize::MAX).then_some(bound)
    }

    /// How many items were put in and are not reported as done.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.state.lock().unfinished
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, O: Order<T>> fmt::Debug for Queue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("unfinished", &self.unfinished())
            .finish_non_exhaustive()
    }
}
