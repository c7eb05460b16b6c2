//! Scopes that a panic ends: the first one cancels the rest, and goes on.

use std::cell::Cell;
use std::panic::resume_unwind;

use crate::alone::alone;
use crate::scoped::{Counted, panic_of, yields};
use greenlit::cancel;
use greenlit::run;
use greenlit::thread::{self, ScopeBuilder};
use greenlit::time::{Duration, timeout};

/// Behaviour 31: the first panic cancels the siblings and the closure, all are joined, and it goes on.
#[test]
fn the_first_panic_ends_the_rest() {
    let dropped = Cell::new(0);
    run(|| {
        let said = panic_of(|| {
            let borrowed = Counted(&dropped);
            ScopeBuilder::new().cancel_on_panic().scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        let _counted = Counted(borrowed.0);
                        thread::park();
                    });
                }
                s.spawn(|| {
                    thread::yield_now();
                    resume_unwind(Box::new("the first"));
                });
                let joined = s.spawn(thread::park).join();
                unreachable!("the closure ends too: {joined:?}");
            });
        });
        assert_eq!((said, dropped.get()), ("the first", 4));
    });
}

/// The same where the closure has come to its end before, and where it never looks.
#[test]
fn the_first_panic_when_the_closure_is_over() {
    run(|| {
        let policy = ScopeBuilder::new().cancel_on_panic();
        let said = panic_of(|| {
            policy.clone().scope(|s| {
                s.spawn(thread::park);
                s.spawn(|| resume_unwind(Box::new("while it waits")));
                "a value that nobody gets"
            })
        });
        assert_eq!(said, "while it waits");
        let reached = Cell::new(false);
        let said = panic_of(|| {
            policy.scope(|s| {
                let late = s.spawn(|| resume_unwind(Box::new("while it computes")));
                cancel::shield(thread::yield_now);
                assert!(late.is_finished());
                // What is spawned now does not begin.
                s.spawn(|| reached.set(true));
            })
        });
        assert_eq!((said, reached.get()), ("while it computes", false));
    });
}

/// Without the policy nobody is cancelled, and the words are std's.
#[test]
fn without_the_policy_each_runs_to_its_end() {
    let ended = Cell::new(false);
    run(|| {
        let said = panic_of(|| {
            ScopeBuilder::new().scope(|s| {
                s.spawn(|| resume_unwind(Box::new("one")));
                s.spawn(|| {
                    yields(3);
                    ended.set(true);
                });
            });
        });
        assert_eq!((said, ended.get()), ("a scoped thread panicked", true));
    });
}

/// Behaviours 31 and 44: whoever joins the first has its payload; the siblings are cancelled all the
/// same.
#[test]
fn a_first_panic_that_is_joined() {
    let dropped = Cell::new(0);
    run(|| {
        let policy = ScopeBuilder::new().cancel_on_panic();
        let value = policy.clone().scope(|s| {
            s.spawn(|| {
                let _counted = Counted(&dropped);
                thread::park();
            });
            let panics = s.spawn(|| {
                thread::yield_now();
                resume_unwind(Box::new("joined"));
            });
            // Shielded, since the panic cancels the closure too.
            let joined = cancel::shield(|| panics.join());
            *joined.unwrap_err().downcast::<&str>().unwrap()
        });
        assert_eq!((value, dropped.get()), ("joined", 1));
        // A sibling joined it: the closure has no value, and nobody else the payload.
        let said = panic_of(|| {
            policy.scope(|s| {
                let panics = s.spawn(|| {
                    thread::yield_now();
                    resume_unwind(Box::new("joined"));
                });
                s.spawn(|| {
                    cancel::shield(|| assert!(panics.join().is_err()));
                });
                thread::park();
            });
        });
        assert_eq!(said, "a scoped thread panicked");
    });
}

/// What a closure makes of the end of others, `unwrap` for one, does not hide the first panic.
#[test]
fn a_closure_that_panics_because_a_thread_did() {
    run(|| {
        for how in 0..3 {
            let said = panic_of(|| {
                ScopeBuilder::new().cancel_on_panic().scope(|s| {
                    let first = s.spawn(|| resume_unwind(Box::new("the cause")));
                    let waits = s.spawn(thread::park);
                    match how {
                        0 => first.join().unwrap(),
                        1 => waits.join().unwrap(),
                        _ => {
                            cancel::shield(thread::yield_now);
                            resume_unwind(Box::new("a consequence"));
                        }
                    }
                });
            });
            assert_eq!(said, "the cause");
        }
    });
}

