//! Bugs that a tracing subscriber once brought out, by what it may do in an event of the runtime's:
//! ask who runs, panic, trim stacks, unpark. An event comes from the middle of a park or a turn
//! (rule 8).

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use greenlit::cancel::Scope;
use greenlit::coroutine::Coroutine;
use greenlit::io::Source;
use greenlit::park::{Reason, WaitQueue};
use greenlit::thread;
use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Calls its function for each event of the runtime's, with the message and, of a park, the reason.
struct Told<F>(F);

impl<S: tracing::Subscriber, F: Fn(&str) + 'static> Layer<S> for Told<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "greenlit" {
            let mut text = Text(String::new());
            event.record(&mut text);
            (self.0)(&text.0);
        }
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.0 = format!("{value:?}{}", self.0),
            "reason" => self.0 += &format!(": {value:?}"),
            _ => {}
        }
    }
}

/// Runs `f` in a runtime whose events are told to `told`.
fn run_told<T>(told: impl Fn(&str) + Send + Sync + 'static, f: impl FnOnce() -> T) -> T {
    let subscriber = tracing_subscriber::registry().with(Told(told));
    tracing::subscriber::with_default(subscriber, || greenlit::run(f))
}

/// A count that a subscriber and its test share.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Has the main green thread wait while nobody else can run, until its own event comes in a turn.
fn wait_through_a_turn() {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let writer = thread::spawn(move || far.write_all(b"x").unwrap());
    let mut byte = [0];
    Source::new(near).unwrap().read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"x");
    writer.join().unwrap();
}

/// Parks the main green thread where only another OS thread could end it: it does when it hears of
/// the warning.
fn park_until_warned(warned: mpsc::Receiver<()>) {
    let main = thread::current();
    let other = std::thread::spawn(move || {
        warned.recv().unwrap();
        main.unpark();
    });
    thread::park();
    other.join().unwrap();
}

/// What a run does after an event went wrong, if the scheduler is whole.
fn spawn_and_join() {
    assert_eq!(thread::current().name(), Some("main"));
    thread::yield_now();
    assert_eq!(thread::spawn(|| 6 * 7).join().unwrap(), 42);
}

/// Rule 8: asking for the current thread in the warning of a deadlock, when no green thread is at
/// the head of the run queue, followed a null pointer. A subscriber is on the OS thread, in every
/// event.
#[test]
fn a_subscriber_that_asks_who_runs_gets_the_os_thread() {
    let os = thread::current().id();
    let (events, strangers) = (Count::default(), Count::default());
    let (warn, warned) = mpsc::channel();
    let told = {
        let (events, strangers) = (events.clone(), strangers.clone());
        move |what: &str| {
            events.add();
            if thread::current().id() != os {
                strangers.add();
            }
            if what.starts_with("possible deadlock") {
                warn.send(()).unwrap();
            }
        }
    };
    run_told(told, || {
        wait_through_a_turn();
        park_until_warned(warned);
        spawn_and_join();
    });
    assert!(events.get() > 0);
    assert_eq!(strangers.get(), 0);
}

/// Rule 8: a panic in the event of a turn unwound into whoever had parked, who then ran on in no
/// queue.
#[test]
fn a_panic_of_a_subscriber_in_a_turn_ends_there() {
    let panics = Count::default();
    let told = {
        let panics = panics.clone();
        move |what: &str| {
            if what == "turn" {
                panics.add();
                panic!("in a turn");
            }
        }
    };
    run_told(told, || {
        wait_through_a_turn();
        spawn_and_join();
    });
    assert!(panics.get() > 0);
}

/// Rule 8: a panic in the warning of a deadlock unwound into main, which ran on while the run queue
/// was empty.
#[test]
fn a_panic_of_a_subscriber_in_the_warning_ends_there() {
    let (warn, warned) = mpsc::channel();
    let told = move |what: &str| {
        if what.starts_with("possible deadlock") {
            warn.send(()).unwrap();
            panic!("in the warning");
        }
    };
    run_told(told, || {
        park_until_warned(warned);
        spawn_and_join();
    });
}

