//! Bugs of tasks and of what polls them; each test names one.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::process::Output;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::Duration;

use crate::alone::alone;
use crate::futures::{Gate, Log};
use greenlit::cancel::{self, Cancelled};
use greenlit::sync::Event;
use greenlit::time::Instant;
use greenlit::{future, thread};

/// Runs its closure when it goes.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A waker that runs its closure.
struct Calls<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// A task that was woken in its last poll, and whose value had a destructor that waited, was given up by
/// the next runner too: its memory was freed under its wakers, and they woke whatever lay there then.
#[test]
fn a_task_is_given_up_once_though_its_value_s_destructor_waits() {
    greenlit::run(|| {
        let kept = Rc::new(RefCell::new(None::<Waker>));
        let spawn = |polls: Rc<Cell<usize>>| {
            let kept = kept.clone();
            future::spawn(poll_fn(move |context| {
                polls.set(polls.get() + 1);
                if kept.borrow().is_some() {
                    return Poll::Pending;
                }
                *kept.borrow_mut() = Some(context.waker().clone());
                context.waker().wake_by_ref();
                Poll::Ready(OnDrop(|| thread::sleep(Duration::from_millis(1))))
            }))
        };
        drop(spawn(Rc::default()));
        thread::sleep(Duration::from_millis(5));
        let polls = Rc::new(Cell::new(0));
        let second = spawn(polls.clone());
        thread::yield_now();
        assert_eq!(polls.get(), 1);
        kept.borrow().as_ref().unwrap().wake_by_ref();
        thread::yield_now();
        assert_eq!(polls.get(), 1);
        second.cancel("over");
    });
}

/// A future that wakes itself while it is polled kept `block_on` from ever letting others run, and from
/// seeing a cancel.
#[test]
fn a_block_on_that_is_woken_in_its_poll_lets_others_run_and_can_be_cancelled() {
    let log = Log::default();
    greenlit::run(|| {
        let twice = |first, second| {
            let log = log.clone();
            thread::spawn(move || {
                future::block_on(async {
                    log.add(first);
                    future::yield_now().await;
                    log.add(second);
                });
            })
        };
        let (a, b) = (twice("a1", "a2"), twice("b1", "b2"));
        a.join().unwrap();
        b.join().unwrap();
        let spins = thread::spawn(|| {
            future::block_on(async {
                loop {
                    future::yield_now().await;
                }
            });
        });
        thread::yield_now();
        spins.cancel("enough");
        assert!(spins.join().unwrap_err().is::<Cancelled>());
    });
    assert_eq!(log.all(), ["a1", "b1", "a2", "b2"]);
}

/// A poll that yielded until another task had done something waited for ever: no other was polled.
#[test]
fn a_poll_that_yields_lets_other_tasks_go_on() {
    greenlit::run(|| {
        let done = Rc::new(Cell::new(false));
        let spins = future::spawn({
            let done = done.clone();
            async move {
                while !done.get() {
                    thread::yield_now();
                }
            }
        });
        let sets = future::spawn(async move { done.set(true) });
        spins.join().unwrap();
        sets.join().unwrap();
        let done = Rc::new(Cell::new(false));
        let sleeps = future::spawn({
            let done = done.clone();
            async move {
                while !done.get() {
                    thread::sleep(Duration::ZERO);
                }
            }
        });
        let sets = future::spawn(async move { done.set(true) });
        sleeps.join().unwrap();
        sets.join().unwrap();
    });
}

/// Has the end of a green thread leave `waker` to a runner.
fn leave(waker: Waker) -> thread::JoinHandle<()> {
    let mut child = thread::spawn(|| ());
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut child).poll(&mut context).is_pending());
    child
}

/// A waker of somebody else's that waited kept those behind it from being woken.
#[test]
fn a_waker_that_waits_keeps_no_other_waiting() {
    greenlit::run(|| {
        let event = Arc::new(Event::new());
        let (waits, sets) = (event.clone(), event.clone());
        let first = leave(Waker::from(Arc::new(Calls(move || waits.wait()))));
        let second = leave(Waker::from(Arc::new(Calls(move || sets.set()))));
        first.join().unwrap();
        second.join().unwrap();
        event.wait();
    });
}

/// An eager task that was spawned by such a waker hid that the runner was in the middle of something: when
/// the waker waited, all tasks did.
#[test]
fn a_waker_that_spawns_an_eager_task_and_waits_keeps_no_task_waiting() {
    greenlit::run(|| {
        let event = Arc::new(Event::new());
        let waits = event.clone();
        let child = leave(Waker::from(Arc::new(Calls(move || {
            let eager = future::Builder::new().eager(true).spawn(async {}).unwrap();
            waits.wait();
            drop(eager);
        }))));
        child.join().unwrap();
        thread::yield_now();
        let task = future::spawn(async move { event.set() });
        task.join().unwrap();
    });
}

