//! `ScopeBuilder`: scopes with a policy of their own.

use super::{Race, Scope, TryScope, body, race, try_scope};
use crate::scheduler::{Policy, Tally};

/// A scope's policy: how many of its green threads run at once, and what the first panic does.
///
/// Without a setting it is [`scope`](super::scope()), std's: all run at once, and each to its end.
///
/// # Examples
///
/// ```
/// use greenlit::thread::{self, ScopeBuilder};
/// use std::cell::Cell;
///
/// greenlit::run(|| {
///     let (running, most) = (Cell::new(0), Cell::new(0));
///     ScopeBuilder::new().at_most(3).cancel_on_panic().scope(|s| {
///         for _ in 0..10 {
///             // From the fourth on it waits until one of the others has ended.
///             s.spawn(|| {
///                 running.set(running.get() + 1);
///                 most.set(most.get().max(running.get()));
///                 thread::yield_now();
///                 running.set(running.get() - 1);
///             });
///         }
///     });
///     assert_eq!(most.get(), 3);
/// });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder runs nothing until its scope, try_scope or race is called"]
pub struct ScopeBuilder {
    cancel_on_panic: bool,
    at_most: Option<usize>,
}

impl ScopeBuilder {
    /// std's policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first panic of one of the threads cancels the others, and the scope's closure too: the
    /// blocking call that each is in, or its next one, unwinds it.
    ///
    /// When all have ended, [`scope`](Self::scope) panics with the payload of that first panic, so that
    /// its caller sees what went wrong, and not that something did. Each further panic is reported by
    /// a line on stderr, the closure's own too if it comes later; if it comes first, it cancels the threads
    /// and goes on itself.
    ///
    /// Who joins the thread that was the first to panic is cancelled by that panic, and unwinds. In a
    /// [`shield`](crate::cancel::shield) he gets its payload instead: then the scope returns its closure's
    /// value, if there is one and no other thread panicked, and else panics with std's
    /// `a scoped thread panicked`.
    ///
    /// [`try_scope`](Self::try_scope) does all of this anyway.
    pub fn cancel_on_panic(mut self) -> Self {
        self.cancel_on_panic = true;
        self
    }

    /// At most so many threads of the scope run at once, begun and not ended; the closure is not
    /// counted.
    ///
    /// A spawn beyond that waits until one has ended, before it makes a thread, so that neither stacks
    /// nor closures pile up. Those who wait get the places in the order in which they came. Nobody
    /// waits in a scope that is cancelled: what is spawned there drops its closure.
    ///
    /// A thread of the scope that spawns a sibling keeps its own place while it waits for one. Where
    /// each place is held by such a thread none would ever be free: the last such spawn panics, or, in a
    /// destructor that runs while its thread unwinds, gets a place beyond the limit.
    ///
    /// # Panics
    ///
    /// If `threads` is zero.
    ///
    /// # Cancellation
    ///
    /// A spawn that may have to wait is a blocking call: a cancelled green thread unwinds from it, and
    /// drops the closure. If it unwinds already, it waits.
    pub fn at_most(mut self, threads: usize) -> Self {
        assert!(threads > 0, "at_most: a scope needs a place for one thread");
        self.at_most = Some(threads);
        self
    }

    fn tally(&self, policy: Policy) -> Tally {
        Tally::new(policy, self.at_most)
    }

    /// As [`scope`](super::scope()), with this policy.
    ///
    /// # Panics
    ///
    /// As [`scope`](super::scope()); see [`cancel_on_panic`](Self::cancel_on_panic).
    ///
    /// # Cancellation
    ///
    /// As [`scope`](super::scope()).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::thread::{self, ScopeBuilder};
    /// use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    ///
    /// greenlit::run(|| {
    ///     let ended = catch_unwind(AssertUnwindSafe(|| {
    ///         ScopeBuilder::new().cancel_on_panic().scope(|s| {
    ///             s.spawn(|| resume_unwind(Box::new("out of paper")));
    ///             // It would wait for ever, and the closure for it.
    ///             s.spawn(thread::park).join().unwrap()
    ///         })
    ///     }));
    ///     assert_eq!(ended.unwrap_err().downcast_ref::<&str>(), Some(&"out of paper"));
    /// });
    /// ```
    #[track_caller]
    pub fn scope<'env, F, T>(self, f: F) -> T
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
    {
        let scope = Scope::new(self.tally(Policy {
            cancels_on_panic: self.cancel_on_panic,
            keeps_panic: self.cancel_on_panic,
            cancels_with_body: self.cancel_on_panic,
        }));
        body::run(&scope.tally, || f(&scope)).or_panic(&scope.tally)
    }

    /// As [`try_scope`](super::try_scope()), with this policy.
    ///
    /// # Panics
    ///
    /// As [`try_scope`](super::try_scope()).
    ///
    /// # Errors
    ///
    /// As [`try_scope`](super::try_scope()).
    ///
    /// # Cancellation
    ///
    /// As [`scope`](super::scope()).
    #[track_caller]
    pub fn try_scope<'env, F, T, E>(self, f: F) -> Result<T, E>
    where
        F: for<'scope> FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
    {
        try_scope::run(
            self.tally(Policy {
                cancels_on_panic: true,
                keeps_panic: true,
                cancels_with_body: true,
            }),
            f,
        )
    }

    /// As [`race`](super::race()), with this policy. With
    /// [`cancel_on_panic`](Self::cancel_on_panic) a panic ends the race for all, and goes on.
    ///
    /// # Panics
    ///
    /// As [`race`](super::race()).
    ///
    /// # Errors
    ///
    /// As [`race`](super::race()).
    ///
    /// # Cancellation
    ///
    /// As [`scope`](super::scope()).
    #[track_caller]
    pub fn race<'env, F, T, E>(self, f: F) -> Result<T, Vec<E>>
    where
        F: for<'scope> FnOnce(&'scope Race<'scope, 'env, T, E>),
    {
        race::run(
            self.tally(Policy {
                cancels_on_panic: self.cancel_on_panic,
                keeps_panic: true,
                cancels_with_body: true,
            }),
            f,
        )
    }
}
