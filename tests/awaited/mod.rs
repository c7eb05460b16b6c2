//! Everything of `sync` that can be waited for, behind one trait, so that a test is written once for all
//! of it. Who declares this module declares `kept` too.

#![allow(dead_code, reason = "no test binary needs all of it")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use greenlit::sync::queue::Queue;
use greenlit::sync::{
    Condvar, Event, Mutex, MutexGuard, RwLock, RwLockWriteGuard, Semaphore, WaitGroup,
};
use greenlit::thread;
use greenlit::time::Instant;

/// How long a wait may last.
#[derive(Clone, Copy)]
pub(crate) enum Within {
    Forever,
    Timeout(Duration),
    Deadline(Instant),
}
pub(crate) use Within::{Deadline, Forever, Timeout};

/// Something to wait for. It begins in the state in which whoever comes has to wait.
pub(crate) trait Awaited: Sized + 'static {
    fn new() -> Self;
    /// Waits for it, calls `then` with it in hand, and passes it on. Returns whether it came within
    /// the limit.
    fn take(&self, within: Within, then: impl FnOnce()) -> bool;
    /// Ends the wait of who has waited the longest, at least.
    fn grant(&self);
    /// Whether it could be had without a wait, nobody being in the way. To ask does not block.
    fn is_there(&self) -> bool;
}

pub(crate) struct Locked(&'static Mutex<()>, RefCell<Option<MutexGuard<'static, ()>>>);

impl Awaited for Locked {
    fn new() -> Self {
        let mutex = crate::kept::kept(Mutex::new(()));
        Self(mutex, RefCell::new(mutex.lock().ok()))
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        let guard = match within {
            Forever => self.0.lock().ok(),
            Timeout(timeout) => self.0.lock_timeout(timeout).ok(),
            Deadline(deadline) => self.0.lock_deadline(deadline).ok(),
        };
        guard.map(|_held| then()).is_some()
    }
    fn grant(&self) {
        drop(self.1.take());
    }
    fn is_there(&self) -> bool {
        self.0.try_lock().is_ok()
    }
}

/// Readers behind a writer.
pub(crate) struct Read(
    &'static RwLock<()>,
    RefCell<Option<RwLockWriteGuard<'static, ()>>>,
);

impl Awaited for Read {
    fn new() -> Self {
        let lock = crate::kept::kept(RwLock::new(()));
        Self(lock, RefCell::new(lock.write().ok()))
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        let guard = match within {
            Forever => self.0.read().ok(),
            Timeout(timeout) => self.0.read_timeout(timeout).ok(),
            Deadline(deadline) => self.0.read_deadline(deadline).ok(),
        };
        guard.map(|_held| then()).is_some()
    }
    fn grant(&self) {
        drop(self.1.take());
    }
    fn is_there(&self) -> bool {
        self.0.try_write().is_ok()
    }
}

/// Writers behind a writer.
pub(crate) struct Write(Read);

impl Awaited for Write {
    fn new() -> Self {
        Self(Read::new())
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        let lock = self.0.0;
        let guard = match within {
            Forever => lock.write().ok(),
            Timeout(timeout) => lock.write_timeout(timeout).ok(),
            Deadline(deadline) => lock.write_deadline(deadline).ok(),
        };
        guard.map(|_held| then()).is_some()
    }
    fn grant(&self) {
        self.0.grant();
    }
    fn is_there(&self) -> bool {
        self.0.is_there()
    }
}

impl Awaited for Semaphore {
    fn new() -> Self {
        Semaphore::new(0)
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        let permit = match within {
            Forever => Some(self.acquire()),
            Timeout(timeout) => self.acquire_timeout(timeout),
            Deadline(deadline) => self.acquire_deadline(deadline),
        };
        permit.map(|_held| then()).is_some()
    }
    fn grant(&self) {
        self.add_permits(1);
    }
    fn is_there(&self) -> bool {
        self.try_acquire().is_some() && self.available_permits() == 1
    }
}

impl Awaited for Event {
    fn new() -> Self {
        Event::new()
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        let came = match within {
            Forever => {
                self.wait();
                true
            }
            Timeout(timeout) => self.wait_timeout(timeout),
            Deadline(deadline) => self.wait_deadline(deadline),
        };
        came.then(then).is_some()
    }
    fn grant(&self) {
        self.set();
    }
    fn is_there(&self) -> bool {
        self.is_set()
    }
}

impl Awaited for WaitGroup {
    fn new() -> Self {
        let group = WaitGroup::new();
        group.add(1);
        group
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        let came = match within {
            Forever => {
                self.wait();
                true
            }
            Timeout(timeout) => self.wait_timeout(timeout),
            Deadline(deadline) => self.wait_deadline(deadline),
        };
        came.then(then).is_some()
    }
    fn grant(&self) {
        self.done();
    }
    fn is_there(&self) -> bool {
        self.count() == 0
    }
}

pub(crate) struct Notified {
    condvar: Condvar,
    mutex: Mutex<()>,
    /// How many wait, or were notified and have not run since.
    waiting: Cell<u32>,
}

