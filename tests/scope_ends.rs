//! However a scope's owner ends, its threads end first: a cancel, a deadlock, a coroutine that is
//! dropped or leaked with a scope on its stack.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::rc::Rc;

use crate::alone::{self, alone, alone_as};
use greenlit::coroutine::{Coroutine, Family, Resumed};
use greenlit::{run, thread};

/// Notes its end in a log.
struct Note<'a>(&'a RefCell<Vec<&'static str>>, &'static str);

impl Drop for Note<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

/// Runs `f`, which has to panic, and returns what it said.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a message")).to_owned(),
    }
}

/// Starts `test` again where it leaks, which LeakSanitizer would report.
fn leaking(test: &str) -> Command {
    let mut command = alone::again(test);
    let options = std::env::var("ASAN_OPTIONS").unwrap_or_default();
    command.env("ASAN_OPTIONS", format!("{options}:detect_leaks=0"));
    command
}

/// Behaviour 31: the end of the run cancels an owner that waits, and its threads end before it.
#[test]
fn a_cancelled_owner_unwinds_after_its_threads() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(|| {
        let log = log.clone();
        thread::spawn(move || {
            let _owner = Note(&log, "owner");
            let borrowed = Note(&log, "borrowed");
            thread::scope(|s| {
                let in_thread = || {
                    let _own = Note(borrowed.0, "thread");
                    thread::park();
                };
                s.spawn(in_thread);
                s.spawn(in_thread);
            });
            unreachable!("the scope was cancelled");
        });
        thread::yield_now();
        thread::yield_now();
    });
    assert_eq!(log.take(), ["thread", "thread", "borrowed", "owner"]);
}

/// The same where the cancel meets the owner inside the scope's closure.
#[test]
fn a_cancel_in_the_closure_waits_for_the_threads() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(|| {
        let log = log.clone();
        thread::spawn(move || {
            let borrowed = Note(&log, "borrowed");
            thread::scope(|s| {
                s.spawn(|| {
                    let _own = Note(borrowed.0, "thread");
                    thread::park();
                });
                thread::yield_now();
                thread::park();
            });
        });
        thread::yield_now();
        thread::yield_now();
    });
    assert_eq!(log.take(), ["thread", "borrowed"]);
}

/// A thread that waits in a destructor while it unwinds holds up its owner.
#[test]
fn a_cancelled_owner_waits_for_slow_destructors() {
    struct Slow<'a>(&'a Cell<u32>);
    impl Drop for Slow<'_> {
        fn drop(&mut self) {
            for _ in 0..5 {
                thread::yield_now();
                self.0.set(self.0.get() + 1);
            }
        }
    }
    let steps = Rc::new(Cell::new(0));
    run(|| {
        let steps = steps.clone();
        thread::spawn(move || {
            thread::scope(|s| {
                s.spawn(|| {
                    let _slow = Slow(&steps);
                    thread::park();
                });
            });
        });
        thread::yield_now();
        thread::yield_now();
    });
    assert_eq!(steps.get(), 5);
}

/// What a scope's thread spawns in the scope after it was cancelled is cancelled too.
#[test]
fn a_cancelled_scope_starts_nothing() {
    struct Spawns<F: Fn()>(F);
    impl<F: Fn()> Drop for Spawns<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let ran = Cell::new(false);
    let report = panic_of(|| {
        run(|| {
            thread::scope(|s| {
                s.spawn(|| {
                    let _spawns = Spawns(|| {
                        s.spawn(|| ran.set(true));
                    });
                    thread::park();
                });
            });
        });
    });
    assert!(report.starts_with("deadlock"));
    assert!(!ran.get());
}

/// Behaviour 54: the report comes out of the scope, once its threads and theirs have ended.
#[test]
fn a_deadlock_ends_the_threads_first() {
    let log = RefCell::new(Vec::new());
    let report = panic_of(|| {
        run(|| {
            let _borrowed = Note(&log, "borrowed");
            thread::scope(|s| {
                s.spawn(|| {
                    let _own = Note(&log, "thread");
                    thread::scope(|inner| {
                        inner.spawn(|| {
                            let _own = Note(&log, "inner");
                            thread::park();
                        });
                    });
                });
            });
        });
    });
    assert!(report.starts_with("deadlock: all 3 green threads are parked"));
    let reason = "waiting for the green threads of its scope";
    assert_eq!(report.matches(reason).count(), 2, "{report}");
    assert_eq!(log.take(), ["inner", "thread", "borrowed"]);
}

/// Threads that cannot be stopped may use what they borrow for ever: the scope does not go on.
#[test]
fn a_scope_that_can_never_end_aborts() {
    struct Stubborn;
    impl Drop for Stubborn {
        fn drop(&mut self) {
            let never = thread::spawn(|| {
                let _stubborn = Stubborn;
                thread::park();
            });
            let _ = never.join();
        }
    }
    if alone::is_alone() {
        alone("a_scope_that_can_never_end_aborts", || {
            run(|| {
                thread::scope(|s| {
                    s.spawn(|| {
                        let _stubborn = Stubborn;
                        thread::park();
                    });
                });
            });
        });
        return;
    }
    let child = alone::again("a_scope_that_can_never_end_aborts")
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success());
    let line = "cannot end: its green threads were cancelled and do not stop";
    assert!(err.contains(line), "{err}");
    assert!(err.contains("the scope at tests/scope_ends.rs:"), "{err}");
}

