//! `scope`: green threads that borrow from their spawner's frame. The scope catches what its closure
//! throws, waits for its threads, and only then goes on; nothing waits in a destructor (rule 20).

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, RefUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::thread::Result;

use super::handle::Thread;
use super::join::Claim;
use super::spawn::{self, Builder};
use crate::park::{Cancelled, Cause, Core, Limit, Mask, Outcome, is_panic, refuse_in_child};
use crate::scheduler::{Reason, Record};

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
/// A cancelled green thread unwinds from here: the scope cancels its threads, waits until they have
/// ended, and then unwinds.
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
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        tally: Tally::new(),
        scope: PhantomData,
        env: PhantomData,
        on_one_thread: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let is_cancel = matches!(&result, Err(payload) if payload.is::<Cancelled>());
    // From here on nobody can spawn: all who could have ended.
    let ended_by = scope.tally.wait_for_all(is_cancel);
    match (result, ended_by) {
        (Err(payload), _) | (Ok(_), Some(payload)) => go_on_unwinding(payload),
        (Ok(_), None) if scope.tally.panics.get() > 0 => panic!("a scoped thread panicked"),
        (Ok(value), None) => value,
    }
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
    /// Spawns a green thread that runs `f`, after those that are ready already. It ends before the
    /// scope does.
    ///
    /// # Panics
    ///
    /// As [`spawn`](super::spawn). [`Builder::spawn_scoped`] returns an error instead.
    #[inline]
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        // SAFETY: invariant 64: the scope ends after the thread, and `'scope` outlives neither the
        // closure nor the result.
        match unsafe { spawn::spawn_on(None, None, Location::caller(), f) } {
            Ok(claim) => self.tally.enter(claim),
            Err(error) => spawn::refuse(&error),
        }
    }
}

impl Builder {
    /// Spawns a green thread that runs `f` in a scope, with these settings.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
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
        // SAFETY: as in `Scope::spawn`.
        unsafe { self.claim(f) }.map(|claim| scope.tally.enter(claim))
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
    /// of a panic. The scope does not speak of that panic any more.
    ///
    /// # Panics
    ///
    /// As [`JoinHandle::join`](super::JoinHandle::join).
    ///
    /// # Errors
    ///
    /// The payload of the panic that ended the thread.
    ///
    /// # Cancellation
    ///
    /// As [`JoinHandle::join`](super::JoinHandle::join); the scope waits for the thread.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        let number = self.claim.record().id.get();
        let result = self.claim.join();
        if matches!(&result, Err(payload) if is_panic(number, &**payload)) {
            self.tally.panics.set(self.tally.panics.get() - 1);
        }
        result
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

/// What a scope knows of its threads. It lies in the frame of `scope`, and whoever refers to it ends
/// before that frame does.
struct Tally {
    /// Threads that have not ended.
    running: Cell<usize>,
    /// Threads that have ended by a panic and were not joined.
    panics: Cell<usize>,
    /// Who waits for the last of them; null while nobody does.
    waiter: Cell<*const Record>,
    /// Whether they were cancelled, and with them whoever they spawn.
    cancelled: Cell<bool>,
}

impl Tally {
    fn new() -> Self {
        Self {
            running: Cell::new(0),
            panics: Cell::new(0),
            waiter: Cell::new(ptr::null()),
            cancelled: Cell::new(false),
        }
    }

    /// Counts a thread that was spawned just now, and has not run.
    #[inline]
    fn enter<T>(&self, claim: Claim<T>) -> ScopedJoinHandle<'_, T> {
        self.running.set(self.running.get() + 1);
        claim.record().set_scope(ptr::from_ref(self).cast());
        if self.cancelled.get() {
            claim.record().cancel(Cause::OWNER_GONE);
        }
        ScopedJoinHandle { claim, tally: self }
    }

    /// Waits until no thread is left, and returns with what the caller has to unwind if the wait
    /// was ended by a cancel or a deadlock; it is over nevertheless. `is_cancel` says that the owner
    /// unwinds by a cancel: then its threads are cancelled too.
    #[track_caller]
    fn wait_for_all(&self, is_cancel: bool) -> Option<Box<dyn Any + Send>> {
        let mut ended_by = None;
        if is_cancel && self.running.get() > 0 {
            self.cancel_all();
        }
        while self.running.get() > 0 {
            let Some(core) = Core::current() else {
                // In a forked child the threads stayed with the parent.
                refuse_in_child();
                strand("the runtime of its green threads does not run here");
            };
            let cancelled = self.cancelled.get();
            let mask = if cancelled { Mask::Yes } else { Mask::No };
            let waited = catch_unwind(AssertUnwindSafe(|| self.wait(core, mask)));
            self.waiter.set(ptr::null());
            match waited {
                Ok(Outcome::Woken) => {}
                Ok(_) => self.cancel_all(),
                Err(_) if cancelled => strand("its green threads were cancelled and do not stop"),
                Err(payload) => {
                    ended_by = Some(payload);
                    self.cancel_all();
                }
            }
        }
        ended_by
    }

    #[track_caller]
    fn wait(&self, core: &Core, mask: Mask) -> Outcome {
        // It may let others run, and unwind.
        if mask == Mask::No && core.check_cancel().is_err() {
            return Outcome::Cancelled;
        }
        self.waiter.set(core.running());
        let reason = Reason::new("waiting for the green threads of its scope");
        core.park(&reason, Limit::None, mask, || self.running.get() == 0)
    }

    /// Cancels the threads that have not ended; those that they wait for in scopes of their own
    /// follow in turn.
    #[cold]
    fn cancel_all(&self) {
        self.cancelled.set(true);
        let Some(core) = Core::current() else {
            return;
        };
        core.for_each_live(|record| {
            if ptr::eq(record.scope().cast(), self) {
                core.cancel_thread(record, Cause::OWNER_GONE);
            }
        });
    }
}

/// A scope's thread ends, on its own stack, where nothing is left of its closure. From here on it
/// touches nothing that it may have borrowed.
pub(super) fn leave(record: &Record, panicked: bool) {
    let tally: *const Tally = record.scope().cast();
    // SAFETY: invariant 64: the scope waits for this thread, which is counted until the next lines.
    let tally = unsafe { &*tally };
    tally.panics.set(tally.panics.get() + usize::from(panicked));
    let waiter = tally.waiter.get();
    tally.running.set(tally.running.get() - 1);
    if tally.running.get() == 0
        && !waiter.is_null()
        && let Some(core) = Core::current()
    {
        // Nobody runs before this thread has left its stack, so the scope is still there.
        core.unpark(waiter);
    }
}

/// Resumes what was caught before the wait.
fn go_on_unwinding(payload: Box<dyn Any + Send>) -> ! {
    match Core::current() {
        Some(core) => core.resume_unwind(payload),
        None => resume_unwind(payload),
    }
}

/// The scope can neither wait for its threads nor go on without them, since they may use what they
/// have borrowed from it.
#[cold]
#[track_caller]
fn strand(why: &str) -> ! {
    let place = Location::caller();
    let _ = writeln!(
        io::stderr(),
        "greenlit: the scope at {place} cannot end: {why}"
    );
    std::process::abort();
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("running", &self.tally.running.get())
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
