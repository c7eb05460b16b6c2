//! A grace period: the threads of a scope are asked to come to an end, and cancelled when it is over.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;

use greenlit::cancel::{self, Cancelled, Scope};
use greenlit::run;
use greenlit::thread::{self, ScopeBuilder};
use greenlit::time::{Duration, Instant};

/// Never over in a test that works, and not for ever in one that does not.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(2);

/// Why the running thread is to end, in its words.
fn requested() -> Option<String> {
    cancel::requested().map(|cancelled| cancelled.reason().to_owned())
}

/// Why a thread was cancelled, by its joiner's error.
fn reason<T>(joined: thread::Result<T>) -> String {
    let payload = joined.err().expect("it was cancelled");
    let cancelled = payload.downcast::<Cancelled>().expect("no panic");
    cancelled.reason().to_owned()
}

/// A wait goes on, one for the next job ends, and whoever asks is told.
#[test]
fn a_request_is_heard_by_who_listens() {
    run(|| {
        thread::scope(|s| {
            let deaf = s.spawn(|| {
                assert_eq!(requested(), None);
                thread::park();
                requested()
            });
            let listens = s.spawn(|| {
                let ended = cancel::until_requested(thread::park).unwrap_err();
                // Afterwards blocking calls go on.
                thread::yield_now();
                ended.reason().to_owned()
            });
            thread::yield_now();
            s.cancel_softly("closing time", LONG);
            s.cancel_softly("too late to be heard", LONG);
            assert_eq!(listens.join().unwrap(), "closing time");
            thread::yield_now();
            assert!(!deaf.is_finished());
            deaf.thread().unpark();
            assert_eq!(deaf.join().unwrap().as_deref(), Some("closing time"));
            // The closure is not asked.
            assert_eq!(requested(), None);
        });
    });
}

/// When the time is over each is cancelled, for the reason of the request.
#[test]
fn the_end_of_the_grace_period_cancels() {
    run(|| {
        let start = Instant::now();
        let ended = Cell::new(None);
        thread::scope(|s| {
            let deaf = s.spawn(thread::park);
            let busy = s.spawn(|| {
                struct Notes<'a>(&'a Cell<Option<Instant>>);
                impl Drop for Notes<'_> {
                    fn drop(&mut self) {
                        self.0.set(Some(Instant::now()));
                    }
                }
                let _notes = Notes(&ended);
                loop {
                    thread::yield_now();
                }
            });
            thread::yield_now();
            s.cancel_softly("closing time", SHORT);
            assert_eq!(reason(deaf.join()), "closing time");
            assert_eq!(reason(busy.join()), "closing time");
        });
        assert!(ended.get().unwrap() >= start + SHORT);
    });
}

/// Whoever comes later hears it too; after the end of the grace period it does not begin.
#[test]
fn a_request_is_told_to_those_who_come_later() {
    run(|| {
        thread::scope(|s| {
            s.cancel_softly("closing time", LONG);
            let late = s.spawn(|| {
                let asked = requested();
                assert!(cancel::until_requested(thread::park).is_err());
                asked
            });
            assert_eq!(late.join().unwrap().as_deref(), Some("closing time"));
            let waits = s.spawn(thread::park);
            thread::yield_now();
            s.cancel_softly("this very moment", Duration::ZERO);
            assert_eq!(reason(waits.join()), "closing time");
            let too_late = s.spawn(|| unreachable!("it does not begin"));
            assert_eq!(reason(too_late.join()), "closing time");
        });
    });
}

/// A second request keeps the earlier end; a cancel ends the grace period.
#[test]
fn a_request_may_become_a_cancel() {
    run(|| {
        thread::scope(|s| {
            let one = s.spawn(thread::park);
            s.cancel_softly("first", LONG);
            s.cancel_softly("sooner", SHORT);
            s.cancel_softly("later", LONG);
            assert_eq!(reason(one.join()), "first");
        });
        thread::scope(|s| {
            let one = s.spawn(thread::park);
            thread::yield_now();
            s.cancel_softly("asked", LONG);
            s.cancel("told");
            assert_eq!(reason(one.join()), "asked");
            // It is too late to ask.
            s.cancel_softly("asked again", LONG);
            let late = s.spawn(thread::park);
            assert_eq!(reason(late.join()), "told");
        });
    });
}