/// A scope whose end would have to wait where nobody may switch: its threads end all the same, and the
/// panic that says so goes on.
#[test]
fn a_scope_in_a_region_without_switches() {
    let log = RefCell::new(Vec::new());
    run(|| {
        let report = panic_of(|| {
            thread::no_switch(|| {
                thread::scope(|s| {
                    s.spawn(|| {
                        let _own = Note(&log, "thread");
                        thread::park();
                    });
                });
            });
        });
        assert!(report.starts_with("no_switch: "), "{report}");
        // And the region is what it was for whoever catches that inside it.
        thread::no_switch(|| {
            let inside = || thread::scope(|s| drop(s.spawn(thread::park)));
            assert!(panic_of(inside).starts_with("no_switch: "));
            assert!(panic_of(thread::yield_now).starts_with("no_switch: "));
        });
    });
    assert!(log.take().is_empty());
}

/// Rule 1: a thread that was spawned on a coroutine's stack is another green thread.
#[test]
fn a_scoped_thread_does_not_suspend_its_parent_s_coroutine() {
    run(|| {
        let coroutine: Coroutine<(), u32, &str> = Coroutine::new(|co, ()| {
            thread::scope(|s| {
                let payload = s.spawn(|| co.suspend(1)).join().unwrap_err();
                let message = payload.downcast_ref::<String>().unwrap();
                assert!(message.starts_with("suspend at tests/scope_ends.rs"));
                assert!(message.ends_with("outside of the coroutine that it belongs to"));
            });
            co.suspend(2);
            "done"
        });
        assert_eq!(coroutine.resume(()), Ok(Resumed::Yielded(2)));
        assert_eq!(coroutine.resume(()), Ok(Resumed::Returned("done")));
    });
}

/// Rule 1, for symmetric coroutines.
#[test]
fn a_scoped_thread_does_not_yield_for_its_parent_s_coroutine() {
    run(|| {
        let family: Family = Family::new();
        let member = family.declare();
        family.define(member, |here, ()| {
            thread::scope(|s| {
                let payload = s.spawn(|| drop(here.yield_to(here.main()))).join();
                let payload = payload.unwrap_err();
                let message = payload.downcast_ref::<String>().unwrap();
                assert!(message.starts_with("yield_to at tests/scope_ends.rs"));
            });
        });
        family.yield_to(member).unwrap();
    });
}

/// A coroutine that is left in the middle of a scope, and then dropped, unwinds after the threads.
#[test]
fn a_coroutine_that_is_dropped_inside_a_scope_waits() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(|| {
        let coroutine: Coroutine<(), (), ()> = Coroutine::new({
            let log = log.clone();
            move |co, ()| {
                let borrowed = Note(&log, "borrowed");
                thread::scope(|s| {
                    s.spawn(|| {
                        (0..5).for_each(|_| thread::yield_now());
                        borrowed.0.borrow_mut().push("thread");
                    });
                    co.suspend(());
                });
            }
        });
        coroutine.resume(()).unwrap();
        drop(coroutine);
        log.borrow_mut().push("dropped");
    });
    assert_eq!(log.take(), ["thread", "borrowed", "dropped"]);
}

/// Whoever continues the coroutine is who waits.
#[test]
fn another_green_thread_may_end_the_scope() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(|| {
        let coroutine: Coroutine<(), (), ()> = Coroutine::new({
            let log = log.clone();
            move |co, ()| {
                thread::scope(|s| {
                    s.spawn(|| {
                        (0..5).for_each(|_| thread::yield_now());
                        log.borrow_mut().push("thread");
                    });
                    co.suspend(());
                });
                log.borrow_mut().push("coroutine");
            }
        });
        coroutine.resume(()).unwrap();
        thread::spawn(move || coroutine.resume(()).map(|_| ()).unwrap())
            .join()
            .unwrap();
    });
    assert_eq!(log.take(), ["thread", "coroutine"]);
}

/// Its threads live on what is leaked with it.
#[test]
fn a_coroutine_that_is_leaked_inside_a_scope_stays() {
    let test = "a_coroutine_that_is_leaked_inside_a_scope_stays";
    alone_as(&mut leaking(test), || {
        let ended = Rc::new(Cell::new(0));
        run(|| {
            let coroutine: Coroutine<(), (), ()> = Coroutine::new({
                let ended = ended.clone();
                move |co, ()| {
                    let numbers = [1, 2, 3];
                    thread::scope(|s| {
                        s.spawn(|| {
                            (0..5).for_each(|_| thread::yield_now());
                            ended.set(numbers.iter().sum());
                        });
                        co.suspend(());
                    });
                }
            });
            coroutine.resume(()).unwrap();
            std::mem::forget(coroutine);
            (0..10).for_each(|_| thread::yield_now());
        });
        assert_eq!(ended.get(), 6);
    });
}

/// In std such a scope never ends.
#[test]
fn a_handle_that_is_forgotten_holds_up_nothing() {
    let test = "a_handle_that_is_forgotten_holds_up_nothing";
    alone_as(&mut leaking(test), || {
        run(|| {
            thread::scope(|s| std::mem::forget(s.spawn(|| ())));
            let report = panic_of(|| {
                thread::scope(|s| std::mem::forget(s.spawn(|| resume_unwind(Box::new("two")))));
            });
            assert_eq!(report, "a scoped thread panicked");
        });
    });
}

/// The run ends the threads of a scope that outlives it; the scope then ends outside.
#[test]
fn a_scope_in_a_coroutine_may_outlive_the_run() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let coroutine: Coroutine<(), (), &str> = Coroutine::new({
        let log = log.clone();
        move |co, ()| {
            thread::scope(|s| {
                s.spawn(|| {
                    let _own = Note(&log, "thread");
                    thread::park();
                });
                co.suspend(());
            });
            "ended"
        }
    });
    run(|| {
        coroutine.resume(()).unwrap();
        thread::yield_now();
    });
    assert_eq!(log.take(), ["thread"]);
    assert_eq!(coroutine.resume(()), Ok(Resumed::Returned("ended")));
}
