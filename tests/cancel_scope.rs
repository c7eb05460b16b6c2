//! Cancel scopes: what a cancel ends, whom it is aimed at, and what wins. Behaviours 25 to 32.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenlit::cancel::{self, Cancelled, Scope};
use greenlit::sync::{Mutex, mpsc};
use greenlit::thread::{self, JoinHandle};
use greenlit::time::timeout;

const LONG: Duration = Duration::from_secs(3600);

/// Counts its drops.
struct Counted<'a>(&'a Cell<u32>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Lets a thread run that does something to the scope while the caller waits.
fn meanwhile(scope: &Scope, f: impl FnOnce(&Scope) + 'static) -> JoinHandle<()> {
    let scope = scope.clone();
    thread::spawn(move || f(&scope))
}

#[test]
fn smoke() {
    greenlit::run(|| {
        let scope = Scope::new();
        assert_eq!(scope.run(|| 7).unwrap(), 7);
        let dropped = Cell::new(0);
        meanwhile(&scope, |scope| scope.cancel("no time"));
        let result = scope.run(|| {
            let _guard = Counted(&dropped);
            thread::park();
        });
        assert_eq!(result.unwrap_err().reason(), "no time");
        assert_eq!(dropped.get(), 1);
        // What comes afterwards is not cancelled.
        thread::yield_now();
        assert!(!cancel::is_cancelled());
    });
}

/// Behaviour 25, in both orders.
#[test]
fn the_value_of_a_completed_call_wins() {
    greenlit::run(|| {
        for cancel_first in [true, false] {
            let (sender, receiver) = mpsc::channel();
            let scope = Scope::new();
            meanwhile(&scope, move |scope| {
                if cancel_first {
                    scope.cancel("late");
                }
                sender.send(5).unwrap();
                if !cancel_first {
                    scope.cancel("late");
                }
            });
            let mut got = None;
            let result = scope.run(|| {
                got = receiver.recv().ok();
                thread::yield_now();
                unreachable!("the cancel comes at the next call");
            });
            assert_eq!((got, result.unwrap_err().reason()), (Some(5), "late"));
        }
    });
}

/// Behaviour 25: nor is a body's value lost that did not need to wait any more.
#[test]
fn the_value_of_a_body_wins() {
    greenlit::run(|| {
        let scope = Scope::new();
        let value = scope.run(|| {
            scope.cancel("too late");
            7
        });
        assert_eq!(value.unwrap(), 7);
        assert!(scope.is_cancelled());
    });
}

/// Behaviour 26.
#[test]
fn a_cancel_is_a_level() {
    greenlit::run(|| {
        let scope = Scope::new();
        scope.cancel("first");
        scope.cancel("second");
        let ended = Cell::new(0);
        let result = scope.run(|| {
            for call in [thread::yield_now, thread::park, cancel::checkpoint] {
                let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
                assert_eq!(
                    payload.downcast_ref::<Cancelled>().unwrap().reason(),
                    "first"
                );
                ended.set(ended.get() + 1);
            }
            thread::sleep(LONG);
        });
        assert_eq!(ended.get(), 3);
        assert_eq!(result.unwrap_err().reason(), "first");
    });
}

/// Behaviour 26: a destructor may block, and no second unwinding starts.
#[test]
fn destructors_block_while_a_scope_unwinds() {
    struct Closes<'a>(
        &'a Mutex<u32>,
        &'a mpsc::Receiver<u32>,
        &'a RefCell<Vec<String>>,
    );
    impl Drop for Closes<'_> {
        fn drop(&mut self) {
            thread::yield_now();
            *self.0.lock().unwrap() += 1;
            let error = self.1.recv().unwrap_err();
            self.2.borrow_mut().push(error.to_string());
        }
    }
    greenlit::run(|| {
        let lock = Rc::new(Mutex::new(0));
        let (_sender, receiver) = mpsc::channel();
        let told = RefCell::new(Vec::new());
        let holder = thread::spawn({
            let lock = lock.clone();
            move || {
                let _held = lock.lock().unwrap();
                for _ in 0..10 {
                    thread::yield_now();
                }
            }
        });
        thread::yield_now();
        let scope = Scope::new();
        scope.cancel("over");
        let result = scope.run(|| {
            let _closes = Closes(&lock, &receiver, &told);
            thread::yield_now();
        });
        assert!(result.is_err());
        assert_eq!(*lock.lock().unwrap(), 1, "not poisoned, and taken once");
        assert_eq!(told.borrow().len(), 1);
        holder.join().unwrap();
    });
}