/// Threads in scopes inside see what those were asked who wait for them, and listen, however deep and
/// however they were asked.
#[test]
fn a_request_is_heard_in_scopes_inside() {
    for how in 0..3 {
        run(|| {
            let heard = Rc::new(RefCell::new(Vec::new()));
            let by_scope = Scope::new();
            let owner = thread::spawn({
                let (heard, by_scope) = (heard.clone(), by_scope.clone());
                move || {
                    let hear = |who| {
                        let ended = cancel::until_requested(thread::park).unwrap_err();
                        heard.borrow_mut().push((who, ended.reason().to_owned()));
                        assert_eq!(requested().as_deref(), Some("closing time"));
                    };
                    let result = by_scope.run(|| {
                        thread::scope(|outer| {
                            outer.spawn(|| {
                                thread::scope(|inner| {
                                    inner.spawn(|| hear("inner"));
                                });
                                hear("outer");
                            });
                            outer.spawn(|| {
                                cancel::shield(|| {
                                    thread::scope(|hidden| {
                                        hidden.spawn(|| {
                                            (0..9).for_each(|_| thread::yield_now());
                                            assert_eq!(requested(), None);
                                        });
                                    });
                                });
                            });
                            (0..3).for_each(|_| thread::yield_now());
                            if how == 0 {
                                outer.cancel_softly("closing time", LONG);
                            }
                        });
                    });
                    result.unwrap();
                }
            });
            (0..6).for_each(|_| thread::yield_now());
            match how {
                0 => {}
                1 => owner.cancel_softly("closing time", LONG),
                _ => by_scope.cancel_softly("closing time", LONG),
            }
            owner.join().unwrap();
            let heard = heard.take();
            let said = String::from("closing time");
            assert_eq!(heard, [("inner", said.clone()), ("outer", said)], "{how}");
        });
    }
}

/// A cancel of the owner is seen in its scope before it arrives there.
#[test]
fn a_cancel_of_the_owner_is_a_request_to_its_threads() {
    run(|| {
        let asked = Rc::new(RefCell::new(None));
        let child = Rc::new(RefCell::new(None));
        let owner = thread::spawn({
            let (asked, child) = (asked.clone(), child.clone());
            move || {
                thread::scope(|s| {
                    let asks = s.spawn(|| {
                        thread::park();
                        *asked.borrow_mut() = requested();
                    });
                    *child.borrow_mut() = Some(asks.thread().clone());
                    thread::park();
                });
            }
        });
        (0..3).for_each(|_| thread::yield_now());
        // The thread's turn comes before its owner's.
        child.borrow().as_ref().unwrap().unpark();
        owner.cancel("the owner has to go");
        assert_eq!(reason(owner.join()), "the owner has to go");
        assert_eq!(asked.take().as_deref(), Some("the owner has to go"));
    });
}

/// The grace period of one thread is its own.
#[test]
fn a_handle_asks_one_thread() {
    run(|| {
        thread::scope(|s| {
            let one = s.spawn(|| cancel::until_requested(thread::park).is_err());
            let other = s.spawn(|| {
                thread::yield_now();
                requested()
            });
            thread::yield_now();
            one.cancel_softly("only you", LONG);
            assert!(one.join().unwrap());
            assert_eq!(other.join().unwrap(), None);
        });
    });
}

/// A policy's cancel does not wait for a grace period that somebody else has given.
#[test]
fn a_panic_in_the_grace_period() {
    run(|| {
        let ended = std::panic::catch_unwind(|| {
            ScopeBuilder::new().cancel_on_panic().scope(|s| {
                s.spawn(thread::park);
                s.spawn(|| {
                    thread::yield_now();
                    resume_unwind(Box::new("impatient"));
                });
                s.cancel_softly("closing time", LONG);
            });
        });
        assert_eq!(*ended.unwrap_err().downcast::<&str>().unwrap(), "impatient");
    });
}

#[test]
fn a_request_to_nobody_is_nothing() {
    assert_eq!(
        thread::scope(|s| {
            s.cancel_softly("outside a runtime", LONG);
            1
        }),
        1
    );
    run(|| thread::scope(|s| s.cancel_softly("to nobody", LONG)));
}
