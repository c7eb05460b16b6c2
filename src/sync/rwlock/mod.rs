//! `RwLock`: many readers, or one writer, in the order in which they came.

pub(super) mod raw;

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::Duration;

use self::raw::{Access, RawRwLock};
use super::poisoning::{Entered, Poison};
use crate::clock::{self, Instant};
use crate::park::{Caller, Limit};

/// A reader-writer lock, as [`std::sync::RwLock`], between green threads of any runtime and plain OS
/// threads.
///
/// It is fair: a reader that comes after a writer waits behind it, so that neither side starves. A
/// thread that reads, and asks to read once more while a writer waits, therefore waits for itself;
/// std warns of the same.
///
/// # Examples
///
/// ```
/// use greenlit::sync::RwLock;
///
/// static LIMITS: RwLock<(u32, u32)> = RwLock::new((1, 10));
///
/// greenlit::run(|| {
///     LIMITS.write().unwrap().1 = 20;
///     let (one, another) = (LIMITS.read().unwrap(), LIMITS.read().unwrap());
///     assert_eq!(one.1, another.1);
/// });
/// ```
pub struct RwLock<T: ?Sized> {
    pub(super) raw: RawRwLock,
    poison: Poison,
    data: UnsafeCell<T>,
}

// SAFETY: it owns its data.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers of several threads share the data, and writers hand it on.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T: ?Sized> std::panic::UnwindSafe for RwLock<T> {}
impl<T: ?Sized> std::panic::RefUnwindSafe for RwLock<T> {}

/// The right to read an [`RwLock`]'s data; dropping it lets go of the lock.
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    /// A pointer, as in std's: so a guard of a longer-lived type passes for one of a shorter-lived,
    /// and it stays on its OS thread.
    data: NonNull<T>,
    lock: &'a RawRwLock,
}

/// The right to change an [`RwLock`]'s data; dropping it lets go of the lock.
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    entered: Entered,
    /// As std's, it stays on its OS thread.
    _not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared references to the data only.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self {
            raw: RawRwLock::new(),
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

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock to read; parks while a writer holds it or came before.
    ///
    /// # Panics
    ///
    /// If the calling thread holds it for writing. In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread leaves the queue and unwinds; if it unwinds already, it waits.
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.raw.lock(Caller::current(), Access::Read, Limit::None);
        self.read_guard()
    }

    /// Takes the lock to read if that does not park.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where it would; the guard all the same, if the lock is poisoned.
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        match self.raw.try_lock(Caller::current(), Access::Read) {
            true => Ok(self.read_guard()?),
            false => Err(TryLockError::WouldBlock),
        }
    }

    /// As [`read`](Self::read), but waits no longer than `timeout`. std has no such method.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the time is over, or where a cancelled thread unwinds already; the guard
    /// all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread leaves the queue and unwinds; if it unwinds already, the error is
    /// `WouldBlock`.
    #[track_caller]
    pub fn read_timeout(&self, timeout: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.read_limited(Limit::After(clock::length(timeout)))
    }

    /// As [`read_timeout`](Self::read_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`read_timeout`](Self::read_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`read_timeout`](Self::read_timeout).
    #[track_caller]
    pub fn read_deadline(&self, deadline: Instant) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.read_limited(Limit::At(deadline.nanos()))
    }

    #[track_caller]
    fn read_limited(&self, limit: Limit) -> TryLockResult<RwLockReadGuard<'_, T>> {
        match self.raw.lock(Caller::current(), Access::Read, limit) {
            true => Ok(self.read_guard()?),
            false => Err(TryLockError::WouldBlock),
        }
    }

    pub(super) fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.poison.judge(RwLockReadGuard::new(self))
    }

    /// Takes the lock to write; parks while anybody holds it.
    ///
    /// # Panics
    ///
    /// If the calling thread holds it for writing already. In the main green thread, at a deadlock.
    ///
    /// # Errors
    ///
    /// The guard all the same, if the lock is poisoned.
    ///
    /// # Cancellation
    ///
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let caller = Caller::current();
        self.raw.lock(caller, Access::Write, Limit::None);
        self.write_guard(caller)
    }

    /// Takes the lock to write if nobody holds it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where somebody does; the guard all the same, if the lock is poisoned.
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        let caller = Caller::current();
        match self.raw.try_lock(caller, Access::Write) {
            true => Ok(self.write_guard(caller)?),
            false => Err(TryLockError::WouldBlock),
        }
    }

    /// As [`write`](Self::write), but waits no longer than `timeout`. std has no such method.
    ///
    /// # Errors
    ///
    /// As [`read_timeout`](Self::read_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`read_timeout`](Self::read_timeout).
    #[track_caller]
    pub fn write_timeout(&self, timeout: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.write_limited(Limit::After(clock::length(timeout)))
    }

    /// As [`write_timeout`](Self::write_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`read_timeout`](Self::read_timeout).
    ///
    /// # Cancellation
    ///
    /// As [`read_timeout`](Self::read_timeout).
    #[track_caller]
    pub fn write_deadline(&self, deadline: Instant) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.write_limited(Limit::At(deadline.nanos()))
    }

    #[track_caller]
    fn write_limited(&self, limit: Limit) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        let caller = Caller::current();
        match self.raw.lock(caller, Access::Write, limit) {
            true => Ok(self.write_guard(caller)?),
            false => Err(TryLockError::WouldBlock),
        }
    }

    pub(super) fn write_guard(&self, caller: Caller<'_>) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.poison.judge(RwLockWriteGuard {
            lock: self,
            entered: Poison::enter(caller),
            _not_send: PhantomData,
        })
    }

    /// Whether a panic has let go of the lock while writing.
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_poisoned()
    }

    /// Says that the data are in order again.
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

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// A guard for a lock that was taken to read.
    fn new(lock: &'a RwLock<T>) -> Self {
        Self {
            data: NonNull::new(lock.data.get()).expect("a cell's address is not null"),
            lock: &lock.raw,
        }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on to read only: other readers come in, and no writer does in between.
    pub fn downgrade(s: Self) -> RwLockReadGuard<'a, T> {
        let lock = s.lock;
        mem::forget(s);
        lock.raw.downgrade();
        RwLockReadGuard::new(lock)
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: invariant 73: while there is a read guard, there is no write guard, and the lock
        // is borrowed.
        unsafe { self.data.as_ref() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: invariant 73: while there is a write guard, there is no other guard.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.unlock_read();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.poison.leave(self.entered);
        self.lock.raw.unlock_write();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => d.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => d.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => d.field("data", &format_args!("<locked>")),
        };
        d.field("poisoned", &self.is_poisoned());
        d.finish_non_exhaustive()
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