/// Behaviour 27.
#[test]
fn a_shield_hides_what_is_outside_it() {
    greenlit::run(|| {
        let (outer, inner) = (Scope::new(), Scope::new());
        let log = RefCell::new(Vec::new());
        meanwhile(&outer, |outer| outer.cancel("outer"));
        let result = outer.run(|| {
            cancel::shield(|| {
                thread::yield_now();
                assert!(outer.is_cancelled() && !cancel::is_cancelled());
                thread::yield_now();
                log.borrow_mut().push("ran on");
                inner.cancel("inner");
                let result = inner.run(thread::park);
                assert_eq!(result.unwrap_err().reason(), "inner");
                log.borrow_mut().push("inside counts");
            });
            assert!(cancel::is_cancelled(), "it was only put off");
            thread::yield_now();
            log.borrow_mut().push("never");
        });
        assert_eq!(result.unwrap_err().reason(), "outer");
        assert_eq!(*log.borrow(), ["ran on", "inside counts"]);
    });
}

/// Behaviour 27: deadlines outside it count as little, and the whole thread's cancel too.
#[test]
fn a_shield_hides_deadlines_and_the_threads_own_cancel() {
    greenlit::run(|| {
        let worker = thread::spawn(|| {
            let result = timeout(Duration::ZERO, || {
                cancel::shield(|| {
                    assert_eq!(cancel::current_deadline(), None);
                    thread::sleep(Duration::from_millis(1));
                    assert!(timeout(Duration::from_millis(1), thread::park).is_err());
                    7
                })
            });
            assert_eq!(result, Ok(7), "the body needed no call after the shield");
            cancel::shield(|| {
                thread::yield_now();
                thread::yield_now();
            });
            thread::park();
        });
        thread::yield_now();
        worker.cancel("as a whole");
        let payload = worker.join().unwrap_err();
        assert_eq!(
            payload.downcast::<Cancelled>().unwrap().reason(),
            "as a whole"
        );
    });
}

/// Behaviour 28: whose deadline it was says so, and nobody else.
#[test]
fn a_foreign_cancel_is_no_timeout() {
    greenlit::run(|| {
        let scope = Scope::new();
        meanwhile(&scope, |scope| scope.cancel("from outside"));
        let result = scope.run(|| timeout(LONG, thread::park).is_err());
        assert_eq!(result.unwrap_err().reason(), "from outside");
        let worker = thread::spawn(|| timeout(LONG, thread::park).is_err());
        thread::yield_now();
        worker.cancel("the whole thread");
        assert!(worker.join().unwrap_err().is::<Cancelled>());
    });
}

/// Behaviour 30.
#[test]
fn five_thousand_nested_scopes_are_left() {
    fn nest(scopes: &[Scope], left: &Cell<u32>) {
        let _guard = Counted(left);
        match scopes.split_first() {
            Some((scope, rest)) => drop(scope.run(|| nest(rest, left))),
            None => thread::park(),
        }
    }
    greenlit::run(|| {
        let scopes: Rc<Vec<_>> = Rc::new((0..5000).map(|_| Scope::with_timeout(LONG)).collect());
        let left = Rc::new(Cell::new(0));
        let nested = thread::Builder::new()
            .stack_size(64 << 20)
            .spawn({
                let (scopes, left) = (scopes.clone(), left.clone());
                move || nest(&scopes, &left)
            })
            .unwrap();
        thread::yield_now();
        // The innermost first, and the outermost at last: it takes them all.
        for scope in scopes.iter().rev().step_by(1000).chain(scopes.first()) {
            scope.cancel("from the inside to the outside");
        }
        nested.join().unwrap();
        assert_eq!(left.get(), 5001);
    });
}

#[test]
fn one_scope_holds_many_threads() {
    greenlit::run(|| {
        let scope = Scope::new();
        let guests: Vec<_> = (0..10)
            .map(|number| {
                let scope = scope.clone();
                thread::spawn(move || {
                    scope.run(|| match number % 2 {
                        0 => thread::park(),
                        _ => thread::sleep(LONG),
                    })
                })
            })
            .collect();
        thread::yield_now();
        scope.cancel("closing");
        for guest in guests {
            assert_eq!(guest.join().unwrap().unwrap_err().reason(), "closing");
        }
        assert_eq!(scope.run(thread::park).unwrap_err().reason(), "closing");
    });
}