/// The closure's own panic takes the threads with it, and comes first.
#[test]
fn a_panic_of_the_closure_ends_the_threads() {
    let (dropped, too_long) = (Cell::new(0), Cell::new(false));
    run(|| {
        let said = panic_of(|| {
            ScopeBuilder::new().cancel_on_panic().scope(|s| {
                s.spawn(|| {
                    let _counted = Counted(&dropped);
                    yields(99);
                    too_long.set(true);
                });
                thread::yield_now();
                resume_unwind(Box::new("the closure's"));
            });
        });
        assert_eq!((said, dropped.get()), ("the closure's", 1));
        assert!(!too_long.get());
    });
}

/// Behaviour 31: every panic is reported, the first by what goes on, each further one by a line.
#[test]
fn every_panic_is_reported_once() {
    let child = alone("every_panic_is_reported_once", || {
        run(|| {
            let said = panic_of(|| {
                ScopeBuilder::new().cancel_on_panic().scope(|s| {
                    let _handle = s.spawn(|| {
                        thread::yield_now();
                        resume_unwind(Box::new("number one"))
                    });
                    for name in ["number two", "number three"] {
                        s.spawn(move || {
                            // It is cancelled in here, and panics of its own accord.
                            cancel::shield(|| yields(3));
                            resume_unwind(Box::new(name));
                        });
                    }
                    thread::park();
                });
            });
            assert_eq!(said, "number one");
            // One that is kept, and is not what goes on.
            let said = panic_of(|| {
                ScopeBuilder::new().cancel_on_panic().scope(|s| {
                    s.spawn(|| {
                        cancel::shield(|| yields(3));
                        resume_unwind(Box::new("number four"))
                    });
                    thread::yield_now();
                    resume_unwind(Box::new("the closure's"));
                });
            });
            assert_eq!(said, "the closure's");
            let said = panic_of(|| {
                ScopeBuilder::new().cancel_on_panic().scope(|s| {
                    s.spawn(|| resume_unwind(Box::new("number five")));
                    cancel::shield(thread::yield_now);
                    resume_unwind(Box::new("number six"));
                });
            });
            assert_eq!(said, "number five");
        });
    });
    let Some(child) = child else { return };
    let err = String::from_utf8_lossy(&child.stderr);
    assert!(
        !err.contains("number one") && !err.contains("number five"),
        "{err}"
    );
    assert_eq!(
        err.matches("panicked after a thread had: number six")
            .count(),
        1,
        "{err}"
    );
    for name in ["number two", "number three", "number four"] {
        let line = format!("panicked and nobody joined it: {name}");
        assert_eq!(err.matches(&line).count(), 1, "{err}");
    }
}

/// A cancel that ends a thread is no panic, whoever cancelled it.
#[test]
fn a_cancel_is_no_panic() {
    run(|| {
        let value = ScopeBuilder::new().cancel_on_panic().scope(|s| {
            let one = s.spawn(thread::park);
            let other = s.spawn(|| {
                yields(3);
                4
            });
            one.cancel("only this one");
            other.join().unwrap()
        });
        assert_eq!(value, 4);
    });
}

/// Behaviours 28 and 31: an owner that is cancelled from outside, before and after the panic.
#[test]
fn a_cancel_from_outside_and_a_panic() {
    run(|| {
        let policy = ScopeBuilder::new().cancel_on_panic();
        let ended = timeout(Duration::from_millis(1), || {
            policy.clone().scope(|s| drop(s.spawn(thread::park)));
        });
        assert!(ended.is_err());
        let around = cancel::Scope::new();
        let said = panic_of(|| {
            around.run(|| {
                policy.scope(|s| {
                    s.spawn(|| {
                        cancel::shield(|| yields(3));
                        around.cancel("while the scope waits for this thread");
                        cancel::shield(|| yields(3));
                    });
                    s.spawn(|| resume_unwind(Box::new("before the cancel")));
                });
            })
        });
        assert_eq!(said, "before the cancel");
    });
}

/// A region of the scope's own lies on its owner's chain: scopes inside others, each with its policy,
/// do not mix up whose closure is to end.
#[test]
fn only_the_scope_s_own_closure_ends() {
    run(|| {
        let value = thread::scope(|outer| {
            let bystander = outer.spawn(|| {
                yields(9);
                1
            });
            let said = panic_of(|| {
                ScopeBuilder::new().cancel_on_panic().scope(|middle| {
                    thread::scope(|inner| {
                        // A thread of the middle scope, spawned and joined inside the inner one.
                        middle.spawn(|| resume_unwind(Box::new("the middle")));
                        inner.spawn(thread::park);
                        thread::park();
                    });
                });
            });
            assert_eq!(said, "the middle");
            bystander.join().unwrap()
        });
        assert_eq!(value, 1);
    });
}
