//! `try_scope`: the first error ends the rest, and is the result.

use std::cell::Cell;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

use crate::scoped::{Counted, Slow, panic_of, yields};
use greenlit::cancel::{self, Cancelled};
use greenlit::thread::{self, Builder};
use greenlit::time::timeout;
use greenlit::{Runtime, run};

/// What a thread without a value returns.
fn fail<E>(error: E) -> Result<(), E> {
    Err(error)
}

/// Behaviour 31.
#[test]
fn smoke() {
    run(|| {
        let words = ["1", "2", "3"];
        let sum: Result<u32, std::num::ParseIntError> = thread::try_scope(|s| {
            let parsed = words.map(|word| s.spawn(move || word.parse::<u32>()));
            Ok(parsed.into_iter().map(|n| n.join().unwrap()).sum())
        });
        assert_eq!(sum, Ok(6));
    });
}

/// Behaviour 31: the others' destructors have run, those that wait included, before it returns.
#[test]
fn the_first_error_ends_the_rest() {
    let (dropped, began) = (Cell::new(0), Cell::new(0));
    run(|| {
        let result: Result<(), &str> = thread::try_scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    let _slow = Slow(&dropped);
                    thread::park();
                    Ok(())
                });
            }
            s.spawn(|| {
                yields(1);
                fail("the first")
            });
            s.spawn(|| {
                yields(1);
                fail("the second")
            });
            yields(1);
            let began = &began;
            s.spawn(move || {
                began.set(began.get() + 1);
                Ok(())
            });
            yields(3);
            unreachable!("the closure ends with them");
        });
        assert_eq!(result, Err("the first"));
    });
    assert_eq!((dropped.get(), began.get()), (3, 0));
}

/// What is spawned after an error does not begin, and a thread that has not begun does not.
#[test]
fn after_an_error_nobody_begins() {
    let (dropped, ran) = (Cell::new(0), Cell::new(false));
    run(|| {
        let result: Result<(), &str> = thread::try_scope(|s| {
            let spawn = || {
                let (counted, ran) = (Counted(&dropped), &ran);
                s.spawn(move || {
                    let _counted = counted;
                    ran.set(true);
                    Ok(())
                })
            };
            s.spawn(|| fail("at once"));
            spawn();
            // No blocking call is made in here, so the closure goes on.
            cancel::shield(thread::yield_now);
            assert!(spawn().join().is_err());
            Ok(())
        });
        assert_eq!(result, Err("at once"));
    });
    assert_eq!((dropped.get(), ran.get()), (2, false));
}

/// An error of the closure itself is one of them.
#[test]
fn the_closure_s_error_ends_the_threads() {
    let dropped = Cell::new(0);
    run(|| {
        let result: Result<(), &str> = thread::try_scope(|s| {
            s.spawn(|| {
                let _slow = Slow(&dropped);
                thread::park();
                fail("after the closure's")
            });
            thread::yield_now();
            Err("the closure's")
        });
        assert_eq!(result, Err("the closure's"));
        // The other order.
        let result: Result<(), &str> = thread::try_scope(|s| {
            s.spawn(|| fail("a thread's"));
            cancel::shield(thread::yield_now);
            Err("after the thread's")
        });
        assert_eq!(result, Err("a thread's"));
    });
    assert_eq!(dropped.get(), 1);
}

/// The closure waits for one thread while another fails, in whatever it waits.
#[test]
fn the_closure_s_wait_ends_with_the_first_error() {
    run(|| {
        for how in 0..4 {
            let went_on = Cell::new(false);
            let result: Result<u32, &str> = thread::try_scope(|s| {
                let waits = s.spawn(|| {
                    thread::park();
                    Ok(1)
                });
                s.spawn(|| {
                    yields(2);
                    fail("failed")
                });
                match how {
                    0 => drop(waits.join()),
                    1 => thread::park(),
                    2 => thread::sleep(Duration::MAX),
                    _ => yields(u32::MAX),
                }
                went_on.set(true);
                Ok(2)
            });
            assert_eq!((result, went_on.get()), (Err("failed"), false), "{how}");
        }
    });
}