impl Awaited for Notified {
    fn new() -> Self {
        Self {
            condvar: Condvar::new(),
            mutex: Mutex::new(()),
            waiting: Cell::new(0),
        }
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        struct Leaves<'a>(&'a Cell<u32>);
        impl Drop for Leaves<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let guard = self.mutex.lock().unwrap();
        self.waiting.set(self.waiting.get() + 1);
        let _leaves = Leaves(&self.waiting);
        let (_guard, came) = match within {
            Forever => (self.condvar.wait(guard).unwrap(), true),
            Timeout(timeout) => {
                let (guard, result) = self.condvar.wait_timeout(guard, timeout).unwrap();
                (guard, !result.timed_out())
            }
            Deadline(deadline) => {
                let (guard, result) = self.condvar.wait_deadline(guard, deadline).unwrap();
                (guard, !result.timed_out())
            }
        };
        if came {
            then();
            self.condvar.notify_one();
        }
        came
    }
    fn grant(&self) {
        self.condvar.notify_one();
    }
    fn is_there(&self) -> bool {
        self.mutex.try_lock().is_ok() && self.waiting.get() == 0
    }
}

/// An item of a queue.
pub(crate) struct Item(Queue<()>);

impl Awaited for Item {
    fn new() -> Self {
        Self(Queue::new())
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        let item = match within {
            Forever => self.0.get().ok(),
            Timeout(timeout) => self.0.get_timeout(timeout).ok(),
            Deadline(deadline) => self.0.get_deadline(deadline).ok(),
        };
        item.map(|()| {
            then();
            self.grant();
        })
        .is_some()
    }
    fn grant(&self) {
        self.0.try_put(()).unwrap();
    }
    fn is_there(&self) -> bool {
        self.0.try_get().is_ok() && self.0.is_empty()
    }
}

/// Room in a queue with a bound.
pub(crate) struct Room(Queue<()>);

impl Awaited for Room {
    fn new() -> Self {
        let queue = Queue::new().with_bound(1);
        queue.put(()).unwrap();
        Self(queue)
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        let put = match within {
            Forever => self.0.put(()).is_ok(),
            Timeout(timeout) => self.0.put_timeout((), timeout).is_ok(),
            Deadline(deadline) => self.0.put_deadline((), deadline).is_ok(),
        };
        if put {
            then();
            self.grant();
        }
        put
    }
    fn grant(&self) {
        self.0.try_get().unwrap();
    }
    fn is_there(&self) -> bool {
        self.0.try_put(()).is_ok()
    }
}

/// The end of all work of a queue.
pub(crate) struct Joined(Queue<()>);

impl Awaited for Joined {
    fn new() -> Self {
        let queue = Queue::new();
        queue.put(()).unwrap();
        Self(queue)
    }
    fn take(&self, within: Within, then: impl FnOnce()) -> bool {
        let came = match within {
            Forever => {
                self.0.join();
                true
            }
            Timeout(timeout) => self.0.join_timeout(timeout),
            Deadline(deadline) => self.0.join_deadline(deadline),
        };
        came.then(then).is_some()
    }
    fn grant(&self) {
        self.0.task_done();
    }
    fn is_there(&self) -> bool {
        self.0.unfinished() == 0
    }
}

/// What is waited for, and a log of who got it.
pub(crate) struct Stage<A> {
    pub(crate) awaited: A,
    pub(crate) log: RefCell<Vec<u32>>,
}

pub(crate) type Shared<A> = Rc<Stage<A>>;

pub(crate) fn stage<A: Awaited>() -> Shared<A> {
    Rc::new(Stage {
        awaited: A::new(),
        log: RefCell::new(Vec::new()),
    })
}

pub(crate) fn take_and_log<A: Awaited>(stage: &Shared<A>, within: Within, number: u32) -> bool {
    stage
        .awaited
        .take(within, || stage.log.borrow_mut().push(number))
}

pub(crate) fn spawn_taker<A: Awaited>(
    stage: &Shared<A>,
    within: Within,
    number: u32,
) -> thread::JoinHandle<bool> {
    let stage = stage.clone();
    thread::spawn(move || take_and_log(&stage, within, number))
}

/// Declares each of the facts as a test of each type.
macro_rules! for_each_type {
    ($facts:tt) => {
        for_each_type!(
            mutex: crate::awaited::Locked,
            rwlock_read: crate::awaited::Read,
            rwlock_write: crate::awaited::Write,
            semaphore: greenlit::sync::Semaphore,
            event: greenlit::sync::Event,
            wait_group: greenlit::sync::WaitGroup,
            condvar: crate::awaited::Notified,
            queue_get: crate::awaited::Item,
            queue_put: crate::awaited::Room,
            queue_join: crate::awaited::Joined;
            $facts
        );
    };
    ($($name:ident: $awaited:ty),+; $facts:tt) => {
        $(mod $name { crate::awaited::for_each_type!(@facts $awaited; $facts); })+
    };
    (@facts $awaited:ty; [$($fact:ident),+ $(,)?]) => {
        $(#[test] fn $fact() { super::$fact::<$awaited>(); })+
    };
}
pub(crate) use for_each_type;