#[test]
fn cross_thread_handles_cancel_from_another_os_thread() {
    let handle = greenlit::run(|| {
        let scope = Scope::new();
        let handle = scope.handle();
        let (parks, parked) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            parked.recv().unwrap();
            handle.cancel("from afar");
            handle.cancel("once more");
            handle
        });
        // The run's only thread: it sleeps in the kernel.
        let result = scope.run(|| {
            parks.send(()).unwrap();
            thread::park();
        });
        assert_eq!(result.unwrap_err().reason(), "from afar");
        other.join().unwrap()
    });
    // Scope and runtime are gone.
    handle.cancel("nobody there");
}

/// A cancel that was said before anybody could hear it.
#[test]
fn a_handle_reaches_a_scope_without_a_runtime() {
    let scope = Scope::new();
    let handle = scope.handle();
    std::thread::spawn(move || handle.cancel("early"))
        .join()
        .unwrap();
    assert!(scope.is_cancelled());
    assert_eq!(scope.run(|| 3).unwrap(), 3, "nothing blocks");
    let result = greenlit::run(|| scope.run(thread::park));
    assert_eq!(result.unwrap_err().reason(), "early");
}

#[test]
fn a_soft_cancel_ends_who_listens_and_later_the_rest() {
    greenlit::run(|| {
        let scope = Scope::new();
        let listens = thread::spawn({
            let scope = scope.clone();
            move || {
                scope.run(|| {
                    cancel::until_requested(thread::park)
                        .unwrap_err()
                        .to_string()
                })
            }
        });
        let works = thread::spawn({
            let scope = scope.clone();
            move || {
                scope.run(|| {
                    while cancel::requested().is_none() {
                        thread::yield_now();
                    }
                    assert!(!cancel::is_cancelled());
                    thread::yield_now();
                    let asked = cancel::requested().unwrap();
                    assert!(
                        cancel::until_requested(thread::yield_now).is_err(),
                        "asked already"
                    );
                    asked.reason().to_owned()
                })
            }
        });
        let short = Scope::new();
        let sleeps = thread::spawn({
            let scope = short.clone();
            move || scope.run(|| thread::sleep(LONG))
        });
        let shielded = thread::spawn({
            let scope = scope.clone();
            move || {
                scope.run(|| cancel::shield(|| cancel::until_requested(thread::yield_now).is_ok()))
            }
        });
        thread::yield_now();
        scope.cancel_softly("closing", LONG);
        short.cancel_softly("closing", Duration::from_millis(2));
        assert!(scope.is_requested() && !scope.is_cancelled());
        assert_eq!(listens.join().unwrap().unwrap(), "cancelled: closing");
        assert_eq!(works.join().unwrap().unwrap(), "closing");
        assert!(shielded.join().unwrap().unwrap());
        let ended = sleeps.join().unwrap().unwrap_err();
        assert_eq!((ended.reason(), ended.is_deadline()), ("closing", false));
    });
}

#[test]
fn what_cannot_be_unwound_returns() {
    greenlit::run(|| {
        let (_sender, receiver) = mpsc::channel::<()>();
        let lock = Mutex::new(1);
        let scope = Scope::new();
        scope.cancel("not now");
        let result = scope.run(|| {
            cancel::no_unwind(|| {
                thread::yield_now();
                thread::park();
                thread::sleep(LONG);
                assert!(receiver.recv().is_err());
                assert_eq!(*lock.lock().unwrap(), 1);
                assert_eq!(thread::spawn(|| 3).join().unwrap(), 3);
                7
            })
        });
        assert_eq!(result.unwrap(), 7);
        assert!(catch_unwind(AssertUnwindSafe(|| scope.run(thread::yield_now).unwrap())).is_err());
    });
}

#[test]
fn outside_a_runtime_nothing_ends_a_body() {
    let scope = Scope::with_timeout(Duration::ZERO);
    assert_eq!(scope.run(|| 5).unwrap(), 5);
    assert_eq!(
        timeout(Duration::ZERO, || thread::sleep(Duration::from_nanos(1))),
        Ok(())
    );
    assert_eq!(
        cancel::shield(|| 1) + cancel::no_unwind(|| 1) + thread::no_switch(|| 1),
        3
    );
    cancel::checkpoint();
    assert!(!cancel::is_cancelled() && cancel::requested().is_none());
    assert_eq!(cancel::current_deadline(), None);
}
