//! What futures, tasks and wakers once did wrong: each test was seen to fail.

#![expect(
    unsafe_code,
    reason = "a waker whose clone is ours; a suspender in a future that is 'static"
)]

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::pipe;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use greenlit::coroutine::{Coroutine, State, Suspender};
use greenlit::future::{self, Promise, block_on};
use greenlit::io::Source;
use greenlit::{Handle, Runtime, thread};

/// A waker that calls a function.
struct Calls<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn waker(f: impl Fn() + Send + Sync + 'static) -> Waker {
    Arc::new(Calls(f)).into()
}

/// A waker that is called at the end of a run could start something that the run does not see
/// any more, and the next one began in it.
#[test]
fn a_waker_at_the_end_of_a_run_starts_nothing_in_it() {
    let (reader, _writer) = pipe().unwrap();
    let source = Source::new(reader).unwrap();
    let called = Arc::new(AtomicUsize::new(0));
    let mut runtime = Runtime::builder().build().unwrap();
    runtime.run(|| {
        let (handle, called) = (Handle::current(), called.clone());
        let waker = waker(move || {
            let called = called.clone();
            drop(handle.call_soon(move || called.fetch_add(1, Ordering::Relaxed)));
        });
        let mut context = Context::from_waker(&waker);
        assert!(source.poll_readable(&mut context).is_pending());
    });
    assert_eq!(called.load(Ordering::Relaxed), 0);
    let name = runtime.run(|| {
        let name = thread::current().name().map(str::to_owned);
        thread::spawn(|| {}).join().unwrap();
        thread::sleep(Duration::from_millis(1));
        name
    });
    assert_eq!(name.as_deref(), Some("main"));
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

greenlit::thread_local! {
    static LOCAL: RefCell<Option<Rc<Cell<u32>>>> = const { RefCell::new(None) };
}

/// Keeps something in a local when it is dropped.
struct Keeps(Rc<Cell<u32>>);

impl Drop for Keeps {
    fn drop(&mut self) {
        LOCAL.with_borrow_mut(|local| *local = Some(self.0.clone()));
    }
}

/// What a task's result made under a local key stayed with the runner, whose end did not destroy it: who
/// had its place later found it there.
#[test]
fn locals_that_a_result_makes_go_with_the_task() {
    let kept = Rc::new(Cell::new(0));
    let mut runtime = Runtime::builder().build().unwrap();
    runtime.run(|| {
        let result = Keeps(kept.clone());
        drop(future::spawn(async move { result }));
        thread::sleep(Duration::from_millis(1));
    });
    assert_eq!(Rc::strong_count(&kept), 1);
    runtime.run(|| {
        let all = [(); 4].map(|()| thread::spawn(|| LOCAL.with_borrow(Option::is_none)));
        all.into_iter().for_each(|one| assert!(one.join().unwrap()));
    });
}

/// The first poll of an eager task in a coroutine's body could be carried to another green thread, or out
/// of the run.
#[test]
fn an_eager_task_in_a_coroutine_is_polled_by_a_runner() {
    let polled = Rc::new(Cell::new(false));
    let is_polled = polled.clone();
    let coroutine = greenlit::run(|| {
        let coroutine = Coroutine::new(|co, ()| {
            let co: *const Suspender<(), ()> = co;
            let in_body = Rc::new(Cell::new(true));
            let is_in_body = in_body.clone();
            let task = poll_fn(move |_| {
                if is_in_body.get() {
                    // SAFETY: the body is in the middle of the call that polls this.
                    unsafe { &*co }.suspend(());
                }
                is_polled.set(true);
                Poll::Ready(())
            });
            drop(future::Builder::new().eager(true).spawn(task).unwrap());
            in_body.set(false);
        });
        let first = thread::spawn(move || {
            coroutine.resume(()).unwrap();
            coroutine
        });
        let coroutine = first.join().unwrap();
        for _ in 0..4 {
            thread::spawn(thread::yield_now).join().unwrap();
        }
        coroutine
    });
    assert_eq!(coroutine.state(), State::Done);
    assert!(polled.get());
}

/// A waker that panics kept those behind it from being woken.
#[test]
fn a_waker_that_panics_keeps_no_other_from_a_promise() {
    let promise = Promise::new();
    let woken = Arc::new(AtomicBool::new(false));
    let mut first = pin!(promise.settled());
    let mut second = pin!(promise.settled());
    let panics = waker(|| panic!("on purpose"));
    let notes = {
        let woken = woken.clone();
        waker(move || woken.store(true, Ordering::Relaxed))
    };
    assert!(
        first
            .as_mut()
            .poll(&mut Context::from_waker(&panics))
            .is_pending()
    );
    assert!(
        second
            .as_mut()
            .poll(&mut Context::from_waker(&notes))
            .is_pending()
    );
    assert!(catch_unwind(AssertUnwindSafe(|| promise.set(1))).is_err());
    assert!(woken.load(Ordering::Relaxed));
}

/// A sleep that another executor had polled in a run was not woken when that ended.
#[test]
fn a_sleep_is_woken_when_its_run_ends() {
    let (sender, receiver) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let waker = waker(move || sender.lock().unwrap().send(()).unwrap());
    let mut sleep = future::sleep(Duration::from_millis(20));
    let mut runtime = Runtime::builder().build().unwrap();
    runtime.run(|| {
        assert!(
            Pin::new(&mut sleep)
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    });
    receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    // Others poll it from now on.
    block_on(sleep);
}

thread_local! {
    static AT_EXIT: RefCell<Option<Resumes>> = const { RefCell::new(None) };
}

struct Resumes(Coroutine<(), (), ()>);

impl Drop for Resumes {
    fn drop(&mut self) {
        let _ = self.0.resume(());
    }
}

/// A coroutine that was suspended in the poll of a `block_on`, and went on in the destructors of the
/// OS thread's locals, found there what was freed already.
#[test]
fn a_poll_that_ends_in_a_destructor_of_the_os_thread_may_clone_its_waker() {
    std::thread::spawn(|| {
        AT_EXIT.with(|_| ());
        let coroutine = Coroutine::new(|co, ()| {
            block_on(poll_fn(|context| {
                co.suspend(());
                drop(context.waker().clone());
                Poll::Ready(())
            }));
        });
        coroutine.resume(()).unwrap();
        AT_EXIT.with_borrow_mut(|slot| *slot = Some(Resumes(coroutine)));
    })
    .join()
    .unwrap();
}

/// A waker whose clone parks.
fn parks_in_clone(counter: &'static AtomicUsize) -> Waker {
    use std::task::{RawWaker, RawWakerVTable};
    fn clone(data: *const ()) -> RawWaker {
        thread::sleep(Duration::from_millis(5));
        RawWaker::new(data, &VTABLE)
    }
    fn wake(data: *const ()) {
        // SAFETY: the data is a static counter.
        unsafe { &*data.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
    }
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| ());
    let data: *const AtomicUsize = counter;
    // SAFETY: the functions are thread-safe.
    unsafe { Waker::from_raw(RawWaker::new(data.cast(), &VTABLE)) }
}

/// The deadline passed while the waker was cloned, and nobody was told.
#[test]
fn a_deadline_while_a_waker_is_cloned_is_not_missed() {
    static WOKEN: AtomicUsize = AtomicUsize::new(0);
    greenlit::run(|| {
        let mut sleep = future::sleep(Duration::from_millis(1));
        let mut first = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut sleep).poll(&mut first).is_pending());
        let waker = parks_in_clone(&WOKEN);
        let mut second = Context::from_waker(&waker);
        let polled = Pin::new(&mut sleep).poll(&mut second);
        assert!(sleep.is_elapsed());
        assert!(polled.is_ready() || WOKEN.load(Ordering::Relaxed) > 0);
    });
}