/// Behaviour 25: a closure that makes no blocking call any more returns in order; its value is not
/// wanted.
#[test]
fn a_closure_that_returns_in_time_is_not_unwound() {
    let dropped = Cell::new(0);
    run(|| {
        let result: Result<Counted<'_>, &str> = thread::try_scope(|s| {
            s.spawn(|| {
                thread::yield_now();
                fail("failed")
            });
            Ok(Counted(&dropped))
        });
        assert_eq!(result.err(), Some("failed"));
        assert_eq!(dropped.get(), 1);
    });
}

/// The joiner of a thread that failed is told so, with the reason; the error is the scope's.
#[test]
fn a_join_of_a_thread_that_failed_has_no_value() {
    run(|| {
        let result: io::Result<()> = thread::try_scope(|s| {
            let failed = s.spawn(|| io::Result::<()>::Err(io::ErrorKind::NotFound.into()));
            let error = cancel::shield(|| failed.join().unwrap_err());
            assert_eq!(error.reason(), "a green thread of its scope failed");
            // As a `?` would have it.
            Err(error.into())
        });
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

/// Who joins a thread that fails is cancelled by that, and need not look at the result.
#[test]
fn a_join_of_a_thread_that_failed_unwinds() {
    run(|| {
        for waits in [true, false] {
            let went_on = Cell::new(false);
            let result: Result<(), &str> = thread::try_scope(|s| {
                let failed = s.spawn(|| fail("at once"));
                if !waits {
                    cancel::shield(thread::yield_now);
                    assert!(failed.is_finished());
                }
                let _ = failed.join();
                went_on.set(true);
                Ok(())
            });
            assert_eq!((result, went_on.get()), (Err("at once"), false));
        }
    });
}

/// A thread that is cancelled by its handle, and a scope that is cancelled as such, are no errors.
#[test]
fn a_cancel_is_no_error() {
    run(|| {
        let result: Result<&str, ()> = thread::try_scope(|s| {
            let one = s.spawn(|| {
                thread::park();
                Ok(())
            });
            one.cancel("only this one");
            assert_eq!(one.join().unwrap_err().reason(), "only this one");
            let all = s.spawn(|| {
                thread::park();
                Ok(())
            });
            s.cancel("all of them");
            assert_eq!(all.join().unwrap_err().reason(), "all of them");
            Ok("a value")
        });
        assert_eq!(result, Ok("a value"));
    });
}

/// Behaviours 31 and 44: a panic goes on, before errors, whichever was first.
#[test]
fn a_panic_goes_before_errors() {
    run(|| {
        for panics_first in [true, false] {
            let panics = || -> Result<(), &str> { resume_unwind(Box::new("a panic")) };
            let fails = || fail("an error");
            let said = panic_of(|| {
                thread::try_scope(|s| {
                    if panics_first {
                        s.spawn(panics);
                        s.spawn(fails);
                    } else {
                        s.spawn(|| {
                            cancel::shield(|| yields(2));
                            panics()
                        });
                        s.spawn(fails);
                    }
                    Ok(())
                })
            });
            assert_eq!(said, "a panic");
        }
        // Joined by hand, it still is the scope's.
        let said = panic_of(|| {
            thread::try_scope(|s| {
                let panics = s.spawn(|| -> Result<(), ()> { resume_unwind(Box::new("joined")) });
                assert!(panics.join().is_err());
                Ok(())
            })
        });
        assert_eq!(said, "joined");
        // The closure's own.
        let too_long = Cell::new(false);
        let said = panic_of(|| {
            thread::try_scope(|s| -> Result<(), &str> {
                s.spawn(|| {
                    yields(99);
                    too_long.set(true);
                    Ok(())
                });
                thread::yield_now();
                resume_unwind(Box::new("the closure's"))
            })
        });
        assert_eq!((said, too_long.get()), ("the closure's", false));
    });
}

/// Somebody else's cancel of the owner, before and after a thread has failed.
#[test]
fn a_cancelled_owner_of_a_try_scope() {
    for fails_first in [true, false] {
        let dropped = Rc::new(Cell::new(0));
        run(|| {
            let owner = thread::spawn({
                let dropped = dropped.clone();
                move || -> Result<(), &str> {
                    let result = thread::try_scope(|s| {
                        s.spawn(|| {
                            let _slow = Slow(&dropped);
                            thread::park();
                            Ok(())
                        });
                        s.spawn(|| {
                            if !fails_first {
                                thread::park();
                            }
                            fail("failed")
                        });
                        thread::park();
                        Ok(())
                    });
                    assert!(fails_first, "it should have unwound");
                    assert_eq!(result, Err("failed"));
                    thread::yield_now();
                    unreachable!("the cancel comes at the next call");
                }
            });
            // If one has failed, the scope waits for the slow destructor by now.
            yields(3);
            assert_eq!(dropped.get(), 0);
            owner.cancel("from outside");
            let payload = owner.join().unwrap_err();
            let cancelled = payload.downcast::<Cancelled>().expect("no panic");
            assert_eq!(cancelled.reason(), "from outside");
        });
        assert_eq!(dropped.get(), 1);
    }
}

/// Only the scope whose thread failed ends; one around it goes on.
#[test]
fn an_error_ends_the_scope_that_it_belongs_to() {
    run(|| {
        let result: Result<&str, &str> = thread::try_scope(|outer| {
            let inner = outer.spawn(|| {
                let inner: Result<(), &str> = thread::try_scope(|s| {
                    s.spawn(|| fail("inside"));
                    thread::park();
                    Ok(())
                });
                assert_eq!(inner, Err("inside"));
                yields(3);
                Ok("outside is whole")
            });
            Ok(inner.join().expect("a value"))
        });
        assert_eq!(result, Ok("outside is whole"));
        // And the other way: an error outside ends what is inside.
        let dropped = Cell::new(0);
        let result: Result<(), &str> = thread::try_scope(|outer| {
            outer.spawn(|| {
                thread::try_scope(|inner| {
                    inner.spawn(|| {
                        let _slow = Slow(&dropped);
                        thread::park();
                        Ok(())
                    });
                    thread::park();
                    Ok(())
                })
            });
            yields(2);
            Err("outside")
        });
        assert_eq!((result, dropped.get()), (Err("outside"), 1));
    });
}

/// Behaviour 28: a deadline around a scope ends it, and is not the scope's error.
#[test]
fn a_timeout_around_a_try_scope() {
    let dropped = Cell::new(0);
    run(|| {
        let result = timeout(Duration::from_millis(1), || {
            thread::try_scope(|s| -> Result<(), &str> {
                s.spawn(|| {
                    let _slow = Slow(&dropped);
                    thread::park();
                    Ok(())
                });
                Ok(())
            })
        });
        assert!(result.is_err());
    });
    assert_eq!(dropped.get(), 1);
}

#[test]
fn named_threads_and_refused_ones() {
    let mut runtime = Runtime::builder().max_threads(1).build().unwrap();
    runtime.run(|| {
        let result: Result<(), &str> = thread::try_scope(|s| {
            let worker = Builder::new().name("worker".into());
            let worker = s.spawn_with(worker, || Ok(thread::current().name().map(str::to_owned)));
            let error = s.spawn_with(Builder::new(), || Ok(())).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(worker.unwrap().join().unwrap().as_deref(), Some("worker"));
            Ok(())
        });
        assert_eq!(result, Ok(()));
    });
    // Rule 27.
    let outside: Result<u32, ()> = thread::try_scope(|s| {
        assert!(s.spawn_with(Builder::new(), || Ok(())).is_err());
        Ok(3)
    });
    assert_eq!(outside, Ok(3));
}
