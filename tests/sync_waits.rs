//! What holds for every wait of `sync`, shown for each type in turn: order, cancels and limits that
//! meet the end of the wait in either order, and that nothing is lost or left behind.

mod kept;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use greenlit::sync::{
    Condvar, Event, Mutex, MutexGuard, RwLock, RwLockWriteGuard, Semaphore, WaitGroup,
};
use greenlit::thread;
use greenlit::time::Instant;

/// How long a wait may last.
#[derive(Clone, Copy)]
enum Within {
    Forever,
    Timeout(Duration),
    Deadline(Instant),
}
use Within::{Deadline, Forever, Timeout};

/// Something to wait for. It begins in the state in which whoever comes has to wait.
trait Awaited: Sized + 'static {
    fn new() -> Self;
    /// Waits for it, calls `then` with it in hand, and passes it on. Returns whether it came within
    /// the limit.
    fn take(&self, within: Within, then: impl FnOnce()) -> bool;
    /// Ends the wait of who has waited the longest, at least.
    fn grant(&self);
    /// Whether it could be had without a wait, nobody being in the way. To ask does not block.
    fn is_there(&self) -> bool;
}

struct Locked(&'static Mutex<()>, RefCell<Option<MutexGuard<'static, ()>>>);

impl Awaited for Locked {
    fn new() -> Self {
        let mutex = kept::kept(Mutex::new(()));
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
struct Read(
    &'static RwLock<()>,
    RefCell<Option<RwLockWriteGuard<'static, ()>>>,
);

impl Awaited for Read {
    fn new() -> Self {
        let lock = kept::kept(RwLock::new(()));
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
struct Write(Read);

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

struct Notified {
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

/// What is waited for, and a log of who got it.
struct Stage<A> {
    awaited: A,
    log: RefCell<Vec<u32>>,
}

type Shared<A> = Rc<Stage<A>>;

fn stage<A: Awaited>() -> Shared<A> {
    Rc::new(Stage {
        awaited: A::new(),
        log: RefCell::new(Vec::new()),
    })
}

fn take_and_log<A: Awaited>(stage: &Shared<A>, within: Within, number: u32) -> bool {
    stage
        .awaited
        .take(within, || stage.log.borrow_mut().push(number))
}

fn spawn_taker<A: Awaited>(
    stage: &Shared<A>,
    within: Within,
    number: u32,
) -> thread::JoinHandle<bool> {
    let stage = stage.clone();
    thread::spawn(move || take_and_log(&stage, within, number))
}

/// Behaviour 13.
fn waiters_go_in_the_order_in_which_they_came<A: Awaited>() {
    greenlit::run(|| {
        let stage = stage::<A>();
        let takers: Vec<_> = (0..5).map(|n| spawn_taker(&stage, Forever, n)).collect();
        thread::yield_now();
        assert_eq!(*stage.log.borrow(), []);
        stage.awaited.grant();
        takers.into_iter().for_each(|t| assert!(t.join().unwrap()));
        assert_eq!(*stage.log.borrow(), [0, 1, 2, 3, 4]);
        assert!(stage.awaited.is_there());
    });
}

/// Behaviour 14: cancelled while it stands in the queue.
fn a_cancelled_waiter_leaves_nothing_behind<A: Awaited>() {
    let stage = greenlit::run(|| {
        let stage = stage::<A>();
        for number in 0..3 {
            spawn_taker(
                &stage,
                [Forever, Timeout(Duration::MAX)][number as usize % 2],
                number,
            );
        }
        thread::yield_now();
        stage
    });
    stage.awaited.grant();
    assert!(stage.awaited.is_there());
    assert_eq!(*stage.log.borrow(), []);
}

/// Behaviours 14 and 25: chosen, and cancelled before it ran.
fn chosen_and_then_cancelled_it_takes_it_and_passes_it_on<A: Awaited>() {
    let stage = greenlit::run(|| {
        let stage = stage::<A>();
        for number in [1, 3] {
            let stage = stage.clone();
            thread::spawn(move || {
                take_and_log(&stage, Forever, number);
                thread::yield_now();
                stage.log.borrow_mut().push(number + 1);
            });
        }
        thread::yield_now();
        stage.awaited.grant();
        stage
    });
    assert_eq!(stage.log.borrow().first(), Some(&1));
    assert!(
        !stage.log.borrow().iter().any(|n| [2, 4].contains(n)),
        "the cancel came"
    );
    assert!(stage.awaited.is_there());
}

/// Behaviours 14 and 25: cancelled, and chosen before it ran: a value wins.
fn cancelled_and_then_chosen_it_takes_it_and_passes_it_on<A: Awaited>() {
    struct Grants<A: Awaited>(Shared<A>);
    impl<A: Awaited> Drop for Grants<A> {
        fn drop(&mut self) {
            self.0.awaited.grant();
        }
    }
    let stage = greenlit::run(|| {
        let stage = stage::<A>();
        let grants = Grants(stage.clone());
        // The end of the run cancels in the order of the spawns.
        thread::spawn(move || {
            let _grants = grants;
            thread::park();
        });
        spawn_taker(&stage, Forever, 1);
        thread::yield_now();
        stage
    });
    assert_eq!(*stage.log.borrow(), [1]);
    assert!(stage.awaited.is_there());
}

/// Timers with equal deadlines fire in one turn, in the order in which they were set.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(1)
}

fn grant_at<A: Awaited>(stage: &Shared<A>, deadline: Instant) -> thread::JoinHandle<()> {
    let stage = stage.clone();
    thread::spawn(move || {
        assert!(!Event::new().wait_deadline(deadline));
        stage.awaited.grant();
    })
}

/// Behaviour 15.
fn chosen_and_then_timed_out_it_has_come<A: Awaited>() {
    greenlit::run(|| {
        let (stage, deadline) = (stage::<A>(), soon());
        let granter = grant_at(&stage, deadline);
        let taker = spawn_taker(&stage, Deadline(deadline), 1);
        granter.join().unwrap();
        assert!(taker.join().unwrap());
        assert!(stage.awaited.is_there());
    });
}

/// Behaviour 15.
fn timed_out_and_then_granted_nothing_is_lost<A: Awaited>() {
    greenlit::run(|| {
        let (stage, deadline) = (stage::<A>(), soon());
        let taker = spawn_taker(&stage, Deadline(deadline), 1);
        let granter = grant_at(&stage, deadline);
        assert!(!taker.join().unwrap());
        granter.join().unwrap();
        assert_eq!(*stage.log.borrow(), []);
        assert!(stage.awaited.is_there());
    });
}

/// Behaviours 9 and 15: limits that have passed end the wait at once, but after a yield.
fn limits_that_have_passed_end_the_wait_after_a_yield<A: Awaited>() {
    greenlit::run(|| {
        let stage = stage::<A>();
        let now = Instant::now();
        let limits = [
            Timeout(Duration::ZERO),
            Deadline(now),
            Deadline(now.checked_sub(Duration::from_secs(3600)).unwrap()),
        ];
        let taker = {
            let stage = stage.clone();
            thread::spawn(move || {
                for (round, within) in (0..).zip(limits) {
                    let log = stage.clone();
                    thread::spawn(move || log.log.borrow_mut().push(round));
                    assert!(!take_and_log(&stage, within, 100));
                    assert_eq!(stage.log.borrow().last(), Some(&round), "others ran");
                }
            })
        };
        taker.join().unwrap();
        stage.awaited.grant();
        assert!(stage.awaited.is_there(), "no ghost swallowed it");
    });
}

/// Behaviour 12.
fn limits_beyond_the_clock_never_come<A: Awaited>() {
    let far = Instant::now() + Duration::from_secs(100 * 365 * 86_400);
    for within in [
        Timeout(Duration::MAX),
        Timeout(Duration::from_nanos(u64::MAX)),
        Deadline(far),
    ] {
        greenlit::run(|| {
            let stage = stage::<A>();
            let taker = spawn_taker(&stage, within, 1);
            thread::sleep(Duration::from_millis(1));
            assert!(!taker.is_finished());
            stage.awaited.grant();
            assert!(taker.join().unwrap());
        });
    }
}

macro_rules! for_each_type {
    ($($name:ident: $awaited:ty),+; $facts:tt) => {
        $(mod $name { for_each_type!(@facts $awaited; $facts); })+
    };
    (@facts $awaited:ty; [$($fact:ident),+ $(,)?]) => {
        $(#[test] fn $fact() { super::$fact::<$awaited>(); })+
    };
}

for_each_type! {
    mutex: crate::Locked,
    rwlock_read: crate::Read,
    rwlock_write: crate::Write,
    semaphore: greenlit::sync::Semaphore,
    event: greenlit::sync::Event,
    wait_group: greenlit::sync::WaitGroup,
    condvar: crate::Notified;
    [
        waiters_go_in_the_order_in_which_they_came,
        a_cancelled_waiter_leaves_nothing_behind,
        chosen_and_then_cancelled_it_takes_it_and_passes_it_on,
        cancelled_and_then_chosen_it_takes_it_and_passes_it_on,
        chosen_and_then_timed_out_it_has_come,
        timed_out_and_then_granted_nothing_is_lost,
        limits_that_have_passed_end_the_wait_after_a_yield,
        limits_beyond_the_clock_never_come,
    ]
}
