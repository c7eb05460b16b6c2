//! Runs: `run` and `Runtime`, what they refuse, and what remains at their end.

use std::cell::Cell;
use std::rc::Rc;

use greenlit::thread;
use greenlit::time::Duration;
use greenlit::{Runtime, run};

/// Behaviour 6.
#[test]
fn run_inside_run_is_refused() {
    let message = run(|| {
        let refused = std::panic::catch_unwind(|| run(|| ())).unwrap_err();
        refused
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    });
    assert_eq!(
        message.as_deref(),
        Some("run: this OS thread is already running a runtime")
    );
}

/// Behaviour 6.
#[test]
fn a_runtime_runs_again_and_two_do_not_know_each_other() {
    let mut runtime = Runtime::builder().build().unwrap();
    for round in 0..10 {
        assert_eq!(
            runtime.run(|| thread::spawn(move || round).join().unwrap()),
            round
        );
    }
    let others: Vec<_> = (0..4)
        .map(|n| std::thread::spawn(move || run(|| thread::spawn(move || n).join().unwrap())))
        .collect();
    let results: Vec<_> = others
        .into_iter()
        .map(|other| other.join().unwrap())
        .collect();
    assert_eq!(results, [0, 1, 2, 3]);
}

/// Behaviour 53.
#[test]
fn what_remains_at_the_end_is_unwound_and_joined() {
    struct OnDrop(Rc<Cell<u32>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            // A destructor may yield, sleep and join while its thread unwinds.
            thread::yield_now();
            thread::sleep(Duration::from_micros(10));
            let child = thread::spawn(|| ());
            let _ = child.join();
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let guard = || OnDrop(dropped.clone());
    run(|| {
        let (a, b, c, d) = (guard(), guard(), guard(), guard());
        thread::spawn(move || {
            let _guard = a;
            thread::park();
        });
        thread::spawn(move || {
            let _guard = b;
            thread::sleep(Duration::MAX);
        });
        let forever = thread::spawn(move || {
            let _guard = c;
            loop {
                thread::yield_now();
            }
        });
        thread::spawn(move || {
            let _ = forever.join();
        });
        thread::yield_now();
        thread::spawn(move || {
            let _guard = d; // Never started.
        });
    });
    assert_eq!(dropped.get(), 4);
}

/// Rule 19: a loop that catches the cancel and tries again still ends, once it stops catching.
#[test]
fn a_cancel_is_told_at_every_blocking_call() {
    let told = Rc::new(Cell::new(0));
    run(|| {
        let told = told.clone();
        thread::spawn(move || {
            for _ in 0..5 {
                let call = std::panic::AssertUnwindSafe(thread::park);
                if std::panic::catch_unwind(call).is_err() {
                    told.set(told.get() + 1);
                }
            }
        });
        thread::yield_now();
    });
    assert_eq!(told.get(), 5);
}

#[test]
fn run_may_borrow_and_passes_panics_on() {
    let mut local = vec![1];
    run(|| local.push(2));
    assert_eq!(local, [1, 2]);
    let payload = std::panic::catch_unwind(|| {
        run(|| {
            thread::spawn(thread::park);
            thread::yield_now();
            std::panic::resume_unwind(Box::new("from main"));
        })
    });
    assert_eq!(
        payload.unwrap_err().downcast_ref::<&str>(),
        Some(&"from main")
    );
    assert_eq!(run(|| 1), 1);
}

#[test]
fn max_threads_bounds_what_lives_at_once() {
    Runtime::builder().max_threads(2).build().unwrap().run(|| {
        let first = thread::spawn(thread::park);
        let second = thread::spawn(|| ());
        let refused = thread::Builder::new().spawn(|| ()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
        second.join().unwrap();
        thread::spawn(|| ()).join().unwrap();
        first.thread().unpark();
        first.join().unwrap();
    });
}
