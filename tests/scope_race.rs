//! `race`: the first success ends the rest, and is the result.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;

use crate::scoped::{Counted, Slow, panic_of, yields};
use greenlit::cancel::{self, Cancelled};
use greenlit::run;
use greenlit::thread::{self, ScopeBuilder};

/// Behaviour 31: the losers' destructors have run before it returns.
#[test]
fn the_first_success_ends_the_rest() {
    let dropped = Cell::new(0);
    run(|| {
        let result: Result<u32, Vec<&str>> = thread::race(|s| {
            s.spawn(|| Err("lost"));
            for n in [3, 1, 2] {
                let dropped = &dropped;
                s.spawn(move || {
                    if n == 1 {
                        thread::yield_now();
                        return Ok(n);
                    }
                    let _slow = Slow(dropped);
                    thread::park();
                    Err("was woken")
                });
            }
            thread::park();
            unreachable!("the closure ends with them");
        });
        assert_eq!((result, dropped.get()), (Ok(1), 2));
    });
}

/// Behaviour 25: one that succeeds in the same moment, or after its cancel, comes too late.
#[test]
fn late_winners_are_dropped() {
    let (dropped, waits) = (Cell::new(0), Cell::new(0));
    run(|| {
        let result = thread::race(|s| {
            let dropped = &dropped;
            let win = move |n| (n, Counted(dropped));
            let waits = &waits;
            s.spawn(move || {
                cancel::shield(thread::yield_now);
                waits.set(waits.get() + 1);
                Ok(win(2))
            });
            s.spawn(move || Result::<_, ()>::Ok(win(1)));
            cancel::shield(thread::yield_now);
            // It does not begin.
            s.spawn(move || Ok(win(3)));
        });
        let winner = result.ok().unwrap();
        assert_eq!((winner.0, dropped.get(), waits.get()), (1, 1, 1));
        drop(winner);
        assert_eq!(dropped.get(), 2);
    });
}

/// The winner itself is not cancelled: what its locals do at the end works as ever.
#[test]
fn the_winner_ends_in_order() {
    struct Waits(Rc<Cell<bool>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            thread::yield_now();
            self.0.set(cancel::requested().is_none());
        }
    }
    greenlit::thread_local! {
        static LAST: RefCell<Option<Waits>> = const { RefCell::new(None) };
    }
    let in_order = Rc::new(Cell::new(false));
    run(|| {
        let result: Result<u32, Vec<()>> = thread::race(|s| {
            s.spawn(|| {
                LAST.set(Some(Waits(in_order.clone())));
                Ok(1)
            });
            thread::park();
        });
        assert_eq!(result, Ok(1));
    });
    assert!(in_order.get());
}

#[test]
fn without_a_success_there_are_all_errors() {
    run(|| {
        let result: Result<(), Vec<u32>> = thread::race(|s| {
            for n in [3, 1, 2] {
                s.spawn(move || {
                    yields(n);
                    Err(n)
                });
            }
        });
        assert_eq!(result, Err(vec![1, 2, 3]));
        let nobody: Result<(), Vec<()>> = thread::race(|_| ());
        assert_eq!(nobody, Err(vec![]));
        let cancelled: Result<(), Vec<u32>> = thread::race(|s| {
            s.spawn(|| Err(1));
            s.spawn(|| {
                thread::park();
                Ok(())
            });
            thread::yield_now();
            s.cancel("it is getting late");
        });
        assert_eq!(cancelled, Err(vec![1]));
    });
}

/// Behaviour 44: a panic has lost, and is the race's only where nobody wins.
#[test]
fn a_panic_in_a_race() {
    fn panics<T>() -> Result<T, &'static str> {
        resume_unwind(Box::new("a panic"))
    }
    run(|| {
        let won = thread::race(|s| {
            s.spawn(panics);
            s.spawn(|| {
                yields(2);
                Ok(1)
            });
        });
        assert_eq!(won, Ok(1));
        let lost = panic_of(|| {
            thread::race::<_, (), _>(|s| {
                s.spawn(panics);
                s.spawn(|| {
                    yields(2);
                    Err("an error")
                });
            })
        });
        assert_eq!(lost, "a panic");
        let ended = panic_of(|| {
            ScopeBuilder::new().cancel_on_panic().race(|s| {
                s.spawn(|| {
                    cancel::shield(|| yields(2));
                    Ok(1)
                });
                s.spawn(panics);
                thread::park();
            })
        });
        assert_eq!(ended, "a panic");
        let too_long = Cell::new(false);
        let closure = panic_of(|| {
            thread::race::<_, (), ()>(|s| {
                s.spawn(|| {
                    yields(99);
                    too_long.set(true);
                    Ok(())
                });
                thread::yield_now();
                resume_unwind(Box::new("the closure's"))
            })
        });
        assert_eq!((closure, too_long.get()), ("the closure's", false));
    });
}

/// A race that has been won ends so, even if its owner is cancelled while the losers unwind.
#[test]
fn a_cancel_after_the_race_was_won() {
    let dropped = Rc::new(Cell::new(0));
    let won = Rc::new(Cell::new(0));
    run(|| {
        let owner = thread::spawn({
            let (dropped, won) = (dropped.clone(), won.clone());
            move || {
                let result: Result<u32, Vec<()>> = thread::race(|s| {
                    s.spawn(|| {
                        let _slow = Slow(&dropped);
                        thread::park();
                        Ok(1)
                    });
                    s.spawn(|| Ok(2));
                });
                won.set(result.unwrap());
                thread::yield_now();
                unreachable!("the cancel comes here");
            }
        });
        yields(2);
        assert_eq!(dropped.get(), 0);
        owner.cancel("too late for the race");
        assert!(owner.join().unwrap_err().is::<Cancelled>());
    });
    assert_eq!((won.get(), dropped.get()), (2, 1));
}

/// With places for few, the next contender begins when one has lost.
#[test]
fn a_race_in_pairs() {
    let began = RefCell::new(Vec::new());
    run(|| {
        let result: Result<u32, Vec<u32>> = ScopeBuilder::new().at_most(2).race(|s| {
            for n in 1..=6 {
                let began = &began;
                s.spawn(move || {
                    began.borrow_mut().push(n);
                    yields(2);
                    if n == 4 { Ok(n) } else { Err(n) }
                });
            }
        });
        assert_eq!(result, Ok(4));
    });
    assert_eq!(began.take(), [1, 2, 3, 4]);
}
