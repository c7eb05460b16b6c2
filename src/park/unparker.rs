//! What ends the wait of a `Waiter`, after the lock of the queue that it stood in has been let go: by
//! the run queue, a letter to another runtime, or a future's waker.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use super::os_thread::OsThread;
use super::runner::wake_caught;
use super::{Core, Mailbox};
use crate::scheduler::Record;

/// Ends one wait of a [`Waiter`](super::Waiter)'s thread. It may outlive the waiter: then it does nothing, or ends
/// another wait early, which looks at its condition again and goes on.
#[must_use = "it unparks nobody until its unpark method is called"]
pub struct Unparker(pub(super) Target);

pub(super) enum Target {
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
    Os(Arc<OsThread>),
    Future(Waker),
    /// A future that nobody polls.
    Nobody,
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
                if let Some(core) = Core::numbered(serial) {
                    core.unpark_numbered(record, number);
                }
            }
            Target::Elsewhere {
                mailbox,
                record,
                number,
            } => mailbox.unpark(record, number),
            Target::Os(thread) => thread.unpark(),
            Target::Future(waker) => wake(waker),
            Target::Nobody => {}
        }
    }
}

/// Wakes a future. Inside a runtime the user's code is left to a runner.
#[cold]
#[inline(never)]
fn wake(waker: Waker) {
    match Core::here() {
        Some(core) => core.wake(waker),
        None => wake_caught(waker),
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unparker").finish_non_exhaustive()
    }
}
