//! A thread that waits, green or not, or a future, as the queues of `sync` know it: a thread parks
//! itself, and whoever ends the wait, on any OS thread, takes an `Unparker` out of it.

use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread;

use super::numbers::take_numbers;
use super::os_thread::OsThread;
use super::unparker::{Target, Unparker};
use super::{Core, Limit, Mailbox, Mask, Outcome, Reason, Refused, refuse_in_child};
use crate::clock::Instant;
use crate::scheduler::Record;
use crate::scheduler::record::flag;

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

    /// A number that no other thread or task of the process has, and that is never 0: the task's where
    /// a runner polls one.
    #[inline(always)]
    pub(crate) fn number(self) -> u64 {
        match self.core {
            Some(core) => match core.running().has(flag::POLLING) {
                false => core.running().id.get(),
                true => core.current_number(),
            },
            None => os_number(),
        }
    }

    /// Whether there is something that a blocking call has to look at: perhaps a cancel.
    #[inline(always)]
    pub(crate) fn has_news(self) -> bool {
        self.core.is_some_and(|core| core.running().has(flag::NEWS))
    }

    /// Whether the news are that its blocking calls are to end.
    #[cold]
    pub(crate) fn is_cancelled(self) -> bool {
        self.core.is_some_and(Core::is_cancelled)
    }

    /// Whether a runtime runs here.
    #[inline(always)]
    pub(crate) fn is_green(self) -> bool {
        self.core.is_some()
    }

    /// Looks for a cancel at the entry of a blocking call.
    ///
    /// # Errors
    ///
    /// Where the thread is cancelled and cannot be unwound.
    #[inline(always)]
    pub(crate) fn check_cancel(self) -> Result<(), Refused> {
        match self.core {
            Some(core) => core.check_cancel(),
            None => {
                os_number();
                Ok(())
            }
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

/// The calling OS thread's number. Every blocking call asks for it before it takes a queue's lock, so
/// that what a wait needs is there by then, and nothing is allocated under the lock.
#[cold]
#[inline(never)]
fn os_number() -> u64 {
    if NUMBER.get() == 0 {
        drop(OsThread::current());
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
    /// The runtime of a green thread, if it outlives the waiter for certain; else null.
    core: *const Core,
    /// The record of a green thread; null for an OS thread.
    record: *const Record,
    /// The thread's number; 0 for a future.
    number: u64,
    /// How an OS thread is found; `None` for others.
    os: Option<Arc<OsThread>>,
    home: Home,
    /// Whether the thread was leaked in its wait: nothing may be handed to it any more.
    abandoned: AtomicBool,
}

/// How the one that waits is found otherwise.
enum Home {
    /// By `core` or `os`.
    Known,
    /// A green thread whose waiter may outlive the run, since the user's code runs while it is there,
    /// and a coroutine may carry both away.
    Mailbox {
        mailbox: Arc<Mailbox>,
        /// The runtime's number.
        serial: u64,
    },
    /// A future, which keeps the waker of its last poll here while it stands in a queue.
    Future(Cell<Option<Waker>>),
}

impl Waiter {
    /// Runs `f` with a waiter for the calling thread.
    pub fn with<R>(f: impl FnOnce(&Self) -> R) -> R {
        let caller = Caller::current();
        // SAFETY: where there is a core, it is forgotten in the next statement.
        let mut waiter = unsafe { Self::new(caller) };
        if let Some(core) = caller.core {
            waiter.core = ptr::null();
            waiter.home = Home::Mailbox {
                mailbox: core.mailbox.clone(),
                serial: core.serial,
            };
        }
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
        let (core, record, number, os) = match caller.core {
            Some(core) => (
                ptr::from_ref(core),
                ptr::from_ref(core.running()),
                core.running().id.get(),
                None,
            ),
            None => (ptr::null(), ptr::null(), os_number(), os_home()),
        };
        Self {
            core,
            record,
            number,
            os,
            home: Home::Known,
            abandoned: AtomicBool::new(false),
        }
    }

    /// A waiter for a future; `set_waker` says whom to wake.
    pub(crate) fn of_future() -> Self {
        Self {
            core: ptr::null(),
            record: ptr::null(),
            number: 0,
            os: None,
            home: Home::Future(Cell::new(None)),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Whether it is this waker that a future's waiter has.
    ///
    /// # Safety
    ///
    /// The caller has the lock of the queue in which the waiter stands, or it stands in none.
    pub(crate) unsafe fn will_wake(&self, waker: &Waker) -> bool {
        match &self.home {
            Home::Future(slot) => {
                let kept = slot.take();
                let wakes = kept.as_ref().is_some_and(|kept| kept.will_wake(waker));
                // Nothing is dropped: the slot is empty.
                slot.set(kept);
                wakes
            }
            _ => false,
        }
    }

    /// Gives a future's waiter another waker, and returns the one it had, to be dropped when the lock
    /// has been let go.
    ///
    /// # Safety
    ///
    /// As for `will_wake`.
    #[must_use = "a waker's drop is the user's"]
    pub(crate) unsafe fn set_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        match &self.home {
            Home::Future(slot) => slot.replace(waker),
            _ => unreachable!("a thread has no waker"),
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
        let outcome = self.park_asking(reason, Limit::None, Mask::No, &mut done);
        if outcome == Outcome::Cancelled {
            self.park_asking(reason, Limit::None, Mask::Yes, done);
        }
    }

    /// As [`park`](Self::park), but not longer than until `deadline`. Returns what `done` said
    /// last; it is false too where a cancelled thread unwinds already.
    ///
    /// # Panics
    ///
    /// As [`park`](Self::park).
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and `done` has said no before; if it unwinds
    /// already, the answer is `false`.
    #[must_use = "false says that the deadline has passed"]
    pub fn park_until(
        &self,
        reason: Reason,
        deadline: Instant,
        done: impl FnMut() -> bool,
    ) -> bool {
        self.park_asking(reason, Limit::At(deadline.nanos()), Mask::No, done) == Outcome::Woken
    }

    /// Parks until `done` says yes, which is the user's: nothing of the run is held while it runs
    /// (invariant 55).
    fn park_asking(
        &self,
        reason: Reason,
        limit: Limit,
        mask: Mask,
        mut done: impl FnMut() -> bool,
    ) -> Outcome {
        if let Some(thread) = &self.os {
            return thread.park(limit, done);
        }
        loop {
            let unparks = self.here().unparks.get();
            if done() {
                return Outcome::Woken;
            }
            let here = self.here();
            // SAFETY: the waiter is borrowed for the length of the wait.
            let reason = unsafe { reason.abandoned_by(&raw const self.abandoned) };
            let outcome = here.park(&reason, limit, mask, || here.unparks.get() != unparks);
            if outcome != Outcome::Woken {
                return match done() {
                    true => Outcome::Woken,
                    false => outcome,
                };
            }
        }
    }

    /// The runtime that runs the waiter's green thread now.
    ///
    /// # Panics
    ///
    /// If another thread runs.
    fn here<'a>(&self) -> &'a Core {
        let here = Core::current().filter(|here| {
            matches!(self.home, Home::Mailbox { serial, .. } if serial == here.serial)
                && here.running().id.get() == self.number
        });
        let Some(here) = here else {
            panic!("park: a waiter parks only the thread that made it");
        };
        here
    }

    /// Parks the caller, whose waiter this is.
    #[inline(always)]
    pub(crate) fn park_limited(
        &self,
        caller: Caller<'_>,
        reason: Reason,
        limit: Limit,
        mask: Mask,
        done: impl FnMut() -> bool,
    ) -> Outcome {
        match (caller.core, &self.os) {
            (Some(core), _) => {
                debug_assert!(ptr::eq(core.running(), self.record));
                // SAFETY: the waiter is borrowed for the length of the wait.
                let reason = unsafe { reason.abandoned_by(&raw const self.abandoned) };
                core.park(&reason, limit, mask, done)
            }
            (None, Some(thread)) => thread.park(limit, done),
            (None, _) => unreachable!("a waiter parks only the thread that made it"),
        }
    }

    /// What ends the wait. Whoever calls this keeps the waiter from going meanwhile: most often by
    /// the lock of the queue in which it found it.
    #[inline]
    #[must_use = "it unparks nobody until its unpark method is called"]
    pub fn unparker(&self) -> Unparker {
        let (record, number) = (self.record, self.number);
        let here = |here: &Core| Target::Here {
            serial: here.serial,
            record,
            number,
        };
        let elsewhere = |mailbox| Target::Elsewhere {
            mailbox,
            record,
            number,
        };
        Unparker(match (&self.home, &self.os, Core::here()) {
            (Home::Known, Some(thread), _) => Target::Os(thread.clone()),
            (Home::Known, None, Some(core)) if ptr::eq(core, self.core) => here(core),
            (Home::Known, None, _) => elsewhere(mailbox_of(self.core)),
            (Home::Mailbox { serial, .. }, _, Some(core)) if core.serial == *serial => here(core),
            (Home::Mailbox { mailbox, .. }, ..) => elsewhere(mailbox.clone()),
            (Home::Future(_), ..) => unreachable!("a future's waker is taken under the lock"),
        })
    }

    /// As `unparker`, for one that is used before the thread can run again.
    ///
    /// # Safety
    ///
    /// Where the thread is a green one of this OS thread, it has not left its frame when the unparker
    /// is used: there is no switch in between. The caller has the lock of the queue.
    #[inline(always)]
    pub(crate) unsafe fn unparker_for_now(&self) -> Unparker {
        match Core::here() {
            Some(here) if ptr::eq(here, self.core) => Unparker(Target::Now {
                core: here,
                record: self.record,
            }),
            // SAFETY: the caller's duty.
            _ => unsafe { self.unparker_of_another() },
        }
    }

    /// # Safety
    ///
    /// The caller has the lock of the queue.
    unsafe fn unparker_of_another(&self) -> Unparker {
        match &self.home {
            Home::Future(slot) => Unparker(match slot.take() {
                Some(waker) => Target::Future(waker),
                None => Target::Nobody,
            }),
            _ => self.unparker(),
        }
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
// thread but the waiter's own. What changes is a future's, and belongs to who has the queue's lock
// (invariant 110).
unsafe impl Sync for Waiter {}

#[cold]
#[inline(never)]
fn os_home() -> Option<Arc<OsThread>> {
    refuse_in_child();
    Some(OsThread::current())
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}
