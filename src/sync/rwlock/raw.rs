//! The reader-writer lock without its data: a word for who holds it, and a queue of readers and
//! writers in the order in which they came.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::park::{Caller, HOLDER_SHIFT, HOLDER_UNKNOWN, Limit, Outcome, Reason};
use crate::sync::spin_lock::SpinLock;
use crate::sync::waiters::{How, Waiters};

/// Somebody stands in the queue: the word changes under the queue's lock only.
const QUEUED: u64 = 1;

/// Readers hold it, and the word's number is how many. Without it a writer does, whose number it is.
const READERS: u64 = HOLDER_UNKNOWN;

/// One reader.
const READER: u64 = 1 << HOLDER_SHIFT;

/// What somebody who waits wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum Access {
    Read,
    Write,
}

/// What the queue knows of one that waits.
pub(in crate::sync) struct Wanted {
    pub(in crate::sync) access: Access,
    /// Whose the lock will be.
    pub(in crate::sync) number: u64,
}

pub(in crate::sync) struct RawRwLock {
    /// 0 while nobody holds it.
    word: AtomicU64,
    pub(in crate::sync) queue: SpinLock<Waiters<Wanted>>,
}

// A panic finds it as whole as any other moment does.
impl std::panic::UnwindSafe for RawRwLock {}
impl std::panic::RefUnwindSafe for RawRwLock {}

