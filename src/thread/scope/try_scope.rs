//! `try_scope`: the first error ends all, and is what the scope returns.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::panic::RefUnwindSafe;

use super::body::{self, Ended};
use super::tally::{FAILED, keep};
use super::{Scope, ScopeBuilder, ScopedJoinHandle};
use crate::park::{Cancelled, Core, is_panic, report};
use crate::scheduler::Tally;
use crate::thread::handle::Thread;
use crate::thread::spawn::{self, Builder};

/// Runs `f`, which may spawn green threads that borrow and can fail; the first error cancels the rest,
/// and is returned once all have ended.
///
/// Each thread's closure returns a `Result`, and so does `f`. With the first `Err`, of a thread or of
/// `f`, the threads that run are cancelled, and `f` too where it still runs: the blocking call that
/// each is in, or its next one, unwinds it. What is spawned afterwards drops its closure. Errors that
/// come after the first are dropped: often they are what the cancel made of it. A thread that is
/// cancelled by its handle, or with all others by [`Scope::cancel`], is no error.
///
/// # Panics
///
/// With the payload of the first panic, of a thread or of `f`, once all have ended. A panic cancels
/// the rest as an error does, and goes before errors, even earlier ones: it is a bug, and nobody else
/// would tell. Each further panic is reported by a line on stderr.
///
/// # Errors
///
/// The first that a thread or `f` returned.
///
/// # Cancellation
///
/// As [`scope`](super::scope()).
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// fn parse_all(words: &[&str]) -> Result<Vec<u32>, std::num::ParseIntError> {
///     let parsed = std::cell::RefCell::new(Vec::new());
///     thread::try_scope(|s| {
///         for word in words {
///             s.spawn(|| Ok(parsed.borrow_mut().push(word.parse()?)));
///         }
///         Ok(())
///     })?;
///     Ok(parsed.take())
/// }
///
/// greenlit::run(|| {
///     assert_eq!(parse_all(&["1", "2"]), Ok(vec![1, 2]));
///     assert!(parse_all(&["1", "two"]).is_err());
/// });
/// ```
#[track_caller]
pub fn try_scope<'env, F, T, E>(f: F) -> Result<T, E>
where
    F: for<'scope> FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
{
    ScopeBuilder::new().try_scope(f)
}

#[track_caller]
pub(super) fn run<'env, F, T, E>(tally: Tally, f: F) -> Result<T, E>
where
    F: for<'scope> FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
{
    let scope = TryScope {
        scope: Scope::new(tally),
        has_failed: Cell::new(false),
        error: Cell::new(None),
    };
    let tally = &scope.scope.tally;
    let ended = body::run(tally, || match f(&scope) {
        Ok(value) => Some(value),
        Err(error) => {
            scope.fail(error);
            None
        }
    });
    let ended = match ended {
        Ended::Stopped if tally.panics.get() == 0 => None,
        ended => ended.or_panic(tally),
    };
    match (scope.error.take(), ended) {
        (Some(error), _) => Err(error),
        (None, Some(value)) => Ok(value),
        (None, None) => body::panic_for(tally),
    }
}

/// Where a closure that is given to [`try_scope`] spawns green threads; see there.
///
/// It is a [`Scope`] too, so that it can be cancelled as one. A thread that is spawned by
/// [`Builder::spawn_scoped`] is one whose result is nobody's error.
pub struct TryScope<'scope, 'env, E> {
    scope: Scope<'scope, 'env>,
    /// Whether there was an error; it stays set when the error is taken out.
    has_failed: Cell<bool>,
    /// The first; `None` until it comes.
    error: Cell<Option<E>>,
}

/// A panic leaves it as it was between two calls.
impl<E> RefUnwindSafe for TryScope<'_, '_, E> {}

