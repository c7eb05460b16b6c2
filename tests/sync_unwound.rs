//! A waiter that is chosen in the very moment in which a cancel unwinds it: what it was given goes to
//! the next. The moment is the allocation of the cancel's payload, when the thread has looked for
//! what it waits for in vain and still stands in the queue; this binary's allocator has a hook there.

#![expect(unsafe_code, reason = "a global allocator")]

mod kept;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex as StdMutex, Once};
use std::time::Duration;

use greenlit::cancel::Cancelled;
use greenlit::sync::{Barrier, Condvar, Event, Mutex, RwLock, Semaphore};
use greenlit::thread;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

thread_local! {
    /// Runs once, at the next allocation of this OS thread that is as large as a cancel's payload.
    static HOOK: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// The system's, with the hook.
struct Hooked;

#[global_allocator]
static ALLOCATOR: Hooked = Hooked;

// SAFETY: it does what the system's allocator does.
unsafe impl GlobalAlloc for Hooked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout == Layout::new::<Cancelled>() {
            let hook = HOOK.try_with(Cell::take).ok().flatten();
            if let Some(hook) = hook {
                hook();
            }
        }
        // SAFETY: the caller's duty is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty is the same.
        unsafe { System.dealloc(memory, layout) };
    }
}

/// Sends a word to [`PARKED`] when the runtime of its OS thread says that a green thread parks.
struct TellsParks;

thread_local! {
    static PARKED: Cell<Option<Sender<()>>> = const { Cell::new(None) };
}

impl<S: Subscriber> Layer<S> for TellsParks {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct IsPark(bool);
        impl Visit for IsPark {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0 |= field.name() == "message" && format!("{value:?}") == "park";
            }
        }
        let Some(parked) = PARKED.take() else {
            return;
        };
        let mut park = IsPark(false);
        event.record(&mut park);
        if park.0 {
            let _ = parked.send(());
        }
        PARKED.set(Some(parked));
    }
}

/// Sets the one subscriber of the process, before anything is traced: with one that is set for an OS
/// thread alone, an event that another OS thread is the first to trace is taken down as wanted by
/// nobody.
fn listen() {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(TellsParks))
            .expect("no other is set");
    });
}

/// Runs `f` in a runtime on this OS thread, and tells `parked` when a green thread of it parks.
fn run_and_tell<T>(parked: Sender<()>, f: impl FnOnce() -> T) -> T {
    PARKED.set(Some(parked));
    greenlit::run(f)
}

const PATIENCE: Duration = Duration::from_secs(10);

/// Who ends the wait: the OS thread on which the waiter unwinds, or another one.
#[derive(Clone, Copy, PartialEq)]
enum By {
    TheSame,
    Another,
}

/// Stages the moment, and says who got what was waited for.
///
/// `hold` takes it, and returns what gives it away; `take` waits for it, within [`PATIENCE`], and
/// calls its argument with it in hand.
fn got_by<H>(
    by: By,
    hold: impl FnOnce() -> H + Send + 'static,
    take: impl Fn(&dyn Fn()) + Send + Sync + 'static,
) -> Vec<&'static str>
where
    H: FnOnce() + 'static,
{
    listen();
    let take = Arc::new(take);
    let log = Arc::new(StdMutex::new(Vec::new()));
    let taker = |name: &'static str| {
        let (take, log) = (take.clone(), log.clone());
        move || take(&|| log.lock().unwrap().push(name))
    };
    let (gives, others): (Box<dyn FnOnce()>, _) = match by {
        By::TheSame => (Box::new(hold()), None),
        By::Another => {
            let (held, is_held) = channel();
            let (go, goes) = channel();
            let (gave, has_given) = channel();
            let holder = std::thread::spawn(move || {
                let gives = hold();
                held.send(()).unwrap();
                goes.recv().unwrap();
                gives();
                gave.send(()).unwrap();
            });
            is_held.recv().unwrap();
            let order = move || {
                go.send(()).unwrap();
                has_given.recv().unwrap();
            };
            (Box::new(order), Some(holder))
        }
    };

    let second = greenlit::run(|| {
        thread::spawn(taker("cancelled"));
        thread::yield_now();
        let (parked, has_parked): (_, Receiver<()>) = channel();
        let second = taker("second");
        let second = std::thread::spawn(move || run_and_tell(parked, second));
        has_parked.recv().unwrap();
        // The run ends here, and cancels the first.
        HOOK.set(Some(gives));
        second
    });
    assert!(HOOK.take().is_none(), "the moment has come");
    second.join().unwrap();
    if let Some(holder) = others {
        holder.join().unwrap();
    }
    let log = log.lock().unwrap();
    log.clone()
}

