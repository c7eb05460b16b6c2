//! Scopes: green threads that borrow. `tests/scope_ends.rs` has the ways in which an owner may end.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use greenlit::thread::{self, Builder, Scope, ScopedJoinHandle};
use greenlit::{Runtime, run};

/// What a panic said.
fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .expect("a message")
}

/// Runs `f`, which has to panic.
fn panic_of<T>(f: impl FnOnce() -> T) -> Box<dyn std::any::Any + Send> {
    catch_unwind(AssertUnwindSafe(|| drop(f()))).expect_err("a panic")
}

/// Behaviour 31.
#[test]
fn smoke() {
    let words = [String::from("two"), String::from("threads")];
    let mut longest = 0;
    let count = run(|| {
        thread::scope(|s| {
            s.spawn(|| longest = words.iter().map(String::len).max().unwrap());
            s.spawn(|| words.len()).join().unwrap()
        })
    });
    assert_eq!((count, longest), (2, 7));
}

/// Behaviour 31: what nobody joins is waited for.
#[test]
fn the_end_of_a_scope_waits_for_all() {
    let ended = Cell::new(0);
    run(|| {
        let answer = thread::scope(|s| {
            for rounds in 0..10 {
                let ended = &ended;
                s.spawn(move || {
                    (0..rounds).for_each(|_| thread::yield_now());
                    ended.set(ended.get() + 1);
                });
            }
            assert_eq!(ended.get(), 0);
            42
        });
        assert_eq!((answer, ended.get()), (42, 10));
    });
}

#[test]
fn spawn_order_is_run_order() {
    let log = RefCell::new(Vec::new());
    run(|| {
        thread::scope(|s| {
            for n in 0..5 {
                let log = &log;
                s.spawn(move || log.borrow_mut().push(n));
            }
        });
    });
    assert_eq!(log.take(), [0, 1, 2, 3, 4]);
}

#[test]
fn handles_are_std_s() {
    run(|| {
        let name = String::from("worker");
        thread::scope(|s| {
            let builder = Builder::new().name(name.clone()).stack_size(64 * 1024);
            let handle: ScopedJoinHandle<'_, &str> =
                builder.spawn_scoped(s, || name.as_str()).unwrap();
            assert_eq!(handle.thread().name(), Some("worker"));
            assert!(!handle.is_finished());
            let id = handle.thread().id();
            assert_ne!(id, thread::current().id());
            thread::yield_now();
            assert!(handle.is_finished());
            assert_eq!(handle.join().unwrap(), "worker");
        });
    });
}

/// A handle says who it is for, and a scope how it is.
#[test]
fn debug_forms_name_what_they_are() {
    run(|| {
        thread::scope(|s| {
            let handle = s.spawn(|| ());
            assert!(format!("{s:?}").starts_with("Scope { running: 1"));
            assert!(format!("{handle:?}").starts_with("ScopedJoinHandle"));
        });
    });
}

#[test]
fn a_thread_spawns_its_siblings() {
    fn spread<'scope>(s: &'scope Scope<'scope, '_>, left: u32, count: &'scope Cell<u32>) {
        count.set(count.get() + 1);
        if left > 0 {
            s.spawn(move || spread(s, left - 1, count));
            s.spawn(move || spread(s, left - 1, count));
        }
    }
    let count = Cell::new(0);
    run(|| thread::scope(|s| spread(s, 6, &count)));
    assert_eq!(count.get(), 127);
}

#[test]
fn a_sibling_joins_a_sibling() {
    let answer = run(|| {
        thread::scope(|s| {
            let first = s.spawn(|| {
                thread::yield_now();
                20
            });
            s.spawn(move || first.join().unwrap() + 1).join().unwrap()
        })
    });
    assert_eq!(answer, 21);
}

#[test]
fn a_scope_in_a_scope_s_thread() {
    let total = Cell::new(0);
    run(|| {
        thread::scope(|outer| {
            for _ in 0..3 {
                outer.spawn(|| {
                    let part = Cell::new(0);
                    thread::scope(|inner| {
                        for n in 1..=4 {
                            let part = &part;
                            inner.spawn(move || {
                                thread::yield_now();
                                part.set(part.get() + n);
                            });
                        }
                    });
                    total.set(total.get() + part.get());
                });
            }
        });
    });
    assert_eq!(total.get(), 30);
}

/// Behaviour 4.
#[test]
fn ten_thousand_threads_in_a_scope() {
    let data: Vec<u64> = (0..10_000).collect();
    let sum = Cell::new(0);
    let mut runtime = Runtime::builder().stack_size(16 * 1024).build().unwrap();
    runtime.run(|| {
        thread::scope(|s| {
            for n in &data {
                let sum = &sum;
                s.spawn(move || {
                    thread::yield_now();
                    sum.set(sum.get() + n);
                });
            }
        });
    });
    assert_eq!(sum.get(), 49_995_000);
}

/// Behaviours 31 and 44.
#[test]
fn a_panic_that_is_joined_is_the_joiner_s() {
    run(|| {
        let answer = thread::scope(|s| {
            let payload = s.spawn(|| resume_unwind(Box::new(17_u8))).join();
            assert_eq!(payload.unwrap_err().downcast_ref::<u8>(), Some(&17));
            "unharmed"
        });
        assert_eq!(answer, "unharmed");
    });
}

