//! `thread_local!` for green threads: one value each, made late, destroyed at the thread's end.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use crate::alone::alone;
use greenlit::coroutine::Coroutine;
use greenlit::park::{Reason, WaitQueue};
use greenlit::thread::{self, AccessError};
use greenlit::{run, thread_local};

type Log = Rc<RefCell<Vec<&'static str>>>;

/// Notes its end in a log that it shares.
struct Note(Log, &'static str);

impl Drop for Note {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

#[test]
fn smoke() {
    thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(1) };
        static TEXT: RefCell<String> = RefCell::new("fresh".to_owned());
    }
    run(|| {
        NUMBER.set(2);
        TEXT.with_borrow_mut(|text| text.push('!'));
        thread::spawn(|| {
            assert_eq!(NUMBER.replace(3), 1);
            assert_eq!(TEXT.take(), "fresh");
            assert_eq!(TEXT.replace("other".to_owned()), "");
        })
        .join()
        .unwrap();
        assert_eq!(NUMBER.get(), 2);
        assert_eq!(TEXT.with_borrow(String::clone), "fresh!");
    });
}

/// Each form that std's macro takes.
mod forms {
    use std::cell::{Cell, RefCell};

    greenlit::thread_local! {}
    greenlit::thread_local!(static ONE: u32 = 1);
    greenlit::thread_local!(static TWO: u32 = const { 1 + 1 });
    greenlit::thread_local! {
        /// With documentation, and public.
        pub static THREE: Cell<u8> = Cell::new(3);
        #[expect(non_upper_case_globals, reason = "attributes are kept")]
        pub(crate) static lower: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        #[cfg(any())]
        static GONE: NoSuchType = no_such_value;
        pub(super) static FOUR: fn(u32) -> u32 = |n| { let init = n; init + 4 };
    }

    #[test]
    fn they_all_work() {
        assert_eq!(ONE.with(|n| *n) + TWO.with(|n| *n), 3);
        let key: &'static greenlit::thread::LocalKey<Cell<u8>> = &THREE;
        assert_eq!(key.take(), 3);
        assert!(lower.take().is_empty());
        assert_eq!(FOUR.with(|f| f(1)), 5);
        assert!(format!("{key:?}").starts_with("LocalKey"));
    }
}

/// What is set before it was asked for needs no initialiser, as with std.
#[test]
fn a_first_set_runs_no_initialiser() {
    thread_local! {
        static CELL: Cell<u8> = panic!("not needed");
        static REF_CELL: RefCell<u8> = panic!("not needed");
    }
    run(|| {
        CELL.set(1);
        REF_CELL.set(2);
        assert_eq!((CELL.get(), REF_CELL.take()), (1, 2));
        CELL.set(3);
        REF_CELL.set(4);
        assert_eq!((CELL.get(), REF_CELL.take()), (3, 4));
    });
}