/// Behaviour 14.
fn mutex(by: By) {
    let lock = kept::kept(Mutex::new(()));
    let hold = || {
        let held = lock.lock().unwrap();
        || drop(held)
    };
    let take = |then: &dyn Fn()| {
        if lock.lock_timeout(PATIENCE).is_ok() {
            then();
        }
    };
    assert_eq!(got_by(by, hold, take), ["second"]);
    assert!(lock.try_lock().is_ok(), "free, and not poisoned");
}

#[test]
fn a_mutex_goes_to_the_next() {
    mutex(By::TheSame);
}

#[test]
fn a_mutex_goes_to_the_next_from_another_os_thread() {
    mutex(By::Another);
}

/// Behaviour 14. `reads` says it of the cancelled and the second alike.
fn rwlock(by: By, reads: bool) {
    let lock = kept::kept(RwLock::new(()));
    let hold = || {
        let held = lock.write().unwrap();
        || drop(held)
    };
    let take = move |then: &dyn Fn()| match reads {
        true => drop(lock.read_timeout(PATIENCE).map(|_held| then())),
        false => drop(lock.write_timeout(PATIENCE).map(|_held| then())),
    };
    assert_eq!(got_by(by, hold, take), ["second"]);
    assert!(lock.try_write().is_ok(), "no reader is left over");
}

#[test]
fn a_rwlock_goes_to_the_next() {
    for reads in [true, false] {
        rwlock(By::TheSame, reads);
    }
}

#[test]
fn a_rwlock_goes_to_the_next_from_another_os_thread() {
    for reads in [true, false] {
        rwlock(By::Another, reads);
    }
}

/// Behaviour 14.
fn semaphore(by: By, count: usize) {
    let semaphore = kept::kept(Semaphore::new(count));
    let hold = move || {
        let held = semaphore.acquire_many(count);
        || drop(held)
    };
    let take = move |then: &dyn Fn()| {
        if let Some(_permits) = semaphore.acquire_many_timeout(count, PATIENCE) {
            then();
        }
    };
    assert_eq!(got_by(by, hold, take), ["second"]);
    assert_eq!(semaphore.available_permits(), count);
}

#[test]
fn permits_go_to_the_next() {
    semaphore(By::TheSame, 3);
}

#[test]
fn permits_go_to_the_next_from_another_os_thread() {
    semaphore(By::Another, 1);
}

/// Behaviour 16: the notification wakes another.
fn condvar(by: By) {
    let (mutex, condvar) = kept::kept((Mutex::new(()), Condvar::new()));
    let hold = || || condvar.notify_one();
    let take = |then: &dyn Fn()| {
        let held = mutex.lock().unwrap();
        let (_held, result) = condvar.wait_timeout(held, PATIENCE).unwrap();
        if !result.timed_out() {
            then();
        }
    };
    assert_eq!(got_by(by, hold, take), ["second"]);
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn a_notification_goes_to_the_next() {
    condvar(By::TheSame);
}

#[test]
fn a_notification_goes_to_the_next_from_another_os_thread() {
    condvar(By::Another);
}

/// Behaviour 17: whoever is set free by an event takes nothing from the others.
#[test]
fn an_event_lets_all_others_go() {
    for by in [By::TheSame, By::Another] {
        let event = kept::kept(Event::new());
        let hold = || || event.set();
        let take = |then: &dyn Fn()| {
            if event.wait_timeout(PATIENCE) {
                then();
            }
        };
        assert_eq!(got_by(by, hold, take), ["second"]);
    }
}

/// Behaviour 18: the one that is let go while it unwinds does not leave a second time.
#[test]
fn a_barrier_that_opens_meanwhile_is_as_new() {
    let barrier = kept::kept(Barrier::new(3));
    let hold = || || assert!(barrier.wait().is_leader());
    let take = |then: &dyn Fn()| {
        barrier.wait();
        then();
    };
    // To wait is a blocking call, which the thread that unwinds must not make in the allocator.
    assert_eq!(got_by(By::Another, hold, take), ["second"]);
    let threads: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(|| barrier.wait().is_leader()))
        .collect();
    let leaders = threads.into_iter().filter_map(|t| t.join().ok());
    assert_eq!(leaders.filter(|leads| *leads).count(), 1);
}
