//! `Mutex`: a word that names the holder, and behind it a queue. Whoever lets go of a lock that is
//! waited for hands it to the first of the queue, so that nobody overtakes.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

use super::planted_bug::LOCK_IS_LOST;
use super::poisoning::{Entered, Poison};
use super::spin_lock::{Locked, SpinLock};
use super::waiters::{How, Waiters};
use crate::clock::{self, Instant};
use crate::park::{Caller, HOLDER_SHIFT, Limit, Mask, Outcome, Reason};

/// Somebody holds the lock.
const HELD: u32 = 1;
/// Somebody stands in the queue: the word changes under the queue's lock only.
const QUEUED: u32 = 2;

/// Mutual exclusion, as [`std::sync::Mutex`]: between green threads of any runtime, and plain OS
/// threads.
///
/// Those who wait get the lock in the order in which they came, and whoever lets go of it does not
/// overtake them. Taking and letting go of a lock that nobody else wants costs no system call and
/// no allocation. The guard may be held across a call that parks.
///
/// A lock is poisoned when a panic lets go of it, as std's. A cancel does not poison.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::Mutex, thread};
///
/// static LOG: Mutex<Vec<&str>> = Mutex::new(Vec::new());
///
/// greenlit::run(|| {
///     let mut log = LOG.lock().unwrap();
///     let waiter = thread::spawn(|| LOG.lock().unwrap().push("second"));
///     thread::yield_now();
///     log.push("first");
///     drop(log);
///     waiter.join().unwrap();
///     assert_eq!(*LOG.lock().unwrap(), ["first", "second"]);
/// });
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    poison: Poison,
    data: UnsafeCell<T>,
}

/// The lock without its data and its poison.
pub(super) struct RawMutex {
    /// 0 while nobody holds it, else `HELD`, and perhaps `QUEUED`.
    word: AtomicU32,
    /// The number of the thread that holds it, shifted by `HOLDER_SHIFT`; 0 while nobody does, and
    /// for a moment after the word has changed. It is apart from the word, so that to take the lock
    /// does not wait for the number.
    holder: AtomicU64,
    /// The numbers of those who wait, one of whom will be the holder.
    queue: SpinLock<Waiters<u64>>,
}

// SAFETY: it owns its data, and hands it from thread to thread, one at a time.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T: ?Sized> std::panic::UnwindSafe for Mutex<T> {}
impl<T: ?Sized> std::panic::RefUnwindSafe for Mutex<T> {}

/// The right to use a [`Mutex`]'s data; dropping it lets go of the lock.
#[must_use = "if unused the Mutex will immediately unlock"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    entered: Entered,
    /// As std's, it stays on its OS thread.
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared references to the data only.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// A lock that nobody holds.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self {
            raw: RawMutex::new(),
            poison: Poison::new(),
            data: UnsafeCell::new(value),
        }
    }

    /// Takes the data out.
    ///
    /// # Errors
    ///
    /// The data all the same, if the lock is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.poison.is_poisoned();
        let value = self.data.into_inner();
        match poisoned {
            true => Err(PoisonError::new(value)),
            false => Ok(value),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock; parks while another thread holds it.
    ///
    /// # Panics
    ///
    /// If the calling thread holds it already. In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread leaves the queue and unwinds; if it unwinds already, it waits.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let caller = Caller::current();
        self.raw.lock(caller);
        self.guard(caller)
    }

    /// Takes the lock if nobody holds it. It does not park, and no other green thread runs.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where somebody holds it; the guard all the same, if the lock is poisoned.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let caller = Caller::current();
        match self.raw.try_lock(caller) {
            true => Ok(self.guard(caller)?),
            false => Err(TryLockError::WouldBlock),
        }
    }

    /// As [`lock`](Self::lock), but waits no longer than `timeout`. std has no such method.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the time is over, or where a cancelled thread unwinds already; the guard
    /// all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_timeout(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        self.lock_limited(Limit::After(clock::length(timeout)))
    }

    /// As [`lock_timeout`](Self::lock_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`lock`](Self::lock).
    #[track_caller]
    pub fn lock_deadline(&self, deadline: Instant) -> TryLockResult<MutexGuard<'_, T>> {
        self.lock_limited(Limit::At(deadline.nanos()))
    }

    #[track_caller]
    fn lock_limited(&self, limit: Limit) -> TryLockResult<MutexGuard<'_, T>> {
        let caller = Caller::current();
        match self.raw.lock_limited(caller, limit) {
            true => Ok(self.guard(caller)?),
            false => Err(TryLockError::WouldBlock),
        }
    }

    #[inline(always)]
    fn guard(&self, caller: Caller<'_>) -> LockResult<MutexGuard<'_, T>> {
        self.poison.judge(MutexGuard {
            mutex: self,
            entered: Poison::enter(caller),
            _not_send: PhantomData,
        })
    }

    /// Whether a panic has let go of the lock.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_poisoned()
    }

    /// Says that the data are in order again.
    #[inline]
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The data, without a lock: the mutable borrow shows that nobody has it.
    ///
    /// # Errors
    ///
    /// The data all the same, if the lock is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let value = self.data.get_mut();
        self.poison.judge(value)
    }
}

