//! The waits of `Event`, `WaitGroup` and `Barrier` as futures.

use std::cell::Cell;

use crate::sync::barrier::{self, Barrier, BarrierWaitResult};
use crate::sync::event::{self, Event};
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::wait_group::{self, WaitGroup};
use crate::sync::waiters::Waiters;

impl Event {
    /// As [`wait`](Self::wait), for futures: waits in the same queue, without a thread.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::Event, thread};
    ///
    /// static START: Event = Event::new();
    ///
    /// greenlit::run(|| {
    ///     let runner = future::spawn(START.wait_async());
    ///     thread::yield_now();
    ///     START.set();
    ///     runner.join().unwrap();
    /// });
    /// ```
    pub fn wait_async(&self) -> impl Future<Output = ()> {
        Standing::new(Flag(self))
    }
}

impl WaitGroup {
    /// As [`wait`](Self::wait), for futures: waits in the same queue, without a thread.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::WaitGroup, thread};
    ///
    /// static DOWNLOADS: WaitGroup = WaitGroup::new();
    ///
    /// greenlit::run(|| {
    ///     let download = DOWNLOADS.enter();
    ///     thread::spawn(move || drop(download));
    ///     future::block_on(DOWNLOADS.wait_async());
    ///     assert_eq!(DOWNLOADS.count(), 0);
    /// });
    /// ```
    pub fn wait_async(&self) -> impl Future<Output = ()> {
        Standing::new(Group(self))
    }
}

impl Barrier {
    /// As [`wait`](Self::wait), for futures: tasks and threads wait for each other. The future has
    /// come when it is polled for the first time.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before the barrier has opened counts as if it had not come: the others
    /// wait for one more.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::Barrier};
    ///
    /// static BOTH: Barrier = Barrier::new(2);
    ///
    /// greenlit::run(|| {
    ///     let other = future::spawn(BOTH.wait_async());
    ///     let was_last = BOTH.wait().is_leader();
    ///     assert_ne!(was_last, other.join().unwrap().is_leader());
    /// });
    /// ```
    pub fn wait_async(&self) -> impl Future<Output = BarrierWaitResult> {
        Standing::new(Party {
            barrier: self,
            generation: Cell::new(0),
        })
    }
}

struct Flag<'a>(&'a Event);

impl Want for Flag<'_> {
    type State = event::Queue;
    type Note = u64;
    type Output = ();

    fn lock(&self) -> &SpinLock<event::Queue> {
        &self.0.queue
    }

    fn waiters(queue: &event::Queue) -> &Waiters<u64> {
        &queue.waiters
    }

    fn enter(&self) -> Result<(), Locked<'_, event::Queue>> {
        let queue = self.0.queue.lock();
        match queue.is_set {
            true => Ok(()),
            false => Err(queue),
        }
    }

    fn note(&self, queue: &mut event::Queue, _: u64) -> u64 {
        queue.sets
    }

    fn chosen(&self) -> Option<()> {
        Some(())
    }
}

struct Group<'a>(&'a WaitGroup);

impl Want for Group<'_> {
    type State = wait_group::Queue;
    type Note = u64;
    type Output = ();

    fn lock(&self) -> &SpinLock<wait_group::Queue> {
        &self.0.queue
    }

    fn waiters(queue: &wait_group::Queue) -> &Waiters<u64> {
        &queue.waiters
    }

    fn enter(&self) -> Result<(), Locked<'_, wait_group::Queue>> {
        let queue = self.0.queue.lock();
        match queue.count {
            0 => Ok(()),
            _ => Err(queue),
        }
    }

    fn note(&self, queue: &mut wait_group::Queue, _: u64) -> u64 {
        queue.rounds
    }

    fn chosen(&self) -> Option<()> {
        Some(())
    }
}

struct Party<'a> {
    barrier: &'a Barrier,
    /// The one in which it has come.
    generation: Cell<u64>,
}

impl Want for Party<'_> {
    type State = barrier::Queue;
    type Note = u64;
    type Output = BarrierWaitResult;

    fn lock(&self) -> &SpinLock<barrier::Queue> {
        &self.barrier.queue
    }

    fn waiters(queue: &barrier::Queue) -> &Waiters<u64> {
        &queue.waiters
    }

    fn enter(&self) -> Result<BarrierWaitResult, Locked<'_, barrier::Queue>> {
        self.barrier.open_as_last()
    }

    fn note(&self, queue: &mut barrier::Queue, _: u64) -> u64 {
        queue.arrived += 1;
        self.generation.set(queue.generation);
        queue.generation
    }

    fn chosen(&self) -> Option<BarrierWaitResult> {
        Some(BarrierWaitResult::follower())
    }

    fn left(&self) {
        self.barrier.take_back(self.generation.get());
    }
}