/// A runner that waited in the destructor of a value that nobody joined, or in a waker of somebody
/// else's, was not cancelled at the end of the run: it was leaked.
#[test]
fn the_end_of_a_run_ends_what_runners_wait_for_outside_of_polls() {
    let test = "the_end_of_a_run_ends_what_runners_wait_for_outside_of_polls";
    let output = alone(test, || {
        let in_value = Rc::new(Cell::new(false));
        let in_waker = Arc::new(AtomicBool::new(false));
        greenlit::run(|| {
            let unwound = in_value.clone();
            drop(future::spawn(async move {
                OnDrop(move || {
                    let _unwound = OnDrop(|| unwound.set(true));
                    thread::park();
                })
            }));
            let unwound = in_waker.clone();
            let child = leave(Waker::from(Arc::new(Calls(move || {
                let _unwound = OnDrop(|| unwound.store(true, Ordering::Relaxed));
                thread::park();
            }))));
            child.join().unwrap();
            thread::yield_now();
            thread::yield_now();
        });
        assert!(in_value.get(), "in a value's destructor");
        assert!(in_waker.load(Ordering::Relaxed), "in a waker");
    });
    assert_no_report(output);
}

fn assert_no_report(output: Option<Output>) {
    if let Some(output) = output {
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("greenlit:"), "{text}");
    }
}

/// The end of a run took 20 ms longer than it had to where the last task was in the middle of a poll: a
/// runner that had nothing to do any more was not told.
#[test]
fn the_end_of_a_run_tells_the_runner_on_duty_that_the_last_task_has_gone() {
    let ends = (0..20).map(|_| {
        let begun = greenlit::run(|| {
            drop(future::spawn(async {
                let _later = OnDrop(thread::yield_now);
                thread::park();
            }));
            // Another runner polls this one.
            future::spawn(async {}).join().unwrap();
            Instant::now()
        });
        begun.elapsed()
    });
    // The shortest of all: on a busy machine some take long.
    let shortest = ends.min().unwrap();
    assert!(shortest < Duration::from_millis(10), "{shortest:?}");
}

/// A task's destructor that was ended by a cancel was reported as a panic.
#[test]
fn a_destructor_that_a_cancel_ends_is_not_reported() {
    let test = "a_destructor_that_a_cancel_ends_is_not_reported";
    let output = alone(test, || {
        greenlit::run(|| {
            let waits = OnDrop(thread::park);
            let task = future::spawn(async move {
                let _waits = waits;
                pending::<()>().await;
            });
            thread::yield_now();
            task.cancel("first");
            thread::yield_now();
            // The eager task's poll is ended by its spawner's cancel, and so is the task.
            let spawner = thread::spawn(|| {
                drop(
                    future::Builder::new()
                        .eager(true)
                        .spawn(async { thread::park() }),
                );
                thread::park();
            });
            thread::yield_now();
            spawner.cancel("too");
            let _ = spawner.join();
        });
    });
    assert_no_report(output);
}

/// An eager task that a destructor spawned in an unwinding hid that: where another green thread unwound
/// too, a cancel in the destructor began a second unwinding, which ends the process.
#[test]
fn an_eager_task_in_a_destructor_leaves_the_unwinding_known() {
    let test = "an_eager_task_in_a_destructor_leaves_the_unwinding_known";
    alone(test, || {
        greenlit::run(|| {
            let gate = Rc::new(Cell::new(false));
            let opened = gate.clone();
            let other = thread::spawn(move || {
                let _waits = OnDrop(|| {
                    while !opened.get() {
                        thread::yield_now();
                    }
                });
                thread::park();
            });
            thread::yield_now();
            other.cancel("unwinds");
            thread::yield_now();
            let task = future::spawn(async {
                let _eager = OnDrop(|| {
                    drop(future::Builder::new().eager(true).spawn(async {}));
                    thread::yield_now();
                });
                thread::park();
            });
            thread::yield_now();
            task.cancel("unwinds too");
            assert!(task.join().unwrap_err().is::<Cancelled>());
            gate.set(true);
            assert!(other.join().unwrap_err().is::<Cancelled>());
        });
    });
}

/// A spawner whose cancel had ended an eager task's first poll counted as unwinding as long as that task's
/// result was there: while another green thread unwound, nothing ended its own calls.
#[test]
fn a_cancel_that_an_eager_task_has_caught_ends_its_spawner_too() {
    greenlit::run(|| {
        let gate = Rc::new(Cell::new(false));
        let opened = gate.clone();
        let other = thread::spawn(move || {
            let _waits = OnDrop(|| {
                while !opened.get() {
                    thread::yield_now();
                }
            });
            thread::park();
        });
        thread::yield_now();
        other.cancel("unwinds");
        thread::yield_now();
        let spawner = thread::spawn(|| {
            let parks = async { thread::park() };
            let eager = future::Builder::new().eager(true).spawn(parks).unwrap();
            thread::yield_now();
            eager.is_finished()
        });
        thread::yield_now();
        spawner.cancel("now");
        let ended = spawner.join();
        gate.set(true);
        assert!(ended.unwrap_err().is::<Cancelled>());
        let _ = other.join();
    });
}