impl RawMutex {
    pub(super) const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            holder: AtomicU64::new(0),
            queue: SpinLock::new(Waiters::new()),
        }
    }

    #[inline(always)]
    #[track_caller]
    fn lock(&self, caller: Caller<'_>) {
        // A cancel is looked for once the lock has been taken, which it may be at once: then it is
        // let go again, as if the cancel had been seen first.
        let taken = self.try_lock(caller);
        if !taken || caller.has_news() {
            self.lock_slow(caller, taken);
        }
    }

    #[inline(always)]
    pub(super) fn try_lock(&self, caller: Caller<'_>) -> bool {
        // Read first: an exchange that fails costs as much as one that does not.
        let taken = self.word.load(Ordering::Relaxed) == 0
            && self
                .word
                .compare_exchange(0, HELD, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if taken {
            self.hold(caller.number());
        }
        taken
    }

    /// Takes down who holds the lock now.
    #[inline(always)]
    pub(super) fn hold(&self, number: u64) {
        self.holder.store(number << HOLDER_SHIFT, Ordering::Relaxed);
    }

    /// The lock is held, or it was `taken` just now by a thread for which there are news.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn lock_slow(&self, caller: Caller<'_>, taken: bool) {
        let news = caller.has_news();
        if taken {
            if !caller.is_cancelled() {
                return;
            }
            self.unlock();
        }
        // A thread that cannot be unwound takes the lock all the same.
        let unwinds = news && caller.check_cancel().is_err();
        self.queue_up(caller, Limit::None, unwinds);
    }

    #[track_caller]
    fn lock_limited(&self, caller: Caller<'_>, limit: Limit) -> bool {
        let unwinds = caller.check_cancel().is_err();
        self.try_lock(caller) || !unwinds && self.queue_up(caller, limit, false)
    }

    /// Takes the lock whatever the thread's cancel says: what was unlocked for a while is taken back.
    #[track_caller]
    pub(super) fn lock_masked(&self, caller: Caller<'_>) {
        if !self.try_lock(caller) {
            self.queue_up(caller, Limit::None, true);
        }
    }

    /// Takes the lock if it is free by now, and else stands in the queue for it. Returns whether it
    /// was taken.
    #[track_caller]
    fn queue_up(&self, caller: Caller<'_>, limit: Limit, masked: bool) -> bool {
        // SAFETY: the number is part of the lock, which is borrowed for the length of the wait.
        let reason = unsafe { Reason::new("locking a mutex").held(&raw const self.holder) };
        let mask = if masked { Mask::Yes } else { Mask::No };
        let mut how = How {
            reason,
            limit,
            mask,
        };
        loop {
            // Before the queue is locked: a panic runs the hook, which is the user's.
            assert!(
                !self.is_held_by(caller),
                "lock: this thread holds the mutex already"
            );
            let queue = self.queue.lock();
            if self.take_or_queue(caller) {
                return true;
            }
            let give_back = || self.unlock();
            match self.queue.wait(
                caller,
                queue,
                |queue| queue,
                caller.number(),
                how,
                give_back,
            ) {
                Outcome::Woken => {
                    if LOCK_IS_LOST {
                        let _ = caller.check_cancel();
                    }
                    return true;
                }
                Outcome::TimedOut => return false,
                Outcome::Cancelled if limit != Limit::None => return false,
                // It unwinds already: locks park all the same.
                Outcome::Cancelled => how.mask = Mask::Yes,
            }
        }
    }

    pub(super) fn queue(&self) -> &SpinLock<Waiters<u64>> {
        &self.queue
    }

    /// Takes the lock if it is free; else returns that of the queue, for who is about to wait.
    pub(super) fn lock_or_queue(&self, caller: Caller<'_>) -> Option<Locked<'_, Waiters<u64>>> {
        if self.try_lock(caller) {
            return None;
        }
        let queue = self.queue.lock();
        match self.take_or_queue(caller) {
            true => None,
            false => Some(queue),
        }
    }

    /// Under the queue's lock: takes the mutex if it is free, and else says in the word that
    /// somebody is about to wait. Returns whether it was taken.
    #[inline(always)]
    fn take_or_queue(&self, caller: Caller<'_>) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let wanted = match word {
                0 => HELD,
                HELD => HELD | QUEUED,
                _ => return false,
            };
            match self.word.compare_exchange_weak(
                word,
                wanted,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(0) => {
                    self.hold(caller.number());
                    return true;
                }
                Ok(_) => return false,
                Err(now) => word = now,
            }
        }
    }

    /// Whether the calling thread holds the lock: nobody else writes its number here.
    fn is_held_by(&self, caller: Caller<'_>) -> bool {
        self.holder.load(Ordering::Relaxed) == caller.number() << HOLDER_SHIFT
    }

    #[inline(always)]
    pub(super) fn unlock(&self) {
        self.holder.store(0, Ordering::Relaxed);
        if self.word.load(Ordering::Relaxed) != HELD
            || self
                .word
                .compare_exchange(HELD, 0, Ordering::Release, Ordering::Relaxed)
                .is_err()
        {
            self.hand_over();
        }
    }

    /// Gives the lock to the first of the queue.
    #[cold]
    #[inline(never)]
    fn hand_over(&self) {
        let queue = self.queue.lock();
        let Some(next) = queue.pop() else {
            self.word.store(0, Ordering::Release);
            return;
        };
        if queue.is_empty() {
            // Nobody else changes it meanwhile, and the next one sees all that came before by
            // `chosen`.
            self.word.store(HELD, Ordering::Relaxed);
        }
        self.hold(*next.note());
        let unparker = next.release();
        drop(queue);
        unparker.unpark();
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Mutex<T> {
    pub(super) fn raw(&self) -> &RawMutex {
        &self.raw
    }

    /// A guard for a lock that was taken already.
    pub(super) fn guard_again(&self, caller: Caller<'_>) -> LockResult<MutexGuard<'_, T>> {
        self.guard(caller)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: invariant 73: the guard's thread holds the lock.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: invariant 73: the guard's thread holds the lock, and the guard is borrowed
        // mutably.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.mutex.poison.leave(self.entered);
        self.mutex.raw.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => d.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => d.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => d.field("data", &"<locked>"),
        };
        d.field("poisoned", &self.is_poisoned());
        d.finish_non_exhaustive()
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
