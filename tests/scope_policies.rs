//! Scopes that are cancelled, with a reason: by their owner, by a thread, together with what is around
//! them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use greenlit::cancel::Cancelled;
use greenlit::{run, thread};

/// Counts its drops.
struct Counted<'a>(&'a Cell<u32>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Why a thread was cancelled, by its joiner's error.
fn reason<T>(joined: thread::Result<T>) -> String {
    let payload = joined.err().expect("it was cancelled");
    let cancelled = payload.downcast::<Cancelled>().expect("no panic");
    cancelled.reason().to_owned()
}

/// Behaviour 31.
#[test]
fn a_cancelled_scope_ends_its_threads_and_nobody_else() {
    let dropped = Cell::new(0);
    let other_runs = Rc::new(Cell::new(true));
    run(|| {
        let other = thread::spawn({
            let other_runs = other_runs.clone();
            move || {
                thread::park();
                other_runs.set(false);
            }
        });
        let value = thread::scope(|s| {
            let threads = [(); 3].map(|()| {
                s.spawn(|| {
                    let _counted = Counted(&dropped);
                    thread::park();
                })
            });
            thread::yield_now();
            s.cancel("enough");
            s.cancel("too late to be heard");
            assert_eq!(dropped.get(), 0);
            for thread in threads {
                assert_eq!(reason(thread.join()), "enough");
            }
            // The closure itself is not cancelled.
            thread::yield_now();
            "a value"
        });
        assert_eq!((value, dropped.get()), ("a value", 3));
        assert!(other_runs.get() && !other.is_finished());
        other.thread().unpark();
        other.join().unwrap();
    });
}

/// They end in the order in which they were spawned, whoever has ended before.
#[test]
fn a_cancel_goes_in_spawn_order() {
    let log = RefCell::new(Vec::new());
    run(|| {
        thread::scope(|s| {
            for n in 0..6 {
                let log = &log;
                s.spawn(move || {
                    struct Logs<'a>(&'a RefCell<Vec<u32>>, u32);
                    impl Drop for Logs<'_> {
                        fn drop(&mut self) {
                            self.0.borrow_mut().push(self.1);
                        }
                    }
                    let _logs = Logs(log, n);
                    // The first, one in the middle and the last end by themselves.
                    if ![0, 3, 5].contains(&n) {
                        thread::park();
                    }
                });
            }
            thread::yield_now();
            assert_eq!(log.take(), [0, 3, 5]);
            s.cancel("in order");
        });
    });
    assert_eq!(log.take(), [1, 2, 4]);
}

/// One that has not begun drops its closure, and so does one that is spawned afterwards.
#[test]
fn a_thread_of_a_cancelled_scope_does_not_begin() {
    let dropped = Cell::new(0);
    let ran = Cell::new(false);
    run(|| {
        thread::scope(|s| {
            let spawn = || {
                let counted = Counted(&dropped);
                let ran = &ran;
                s.spawn(move || {
                    let _counted = counted;
                    ran.set(true);
                })
            };
            let before = spawn();
            s.cancel("not today");
            s.cancel("the second reason is nobody's");
            let after = spawn();
            assert_eq!(reason(before.join()), "not today");
            assert_eq!(reason(after.join()), "not today");
        });
    });
    assert_eq!((dropped.get(), ran.get()), (2, false));
}

/// A thread may cancel its own scope: the blocking call after that ends it too.
#[test]
fn a_thread_cancels_its_scope() {
    let dropped = Cell::new(0);
    run(|| {
        thread::scope(|s| {
            let waits = s.spawn(|| {
                let _counted = Counted(&dropped);
                thread::park();
            });
            let cancels = s.spawn(|| {
                s.cancel("by one of them");
                let _counted = Counted(&dropped);
                thread::yield_now();
                unreachable!("it is cancelled");
            });
            assert_eq!(reason(waits.join()), "by one of them");
            assert_eq!(reason(cancels.join()), "by one of them");
        });
    });
    assert_eq!(dropped.get(), 2);
}

/// The cancel comes to the threads of scopes inside, by way of their owners, with its reason.
#[test]
fn a_cancel_reaches_scopes_inside() {
    let reasons = RefCell::new(Vec::new());
    run(|| {
        thread::scope(|outer| {
            outer.spawn(|| {
                thread::scope(|inner| {
                    let deep = inner.spawn(thread::park);
                    inner.spawn(|| {
                        // It is joined by a sibling that unwinds as well.
                        struct Joins<F: FnMut()>(F);
                        impl<F: FnMut()> Drop for Joins<F> {
                            fn drop(&mut self) {
                                (self.0)();
                            }
                        }
                        let mut deep = Some(deep);
                        let _joins = Joins(|| {
                            let joined = deep.take().unwrap().join();
                            reasons.borrow_mut().push(reason(joined));
                        });
                        thread::park();
                    });
                });
            });
            thread::yield_now();
            thread::yield_now();
            outer.cancel("from outside");
        });
    });
    assert_eq!(reasons.take(), ["from outside"]);
}

/// Behaviour 25: what is complete is returned, and the cancel comes at the next call, in either
/// order of the two.
#[test]
fn a_value_and_a_cancel_at_the_same_moment() {
    for cancel_first in [false, true] {
        run(|| {
            let calls = Cell::new(0);
            thread::scope(|s| {
                let worker = s.spawn(|| {
                    thread::park();
                    calls.set(1);
                    thread::park();
                    calls.set(2);
                });
                thread::yield_now();
                if cancel_first {
                    s.cancel("now");
                    worker.thread().unpark();
                } else {
                    worker.thread().unpark();
                    s.cancel("now");
                }
                assert_eq!(reason(worker.join()), "now");
            });
            assert_eq!(calls.get(), 1);
        });
    }
}

/// One thread is cancelled by its handle; the scope is none the worse.
#[test]
fn a_handle_cancels_one_thread() {
    run(|| {
        let value = thread::scope(|s| {
            let one = s.spawn(thread::park);
            let other = s.spawn(|| {
                thread::yield_now();
                7
            });
            one.cancel("only this one");
            assert_eq!(reason(one.join()), "only this one");
            other.join().unwrap()
        });
        assert_eq!(value, 7);
    });
}

/// The threads learn why their owner was cancelled.
#[test]
fn a_cancelled_owner_passes_its_reason_on() {
    let said = Rc::new(RefCell::new(Vec::new()));
    run(|| {
        let owner = thread::spawn({
            let said = said.clone();
            move || {
                thread::scope(|s| {
                    let first = s.spawn(thread::park);
                    s.spawn(|| {
                        struct Joins<'s, 'a>(
                            Option<thread::ScopedJoinHandle<'s, ()>>,
                            &'a RefCell<Vec<String>>,
                        );
                        impl Drop for Joins<'_, '_> {
                            fn drop(&mut self) {
                                let joined = self.0.take().unwrap().join();
                                self.1.borrow_mut().push(reason(joined));
                            }
                        }
                        let _joins = Joins(Some(first), &said);
                        thread::park();
                    });
                });
            }
        });
        thread::yield_now();
        owner.cancel("the owner has to go");
        assert_eq!(reason(owner.join()), "the owner has to go");
    });
    assert_eq!(said.take(), ["the owner has to go"]);
}

#[test]
fn a_cancel_of_nobody_is_nothing() {
    assert_eq!(
        thread::scope(|s| {
            s.cancel("outside a runtime");
            1
        }),
        1
    );
    run(|| {
        assert_eq!(
            thread::scope(|s| {
                s.cancel("of nobody");
                2
            }),
            2
        )
    });
}
