//! `Scope`: a function that can be cancelled. It counts those who are in it, so that one scope may
//! end many green threads' work.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::handle::{Handle, Remote};
use crate::clock::{self, Instant};
use crate::park::{self, Cancelled, Cause, Core, Kind, Links, Region, Stop, WaitNode};
use crate::scheduler::Record;

/// A cancel scope: what runs in it can be cancelled, by anybody who has a clone of it, and at a
/// deadline.
///
/// Clones are the same scope. It can be entered more than once, and by several green threads at a
/// time: one cancel ends them all. Once cancelled it stays so; whoever enters it later is ended by
/// the first blocking call. It stays on its OS thread; [`handle`](Self::handle) makes what others
/// cancel it with.
///
/// A green thread that is spawned in it by [`thread::spawn`](crate::thread::spawn) is not part of it.
/// Those of a [`thread::scope`](crate::thread::scope()) are cancelled when the cancel unwinds their
/// scope's owner.
///
/// ```compile_fail,E0277
/// fn assert_send<T: Send>() {}
/// assert_send::<greenlit::cancel::Scope>();
/// ```
///
/// # Examples
///
/// ```
/// use greenlit::cancel::Scope;
/// use greenlit::{thread, time::Duration};
///
/// greenlit::run(|| {
///     let scope = Scope::with_timeout(Duration::from_millis(1));
///     let result = scope.run(|| loop {
///         thread::sleep(Duration::from_secs(1));
///     });
///     assert!(matches!(result, Err(cancelled) if cancelled.is_deadline()));
/// });
/// ```
#[derive(Clone)]
pub struct Scope {
    shared: Rc<Shared>,
}

/// What the clones of a scope share.
pub(super) struct Shared {
    stop: Cell<Stop>,
    /// Why it stops; `None` while it does not.
    cause: RefCell<Option<Cause>>,
    /// In nanoseconds since the epoch; `u64::MAX` for never.
    deadline: Cell<u64>,
    /// Whether the deadline is the end of a grace period.
    is_grace: Cell<bool>,
    /// Those who are in it.
    entries: Links<*const Region>,
    /// What its handles share; empty while there is none.
    remote: OnceCell<Arc<Remote>>,
}

impl Scope {
    /// A scope without a deadline.
    #[must_use]
    pub fn new() -> Self {
        Self::until(u64::MAX)
    }

    /// A scope that is cancelled at `deadline`.
    #[must_use]
    pub fn with_deadline(deadline: Instant) -> Self {
        Self::until(deadline.nanos())
    }

    /// A scope that is cancelled when `timeout` has passed since this call. One that is past the
    /// clock's end never does.
    #[must_use]
    pub fn with_timeout(timeout: Duration) -> Self {
        Self::until(clock::after(timeout))
    }

    fn until(deadline: u64) -> Self {
        Self {
            shared: Rc::new(Shared {
                stop: Cell::new(Stop::None),
                cause: RefCell::new(None),
                deadline: Cell::new(deadline),
                is_grace: Cell::new(false),
                entries: Links::new(),
                remote: OnceCell::new(),
            }),
        }
    }

