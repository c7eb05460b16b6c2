//! `race`: the first success ends all, and is what the scope returns.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::panic::RefUnwindSafe;

use super::body::{self, Ended};
use super::tally::WON;
use super::{Scope, ScopeBuilder, ScopedJoinHandle};
use crate::scheduler::Tally;
use crate::thread::spawn::{self, Builder};

/// Runs `f`, which spawns green threads that borrow; the first that succeeds cancels the rest, and its
/// value is returned once all have ended.
///
/// Each thread's closure returns a `Result`. With the first `Ok` the threads that run are cancelled,
/// and `f` too where it still runs: the blocking call that each is in, or its next one, unwinds it, and
/// its destructors have run when `race` returns. What is spawned afterwards drops its closure, and what
/// succeeds afterwards drops its value. A thread that is cancelled by its handle, or with all others by
/// [`Scope::cancel`], neither wins nor has an error.
///
/// # Panics
///
/// With `f`'s payload where it panics, after the threads were cancelled and have ended. A thread that
/// panics has lost, as one that returns an error has, and the others go on: where one of them wins, the
/// panic is reported by a line on stderr; where none does, it is the first panic that goes on, and
/// errors are dropped. [`ScopeBuilder::cancel_on_panic`] has a panic end the race instead.
///
/// # Errors
///
/// Those of all threads, in the order in which they came, if none succeeded. They are none if there was
/// no thread.
///
/// # Cancellation
///
/// As [`scope`](super::scope()).
///
/// # Examples
///
/// Two ways at once, the second with a delay:
///
/// ```
/// use greenlit::{thread, time::Duration};
///
/// # fn connect(address: &str) -> Result<String, String> {
/// #     thread::sleep(Duration::from_millis(if address == "::1" { 10_000 } else { 1 }));
/// #     Ok(address.to_owned())
/// # }
/// greenlit::run(|| {
///     let first = thread::race(|s| {
///         s.spawn(|| connect("::1"));
///         thread::sleep(Duration::from_millis(5));
///         s.spawn(|| connect("127.0.0.1"));
///     });
///     assert_eq!(first.as_deref(), Ok("127.0.0.1"));
/// });
/// ```
#[track_caller]
pub fn race<'env, F, T, E>(f: F) -> Result<T, Vec<E>>
where
    F: for<'scope> FnOnce(&'scope Race<'scope, 'env, T, E>),
{
    ScopeBuilder::new().race(f)
}

#[track_caller]
pub(super) fn run<'env, F, T, E>(tally: Tally, f: F) -> Result<T, Vec<E>>
where
    F: for<'scope> FnOnce(&'scope Race<'scope, 'env, T, E>),
{
    let race = Race {
        scope: Scope::new(tally),
        is_won: Cell::new(false),
        winner: Cell::new(None),
        errors: Cell::new(Vec::new()),
    };
    let tally = &race.scope.tally;
    let ended = body::run(tally, || f(&race));
    let is_over = matches!(ended, Ended::Returned(()) | Ended::Stopped);
    let panic_ends_it = tally.policy().cancels_on_panic && tally.panics.get() > 0;
    if is_over
        && !panic_ends_it
        && let Some(value) = race.winner.take()
    {
        body::report_kept(tally);
        return Ok(value);
    }
    ended.or_panic(tally);
    Err(race.errors.take())
}

/// Where a closure that is given to [`race`] spawns green threads; see there.
///
/// It is a [`Scope`] too, so that it can be cancelled as one. A thread that is spawned by
/// [`Builder::spawn_scoped`] does not take part.
pub struct Race<'scope, 'env, T, E> {
    scope: Scope<'scope, 'env>,
    /// Whether one has succeeded; it stays set when the value is taken out.
    is_won: Cell<bool>,
    /// What the first has returned; `None` until it does.
    winner: Cell<Option<T>>,
    /// What the others have returned so far.
    errors: Cell<Vec<E>>,
}

/// A panic leaves it as it was between two calls.
impl<T, E> RefUnwindSafe for Race<'_, '_, T, E> {}

impl<'scope, 'env, T, E> Race<'scope, 'env, T, E> {
    /// Spawns a green thread that runs `f`, after those that are ready already. It ends before the
    /// race does, and the race with it if it succeeds.
    ///
    /// The handle waits for its end, and knows nothing of its result. Who joins a thread that panics
    /// has taken notice of the panic.
    ///
    /// # Panics
    ///
    /// As [`Scope::spawn`]. [`spawn_with`](Self::spawn_with) returns an error instead.
    ///
    /// # Cancellation
    ///
    /// As [`Scope::spawn`].
    #[track_caller]
    pub fn spawn<F>(&'scope self, f: F) -> ScopedJoinHandle<'scope, ()>
    where
        F: FnOnce() -> Result<T, E> + 'scope,
    {
        let spawned = self.scope.spawn_in(Builder::new(), || self.come_in(f()));
        match spawned {
            Ok(handle) => handle,
            Err(error) => spawn::refuse(&error),
        }
    }

    /// As [`spawn`](Self::spawn), with a builder's name and stack size.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    ///
    /// # Cancellation
    ///
    /// As [`Scope::spawn`].
    #[track_caller]
    pub fn spawn_with<F>(
        &'scope self,
        builder: Builder,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, ()>>
    where
        F: FnOnce() -> Result<T, E> + 'scope,
    {
        self.scope.spawn_in(builder, || self.come_in(f()))
    }

    /// Takes a result in; the first success cancels.
    fn come_in(&self, result: Result<T, E>) {
        match result {
            Ok(value) if !self.is_won.replace(true) => {
                self.winner.set(Some(value));
                self.scope.tally.stop(WON);
            }
            Ok(_late) => {}
            Err(error) => {
                let mut errors = self.errors.take();
                errors.push(error);
                self.errors.set(errors);
            }
        }
    }
}

impl<'scope, 'env, T, E> Deref for Race<'scope, 'env, T, E> {
    type Target = Scope<'scope, 'env>;

    fn deref(&self) -> &Scope<'scope, 'env> {
        &self.scope
    }
}

impl<T, E> fmt::Debug for Race<'_, '_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race")
            .field("scope", &self.scope)
            .field("is_won", &self.is_won.get())
            .finish_non_exhaustive()
    }
}
