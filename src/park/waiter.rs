//! A thread that waits, green or not, as the queues of `sync` know it: it parks itself, and whoever
//! ends its wait, on any OS thread, takes an `Unparker` out of it.

use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::core::take_numbers;
use super::{Cancelled, Core, Limit, Mailbox, Mask, Outcome, Reason, refuse_in_child};
use crate::clock::Instant;
use crate::scheduler::Record;

thread_local! {
    /// This OS thread's own number, as far as one was asked for.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// The calling thread: a green thread, or the OS thread where no runtime runs.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    core: Option<&'a Core>,
}

impl Caller<'_> {
    #[inline(always)]
    pub(crate) fn current() -> Self {
        Self {
            core: Core::current(),
        }
    }

    /// A number that no other thread of the process has, and that is never 0.
    #[inline(always)]
    pub(crate) fn number(self) -> u64 {
        match self.core {
            Some(core) => core.running().id.get(),
            None => os_number(),
        }
    }

    /// Whether there is something that a blocking call has to look at: perhaps a cancel.
    #[inline(always)]
    pub(crate) fn has_news(self) -> bool {
        self.core
            .is_some_and(|core| core.running().flags.get() != 0)
    }

    /// Looks for a cancel at the entry of a blocking call.
    ///
    /// # Errors
    ///
    /// Where the thread is cancelled and cannot be unwound.
    #[inline(always)]
    pub(crate) fn check_cancel(self) -> Result<(), Cancelled> {
        match self.core {
            Some(core) => core.check_cancel(),
            None => Ok(()),
        }
    }

    /// After an operation that did not park: lets others run when the budget is used up.
    #[inline(always)]
    pub(crate) fn spend(self) {
        if let Some(core) = self.core {
            core.spend();
        }
    }

    /// Whether this thread panics, of which its locks are poisoned. A cancel is no panic, and where
    /// others are parked in the middle of an unwinding, std's answer may speak of them: then it is
    /// no (rule 20).
    #[inline(always)]
    pub(crate) fn panics(self) -> bool {
        thread::panicking() && self.core.is_none_or(Core::running_panics)
    }
}

#[cold]
#[inline(never)]
fn os_number() -> u64 {
    if NUMBER.get() == 0 {
        NUMBER.set(take_numbers(1));
    }
    NUMBER.get()
}

/// A thread for the length of one wait: a green thread, or outside a runtime the OS thread.
///
/// It is what queues are made of that are shared between OS threads. Whoever has to wait puts a
/// reference to its waiter into a queue, under the queue's own lock, and parks; whoever ends the
/// wait takes an [`Unparker`] out of it, under the same lock, notes somewhere that the wait is over,
/// lets go of the lock and unparks. For queues within one OS thread
/// [`WaitQueue`](super::WaitQueue) is simpler.
///
/// # Examples
///
/// ```
/// use greenlit::park::{Reason, Waiter};
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// greenlit::run(|| {
///     let done = AtomicBool::new(false);
///     Waiter::with(|waiter| {
///         std::thread::scope(|scope| {
///             scope.spawn(|| {
///                 let unparker = waiter.unparker();
///                 done.store(true, Ordering::Release);
///                 unparker.unpark();
///             });
///             waiter.park(Reason::shared("waiting for another OS thread"), || {
///                 done.load(Ordering::Acquire)
///             });
///         });
///     });
/// });
/// ```
pub struct Waiter {
    /// The runtime of a green thread; null for an OS thread.
    core: *const Core,
    /// The record of a green thread.
    record: *const Record,
    /// The thread's number, which a lock that is handed to it takes down.
    number: u64,
    /// The OS thread's handle; `None` for a green thread.
    os: Option<thread::Thread>,
    /// Whether the thread was leaked in its wait: nothing may be handed to it any more.
    abandoned: AtomicBool,
}

impl Waiter {
    /// Runs `f` with a waiter for the calling thread.
    pub fn with<R>(f: impl FnOnce(&Self) -> R) -> R {
        // SAFETY: the waiter stays in this frame, which is part of the run.
        let waiter = unsafe { Self::new(Caller::current()) };
        f(&waiter)
    }

    /// A waiter for the calling thread.
    ///
    /// # Safety
    ///
    /// It does not outlive the run in which it was made.
    #[inline(always)]
    pub(crate) unsafe fn new(caller: Caller<'_>) -> Self {
        // In one piece, so that it is made where it stays.
        let (core, record, os) = match caller.core {
            Some(core) => (ptr::from_ref(core), ptr::from_ref(core.running()), None),
            None => (ptr::null(), ptr::null(), os_thread()),
        };
        Self {
            core,
            record,
            number: caller.number(),
            os,
            abandoned: AtomicBool::new(false),
        }
    }

    /// Blocks until `done` says that what is waited for has happened. It is asked before the thread
    /// parks and whenever it is unparked; once it has said yes it is not asked again.
    ///
    /// # Panics
    ///
    /// If called by another thread than the waiter's own. In the main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and `done` has said no before; if it unwinds
    /// already, the call goes on.
    pub fn park(&self, reason: Reason, mut done: impl FnMut() -> bool) {
        let outcome = self.park_limited(reason, Limit::None, Mask::No, &mut done);
        if outcome == Outcome::Cancelled {
            self.park_limited(reason, Limit::None, Mask::Yes, done);
        }
    }