impl RawRwLock {
    pub(in crate::sync) const fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            queue: SpinLock::new(Waiters::new()),
        }
    }

    /// Takes the lock within `limit`. Returns whether it was taken.
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn lock(&self, caller: Caller<'_>, access: Access, limit: Limit) -> bool {
        // A thread that cannot be unwound takes the lock all the same, if it may take its time.
        let unwinds = caller.check_cancel().is_err();
        self.try_lock(caller, access)
            || !(unwinds && limit != Limit::None) && self.lock_slow(caller, access, limit, unwinds)
    }

    #[inline]
    pub(in crate::sync) fn try_lock(&self, caller: Caller<'_>, access: Access) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & QUEUED != 0 {
                return false;
            }
            let Some(taken) = taken(word, access, caller.number()) else {
                return false;
            };
            match self.exchange(word, taken, Ordering::Acquire) {
                Ok(()) => return true,
                Err(now) => word = now,
            }
        }
    }

    #[inline(always)]
    fn exchange(&self, word: u64, wanted: u64, success: Ordering) -> Result<(), u64> {
        self.word
            .compare_exchange_weak(word, wanted, success, Ordering::Relaxed)
            .map(drop)
    }

    #[cold]
    #[track_caller]
    fn lock_slow(&self, caller: Caller<'_>, access: Access, limit: Limit, masked: bool) -> bool {
        let what = match access {
            Access::Read => "locking to read",
            Access::Write => "locking to write",
        };
        // SAFETY: the word is part of the lock, which is borrowed for the length of the wait.
        let reason = unsafe { Reason::new(what).held(&raw const self.word) };
        let mut how = How {
            reason,
            ..How::shared(what, limit)
        }
        .masked_if(masked);
        loop {
            // Before the queue is locked: a panic runs the hook, which is the user's.
            assert!(
                self.word.load(Ordering::Relaxed) & !QUEUED != caller.number() << HOLDER_SHIFT,
                "lock: this thread holds the lock for writing already"
            );
            let queue = self.queue.lock();
            if self.take_or_queue(caller, access, queue.first().is_none()) {
                return true;
            }
            // Those behind a writer that leaves may be let in at once.
            let left = Left(self);
            let outcome = self.queue.wait(
                caller,
                queue,
                |queue| queue,
                Wanted {
                    access,
                    number: caller.number(),
                },
                how,
                || match access {
                    Access::Read => self.unlock_read(),
                    Access::Write => self.unlock_write(),
                },
            );
            if outcome == Outcome::Woken {
                std::mem::forget(left);
                return true;
            }
            drop(left);
            if limit != Limit::None {
                return false;
            }
            // It unwinds already: locks park all the same.
            how = how.masked_if(true);
        }
    }

    /// Under the queue's lock: takes the lock, or says in the word that somebody is about to wait.
    /// Returns whether it was taken.
    pub(in crate::sync) fn take_or_queue(
        &self,
        caller: Caller<'_>,
        access: Access,
        nobody_waits: bool,
    ) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let free = match nobody_waits {
                true => taken(word & !QUEUED, access, caller.number()),
                false => None,
            };
            let wanted = free.unwrap_or(word | QUEUED);
            match self.exchange(word, wanted, Ordering::Acquire) {
                Ok(()) => return free.is_some(),
                Err(now) => word = now,
            }
        }
    }

    /// Takes down whose the lock is, which was taken to write.
    pub(in crate::sync) fn hold(&self, number: u64) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & !QUEUED != number << HOLDER_SHIFT {
            let wanted = number << HOLDER_SHIFT | word & QUEUED;
            match self.exchange(word, wanted, Ordering::Relaxed) {
                Ok(()) => return,
                Err(now) => word = now,
            }
        }
    }

    pub(in crate::sync) fn unlock_read(&self) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & QUEUED == 0 {
            match self.exchange(word, without_reader(word), Ordering::Release) {
                Ok(()) => return,
                Err(now) => word = now,
            }
        }
        self.unlock_slow(without_reader);
    }

    pub(in crate::sync) fn unlock_write(&self) {
        let word = self.word.load(Ordering::Relaxed);
        if word & QUEUED != 0
            || self
                .word
                .compare_exchange(word, 0, Ordering::Release, Ordering::Relaxed)
                .is_err()
        {
            self.unlock_slow(|_| 0);
        }
    }

    /// Makes a writer a reader, with no moment in between.
    pub(in crate::sync) fn downgrade(&self) {
        let word = self.word.load(Ordering::Relaxed);
        if word & QUEUED != 0
            || self
                .word
                .compare_exchange(word, READER | READERS, Ordering::Release, Ordering::Relaxed)
                .is_err()
        {
            self.unlock_slow(|_| READER | READERS);
        }
    }

    /// Changes a word that says that somebody waits, and lets in whom it admits now.
    #[cold]
    #[inline(never)]
    fn unlock_slow(&self, change: impl FnOnce(u64) -> u64) {
        let queue = self.queue.lock();
        let word = self.word.load(Ordering::Relaxed);
        self.word
            .store(change(word & !QUEUED) | QUEUED, Ordering::Release);
        drop(queue);
        self.admit();
    }

    /// Lets in the first of the queue, as long as it may come in: one writer, or all readers up to
    /// the next writer. Each is let in under the lock and unparked after it.
    pub(in crate::sync) fn admit(&self) {
        loop {
            let queue = self.queue.lock();
            let word = self.word.load(Ordering::Relaxed);
            if word & QUEUED == 0 {
                return;
            }
            let held = word & !QUEUED;
            let after = |wanted: &Wanted| taken(held, wanted.access, wanted.number);
            let Some(next) = queue.pop_if(|wanted| after(wanted).is_some()) else {
                if queue.is_empty() {
                    self.word.store(held, Ordering::Release);
                }
                return;
            };
            let queued = match queue.is_empty() {
                true => 0,
                false => QUEUED,
            };
            if let Some(taken) = after(next.note()) {
                self.word.store(taken | queued, Ordering::Release);
            }
            let unparker = next.release();
            drop(queue);
            unparker.unpark();
        }
    }
}

/// The word after `access` was granted, if `held` admits it; neither has `QUEUED`.
#[inline(always)]
fn taken(held: u64, access: Access, number: u64) -> Option<u64> {
    match access {
        Access::Write if held == 0 => Some(number << HOLDER_SHIFT),
        Access::Read if held == 0 || held & READERS != 0 => Some((held | READERS) + READER),
        Access::Read | Access::Write => None,
    }
}

/// The word with one reader less.
#[inline(always)]
fn without_reader(word: u64) -> u64 {
    match word - READER {
        READERS => 0,
        fewer => fewer,
    }
}

/// A waiter left the queue without the lock.
struct Left<'a>(&'a RawRwLock);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.admit();
    }
}
