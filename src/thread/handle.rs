//! `Thread` and `ThreadId`: a green thread as others know it. The handle is `Send`, may outlive the
//! thread and its runtime, and unparks from any OS thread.

use std::any::Any;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::YieldError;
use crate::park::{Cause, Core, Limit, Mailbox, Mask};
use crate::scheduler::record::Handle;
use crate::scheduler::{Reason, Record, State, Wakers};

/// A handle to a green thread, or, outside a runtime, to an OS thread. Clones refer to the same
/// thread.
#[derive(Clone)]
pub struct Thread {
    inner: Arc<Inner>,
}

/// A number that no other thread of the process has, green or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadId(Id);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Id {
    Green(u64),
    Os(std::thread::ThreadId),
}

impl ThreadId {
    /// That of the green thread `number`.
    pub(super) const fn of_number(number: u64) -> Self {
        Self(Id::Green(number))
    }
}

struct Inner {
    name: Option<Arc<str>>,
    home: Home,
}

/// Where a thread runs.
enum Home {
    Green {
        number: u64,
        /// The record's address: followed only on the runtime's OS thread, while its number is this
        /// one.
        record: usize,
        /// Set by unparks from other OS threads, taken by `park`; those from its own use the
        /// record's.
        token: AtomicBool,
        mailbox: Arc<Mailbox>,
    },
    Os(std::thread::Thread),
}

/// The handle of the calling green thread; outside a runtime, and in a tracing subscriber, that of
/// the OS thread.
#[must_use]
pub fn current() -> Thread {
    match Core::current() {
        Some(core) => of(core.running()),
        None => {
            let thread = std::thread::current();
            let name = thread.name().map(Arc::from);
            Thread {
                inner: Arc::new(Inner {
                    name,
                    home: Home::Os(thread),
                }),
            }
        }
    }
}

/// The handle of a green thread of this OS thread: made at first, then shared.
pub(super) fn of(record: &Record) -> Thread {
    let known = record.with_handle(|handle| handle.cloned());
    let known = known.map(|handle| handle as Arc<dyn Any + Send + Sync>);
    if let Some(inner) = known.and_then(|handle| handle.downcast::<Inner>().ok()) {
        return Thread { inner };
    }
    let number = record.id.get();
    let name = record.name();
    let here = Core::of(record).filter(|_| record.state.get() != State::Done);
    let Some(core) = here else {
        // The thread is over, and so may its runtime be.
        return of_ended(number, name);
    };
    let home = Home::Green {
        number,
        record: std::ptr::from_ref(record).expose_provenance(),
        token: AtomicBool::new(false),
        mailbox: core.mailbox.clone(),
    };
    let inner = Arc::new(Inner { name, home });
    if record.state.get() != State::Done {
        record.set_handle(Some(inner.clone()));
    }
    Thread { inner }
}

/// The handle of what cannot be unparked: it only knows its name and number.
pub(super) fn of_ended(number: u64, name: Option<Arc<str>>) -> Thread {
    let home = Home::Green {
        number,
        record: 0,
        token: AtomicBool::new(false),
        mailbox: Arc::new(Mailbox::closed()),
    };
    Thread {
        inner: Arc::new(Inner { name, home }),
    }
}

impl Thread {
    /// The thread's number.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        match &self.inner.home {
            Home::Green { number, .. } => ThreadId(Id::Green(*number)),
            Home::Os(thread) => ThreadId(Id::Os(thread.id())),
        }
    }

    /// The name that its spawner gave it; `main` for the closure of a run.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// Ends the thread's [`park`](super::park), or its next one if it is not parked. From any OS
    /// thread; does nothing once the thread has ended.
    pub fn unpark(&self) {
        match &self.inner.home {
            Home::Os(thread) => thread.unpark(),
            Home::Green {
                number,
                record,
                token,
                mailbox,
            } => {
                let record: *const Record = std::ptr::with_exposed_provenance(*record);
                let here = Core::here().filter(|core| Arc::ptr_eq(&core.mailbox, mailbox));
                let Some(core) = here else {
                    // A token that nobody has taken yet has had its letter.
                    if !token.swap(true, Ordering::AcqRel) {
                        mailbox.unpark(record, *number);
                    }
                    return;
                };
                // SAFETY: invariant 41: the mailbox says that the record lies in this core's arena.
                let record = unsafe { &*record };
                if record.id.get() == *number {
                    record.token.set(true);
                    core.unpark(record);
                }
            }
        }
    }

    /// Cancels a green thread of the runtime that this OS thread runs; others are left as they are.
    pub(crate) fn cancel_here(&self, cause: Cause) {
        let Home::Green {
            number,
            record,
            mailbox,
            ..
        } = &self.inner.home
        else {
            return;
        };
        let here = Core::here().filter(|core| Arc::ptr_eq(&core.mailbox, mailbox));
        let Some(core) = here.filter(|_| *record != 0) else {
            return;
        };
        // SAFETY: invariant 41: the mailbox says that the record lies in this core's arena.
        let record: &Record = unsafe { &*std::ptr::with_exposed_provenance(*record) };
        if record.id.get() == *number {
            core.cancel_thread(record, cause);
            core.wake_listeners();
        }
    }

    /// The record of a green thread of `core` that is ready and is not the running one.
    pub(super) fn ready_record<'a>(&self, core: &'a Core) -> Result<&'a Record, YieldError> {
        let Home::Green {
            number,
            record,
            mailbox,
            ..
        } = &self.inner.home
        else {
            return Err(YieldError::Foreign);
        };
        if *record == 0 {
            return Err(YieldError::Finished);
        }
        if !Arc::ptr_eq(&core.mailbox, mailbox) {
            return Err(YieldError::Foreign);
        }
        // SAFETY: invariant 41: the mailbox says that the record lies in this core's arena.
        let record: &Record = unsafe { &*std::ptr::with_exposed_provenance(*record) };
        match record.state.get() {
            _ if record.id.get() != *number => Err(YieldError::Finished),
            State::Ready if std::ptr::eq(record, core.running()) => Err(YieldError::Running),
            State::Ready => Ok(record),
            State::Parked => Err(YieldError::Parked),
            State::Done | State::Free => Err(YieldError::Finished),
        }
    }
}

/// Parks the running thread until its token is there.
pub(super) fn park(core: &Core, limit: Limit) {
    if core.check_cancel().is_err() {
        return;
    }
    let record = core.running();
    let reason = Reason::new("parked").woken_by(Wakers::Anyone);
    core.park(&reason, limit, Mask::No, || {
        let local = record.token.replace(false);
        let remote = record.with_handle(|handle| handle.is_some_and(|handle| handle.take_token()));
        local || remote
    });
}

impl Handle for Inner {
    #[inline]
    fn take_token(&self) -> bool {
        match &self.home {
            Home::Green { token, .. } => {
                token.load(Ordering::Relaxed) && token.swap(false, Ordering::Acquire)
            }
            Home::Os(_) => false,
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

// Behind it are atomics and locks that a panic finds whole.
impl UnwindSafe for Thread {}
impl RefUnwindSafe for Thread {}

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Id::Green(number) => write!(f, "ThreadId({number})"),
            Id::Os(id) => write!(f, "ThreadId(OS {id:?})"),
        }
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Thread>();
    assert_send_sync::<ThreadId>();
};
