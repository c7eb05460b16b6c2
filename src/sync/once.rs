//! `Once`: initialisation that happens once, whoever comes first. Those who come meanwhile park, and
//! so may the initialiser itself.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::spin_lock::{Locked, SpinLock};
use super::waiters::{How, Waiters};
use crate::park::{self, Caller, HOLDER_SHIFT, HOLDER_UNKNOWN, Limit, Outcome, Reason};

/// Nobody has begun.
const INCOMPLETE: u64 = 0;
/// The last initialiser panicked.
const POISONED: u64 = 1 | HOLDER_UNKNOWN;
/// An initialiser runs that is a future, which is nobody's.
const POLLED: u64 = 1 << HOLDER_SHIFT | HOLDER_UNKNOWN;
/// It is done, for good.
const COMPLETE: u64 = HOLDER_UNKNOWN;

/// One-time initialisation, as [`std::sync::Once`], between green threads of any runtime and plain OS
/// threads.
///
/// The initialiser may park. It runs shielded: a cancel of its green thread comes after it.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::Once, thread};
///
/// static START: Once = Once::new();
///
/// greenlit::run(|| {
///     let threads = [1, 2].map(|_| thread::spawn(|| START.call_once(thread::yield_now)));
///     threads.map(|thread| thread.join().unwrap());
///     assert!(START.is_completed());
/// });
/// ```
pub struct Once {
    /// One of the constants above, or the number of the thread whose initialiser runs.
    word: AtomicU64,
    queue: SpinLock<Waiters<()>>,
}

/// What [`Once::call_once_force`] tells its closure.
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Whether an earlier initialiser panicked.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

/// What a `Once` says to somebody who may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Incomplete,
    Poisoned,
    Complete,
}

/// A [`Once`] that has not run, as std's constant of this name.
#[deprecated(note = "use Once::new, as in std")]
#[expect(
    clippy::declare_interior_mutable_const,
    reason = "so does std: each use makes a new one"
)]
pub const ONCE_INIT: Once = Once::new();

