//! Scopes that run a few threads at once: who gets a place, in which order, and what becomes of those
//! who wait for one and are cancelled.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use greenlit::thread::{self, Builder, ScopeBuilder};
use greenlit::{Runtime, run};

/// Counts its drops.
struct Counted<'a>(&'a Cell<u32>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Runs its closure when it is dropped.
struct AtEnd<F: FnMut()>(F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs `f`, which has to panic, and returns what it said.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let ended = catch_unwind(AssertUnwindSafe(|| drop(f())));
    let payload = ended.expect_err("a panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a message")).to_owned(),
    }
}

/// Behaviour 31.
#[test]
fn at_most_so_many_run_at_once() {
    for limit in 1..=5 {
        let (running, most, ended) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let order = RefCell::new(Vec::new());
        run(|| {
            ScopeBuilder::new().at_most(limit).scope(|s| {
                for n in 0..12 {
                    let (running, most, ended, order) = (&running, &most, &ended, &order);
                    s.spawn(move || {
                        order.borrow_mut().push(n);
                        running.set(running.get() + 1);
                        most.set(most.get().max(running.get()));
                        (0..limit + n % 3).for_each(|_| thread::yield_now());
                        running.set(running.get() - 1);
                        ended.set(ended.get() + 1);
                    });
                }
            });
        });
        assert_eq!((most.get(), ended.get()), (limit, 12));
        assert_eq!(order.take(), Vec::from_iter(0..12));
    }
}

/// A thread that could not begin at once has not been made: its closure is still the spawner's.
#[test]
fn a_spawn_waits_for_a_place() {
    run(|| {
        ScopeBuilder::new().at_most(1).scope(|s| {
            let first = s.spawn(thread::park);
            let step = Cell::new(0);
            thread::scope(|spawners| {
                spawners.spawn(|| {
                    step.set(1);
                    let second = s.spawn(|| ());
                    step.set(2);
                    second.join().unwrap();
                });
                (0..5).for_each(|_| thread::yield_now());
                assert_eq!(step.get(), 1);
                first.thread().unpark();
                first.join().unwrap();
                (0..5).for_each(|_| thread::yield_now());
                assert_eq!(step.get(), 2);
            });
        });
    });
}

/// Behaviour 13, for places: who comes later does not overtake, even in the moment when a place has
/// been given and the one who got it has not run.
#[test]
fn places_are_given_in_order() {
    let order = RefCell::new(Vec::new());
    run(|| {
        ScopeBuilder::new().at_most(1).scope(|s| {
            let first = s.spawn(thread::park);
            thread::yield_now();
            thread::scope(|spawners| {
                for n in 1..=3 {
                    let order = &order;
                    spawners.spawn(move || s.spawn(move || order.borrow_mut().push(n)));
                }
                thread::yield_now();
                first.thread().unpark();
                // It ends here, and its place is the first spawner's, who has not run.
                thread::yield_to(first.thread()).unwrap();
                assert!(first.is_finished());
                s.spawn(|| order.borrow_mut().push(4));
            });
        });
    });
    assert_eq!(order.take(), [1, 2, 3, 4]);
}

/// In which order a spawner is cancelled and a place becomes free.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// It has left the queue by then.
    Gone,
    /// It is cancelled, and has not run since.
    Cancelled,
    /// It was given the place before it was cancelled, and has not run since.
    Given,
}