/// Values last from call to call, whoever runs in between, and are made for those who ask only.
#[test]
fn a_hundred_threads_have_a_hundred_values() {
    std::thread_local!(static MADE: Cell<u32> = const { Cell::new(0) });
    thread_local!(static OWN: Cell<u32> = { MADE.set(MADE.get() + 1); Cell::new(0) });
    run(|| {
        let threads: Vec<_> = (0..100)
            .map(|n| {
                thread::spawn(move || {
                    for round in 0..3 {
                        if n % 2 == 0 {
                            assert_eq!(OWN.get(), n * round);
                            OWN.set(OWN.get() + n);
                        }
                        thread::yield_now();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(MADE.get(), 50);
    });
}

/// The main green thread is one like others; what the OS thread has is something else.
#[test]
fn main_and_the_os_thread_do_not_share() {
    thread_local!(static NUMBER: Cell<u32> = const { Cell::new(0) });
    NUMBER.set(1);
    run(|| {
        assert_eq!(NUMBER.get(), 0);
        NUMBER.set(2);
    });
    run(|| assert_eq!(NUMBER.get(), 0));
    assert_eq!(NUMBER.get(), 1);
    let other = std::thread::spawn(|| NUMBER.get());
    assert_eq!(other.join().unwrap(), 0);
}

/// Rule 7: on the thread's own stack, the youngest first, after its locals and before its joiner
/// goes on.
#[test]
fn destructors_run_at_the_end_of_the_thread() {
    thread_local! {
        static FIRST: RefCell<Option<Note>> = const { RefCell::new(None) };
        static SECOND: RefCell<Option<Note>> = const { RefCell::new(None) };
    }
    let log = Log::default();
    run(|| {
        let log = log.clone();
        let child = thread::spawn({
            let log = log.clone();
            move || {
                FIRST.set(Some(Note(log.clone(), "first")));
                SECOND.set(Some(Note(log.clone(), "second")));
                let _frame = Note(log, "frame");
            }
        });
        child.join().unwrap();
        log.borrow_mut().push("joined");
    });
    assert_eq!(log.take(), ["frame", "second", "first", "joined"]);
}

/// A result that nobody joins goes before the locals, which its destructor may use.
#[test]
fn a_result_may_use_locals_while_it_is_dropped() {
    thread_local!(static SUM: Cell<u32> = const { Cell::new(0) });
    struct Adds(Rc<Cell<u32>>);
    impl Drop for Adds {
        fn drop(&mut self) {
            SUM.set(SUM.get() + 1);
            self.0.set(SUM.get());
        }
    }
    let seen = Rc::new(Cell::new(0));
    run(|| {
        let seen = seen.clone();
        drop(thread::spawn(move || {
            SUM.set(41);
            Adds(seen)
        }));
        thread::yield_now();
    });
    assert_eq!(seen.get(), 42);
}

/// Those of the main green thread go when its closure has ended, while the others still run.
#[test]
fn main_s_destructors_run_before_the_others_are_ended() {
    struct Joins(Option<thread::JoinHandle<u32>>, Rc<Cell<u32>>);
    impl Drop for Joins {
        fn drop(&mut self) {
            let worker = self.0.take().unwrap();
            worker.thread().unpark();
            self.1.set(worker.join().unwrap());
        }
    }
    thread_local!(static WORKER: RefCell<Option<Joins>> = const { RefCell::new(None) });
    let answer = Rc::new(Cell::new(0));
    run(|| {
        let worker = thread::spawn(|| {
            thread::park();
            42
        });
        WORKER.set(Some(Joins(Some(worker), answer.clone())));
    });
    assert_eq!(answer.get(), 42);
}

/// Outside a runtime an OS thread has them destroyed at its end.
#[test]
fn an_os_thread_destroys_its_own() {
    struct Sends(std::sync::mpsc::Sender<&'static str>);
    impl Drop for Sends {
        fn drop(&mut self) {
            // Another key's value may be made even now.
            OTHER.set(Some(SendsToo(self.0.clone())));
            self.0.send("first").unwrap();
            assert!(VALUE.try_with(|_| ()).is_err());
        }
    }
    struct SendsToo(std::sync::mpsc::Sender<&'static str>);
    impl Drop for SendsToo {
        fn drop(&mut self) {
            self.0.send("second").unwrap();
        }
    }
    thread_local! {
        static VALUE: RefCell<Option<Sends>> = const { RefCell::new(None) };
        static OTHER: RefCell<Option<SendsToo>> = const { RefCell::new(None) };
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(|| VALUE.set(Some(Sends(sender))))
        .join()
        .unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["first", "second"]);
}

/// In a destructor: its own key is gone, those without a destructor stay, others are made anew and
/// destroyed in turn.
#[test]
fn a_destructor_uses_other_locals() {
    struct Last(Log);
    impl Drop for Last {
        fn drop(&mut self) {
            let error: AccessError = LAST.try_with(|_| ()).unwrap_err();
            assert_eq!(error.to_string(), "already destroyed");
            assert_eq!(format!("{error:?}"), "AccessError");
            let panic = catch_unwind(|| LAST.with(|_| ())).unwrap_err();
            let message = panic.downcast_ref::<String>().unwrap();
            assert!(message.starts_with("cannot access a green thread's local during or after"));
            assert_eq!(PLAIN.get(), 7);
            LATE.set(Some(Note(self.0.clone(), "late")));
            self.0.borrow_mut().push("last");
        }
    }
    thread_local! {
        static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<Note>> = const { RefCell::new(None) };
        static PLAIN: Cell<u8> = const { Cell::new(0) };
    }
    let log = Log::default();
    run(|| {
        let log = log.clone();
        let child = thread::spawn(move || {
            PLAIN.set(7);
            LAST.set(Some(Last(log)));
        });
        child.join().unwrap();
    });
    assert_eq!(log.take(), ["last", "late"]);
}

/// The thread is there until its destructors have run, however long they wait.
#[test]
fn a_destructor_parks() {
    struct Slow(Rc<Cell<u32>>);
    impl Drop for Slow {
        fn drop(&mut self) {
            for _ in 0..5 {
                thread::yield_now();
                self.0.set(self.0.get() + 1);
            }
        }
    }
    thread_local!(static SLOW: RefCell<Option<Slow>> = const { RefCell::new(None) });
    let steps = Rc::new(Cell::new(0));
    run(|| {
        let steps = steps.clone();
        let child = thread::spawn({
            let steps = steps.clone();
            move || SLOW.set(Some(Slow(steps)))
        });
        thread::yield_now();
        assert!(!child.is_finished());
        child.join().unwrap();
        assert_eq!(steps.get(), 5);
        // Nobody's cancel cuts it short either.
        steps.set(0);
        thread::spawn({
            let steps = steps.clone();
            move || {
                SLOW.set(Some(Slow(steps)));
                thread::park();
            }
        });
        thread::yield_now();
    });
    assert_eq!(steps.get(), 5);
}

/// std aborts the process there.
#[test]
fn a_destructor_that_panics_is_reported_and_the_rest_runs() {
    let child = alone(
        "a_destructor_that_panics_is_reported_and_the_rest_runs",
        || {
            struct Bad;
            impl Drop for Bad {
                fn drop(&mut self) {
                    resume_unwind(Box::new("a bad destructor"));
                }
            }
            thread_local! {
                static NOTE: RefCell<Option<Note>> = const { RefCell::new(None) };
                static BAD: Bad = const { Bad };
            }
            let log = Log::default();
            run(|| {
                let log = log.clone();
                let bad = move || {
                    NOTE.set(Some(Note(log.clone(), "note")));
                    BAD.with(|_| ());
                    42
                };
                assert_eq!(thread::spawn(bad.clone()).join().unwrap(), 42);
                // In the middle of a cancel's unwinding too.
                thread::spawn(move || {
                    bad();
                    thread::park();
                });
                thread::yield_now();
            });
            assert_eq!(log.take(), ["note", "note"]);
        },
    );
    if let Some(child) = child {
        let err = String::from_utf8_lossy(&child.stderr);
        let line = "panicked in the destructor of a local: a bad destructor";
        assert_eq!(err.matches(line).count(), 2, "{err}");
    }
}

/// As with std the outer value takes the place of the one that its initialiser made.
#[test]
fn an_initialiser_that_recurs() {
    thread_local!(static DEPTH: Cell<u32> = {
        LEFT.set(LEFT.get() - 1);
        match LEFT.get() {
            0 => Cell::new(100),
            left => Cell::new(DEPTH.get() + left),
        }
    });
    thread_local!(static LEFT: Cell<u32> = const { Cell::new(3) });
    run(|| {
        assert_eq!(DEPTH.get(), 103);
        assert_eq!(DEPTH.get(), 103);
    });
}

/// An initialiser that panics leaves nothing: the next one tries again.
#[test]
fn an_initialiser_that_panics() {
    thread_local! {
        static TRIES: Cell<u32> = const { Cell::new(0) };
        static VALUE: u32 = {
            TRIES.set(TRIES.get() + 1);
            assert!(TRIES.get() > 1, "not yet");
            5
        };
    }
    run(|| {
        assert!(catch_unwind(|| VALUE.with(|_| ())).is_err());
        assert_eq!(VALUE.with(|value| *value), 5);
    });
}

/// Another green thread runs in the middle of an initialiser, and of a use: nothing is borrowed.
#[test]
fn initialisers_and_uses_park() {
    thread_local! {
        static SLOW: Cell<u32> = { thread::yield_now(); Cell::new(1) };
        static OTHER: Cell<u32> = const { Cell::new(0) };
    }
    run(|| {
        let use_both = |n| {
            move || {
                SLOW.with(|slow| {
                    OTHER.set(n);
                    thread::yield_now();
                    slow.set(slow.get() + OTHER.get());
                    thread::yield_now();
                    slow.get()
                })
            }
        };
        let threads: Vec<_> = (0..10).map(|n| thread::spawn(use_both(n))).collect();
        for (n, thread) in (0..).zip(threads) {
            assert_eq!(thread.join().unwrap(), n + 1);
        }
    });
}

/// A coroutine is left in the middle of a use and outlives its green thread: the value stays.
#[test]
fn a_value_in_use_outlives_its_thread() {
    thread_local!(static TEXT: RefCell<Option<Note>> = const { RefCell::new(None) });
    let log = Log::default();
    let coroutine: Coroutine<(), &str, &str> = Coroutine::new({
        let log = log.clone();
        move |co, ()| {
            TEXT.set(Some(Note(log, "gone")));
            TEXT.with(|text| {
                co.suspend("in use");
                text.borrow().as_ref().unwrap().1
            })
        }
    });
    run(|| {
        let coroutine = &coroutine;
        thread::scope(|s| {
            s.spawn(|| coroutine.resume(()).unwrap());
        });
        assert!(log.borrow().is_empty());
        thread::scope(|s| {
            let ended = s.spawn(|| coroutine.resume(()).unwrap().returned());
            assert_eq!(ended.join().unwrap(), Some("gone"));
        });
    });
    assert_eq!(log.take(), ["gone"]);
}

/// Two green threads in the same initialiser: each makes its own value.
#[test]
fn an_initialiser_waits_for_its_own_thread_only() {
    std::thread_local!(static GATE: WaitQueue = const { WaitQueue::new() });
    thread_local!(static VALUE: Cell<u32> = {
        GATE.with(|gate| gate.park(Reason::new("waiting at the gate")));
        Cell::new(5)
    });
    run(|| {
        let first = thread::spawn(|| {
            VALUE.set(1);
            VALUE.get()
        });
        let second = thread::spawn(|| VALUE.replace(2) + VALUE.get());
        thread::yield_now();
        assert!(first.is_finished() && !second.is_finished());
        GATE.with(WaitQueue::unpark_one);
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (1, 7));
    });
}

/// A panic of the closure leaves the value as it is.
#[test]
fn a_use_that_panics() {
    thread_local!(static NUMBER: Cell<u32> = const { Cell::new(1) });
    run(|| {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            NUMBER.with(|n| {
                n.set(2);
                resume_unwind(Box::new(()));
            })
        }));
        assert!(panic.is_err());
        assert_eq!(NUMBER.get(), 2);
    });
}
