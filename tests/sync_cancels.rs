//! A cancel that meets the end of a wait, in each order of the two, by each means of cancelling and for
//! each type of `sync`. Behaviours 14 to 18 and 25.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::awaited::{
    Awaited, Forever, Shared, Timeout, Within, for_each_type, spawn_taker, stage, take_and_log,
};
use greenlit::cancel::{Cancelled, Scope};
use greenlit::sync::{Barrier, Event};
use greenlit::thread::{self, JoinHandle};
use greenlit::time::Instant;

/// How the waiter is cancelled.
#[derive(Clone, Copy, Debug)]
enum By {
    Scope,
    Deadline,
    Handle,
}

const WAYS: [By; 3] = [By::Scope, By::Deadline, By::Handle];

/// A green thread that can be cancelled; its body returns, or is unwound by the cancel.
struct Victim<T> {
    by: By,
    scope: Scope,
    thread: JoinHandle<Result<T, Cancelled>>,
}

impl<T: 'static> Victim<T> {
    fn spawn(by: By, body: impl FnOnce() -> T + 'static) -> Self {
        let scope = Scope::new();
        let own = scope.clone();
        Self {
            by,
            scope,
            thread: thread::spawn(move || own.run(body)),
        }
    }

    fn cancel(&self) {
        match self.by {
            By::Scope => self.scope.cancel("by its scope"),
            By::Deadline => self.scope.set_deadline(Some(Instant::now())),
            By::Handle => self.thread.cancel("by its handle"),
        }
    }

    /// What its body returned; `None` where the cancel has unwound it.
    fn join(self) -> Option<T> {
        match self.thread.join() {
            Ok(result) => result.ok(),
            Err(payload) if payload.is::<Cancelled>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }
}

fn victim<A: Awaited>(by: By, stage: &Shared<A>, within: Within, number: u32) -> Victim<bool> {
    let stage = stage.clone();
    Victim::spawn(by, move || take_and_log(&stage, within, number))
}

/// Behaviours 14 and 15.
fn one_that_is_cancelled_in_the_queue_is_passed_over<A: Awaited>() {
    for by in WAYS {
        for within in [Forever, Timeout(Duration::MAX)] {
            greenlit::run(|| {
                let stage = stage::<A>();
                let before = spawn_taker(&stage, Forever, 1);
                let victim = victim(by, &stage, within, 2);
                let after = spawn_taker(&stage, Forever, 3);
                thread::yield_now();
                victim.cancel();
                assert_eq!(victim.join(), None);
                stage.awaited.grant();
                assert!(before.join().unwrap() && after.join().unwrap());
                assert_eq!(*stage.log.borrow(), [1, 3]);
                assert!(stage.awaited.is_there(), "{by:?}");
            });
        }
    }
}

/// Behaviours 14 and 25: the cancel comes at its next call, and what it was given is passed on.
fn one_that_is_chosen_and_then_cancelled_has_it<A: Awaited>() {
    for by in WAYS {
        greenlit::run(|| {
            let stage = stage::<A>();
            let shared = stage.clone();
            let victim = Victim::spawn(by, move || {
                take_and_log(&shared, Forever, 1);
                thread::yield_now();
                shared.log.borrow_mut().push(100);
            });
            let after = spawn_taker(&stage, Forever, 2);
            thread::yield_now();
            stage.awaited.grant();
            victim.cancel();
            assert_eq!(victim.join(), None);
            assert!(after.join().unwrap());
            assert_eq!(*stage.log.borrow(), [1, 2], "{by:?}");
            assert!(stage.awaited.is_there());
        });
    }
}

/// Behaviours 14 and 25: a value wins.
fn one_that_is_cancelled_and_then_chosen_has_it<A: Awaited>() {
    for by in WAYS {
        greenlit::run(|| {
            let stage = stage::<A>();
            let victim = victim(by, &stage, Forever, 1);
            thread::yield_now();
            victim.cancel();
            stage.awaited.grant();
            assert_eq!(victim.join(), Some(true));
            assert_eq!(*stage.log.borrow(), [1], "{by:?}");
            assert!(stage.awaited.is_there());
        });
    }
}

/// A cancel that was there before the call ends it, though it would be ready.
fn a_call_of_one_that_is_cancelled_takes_nothing<A: Awaited>() {
    for by in WAYS {
        greenlit::run(|| {
            let stage = stage::<A>();
            let go = Rc::new(Event::new());
            let (own, goes) = (stage.clone(), go.clone());
            let victim = Victim::spawn(by, move || {
                while !goes.is_set() {
                    let _ = catch_unwind(AssertUnwindSafe(thread::yield_now));
                }
                take_and_log(&own, Forever, 1)
            });
            thread::yield_now();
            victim.cancel();
            stage.awaited.grant();
            go.set();
            assert_eq!(victim.join(), None);
            assert_eq!(*stage.log.borrow(), [], "{by:?}");
            assert!(stage.awaited.is_there());
        });
    }
}

for_each_type! {
    [
        one_that_is_cancelled_in_the_queue_is_passed_over,
        one_that_is_chosen_and_then_cancelled_has_it,
        one_that_is_cancelled_and_then_chosen_has_it,
        a_call_of_one_that_is_cancelled_takes_nothing,
    ]
}

/// Behaviour 18.
#[test]
fn a_party_that_is_cancelled_neither_opens_a_barrier_nor_blocks_it() {
    for by in WAYS {
        greenlit::run(|| {
            let barrier = Rc::new(Barrier::new(3));
            let party = || {
                let barrier = barrier.clone();
                move || barrier.wait().is_leader()
            };
            let first = thread::spawn(party());
            let victim = Victim::spawn(by, party());
            thread::yield_now();
            victim.cancel();
            assert_eq!(victim.join(), None);
            let third = thread::spawn(party());
            thread::yield_now();
            assert!(!first.is_finished() && !third.is_finished(), "two of three");
            let fourth = thread::spawn(party());
            let leaders = [first, third, fourth].map(|party| party.join().unwrap());
            assert_eq!(leaders.iter().filter(|leads| **leads).count(), 1, "{by:?}");

            // It opens, and then the cancel comes: whoever was let go has passed.
            let parties = [Victim::spawn(by, party()), Victim::spawn(by, party())];
            thread::yield_now();
            barrier.wait();
            parties.iter().for_each(Victim::cancel);
            assert_eq!(parties.map(Victim::join), [Some(false), Some(false)]);
        });
    }
}