/// Behaviours 14 and 25: a spawner that has gone is passed over, and one that was given a place before
/// it could go has it. The place is lost in none of the orders.
#[test]
fn a_cancelled_spawner_loses_no_place() {
    for order in [Order::Gone, Order::Cancelled, Order::Given] {
        let (dropped, ran) = (Cell::new(0), Cell::new(0));
        run(|| {
            ScopeBuilder::new().at_most(1).scope(|s| {
                let first = s.spawn(thread::park);
                thread::yield_now();
                thread::scope(|spawners| {
                    let cancelled = spawners.spawn(|| {
                        let counted = Counted(&dropped);
                        s.spawn(|| {
                            let _counted = counted;
                            ran.set(ran.get() + 1);
                        });
                        thread::yield_now();
                        unreachable!("it is cancelled");
                    });
                    spawners.spawn(|| drop(s.spawn(|| ran.set(ran.get() + 10))));
                    thread::yield_now();
                    let end_first = || {
                        first.thread().unpark();
                        thread::yield_to(first.thread()).unwrap();
                        assert!(first.is_finished());
                    };
                    if order == Order::Given {
                        end_first();
                    }
                    cancelled.cancel("nobody needs it");
                    if order == Order::Gone {
                        thread::yield_now();
                        assert!(cancelled.is_finished());
                    }
                    if order != Order::Given {
                        end_first();
                    }
                    assert!(cancelled.join().is_err());
                });
            });
        });
        let ran_by_whom = if order == Order::Gone { 10 } else { 11 };
        assert_eq!((dropped.get(), ran.get()), (1, ran_by_whom), "{order:?}");
    }
}

/// Who unwinds already is not unwound from its wait.
#[test]
fn a_spawner_that_unwinds_waits() {
    let ran = Cell::new(0);
    run(|| {
        ScopeBuilder::new().at_most(1).scope(|s| {
            s.spawn(|| {
                (0..5).for_each(|_| thread::yield_now());
                ran.set(1);
            });
            thread::scope(|spawners| {
                let unwinds = spawners.spawn(|| {
                    let _at_end = AtEnd(|| {
                        s.spawn(|| ran.set(ran.get() + 1));
                    });
                    thread::park();
                });
                thread::yield_now();
                unwinds.cancel("spawn at the end");
            });
        });
    });
    assert_eq!(ran.get(), 2);
}

/// Nobody waits in a scope that is cancelled, neither who waited before nor who comes later.
#[test]
fn a_cancelled_scope_has_places_for_all() {
    let slow_ended = Cell::new(false);
    let (dropped, ran) = (Cell::new(0), Cell::new(false));
    run(|| {
        ScopeBuilder::new().at_most(1).scope(|s| {
            let spawn = || {
                let (counted, ran) = (Counted(&dropped), &ran);
                s.spawn(move || {
                    let _counted = counted;
                    ran.set(true);
                })
            };
            s.spawn(|| {
                let _slow = AtEnd(|| {
                    (0..9).for_each(|_| thread::yield_now());
                    slow_ended.set(true);
                });
                thread::yield_now();
                s.cancel("all of you");
                thread::park();
            });
            // It waits here until the scope is cancelled, and the thread above is not yet over.
            let waited = spawn();
            let came_late = spawn();
            assert!(!slow_ended.get());
            assert!(waited.join().is_err() && came_late.join().is_err());
        });
    });
    assert_eq!((dropped.get(), ran.get()), (2, false));
}

/// The places of a cancelled scope are counted on: the scope of a thread that was let in has ended
/// with it, and a scope that goes on is as limited as before.
#[test]
fn a_cancelled_thread_gives_its_place_back() {
    run(|| {
        ScopeBuilder::new().at_most(2).scope(|s| {
            for _ in 0..5 {
                let parked = s.spawn(thread::park);
                let other = s.spawn(thread::park);
                parked.cancel("make room");
                other.cancel("make room");
            }
            let (running, most) = (Cell::new(0), Cell::new(0));
            thread::scope(|spawners| {
                for _ in 0..6 {
                    spawners.spawn(|| {
                        s.spawn(|| ()).join().unwrap();
                        running.set(running.get() + 1);
                        most.set(most.get().max(running.get()));
                    });
                }
            });
            assert_eq!(most.get(), 6);
        });
    });
}