impl<'scope, 'env, E> TryScope<'scope, 'env, E> {
    /// Spawns a green thread that runs `f`, after those that are ready already. It ends before the
    /// scope does, and the scope with it if it returns an error.
    ///
    /// # Panics
    ///
    /// As [`Scope::spawn`]. [`spawn_with`](Self::spawn_with) returns an error instead.
    ///
    /// # Cancellation
    ///
    /// As [`Scope::spawn`].
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> TryJoinHandle<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + 'scope,
        T: 'scope,
    {
        let spawned = self.scope.spawn_in(Builder::new(), self.watched(f));
        match spawned {
            Ok(handle) => TryJoinHandle { handle },
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
    pub fn spawn_with<F, T>(
        &'scope self,
        builder: Builder,
        f: F,
    ) -> io::Result<TryJoinHandle<'scope, T>>
    where
        F: FnOnce() -> Result<T, E> + 'scope,
        T: 'scope,
    {
        let handle = self.scope.spawn_in(builder, self.watched(f))?;
        Ok(TryJoinHandle { handle })
    }

    /// `f`, whose error is the scope's.
    fn watched<F, T>(&'scope self, f: F) -> impl FnOnce() -> Option<T> + 'scope
    where
        F: FnOnce() -> Result<T, E> + 'scope,
        T: 'scope,
    {
        move || match f() {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Takes an error in; the first one cancels.
    fn fail(&self, error: E) {
        if !self.has_failed.replace(true) {
            self.error.set(Some(error));
            self.scope.tally.stop(FAILED);
        }
    }
}

impl<'scope, 'env, E> Deref for TryScope<'scope, 'env, E> {
    type Target = Scope<'scope, 'env>;

    fn deref(&self) -> &Scope<'scope, 'env> {
        &self.scope
    }
}

/// An owned permission to wait for the end of a green thread of a [`TryScope`] and take its value.
///
/// Where it is dropped, the scope waits for the thread all the same.
pub struct TryJoinHandle<'scope, T> {
    handle: ScopedJoinHandle<'scope, Option<T>>,
}

impl<T> TryJoinHandle<'_, T> {
    /// Waits for the green thread to end, and returns the value that its closure did.
    ///
    /// # Panics
    ///
    /// As [`JoinHandle::join`](super::super::JoinHandle::join).
    ///
    /// # Errors
    ///
    /// Where there is no value, since the thread was cancelled or failed, and the caller cannot be
    /// unwound or need not be: it is in a [`shield`](crate::cancel::shield), or only that one thread was
    /// cancelled.
    ///
    /// # Cancellation
    ///
    /// As [`JoinHandle::join`](super::super::JoinHandle::join). With the first thread that fails, the
    /// others are cancelled and the scope's closure as well, so from there on a join of a thread without
    /// a value unwinds. Its error, or its panic, is the scope's, and comes out of [`try_scope`].
    #[track_caller]
    pub fn join(self) -> Result<T, Cancelled> {
        let claim = &self.handle.claim;
        claim.wait_for_end();
        let cancelled = match claim.take() {
            Some(Ok(Some(value))) => return Ok(value),
            Some(Ok(None)) | None => self.without_value(),
            Some(Err(payload)) => self.cancelled_by(payload),
        };
        if let Some(core) = Core::current() {
            let _ = core.check_cancel();
        }
        Err(cancelled)
    }

    /// What ended the thread, if it was a cancel; the scope takes a panic.
    fn cancelled_by(&self, payload: Box<dyn Any + Send>) -> Cancelled {
        let record = self.handle.claim.record();
        if is_panic(record.id.get(), &*payload) {
            if let Some(payload) = keep(record, payload) {
                report(record, "panicked and nobody joined it", payload);
            }
            return self.without_value();
        }
        match payload.downcast::<Cancelled>() {
            Ok(cancelled) => *cancelled,
            Err(_) => self.without_value(),
        }
    }

    fn without_value(&self) -> Cancelled {
        Cancelled::of(self.handle.tally.cause().unwrap_or(FAILED))
    }

    /// Cancels the green thread, as [`JoinHandle::cancel`](super::super::JoinHandle::cancel) does.
    pub fn cancel(&self, reason: impl Into<std::borrow::Cow<'static, str>>) {
        self.handle.cancel(reason);
    }

    /// Whether the thread has ended, so that `join` would not wait.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The handle of the green thread itself: its name, its number, `unpark`.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }
}

impl<E> fmt::Debug for TryScope<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScope")
            .field("scope", &self.scope)
            .field("has_failed", &self.has_failed.get())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for TryJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryJoinHandle").field(&self.handle).finish()
    }
}
