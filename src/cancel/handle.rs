//! `Handle`: what cancels a scope from another OS thread. It leaves word in the mailbox of the
//! scope's runtime, which cancels the scope in its next turn.

use std::borrow::Cow;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::scope::Shared;
use crate::park::{Cause, Core, Mailbox, Outsider, Parcel, Stop};

/// Cancels a [`Scope`](super::Scope) from any OS thread: made by
/// [`Scope::handle`](super::Scope::handle).
///
/// A runtime that sleeps is woken at once. When the scope is gone it does nothing. As long as a handle
/// lives, even of a scope that is gone, somebody may yet cancel: no runtime of the process panics with
/// a deadlock meanwhile, so drop it when it is done with.
///
/// # Examples
///
/// ```
/// use greenlit::cancel::Scope;
///
/// greenlit::run(|| {
///     let scope = Scope::new();
///     let handle = scope.handle();
///     let other = std::thread::spawn(move || handle.cancel("from afar"));
///     let result = scope.run(greenlit::thread::park);
///     assert_eq!(result.unwrap_err().reason(), "from afar");
///     other.join().unwrap();
/// });
/// ```
#[derive(Clone)]
pub struct Handle {
    remote: Arc<Remote>,
    /// Says that somebody may still cancel something: such waits are no deadlock.
    _counted: Outsider,
}

/// What the handles of a scope share with it.
pub(super) struct Remote {
    state: Mutex<State>,
    /// The scope; null once it is gone. Only its own OS thread follows it.
    scope: AtomicPtr<Shared>,
}

struct State {
    /// Where the scope's OS thread finds letters; `None` until a runtime was there, and once there is
    /// nothing to say any more.
    mailbox: Option<Arc<Mailbox>>,
    /// The reason of the first cancel.
    said: Option<Cause>,
}

impl Handle {
    pub(super) fn new(remote: Arc<Remote>) -> Self {
        Self {
            remote,
            _counted: Outsider::new(),
        }
    }

    /// Cancels the scope, as [`Scope::cancel`](super::Scope::cancel) does; the first reason stays.
    pub fn cancel(&self, reason: impl Into<Cow<'static, str>>) {
        let mut state = self.remote.lock();
        if state.said.is_some() {
            return;
        }
        state.said = Some(reason.into().into());
        // A letter that nobody reads holds the remote, which then must not hold the mailbox.
        let mailbox = state.mailbox.take();
        drop(state);
        if let Some(mailbox) = mailbox {
            mailbox.send(self.remote.clone());
        }
    }
}

impl Remote {
    pub(super) fn new(scope: &Shared) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                mailbox: None,
                said: None,
            }),
            scope: AtomicPtr::new(ptr::from_ref(scope).cast_mut()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on letters go to the runtime that runs on the scope's OS thread.
    pub(super) fn move_to(&self, core: Option<&Core>) {
        if let Some(core) = core {
            let mut state = self.lock();
            if state.said.is_none() {
                state.mailbox = Some(core.mailbox.clone());
            }
        }
    }

    /// Why the scope was cancelled, if it was.
    pub(super) fn said(&self) -> Option<Cause> {
        self.lock().said.clone()
    }

    pub(super) fn forget_scope(&self) {
        self.scope.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

impl Parcel for Remote {
    fn open(&self) {
        // SAFETY: invariant 92: this is the scope's OS thread, where the scope is null or there.
        let scope = unsafe { self.scope.load(Ordering::Relaxed).as_ref() };
        if let (Some(scope), Some(cause)) = (scope, self.said()) {
            scope.stop(Stop::Cancelled, cause);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Handle>();
};