/// Misuse that would otherwise be silence.
#[test]
fn places_that_are_held_by_those_who_wait_for_them() {
    let ended = Cell::new(0);
    run(|| {
        let said = panic_of(|| {
            ScopeBuilder::new().at_most(2).cancel_on_panic().scope(|s| {
                for _ in 0..2 {
                    s.spawn(|| {
                        let _counted = Counted(&ended);
                        thread::yield_now();
                        s.spawn(|| unreachable!("there is no place for it"));
                    });
                }
            });
        });
        assert!(
            said.starts_with("spawn: each of the scope's 2 places"),
            "{said}"
        );
        assert_eq!(ended.get(), 2);
        // With one place more it works.
        ScopeBuilder::new().at_most(3).scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    thread::yield_now();
                    s.spawn(|| ended.set(ended.get() + 10));
                });
            }
        });
        assert_eq!(ended.get(), 22);
    });
}

/// The same in a destructor, where a panic would abort: it gets a place that there is not.
#[test]
fn a_destructor_that_spawns_is_not_stuck() {
    let ran = Cell::new(0);
    run(|| {
        ScopeBuilder::new().at_most(1).scope(|s| {
            let unwinds = s.spawn(|| {
                let _at_end = AtEnd(|| {
                    s.spawn(|| ran.set(ran.get() + 1));
                });
                thread::park();
            });
            thread::yield_now();
            unwinds.cancel("spawn at the end");
            assert!(unwinds.join().is_err());
            // The place beyond the limit has gone again.
            s.spawn(|| {
                ran.set(ran.get() + 1);
                thread::yield_now();
                ran.set(ran.get() + 1);
            });
            s.spawn(|| assert_eq!(ran.replace(10), 3));
        });
    });
    assert_eq!(ran.get(), 10);
}

/// Behaviour 54.
#[test]
fn a_deadlock_report_names_the_wait() {
    let report = panic_of(|| {
        run(|| {
            ScopeBuilder::new().at_most(1).scope(|s| {
                s.spawn(thread::park);
                s.spawn(|| ());
            });
        });
    });
    assert!(
        report.starts_with("deadlock: all 2 green threads are parked"),
        "{report}"
    );
    assert!(
        report.contains("waiting for a place in its scope"),
        "{report}"
    );
}

/// A spawn that fails has taken no place.
#[test]
fn a_spawn_that_fails_gives_its_place_back() {
    let ran = Cell::new(0);
    let mut runtime = Runtime::builder().max_threads(2).build().unwrap();
    runtime.run(|| {
        ScopeBuilder::new().at_most(2).scope(|s| {
            let other = thread::spawn(thread::park);
            let first = s.spawn(thread::park);
            for _ in 0..3 {
                let error = Builder::new().spawn_scoped(s, || ()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
            }
            other.cancel("make room");
            first.thread().unpark();
            assert!(other.join().is_err() && first.join().is_ok());
            s.spawn(|| ran.set(ran.get() + 1));
            s.spawn(|| ran.set(ran.get() + 1));
        });
    });
    assert_eq!(ran.get(), 2);
    ScopeBuilder::new().at_most(1).scope(|s| {
        for _ in 0..2 {
            let error = Builder::new().spawn_scoped(s, || ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    });
}

/// Rule 19.
#[test]
fn a_spawn_that_need_not_wait_looks_for_a_cancel_too() {
    let ran = Cell::new(false);
    run(|| {
        ScopeBuilder::new().at_most(9).scope(|s| {
            thread::scope(|spawners| {
                let spawner = spawners.spawn(|| {
                    let me = thread::current();
                    thread::park();
                    s.spawn(|| ran.set(true));
                    unreachable!("{me:?} is cancelled");
                });
                thread::yield_now();
                spawner.thread().unpark();
                spawner.cancel("before it spawns");
                assert!(spawner.join().is_err());
            });
        });
    });
    assert!(!ran.get());
}

#[test]
fn no_place_at_all_is_refused() {
    let said = panic_of(|| ScopeBuilder::new().at_most(0));
    assert_eq!(said, "at_most: a scope needs a place for one thread");
}