    /// Runs `f`, and returns its value.
    ///
    /// Where the scope is cancelled already, `f` runs up to its first blocking call. Where `f` returns
    /// although it was cancelled, its value is returned. The cancelled function's destructors have run
    /// when this returns. Outside a runtime nothing ends `f`.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] where a cancel of this scope, or its deadline, ended `f`.
    ///
    /// # Panics
    ///
    /// With `f`'s payload where it panics.
    ///
    /// # Cancellation
    ///
    /// A cancel of what is around the scope unwinds `f`, and then the caller.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> Result<R, Cancelled> {
        let shared = self.shared.clone();
        shared.read_remote();
        shared.expire();
        let region = shared.region();
        let node = WaitNode::with_waiter(ptr::from_ref(&region));
        // SAFETY: invariant 91: the node is pinned to this frame, which keeps the list, and unlinks
        // itself before region and list go.
        unsafe { shared.entries.push(&node) };
        park::within(&region, f).map_err(Cancelled::of)
    }

    /// Cancels whatever runs in the scope, and what enters it later. To cancel twice is to cancel
    /// once: the first reason stays. It does not wait.
    pub fn cancel(&self, reason: impl Into<Cow<'static, str>>) {
        self.shared.stop(Stop::Cancelled, reason.into().into());
    }

    /// Asks what runs in the scope to come to an end, and cancels it when `grace` has passed.
    ///
    /// Until then blocking calls go on as ever, but for those in
    /// [`until_requested`](super::until_requested), which end at once, and whoever asks
    /// [`requested`](super::requested) is told. An earlier deadline of the scope stays.
    pub fn cancel_softly(&self, reason: impl Into<Cow<'static, str>>, grace: Duration) {
        let end = clock::after(grace);
        if end < self.shared.deadline.get() {
            self.shared.deadline.set(end);
            self.shared.is_grace.set(true);
            // Those whom a request before this one gave more time have to know.
            self.shared.tell(|_| {});
        }
        self.shared.stop(Stop::Requested, reason.into().into());
    }

    /// Whether the scope was cancelled, or its deadline has passed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.read_remote();
        self.shared.expire();
        self.shared.stop.get() == Stop::Cancelled
    }

    /// Whether the scope was asked to come to an end, softly or not.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.is_cancelled() || self.shared.stop.get() == Stop::Requested
    }

    /// When it is cancelled by itself; `None` for never.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        Instant::from_nanos(self.shared.deadline.get())
    }

    /// Moves the deadline, or takes it away, for those too who wait in the scope. A scope that was
    /// cancelled stays cancelled, and so does a call that its deadline has ended.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        let deadline = deadline.map_or(u64::MAX, Instant::nanos);
        self.shared.expire();
        self.shared.deadline.set(deadline);
        self.shared.is_grace.set(false);
        self.shared.tell(|_| {});
    }

    /// What cancels the scope from any OS thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        let remote = self.shared.remote.get_or_init(|| Remote::new(&self.shared));
        remote.move_to(Core::current());
        Handle::new(remote.clone())
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// What one who enters it is in.
    fn region(&self) -> Region {
        let region = Region::new(Kind::Scope, self.deadline.get());
        region.set_deadline(self.deadline.get(), self.is_grace.get());
        if let Some(cause) = &*self.cause.borrow() {
            region.stop_with(self.stop.get(), cause.clone());
        }
        region
    }

    /// Notes that its deadline has passed: it stays cancelled, even if the deadline is moved.
    fn expire(&self) {
        if self.stop.get() != Stop::Cancelled
            && self.deadline.get() != u64::MAX
            && self.deadline.get() <= clock::now()
        {
            if !self.is_grace.get() {
                *self.cause.borrow_mut() = None;
            }
            self.stop(Stop::Cancelled, Cause::Deadline);
        }
    }

    /// Looks whether a handle has cancelled it, and this OS thread has not been told yet.
    fn read_remote(&self) {
        if let Some(remote) = self.remote.get() {
            remote.move_to(Core::current());
            if let Some(cause) = remote.said() {
                self.stop(Stop::Cancelled, cause);
            }
        }
    }

    /// Asks it to stop, or stops it.
    pub(super) fn stop(&self, stop: Stop, cause: Cause) {
        if self.stop.get() >= stop {
            return;
        }
        self.stop.set(stop);
        let cause = self.cause.borrow_mut().get_or_insert(cause).clone();
        self.tell(|region| region.stop_with(stop, cause.clone()));
        // Threads in scopes that are opened in here listen too.
        if let Some(core) = Core::here() {
            core.wake_listeners();
        }
    }

    /// Tells all who are in it, who then look at their regions anew.
    fn tell(&self, what: impl Fn(&Region)) {
        let mut told: Vec<&Record> = Vec::new();
        for region in self.entries.iter() {
            // SAFETY: invariant 91: a region that is linked in is in the frame of who entered it.
            let region = unsafe { &**region };
            region.set_deadline(self.deadline.get(), self.is_grace.get());
            what(region);
            // SAFETY: invariant 90: a region's record lives.
            told.extend(unsafe { region.record().as_ref() });
        }
        // A subscriber hears of each wake-up, and may have a coroutine leave the scope: by now nobody
        // walks the list. No green thread runs meanwhile, so none of these ends.
        for record in told {
            if let Some(core) = Core::of(record) {
                core.have_looked(record);
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(remote) = self.remote.get() {
            remote.forget_scope();
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("stop", &self.shared.stop.get())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