    /// As [`park`](Self::park), but not longer than until `deadline`. Returns what `done` said
    /// last; it is false too where a cancelled thread unwinds already.
    ///
    /// # Panics
    ///
    /// As [`park`](Self::park).
    #[must_use = "false says that the deadline has passed"]
    pub fn park_until(
        &self,
        reason: Reason,
        deadline: Instant,
        done: impl FnMut() -> bool,
    ) -> bool {
        self.park_limited(reason, Limit::At(deadline.nanos()), Mask::No, done) == Outcome::Woken
    }

    #[inline]
    pub(crate) fn park_limited(
        &self,
        reason: Reason,
        limit: Limit,
        mask: Mask,
        done: impl FnMut() -> bool,
    ) -> Outcome {
        if self.core.is_null() {
            return park_os_thread(limit, done);
        }
        let here = Core::current().filter(|here| ptr::eq(*here, self.core));
        let Some(here) = here.filter(|here| ptr::eq(here.running(), self.record)) else {
            panic!("park: a waiter parks only the thread that made it");
        };
        // SAFETY: the waiter is borrowed for the length of the wait.
        let reason = unsafe { reason.abandoned_by(&raw const self.abandoned) };
        here.park(&reason, limit, mask, done)
    }

    /// What ends the wait. Whoever calls this keeps the waiter from going meanwhile: most often by
    /// the lock of the queue in which it found it.
    #[inline]
    #[must_use = "it unparks nobody until its unpark method is called"]
    pub fn unparker(&self) -> Unparker {
        Unparker(match (&self.os, Core::here()) {
            (None, Some(here)) if ptr::eq(here, self.core) => Target::Here {
                serial: here.serial,
                record: self.record,
                number: self.number,
            },
            (None, _) => Target::Elsewhere {
                mailbox: mailbox_of(self.core),
                record: self.record,
                number: self.number,
            },
            (Some(thread), _) => Target::Os(thread.clone()),
        })
    }

    /// As `unparker`, for one that is used before the thread can run again.
    ///
    /// # Safety
    ///
    /// Where the thread is a green one of this OS thread, it has not left its frame when the unparker
    /// is used: there is no switch in between.
    #[inline(always)]
    pub(crate) unsafe fn unparker_for_now(&self) -> Unparker {
        match Core::here() {
            Some(here) if ptr::eq(here, self.core) => Unparker(Target::Now {
                core: here,
                record: self.record,
            }),
            _ => self.unparker(),
        }
    }

    /// The number of the thread that waits.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the thread will never run again.
    #[inline]
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

/// The mailbox of a waiter's runtime, on any OS thread.
#[cold]
fn mailbox_of(core: *const Core) -> Arc<Mailbox> {
    // SAFETY: invariant 70: the core outlives its waiters. No reference to the rest of it is made.
    let mailbox = unsafe { &raw const (*core).mailbox };
    // SAFETY: the field is never written after it was made.
    unsafe { &*mailbox }.clone()
}

// SAFETY: invariant 70: what other OS threads can do with a reference is `unparker`, which reads
// fields that never change, a mailbox that is shared by all, and an atomic; `park` refuses any
// thread but the waiter's own.
unsafe impl Sync for Waiter {}

#[cold]
#[inline(never)]
fn os_thread() -> Option<thread::Thread> {
    refuse_in_child();
    Some(thread::current())
}

/// Blocks the OS thread until `done()` or the limit.
#[cold]
fn park_os_thread(limit: Limit, mut done: impl FnMut() -> bool) -> Outcome {
    let deadline = match limit {
        Limit::None => None,
        Limit::At(nanos) => Some(nanos),
        Limit::After(nanos) => Some(crate::clock::now().saturating_add(nanos)),
    };
    loop {
        if done() {
            return Outcome::Woken;
        }
        let Some(deadline) = deadline else {
            thread::park();
            continue;
        };
        match deadline.saturating_sub(crate::clock::now()) {
            0 => {
                return if done() {
                    Outcome::Woken
                } else {
                    Outcome::TimedOut
                };
            }
            left => thread::park_timeout(Duration::from_nanos(left)),
        }
    }
}

/// Ends one wait of a [`Waiter`]'s thread. It may outlive the waiter: then it does nothing, or ends
/// another wait early, which looks at its condition again and goes on.
#[must_use = "it unparks nobody until its unpark method is called"]
pub struct Unparker(Target);

enum Target {
    /// A green thread of the runtime that this OS thread runs, which has not run since.
    Now {
        core: *const Core,
        record: *const Record,
    },
    /// A green thread of the runtime that this OS thread ran.
    Here {
        serial: u64,
        record: *const Record,
        number: u64,
    },
    /// A green thread of a runtime of another OS thread.
    Elsewhere {
        mailbox: Arc<Mailbox>,
        record: *const Record,
        number: u64,
    },
    Os(thread::Thread),
}

impl Unparker {
    /// Makes the thread look at its condition again.
    #[inline]
    pub fn unpark(self) {
        match self.0 {
            // SAFETY: invariant 70: the thread has not run since, so the run is under way.
            Target::Now { core, record } => unsafe { &*core }.unpark(record),
            Target::Here {
                serial,
                record,
                number,
            } => {
                if let Some(core) = Core::here().filter(|core| core.serial == serial) {
                    core.unpark_numbered(record, number);
                }
            }
            Target::Elsewhere {
                mailbox,
                record,
                number,
            } => mailbox.unpark(record, number),
            Target::Os(thread) => thread.unpark(),
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unparker").finish_non_exhaustive()
    }
}
