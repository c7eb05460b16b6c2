//! Admission of tasks: how many a runtime takes in, and what becomes of what it turns away.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::Poll;

use greenlit::thread::TrySpawnError;
use greenlit::{Runtime, event_loop, future, thread};

fn run(max_tasks: usize, f: impl FnOnce()) {
    let runtime = Runtime::builder().max_tasks(max_tasks).build();
    runtime.unwrap().run(f);
}

/// Behaviour 4: it is what comes in that is bounded.
#[test]
fn a_full_runtime_gives_the_future_back() {
    run(2, || {
        let stuck = future::spawn(pending::<()>());
        drop(future::spawn(async {}));
        let marker = Rc::new(());
        let held = marker.clone();
        let refused = future::try_spawn(async move { drop(held) }).unwrap_err();
        assert!(refused.is_full());
        assert_eq!(Rc::strong_count(&marker), 2);
        let error = future::Builder::new().spawn(async {}).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let refused = future::Builder::new().try_spawn(refused.into_inner());
        let refused = refused.unwrap_err();
        // The second ends, so one more may live.
        thread::yield_now();
        let admitted = future::try_spawn(refused.into_inner()).unwrap();
        assert!(future::try_spawn(async {}).unwrap_err().is_full());
        admitted.join().unwrap();
        assert_eq!(Rc::strong_count(&marker), 1);
        drop(stuck);
    });
}

#[test]
fn outside_a_runtime_the_future_comes_back() {
    let refused = future::try_spawn(async { 5 }).unwrap_err();
    assert!(matches!(refused, TrySpawnError::NoRuntime(_)));
    let five = greenlit::run(|| future::block_on(refused.into_inner()));
    assert_eq!(five, 5);
}

#[test]
#[should_panic(expected = "spawn: as many live already")]
fn spawn_panics_where_the_runtime_is_full() {
    run(0, || drop(future::spawn(async {})));
}

/// Behaviour 4: callbacks and wake-ups are taken in, however many tasks there are.
#[test]
fn callbacks_and_wake_ups_are_never_turned_away() {
    run(1, || {
        let wakes = Rc::new(Cell::new(0));
        let task = {
            let wakes = wakes.clone();
            future::spawn(poll_fn(move |context| {
                wakes.set(wakes.get() + 1);
                context.waker().wake_by_ref();
                match wakes.get() {
                    100 => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            }))
        };
        let called = Rc::new(Cell::new(0));
        for _ in 0..100 {
            let called = called.clone();
            event_loop::call_soon(move || called.set(called.get() + 1));
        }
        task.join().unwrap();
        assert_eq!((wakes.get(), called.get()), (100, 100));
        // All have ended, the callbacks too.
        future::spawn(async {}).join().unwrap();
    });
}

#[test]
fn runners_take_no_place_among_the_green_threads() {
    let mut runtime = Runtime::builder().max_threads(1).build().unwrap();
    runtime.run(|| {
        future::spawn(async {}).join().unwrap();
        let only = thread::try_spawn(thread::park).unwrap();
        assert!(thread::try_spawn(|| ()).unwrap_err().is_full());
        future::spawn(async {}).join().unwrap();
        only.thread().unpark();
    });
}