/// Behaviours 31 and 44: the siblings run to their end first.
#[test]
fn a_panic_that_nobody_joins_is_the_scope_s() {
    let ended = Cell::new(false);
    run(|| {
        let payload = panic_of(|| {
            thread::scope(|s| {
                s.spawn(|| resume_unwind(Box::new("one")));
                s.spawn(|| {
                    (0..3).for_each(|_| thread::yield_now());
                    ended.set(true);
                });
                "a value that nobody gets"
            })
        });
        assert_eq!(message(&*payload), "a scoped thread panicked");
        assert!(ended.get());
    });
}

/// Behaviour 31: the closure's own panic comes first.
#[test]
fn a_closure_that_panics_waits_too() {
    struct Last<'a>(&'a Cell<u32>);
    impl Drop for Last<'_> {
        fn drop(&mut self) {
            assert_eq!(self.0.replace(2), 1);
        }
    }
    let step = Cell::new(0);
    run(|| {
        let payload = panic_of(|| {
            let _outlives_the_threads = Last(&step);
            thread::scope(|s| {
                s.spawn(|| {
                    (0..3).for_each(|_| thread::yield_now());
                    assert_eq!(step.replace(1), 0);
                });
                s.spawn(|| resume_unwind(Box::new("not this one")));
                resume_unwind(Box::new(String::from("the closure's")));
            })
        });
        assert_eq!(message(&*payload), "the closure's");
        assert_eq!(step.get(), 2);
    });
}

/// What a thread owns, and what it left for nobody, goes before the scope ends.
#[test]
fn closures_and_results_are_dropped_before_the_end() {
    struct Counts<'a>(&'a Cell<u32>);
    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    run(|| {
        let dropped = Cell::new(0);
        thread::scope(|s| {
            let (moved, result) = (Counts(&dropped), Counts(&dropped));
            s.spawn(move || {
                let _moved = moved;
                result
            });
            // Its handle is dropped after its end.
            let handle = s.spawn(|| Counts(&dropped));
            thread::yield_now();
            assert!(handle.is_finished());
            assert_eq!(dropped.get(), 2);
        });
        assert_eq!(dropped.get(), 3);
    });
}

/// A result whose destructor panics is a panic of its thread.
#[test]
fn a_result_that_panics_when_dropped_is_the_scope_s() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            resume_unwind(Box::new("a bad result"));
        }
    }
    run(|| {
        let payload = panic_of(|| thread::scope(|s| drop(s.spawn(|| Bad))));
        assert_eq!(message(&*payload), "a scoped thread panicked");
    });
}

/// A spawn that is refused harms neither the scope nor those that run in it.
#[test]
fn a_spawn_that_fails_ends_the_scope_in_order() {
    let ended = Cell::new(false);
    let mut runtime = Runtime::builder().max_threads(1).build().unwrap();
    runtime.run(|| {
        let payload = panic_of(|| {
            thread::scope(|s| {
                s.spawn(|| {
                    thread::yield_now();
                    ended.set(true);
                });
                let error = Builder::new().spawn_scoped(s, || ()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                s.spawn(|| unreachable!("there is no room for it"));
            })
        });
        assert!(message(&*payload).starts_with("spawn: "));
        assert!(ended.get());
    });
}

/// Rule 27.
#[test]
fn outside_a_runtime_a_scope_cannot_spawn() {
    assert_eq!(thread::scope(|_| 5), 5);
    let error = thread::scope(|s| Builder::new().spawn_scoped(s, || ()).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let payload = panic_of(|| thread::scope(|s| drop(s.spawn(|| ()))));
    assert!(message(&*payload).starts_with("spawn: no runtime runs on this OS thread"));
}

/// The run inside sees the end of what was spawned in it.
#[test]
fn a_run_inside_a_scope() {
    let ended = Cell::new(0);
    thread::scope(|s| {
        run(|| {
            s.spawn(|| ended.set(ended.get() + 1));
            thread::yield_now();
        });
        // Cancelled at the end of the run.
        run(|| drop(s.spawn(|| ended.set(ended.get() + 10))));
        assert_eq!(ended.get(), 1);
    });
}

/// As with std, a panic in between leaves a scope usable.
#[test]
fn a_caught_panic_inside_a_scope_is_no_panic_of_it() {
    run(|| {
        thread::scope(|s| {
            assert!(catch_unwind(|| resume_unwind(Box::new(0))).is_err());
            let caught = catch_unwind(|| s.spawn(|| 3).join().unwrap());
            assert_eq!(caught.unwrap(), 3);
        });
    });
}

#[test]
fn a_large_result_comes_back_whole() {
    run(|| {
        let source = [7_u8; 5000];
        let copy = thread::scope(|s| s.spawn(|| source).join().unwrap());
        assert_eq!(source, copy);
    });
}

/// `Builder::spawn_unchecked` is what a scope is made of, for those who vouch for the end by hand.
#[test]
#[expect(unsafe_code, reason = "the function is unsafe, as std's")]
fn an_unchecked_spawn_borrows() {
    let number = Cell::new(1);
    run(|| {
        // SAFETY: the thread is joined before `number` goes, and nothing unwinds in between.
        let handle = unsafe { Builder::new().spawn_unchecked(|| number.replace(2)) };
        assert_eq!(handle.unwrap().join().unwrap(), 1);
    });
    assert_eq!(number.get(), 2);
}