/// Tasks for which there was no runner, since there was no stack for one, were never polled, though
/// stacks were given back meanwhile.
#[test]
fn tasks_get_a_runner_when_there_is_a_stack_for_one_again() {
    alone(
        "tasks_get_a_runner_when_there_is_a_stack_for_one_again",
        || {
            use nix::sys::resource::{Resource, getrlimit, setrlimit};
            let polled = Rc::new(Cell::new(0));
            let count = polled.clone();
            greenlit::run(move || {
                let (_, most) = getrlimit(Resource::RLIMIT_AS).unwrap();
                let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
                let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
                let sanitized =
                    cfg!(greenlit_sanitize = "address") || cfg!(greenlit_sanitize = "thread");
                if sanitized
                    || setrlimit(Resource::RLIMIT_AS, pages * 4096 + (16 << 20), most).is_err()
                {
                    return count.set(2);
                }
                let mut parked = Vec::new();
                while let Ok(handle) = thread::Builder::new().spawn(thread::park) {
                    if parked.len() > 10_000 {
                        // The system does not enforce the limit.
                        return count.set(2);
                    }
                    parked.push(handle);
                }
                let task = future::spawn({
                    let count = count.clone();
                    async move { count.set(count.get() + 1) }
                });
                // All wait, and some end: the last of them on its own stack still.
                for _ in 0..2 {
                    parked.pop().unwrap().thread().unpark();
                }
                task.join().unwrap();
                // And the same at the end of a run.
                while let Ok(handle) = thread::Builder::new().spawn(thread::park) {
                    parked.push(handle);
                }
                let counts = OnDrop(move || count.set(count.get() + 1));
                drop(future::spawn(async move {
                    let _counts = counts;
                    pending::<()>().await;
                }));
            });
            assert_eq!(polled.get(), 2);
        },
    );
}

/// What listens for requests in a poll, or in a scope's thread that a poll waits for, did not hear of one
/// that had come before that poll.
#[test]
fn a_request_between_polls_is_heard_by_who_listens() {
    greenlit::run(|| {
        let gate = Gate::default();
        let task = future::spawn({
            let gate = gate.clone();
            async move {
                gate.await;
                let own = cancel::until_requested(thread::park).is_err();
                let child = thread::scope(|scope| {
                    let child = scope.spawn(|| {
                        thread::yield_now();
                        cancel::requested().is_some()
                    });
                    child.join().unwrap()
                });
                (own, child)
            }
        });
        thread::yield_now();
        task.cancel_softly("please", Duration::MAX);
        gate.open();
        assert_eq!(task.join().unwrap(), (true, true));
    });
}

/// Who listened in a scope that a task's poll waited for did not hear that the task was asked to end.
#[test]
fn a_request_to_a_task_is_heard_in_its_scopes() {
    greenlit::run(|| {
        let task = future::spawn(async {
            thread::scope(|scope| {
                let child = scope.spawn(|| cancel::until_requested(thread::park).is_err());
                child.join().unwrap()
            })
        });
        thread::yield_now();
        thread::yield_now();
        task.cancel_softly("please", Duration::MAX);
        assert!(task.join().unwrap());
    });
}

/// What ended while the waker of who awaited it was cloned woke nobody.
#[test]
fn an_end_while_the_waker_is_cloned_is_not_missed() {
    greenlit::run(|| {
        let gate = Gate::default();
        let mut task = future::spawn(gate.clone());
        let mut child = thread::spawn(thread::park);
        thread::yield_now();
        gate.open();
        child.thread().unpark();
        // SAFETY: the table's functions use no data.
        let waker = unsafe { Waker::new(std::ptr::null(), &YIELDS) };
        assert!(poll(&mut task, &waker).is_ready());
        assert!(poll(&mut child, &waker).is_ready());
    });
}

/// A waker whose clones yield, and that wakes nobody.
static YIELDS: RawWakerVTable = RawWakerVTable::new(
    |_| {
        thread::yield_now();
        RawWaker::new(std::ptr::null(), &YIELDS)
    },
    |_| {},
    |_| {},
    |_| {},
);

fn poll<T>(handle: &mut thread::JoinHandle<T>, waker: &Waker) -> Poll<std::thread::Result<T>> {
    Pin::new(handle).poll(&mut Context::from_waker(waker))
}
