//! `scope`: green threads that borrow from their spawner's frame. The scope catches what its closure
//! throws, waits for its threads, and only then goes on; nothing waits in a destructor (rule 20).

mod tally;
mod places;
mod body;
mod builder;
mod try_scope;
mod race;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{Location, RefUnwindSafe};
use std::thread::Result;
use std::time::Duration;

use super::handle::Thread;
use super::join::Claim;
use super::spawn::{self, Builder};
use crate::clock;
use crate::park::{Core, is_panic};
use crate::scheduler::{Policy, Tally};

pub use builder::ScopeBuilder;
use places::Place;
pub use race::{Race, race};
pub(super) use tally::{keep, leave};
pub use try_scope::{TryJoinHandle, TryScope, try_scope};

/// Runs `f`, which may spawn green threads that borrow, and returns once all of them have ended.
///
/// What is borrowed has to be there before the scope: it is `'env` that outlives it. Threads that
/// are not joined by hand are waited for at the end. A scope's thread may itself spawn siblings, and
/// have a scope of its own. Outside a runtime the scope itself works, and [`Scope::spawn`] panics as
/// [`spawn`](super::spawn) does.
///
/// # Panics
///
/// With `f`'s payload where it panics, after the threads have ended. Where a thread panicked and was
/// not joined: `a scoped thread panicked`, after a line on stderr for each. In the main green
/// thread, where every green thread is parked and nothing can wake one: a deadlock; the scope's
/// threads are cancelled first, and the process is aborted where they do not stop even so.
///
/// # Cancellation
///
/// A cancelled green thread unwinds from here: the scope cancels its threads, for the same reason,
/// waits until they have ended, and then unwinds.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let words = vec!["two", "green", "threads"];
///     let mut longest = 0;
///     let count = thread::scope(|s| {
///         s.spawn(|| longest = words.iter().map(|word| word.len()).max().unwrap_or(0));
///         s.spawn(|| words.len()).join().unwrap()
///     });
///     assert_eq!((count, longest), (3, 7));
/// });
/// ```
#[inline]
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope::new(Tally::new(Policy::default(), None));
    body::run(&scope.tally, || f(&scope)).or_panic(&scope.tally)
}

/// Where a closure that is given to [`scope`] spawns green threads; see there.
///
/// It stays on its OS thread, as what it spawns does:
///
/// ```compile_fail,E0277
/// greenlit::thread::scope(|s| {
///     std::thread::scope(|os| {
///         os.spawn(|| s.spawn(|| ()));
///     });
/// });
/// ```
///
/// Nothing that is borrowed may go before the scope does:
///
/// ```compile_fail,E0373
/// greenlit::thread::scope(|s| {
///     let local = 1;
///     s.spawn(|| println!("{local}"));
/// });
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    tally: Tally,
    /// Invariant in both, as std's: `'scope` must not shrink to what a closure borrows from inside.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
    on_one_thread: PhantomData<*mut ()>,
}

/// A panic leaves it as it was between two calls.
impl RefUnwindSafe for Scope<'_, '_> {}

impl<'scope, 'env> Scope<'scope, 'env> {
    #[inline(always)]
    fn new(tally: Tally) -> Self {
        Self {
            tally,
            scope: PhantomData,
            env: PhantomData,
            on_one_thread: PhantomData,
        }
    }

    /// Spawns a green thread that runs `f`, after those that are ready already. It ends before the
    /// scope does.
    ///
    /// # Panics
    ///
    /// As [`spawn`](super::spawn). [`Builder::spawn_scoped`] returns an error instead.
    ///
    /// # Cancellation
    ///
    /// It waits only where [`ScopeBuilder::at_most`] lets so many threads run at once; see there.
    #[inline]
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let place = Place::take(&self.tally);
        // SAFETY: invariant 64: the scope ends after the thread, and `'scope` outlives neither the
        // closure nor the result.
        match unsafe { spawn::spawn_on(None, None, Location::caller(), f) } {
            Ok(claim) => self.enter(claim, place),
            Err(error) => {
                drop(place);
                spawn::refuse(&error)
            }
        }
    }

    /// As `spawn`, with a builder's settings.
    #[track_caller]
    fn spawn_in<F, T>(
        &'scope self,
        builder: Builder,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let place = Place::take(&self.tally);
        // SAFETY: as in `spawn`.
        let claim = unsafe { builder.claim(f) }?;
        Ok(self.enter(claim, place))
    }

    /// Enters a thread that was spawned just now, and has not run.
    #[inline]
    fn enter<T>(
        &'scope self,
        claim: Claim<T>,
        place: Option<Place<'_>>,
    ) -> ScopedJoinHandle<'scope, T> {
        // The thread gives it back when it leaves.
        std::mem::forget(place);
        // SAFETY: invariant 95: the thread calls `leave` at its end, and this frame stays until
        // then (64).
        unsafe { self.tally.enter(claim.record()) };
        if self.tally.were_told() {
            self.tally.tell(claim.record());
        }
        ScopedJoinHandle {
            claim,
            tally: &self.tally,
        }
    }

    /// Cancels the scope's green threads: those that there are, and those that are spawned in it
    /// later, which drop their closures. The blocking call that a thread is in, or its next one,
    /// unwinds it.
    ///
    /// It is about the threads: the scope's closure goes on, or stays in its own blocking call, and
    /// the scope ends as ever. It does not wait. To cancel twice is to cancel once: the first reason
    /// stays. The threads of a scope that one of the threads waits in are cancelled when that thread
    /// unwinds, with the same reason.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::cancel::Cancelled;
    /// use greenlit::{thread, time::Duration};
    ///
    /// greenlit::run(|| {
    ///     thread::scope(|s| {
    ///         let ticker = s.spawn(|| loop {
    ///             thread::sleep(Duration::from_secs(1));
    ///         });
    ///         s.cancel("the game is over");
    ///         let payload = ticker.join().unwrap_err();
    ///         assert_eq!(payload.downcast::<Cancelled>().unwrap().reason(), "the game is over");
    ///     });
    /// });
    /// ```
    pub fn cancel(&self, reason: impl Into<Cow<'static, str>>) {
        self.tally.cancel(reason.into().into());
    }

    /// Asks the scope's green threads to come to an end, and cancels them when `grace` has passed: those
    /// that there are, and those that are spawned in it later.
    ///
    /// Until then their blocking calls go on as ever, but for those in
    /// [`until_requested`](crate::cancel::until_requested), which end at once, and who asks
    /// [`requested`](crate::cancel::requested) is told, in scopes inside the threads too. It is about the
    /// threads, as [`cancel`](Self::cancel) is, and does not wait. Called again, it keeps the first reason
    /// and the earlier end.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{cancel, sync::mpsc, thread, time::Duration};
    ///
    /// greenlit::run(|| {
    ///     let (_sender, jobs) = mpsc::channel::<u32>();
    ///     thread::scope(|s| {
    ///         let worker = s.spawn(|| {
    ///             while let Ok(Ok(_job)) = cancel::until_requested(|| jobs.recv()) {}
    ///             "went home"
    ///         });
    ///         thread::yield_now();
    ///         s.cancel_softly("closing time", Duration::from_secs(60));
    ///         assert_eq!(worker.join().unwrap(), "went home");
    ///     });
    /// });
    /// ```
    pub fn cancel_softly(&self, reason: impl Into<Cow<'static, str>>, grace: Duration) {
        let end = clock::after(grace);
        self.tally.request(reason.into().into(), end);
    }
}