/// Rule 8: a panic while main waited for the end of the run left a dead runtime behind as the
/// current one.
#[test]
fn a_panic_of_a_subscriber_at_the_end_of_the_run_ends_there() {
    let panics = Count::default();
    let told = {
        let panics = panics.clone();
        move |what: &str| {
            if what == "park: ending the run" {
                panics.add();
                panic!("at the end");
            }
        }
    };
    let os = thread::current().id();
    run_told(told, || {
        drop(thread::spawn(thread::park));
        thread::yield_now();
    });
    assert!(panics.get() > 0);
    assert_eq!(thread::current().id(), os);
    greenlit::run(spawn_and_join);
}

/// Calls itself, and `bottom` in the end; whether all frames are as they were when it returns.
#[inline(never)]
fn deep(level: u64, bottom: &mut dyn FnMut()) -> bool {
    let mut frame = [level; 512];
    black_box(&mut frame);
    let deeper = if level == 0 {
        bottom();
        true
    } else {
        deep(level - 1, bottom)
    };
    deeper && black_box(&frame).iter().all(|&word| word == level)
}

/// Rule 12: a turn runs on the stack of whoever parked last, and a subscriber that trimmed stacks
/// in its event wiped the frames that the turn stood on.
#[test]
fn a_subscriber_trims_no_stack() {
    let trimmed = Count::default();
    let told = {
        let trimmed = trimmed.clone();
        move |_: &str| {
            if thread::trim_stacks() > 0 {
                trimmed.add();
            }
        }
    };
    run_told(told, || {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        // It parks last, so the turn that wakes main is taken on its stack.
        let child = thread::spawn(move || {
            deep(20, &mut || {
                far.write_all(b"x").unwrap();
                thread::park();
            })
        });
        Source::new(near).unwrap().read_exact(&mut [0]).unwrap();
        child.thread().unpark();
        assert!(child.join().unwrap(), "its frames were wiped");
    });
    assert_eq!(trimmed.get(), 0);
}

/// Rule 8: an unpark from within the event of a park came before the thread was marked as parked,
/// and was lost.
#[test]
fn an_unpark_in_the_event_of_a_park_is_not_lost() {
    thread_local!(static SEATS: WaitQueue = const { WaitQueue::new() });
    let told = |what: &str| {
        if what == "park: waiting for a seat" {
            SEATS.with(WaitQueue::unpark_one);
        }
    };
    run_told(told, || {
        let guest = thread::spawn(|| {
            SEATS.with(|seats| seats.park(Reason::new("waiting for a seat")));
            "seated"
        });
        assert_eq!(guest.join().unwrap(), "seated");
    });
}

/// A scope that was cancelled told those who are in it one after the other, with an event for each that
/// woke up, and went on to the next by a reference: to one who had left meanwhile, where the subscriber
/// had continued a coroutine.
#[test]
fn a_subscriber_may_have_a_coroutine_leave_the_scope_that_is_cancelled() {
    thread_local! {
        static IN_THE_SCOPE: RefCell<Option<Coroutine<(), (), ()>>> = const { RefCell::new(None) };
    }
    let told = |message: &str| {
        if message == "unpark"
            && let Some(coroutine) = IN_THE_SCOPE.with_borrow_mut(Option::take)
        {
            coroutine.resume(()).unwrap();
            // Another writes to its stack.
            let next = Coroutine::<(), (), ()>::new(|_, ()| {
                black_box([0x41_u8; 8192]);
            });
            next.resume(()).unwrap();
        }
    };
    run_told(told, || {
        let scope = Scope::new();
        let waiter = thread::spawn({
            let scope = scope.clone();
            move || scope.run(thread::park)
        });
        thread::yield_now();
        let coroutine = Coroutine::new({
            let scope = scope.clone();
            move |co, ()| scope.run(|| co.suspend(())).unwrap()
        });
        coroutine.resume(()).unwrap();
        IN_THE_SCOPE.set(Some(coroutine));
        scope.cancel("while they change");
        assert!(waiter.join().unwrap().is_err());
        assert!(IN_THE_SCOPE.take().is_none());
    });
}
