//! `blocking::unblock`: results and panics come back, others run meanwhile, calls overlap, and an
//! abandoned call runs to its end elsewhere.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};

use greenlit::blocking::unblock;
use greenlit::{run, thread};

#[test]
fn smoke() {
    assert_eq!(run(|| unblock(|| 6 * 7)), 42);
}

#[test]
fn it_runs_on_another_os_thread_and_in_place_outside_a_runtime() {
    let here = std::thread::current().id();
    let there = run(|| unblock(|| std::thread::current().id()));
    assert_ne!(there, here);
    assert_eq!(unblock(|| std::thread::current().id()), here);
}

#[test]
fn a_panic_comes_back_with_its_payload() {
    run(|| {
        let panics = || unblock(|| std::panic::resume_unwind(Box::new(7_u8)));
        let payload = catch_unwind(panics).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&7_u8));
        // The pool's thread is as good as before.
        assert_eq!(unblock(|| 1), 1);
    });
}

/// Each call waits until three are in flight: they end only if they overlap.
#[test]
fn calls_overlap() {
    let barrier = Arc::new(Barrier::new(3));
    run(|| {
        let calls: Vec<_> = (0..3)
            .map(|_| {
                let barrier = barrier.clone();
                thread::spawn(move || unblock(move || barrier.wait().is_leader()))
            })
            .collect();
        let leaders = calls.into_iter().filter_map(|call| call.join().ok());
        assert_eq!(leaders.filter(|leader| *leader).count(), 1);
    });
}

/// The call ends only once a green thread that runs meanwhile says so.
#[test]
fn others_run_meanwhile() {
    run(|| {
        let (tell, told) = channel();
        let other = thread::spawn(move || tell.send("from the other").unwrap());
        assert_eq!(unblock(move || told.recv().unwrap()), "from the other");
        other.join().unwrap();
    });
}

/// The green thread unwinds while the call is under way, which ends afterwards all the same.
#[test]
fn a_cancelled_thread_leaves_its_call_to_end_elsewhere() {
    let (tell, told) = channel::<()>();
    let (end, ended) = channel();
    let unwound = Rc::new(Cell::new(false));
    run(|| {
        let unwound = Unwound(unwound.clone());
        thread::spawn(move || {
            let _unwound = unwound;
            unblock(move || {
                let word = told.recv();
                end.send(word).unwrap();
            });
            unreachable!("the run ends first");
        });
        thread::yield_now();
    });
    assert!(unwound.get());
    tell.send(()).unwrap();
    assert_eq!(ended.recv().unwrap(), Ok(()));
}

struct Unwound(Rc<Cell<bool>>);

impl Drop for Unwound {
    fn drop(&mut self) {
        self.0.set(std::thread::panicking());
    }
}

/// A result that nobody waits for any more is dropped where it came to be.
#[test]
fn the_result_of_an_abandoned_call_is_dropped() {
    struct Tells(std::sync::mpsc::Sender<std::thread::ThreadId>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(std::thread::current().id());
        }
    }
    let (go, told) = channel::<()>();
    let (tell, dropped) = channel();
    run(|| {
        thread::spawn(move || {
            unblock(move || {
                told.recv().unwrap();
                Tells(tell)
            })
        });
        thread::yield_now();
    });
    go.send(()).unwrap();
    assert_ne!(dropped.recv().unwrap(), std::thread::current().id());
}

/// A destructor that runs while its thread unwinds waits for its call.
#[test]
fn a_destructor_of_a_cancelled_thread_waits_for_its_call() {
    struct CallsInDrop(Arc<AtomicBool>);
    impl Drop for CallsInDrop {
        fn drop(&mut self) {
            let flag = self.0.clone();
            let before = unblock(move || flag.swap(true, Ordering::SeqCst));
            assert!(!before);
        }
    }
    let called = Arc::new(AtomicBool::new(false));
    run(|| {
        let calls = CallsInDrop(called.clone());
        thread::spawn(move || {
            let _calls = calls;
            thread::park();
        });
        thread::yield_now();
    });
    assert!(called.load(Ordering::SeqCst));
}

/// A cancel ends a call before it is made, also where nothing would have to be waited for.
#[test]
fn a_cancelled_thread_begins_no_call() {
    let begun = Arc::new(AtomicBool::new(false));
    run(|| {
        let begun = begun.clone();
        thread::spawn(move || {
            let _ = catch_unwind(AssertUnwindSafe(thread::park));
            let begun = begun.clone();
            unblock(move || begun.store(true, Ordering::SeqCst));
        });
        thread::yield_now();
    });
    assert!(!begun.load(Ordering::SeqCst));
}

/// While a call is under way its wait is no deadlock, though nothing else could end it.
#[test]
fn a_call_under_way_is_no_deadlock() {
    run(|| {
        unblock(|| {
            // Longer than the runtime's patience before it looks for one.
            std::thread::sleep(std::time::Duration::from_millis(20));
        });
    });
}
