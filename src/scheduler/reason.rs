//! Why a green thread parks, and who could end the wait: for dumps, traces and deadlock reports.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Who could end a wait: what a deadlock report is decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wakers {
    /// Only green threads of the same runtime.
    Local,
    /// Whoever holds the lock that is waited for: `Reason::holder` names the thread.
    Holder,
    /// Any OS thread of the process: what is waited for may be shared with it.
    Process,
    /// The reactor, a timer or an offloaded job.
    Event,
    /// Any OS thread of the process that holds the green thread's handle.
    Anyone,
    /// Whoever holds one of so many wakers.
    Held(usize),
}

/// Why a green thread parks: shown in dumps, traces and deadlock reports.
#[derive(Clone, Copy)]
pub struct Reason {
    /// What the thread does, as a participle: `joining`, `sleeping`, `reading`.
    pub(crate) what: &'static str,
    /// The object's kind: `green thread #`, `fd `; empty where there is no object.
    pub(crate) kind: &'static str,
    /// The object's number.
    pub(crate) object: u64,
    /// Who could end the wait.
    pub(crate) wakers: Wakers,
    /// The word in which the lock that is waited for keeps its holder's number, shifted by
    /// `HOLDER_SHIFT`; null for other waits. It outlives the wait, which borrows the lock.
    holder: *const AtomicU64,
    /// Set when the thread is leaked in its wait, so that nobody hands anything to it; null where
    /// the queue sees that by itself.
    abandoned: *const AtomicBool,
}

/// What a join waits for.
pub(crate) const THREAD: &str = "green thread #";
pub(crate) const TASK: &str = "future #";

/// How far to the left of its flags a lock keeps its holder's number.
pub(crate) const HOLDER_SHIFT: u32 = 2;
/// Among those flags: nobody is known to hold the lock, and the number is none.
pub(crate) const HOLDER_UNKNOWN: u64 = 2;

impl Reason {
    /// A wait that only green threads of this runtime can end, with what the thread does meanwhile
    /// as a participle: `Reason::new("waiting for a free seat")`.
    #[inline]
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self {
            what,
            kind: "",
            object: 0,
            wakers: Wakers::Local,
            holder: ptr::null(),
            abandoned: ptr::null(),
        }
    }

    /// A wait that any OS thread of the process might end: it alone is no deadlock.
    #[inline]
    #[must_use]
    pub const fn shared(what: &'static str) -> Self {
        Self::new(what).woken_by(Wakers::Process)
    }

    /// Names the object that is waited for: its kind, with the space or sign that stands before the
    /// number, and its number.
    #[inline]
    #[must_use]
    pub const fn on(self, kind: &'static str, object: u64) -> Self {
        Self {
            kind,
            object,
            ..self
        }
    }

    #[inline]
    pub(crate) const fn woken_by(self, wakers: Wakers) -> Self {
        Self { wakers, ..self }
    }

    /// Names the lock that is waited for by the word that says who holds it, which is read when a
    /// report is written.
    ///
    /// # Safety
    ///
    /// The word outlives the wait.
    #[inline]
    pub(crate) const unsafe fn held(self, holder: *const AtomicU64) -> Self {
        Self {
            wakers: Wakers::Holder,
            holder,
            ..self
        }
    }

    /// The wait for the end of a green thread.
    pub(crate) const fn joining(number: u64) -> Self {
        Self::new("joining").on(THREAD, number)
    }

    /// The wait for the end of a task.
    pub(crate) const fn joining_task(number: u64) -> Self {
        Self::new("joining").on(TASK, number)
    }

    /// The number of who could end the wait alone: who is joined, or who holds the lock.
    pub(crate) fn awaited(&self) -> Option<u64> {
        match self.kind == THREAD || self.kind == TASK {
            true => Some(self.object),
            false => self.holder(),
        }
    }

    /// The number of the thread that holds what is waited for.
    pub(crate) fn holder(&self) -> Option<u64> {
        // SAFETY: `held` asks that the word lives as long as the wait.
        let word = unsafe { self.holder.as_ref() }?;
        let word = word.load(Ordering::Relaxed);
        match word >> HOLDER_SHIFT {
            0 => None,
            _ if word & HOLDER_UNKNOWN != 0 => None,
            number => Some(number),
        }
    }

    /// What outlives the wait of it: the words, without what it points to.
    pub(crate) const fn in_words(self) -> Self {
        Self {
            holder: ptr::null(),
            abandoned: ptr::null(),
            ..self
        }
    }

    /// Where a leak of the waiting thread is noted.
    ///
    /// # Safety
    ///
    /// The flag outlives the wait.
    #[inline]
    pub(crate) const unsafe fn abandoned_by(self, abandoned: *const AtomicBool) -> Self {
        Self { abandoned, ..self }
    }

    /// Notes that the waiting thread will never run again.
    pub(crate) fn abandon(&self) {
        // SAFETY: `abandoned_by` asks that the flag lives as long as the wait.
        if let Some(abandoned) = unsafe { self.abandoned.as_ref() } {
            abandoned.store(true, Ordering::Release);
        }
    }
}

// SAFETY: what a reason points to are atomics, and whoever made it point there vouches for them.
unsafe impl Send for Reason {}
// SAFETY: as above.
unsafe impl Sync for Reason {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if !self.kind.is_empty() {
            write!(f, " {}{}", self.kind, self.object)?;
        }
        match self.holder() {
            Some(holder) => write!(f, ", held by thread #{holder}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({self})")
    }
}