impl Builder {
    /// Spawns a green thread that runs `f` in a scope, with these settings.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// # Cancellation
    ///
    /// As [`Scope::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::thread;
    ///
    /// greenlit::run(|| {
    ///     let greeting = String::from("hello");
    ///     thread::scope(|s| {
    ///         let worker = thread::Builder::new().name("worker".into());
    ///         worker.spawn_scoped(s, || println!("{greeting}"))?;
    ///         Ok::<(), std::io::Error>(())
    ///     })
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        scope.spawn_in(self, f)
    }
}

/// An owned permission to wait for the end of a scope's green thread and take its result.
///
/// Where it is dropped, the scope waits for the thread all the same.
pub struct ScopedJoinHandle<'scope, T> {
    claim: Claim<T>,
    tally: &'scope Tally,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the green thread to end, and returns what its closure did: `Err` holds the payload
    /// of a panic, or [`Cancelled`](crate::cancel::Cancelled) where it was cancelled. The scope does not
    /// speak of that panic any more.
    ///
    /// # Panics
    ///
    /// As [`JoinHandle::join`](super::JoinHandle::join).
    ///
    /// # Errors
    ///
    /// The payload of the panic that ended the thread, or `Cancelled`.
    ///
    /// # Cancellation
    ///
    /// As [`JoinHandle::join`](super::JoinHandle::join); the scope waits for the thread. Where the thread
    /// was cancelled, and so is the caller, the call unwinds too, rather than return `Cancelled`. In a
    /// scope with [`cancel_on_panic`](ScopeBuilder::cancel_on_panic) that goes for a thread that panicked,
    /// too: its panic remains the scope's.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.claim.wait_for_end();
        if let Some(payload) = self.claim.payload() {
            self.join_unwound(payload);
        }
        self.claim.result()
    }

    /// Before the payload of a thread that has ended without a value is taken.
    #[cold]
    fn join_unwound(&self, payload: &(dyn Any + Send)) {
        let panicked = is_panic(self.claim.record().id.get(), payload);
        if (!panicked || self.tally.policy().cancels_on_panic)
            && let Some(core) = Core::current()
        {
            let _ = core.check_cancel();
        }
        if panicked {
            self.tally.panics.set(self.tally.panics.get() - 1);
        }
    }

    /// Cancels the green thread, as [`JoinHandle::cancel`](super::JoinHandle::cancel) does. The
    /// scope waits for it all the same.
    pub fn cancel(&self, reason: impl Into<Cow<'static, str>>) {
        self.claim.cancel(reason.into().into());
    }

    /// Asks the green thread to come to an end, as
    /// [`JoinHandle::cancel_softly`](super::JoinHandle::cancel_softly) does.
    pub fn cancel_softly(&self, reason: impl Into<Cow<'static, str>>, grace: Duration) {
        let end = clock::after(grace);
        self.claim.request(reason.into().into(), end);
    }

    /// Whether the thread has ended, so that `join` would not wait.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.claim.is_finished()
    }

    /// The handle of the green thread itself: its name, its number, `unpark`.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        self.claim.thread()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut running = 0_usize;
        self.tally.for_each(|_| running += 1);
        f.debug_struct("Scope")
            .field("running", &running)
            .field("panics", &self.tally.panics.get())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle")
            .field("id", &self.claim.record().id.get())
            .finish_non_exhaustive()
    }
}