#[expect(
    clippy::new_without_default,
    reason = "std's has no default value either"
)]
impl Once {
    /// Nothing has been done yet.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            word: AtomicU64::new(INCOMPLETE),
            queue: SpinLock::new(Waiters::new()),
        }
    }

    /// Calls `f` if no other call of this has been completed, and returns when one has.
    ///
    /// # Panics
    ///
    /// With `f`'s payload where it panics, and at every later call. If `f` calls this again. In the
    /// main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here if no call has been completed, and from a wait for
    /// another's initialiser. Once `f` has begun, it is shielded: a cancel comes after it.
    #[inline]
    #[track_caller]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            let mut f = Some(f);
            self.call(false, &mut |_| run_once(&mut f)());
        }
    }

    /// As [`call_once`](Self::call_once), but a panic of an earlier initialiser only makes `f` run
    /// again.
    ///
    /// # Panics
    ///
    /// With `f`'s payload where it panics. If `f` calls this again.
    ///
    /// # Cancellation
    ///
    /// As [`call_once`](Self::call_once).
    #[inline]
    #[track_caller]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if !self.is_completed() {
            let mut f = Some(f);
            self.call(true, &mut |state| run_once(&mut f)(state));
        }
    }

    /// Whether a call has been completed.
    #[inline]
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.word.load(Ordering::Acquire) == COMPLETE
    }

    /// Waits until a call has been completed.
    ///
    /// # Panics
    ///
    /// If an initialiser panicked.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; if it unwinds already, it waits.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_complete(false);
    }

    /// As [`wait`](Self::wait), but goes on waiting where an initialiser panicked.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_force(&self) {
        self.wait_complete(true);
    }

    #[track_caller]
    fn wait_complete(&self, ignores_poison: bool) {
        let caller = Caller::current();
        let mut unwinds = caller.check_cancel().is_err();
        loop {
            let queue = self.queue.lock();
            match self.word.load(Ordering::Acquire) {
                COMPLETE => {
                    drop(queue);
                    caller.spend();
                    return;
                }
                POISONED if !ignores_poison => drop_and_panic(queue),
                _ => unwinds |= !self.wait_for_change(caller, queue, unwinds),
            }
        }
    }

    #[cold]
    #[track_caller]
    fn call(&self, ignores_poison: bool, f: &mut dyn FnMut(&OnceState)) {
        let caller = Caller::current();
        let mut unwinds = caller.check_cancel().is_err();
        loop {
            let queue = self.queue.lock();
            let word = self.word.load(Ordering::Acquire);
            match word {
                COMPLETE => return,
                POISONED if !ignores_poison => drop_and_panic(queue),
                INCOMPLETE | POISONED => {
                    let running = caller.number() << HOLDER_SHIFT;
                    self.word.store(running, Ordering::Relaxed);
                    drop(queue);
                    let mut completion = Completion {
                        once: self,
                        becomes: POISONED,
                    };
                    let state = OnceState {
                        poisoned: word == POISONED,
                    };
                    park::shielded(|| f(&state));
                    completion.becomes = COMPLETE;
                    return;
                }
                running => {
                    if running == caller.number() << HOLDER_SHIFT {
                        drop(queue);
                        panic!("call_once: the initialiser called it again");
                    }
                    unwinds |= !self.wait_for_change(caller, queue, unwinds);
                }
            }
        }
    }

    /// Waits until an initialiser has ended. Returns whether it was: else the thread unwinds.
    #[track_caller]
    fn wait_for_change(
        &self,
        caller: Caller<'_>,
        queue: Locked<'_, Waiters<()>>,
        unwinds: bool,
    ) -> bool {
        let what = "waiting for an initialiser";
        let mut how = How::shared(what, Limit::None).masked_if(unwinds);
        if self.word.load(Ordering::Relaxed) & HOLDER_UNKNOWN == 0 {
            // SAFETY: the word is part of the `Once`, which is borrowed for the length of the wait.
            how.reason = unsafe { Reason::new(what).held(&raw const self.word) };
        }
        self.queue
            .wait(caller, queue, |queue| queue, (), how, || {})
            == Outcome::Woken
    }

    pub(super) fn queue(&self) -> &SpinLock<Waiters<()>> {
        &self.queue
    }

    /// For who waits: nothing if it is complete, else the lock under which it is not.
    #[track_caller]
    pub(super) fn look(&self, ignores_poison: bool) -> Result<(), Locked<'_, Waiters<()>>> {
        let queue = self.queue.lock();
        match self.word.load(Ordering::Acquire) {
            COMPLETE => Ok(()),
            POISONED if !ignores_poison => drop_and_panic(queue),
            _ => Err(queue),
        }
    }

    /// For who has an initialiser, which `is_future` or runs in one poll: nothing if it is complete,
    /// the right to run it, or, where another's runs, the lock.
    #[track_caller]
    pub(super) fn begin(
        &self,
        ignores_poison: bool,
        is_future: bool,
    ) -> Result<Option<Completion<'_>>, Locked<'_, Waiters<()>>> {
        let number = Caller::current().number() << HOLDER_SHIFT;
        let queue = self.queue.lock();
        match self.word.load(Ordering::Acquire) {
            COMPLETE => return Ok(None),
            POISONED if !ignores_poison => drop_and_panic(queue),
            INCOMPLETE | POISONED => {}
            running if running == number => {
                drop(queue);
                panic!("call_once: the initialiser called it again");
            }
            _ => return Err(queue),
        }
        let running = if is_future { POLLED } else { number };
        self.word.store(running, Ordering::Relaxed);
        Ok(Some(Completion {
            once: self,
            becomes: POISONED,
        }))
    }

    pub(super) fn progress(&mut self) -> Progress {
        match *self.word.get_mut() {
            COMPLETE => Progress::Complete,
            POISONED => Progress::Poisoned,
            // Nobody's initialiser runs while it is borrowed mutably; one whose stack was leaked
            // never ends.
            _ => Progress::Incomplete,
        }
    }

    /// Makes it complete: what it was for is done.
    pub(super) fn complete(&mut self) {
        *self.word.get_mut() = COMPLETE;
    }

    /// Makes it as new.
    pub(super) fn reset(&mut self) {
        *self.word.get_mut() = INCOMPLETE;
    }

    /// Makes it poisoned: what it was for is broken.
    pub(super) fn poison(&mut self) {
        *self.word.get_mut() = POISONED;
    }
}

fn run_once<F>(f: &mut Option<F>) -> F {
    f.take().expect("an initialiser is called once")
}

#[cold]
#[track_caller]
fn drop_and_panic<S>(queue: Locked<'_, S>) -> ! {
    drop(queue);
    panic!("Once instance has previously been poisoned");
}

/// Ends an initialiser, whether it returns or unwinds.
pub(super) struct Completion<'a> {
    once: &'a Once,
    /// What it says after that.
    pub(super) becomes: u64,
}

impl Completion<'_> {
    /// Where the initialiser panicked.
    pub(super) const POISONED: u64 = POISONED;
    /// Where it was given up.
    pub(super) const UNDONE: u64 = INCOMPLETE;

    /// The initialiser has been run.
    pub(super) fn complete(mut self) {
        self.becomes = COMPLETE;
    }
}

impl Drop for Completion<'_> {
    fn drop(&mut self) {
        let queue = self.once.queue.lock();
        self.once.word.store(self.becomes, Ordering::Release);
        self.once
            .queue
            .release_while(queue, |queue| queue, |()| true);
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState")
            .field("poisoned", &self.poisoned)
            .finish()
    }
}

impl std::panic::UnwindSafe for Once {}
impl std::panic::RefUnwindSafe for Once {}
