//! A wait for readiness that is one of several: what `select` stands by. Readiness is asked of the
//! kernel, since what the caller read before is not seen here.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::polled::entry_at;
use super::{Readiness, Source, outside};
use crate::park::{Core, Unparker, refuse_in_child};
use crate::reactor::{self, Direction, Entry};
use crate::scheduler::WaitNode;
use crate::sync::{Operation, Wait};

/// What can be waited for among other things: [`Source`], sockets, pipes, a child's streams and
/// [`Signals`](crate::signal::Signals).
pub trait Pollable {
    /// For `select`.
    #[doc(hidden)]
    fn watch_readable(&self) -> ReadyArm<'_>;

    /// For `select`.
    #[doc(hidden)]
    fn watch_writable(&self) -> ReadyArm<'_>;
}

impl<T: AsFd> Pollable for Source<T> {
    fn watch_readable(&self) -> ReadyArm<'_> {
        ReadyArm::new(self, Direction::Read)
    }

    fn watch_writable(&self) -> ReadyArm<'_> {
        ReadyArm::new(self, Direction::Write)
    }
}

impl<P: Pollable + ?Sized> Pollable for &P {
    fn watch_readable(&self) -> ReadyArm<'_> {
        (**self).watch_readable()
    }

    fn watch_writable(&self) -> ReadyArm<'_> {
        (**self).watch_writable()
    }
}

/// An arm that is done when a read from `source` would not block: there is something to read, or the
/// end, or an error.
///
/// An OS thread without a runtime looks once a millisecond.
pub fn readable<S: Pollable + ?Sized>(source: &S) -> ReadyArm<'_> {
    source.watch_readable()
}

/// An arm that is done when a write to `source` would not block.
///
/// An OS thread without a runtime looks once a millisecond.
pub fn writable<S: Pollable + ?Sized>(source: &S) -> ReadyArm<'_> {
    source.watch_writable()
}

/// The readiness of a source as an arm of a [`Select`](crate::sync::select::Select); see [`readable`]
/// and [`writable`].
pub struct ReadyArm<'a> {
    registrations: &'a reactor::Source,
    fd: BorrowedFd<'a>,
    direction: Direction,
    error: Cell<Option<io::Error>>,
    /// The core and the entry where the place is.
    place: Cell<Option<(&'a Core, &'a Entry)>>,
    node: Cell<Option<WaitNode>>,
}

impl<'a> ReadyArm<'a> {
    fn new<T: AsFd>(source: &'a Source<T>, direction: Direction) -> Self {
        Self {
            registrations: &source.registrations,
            fd: source.get_ref().as_fd(),
            direction,
            error: Cell::new(None),
            place: Cell::new(None),
            node: Cell::new(None),
        }
    }

    /// The same as a future.
    pub(crate) fn into_readiness(self) -> Readiness<'a> {
        Readiness::new(self.registrations, self.fd, self.direction)
    }

    /// Whether a call would not block; an error is an answer too.
    fn is_ready(&self) -> bool {
        if let (Some((_, entry)), Some(node)) = (self.place.get(), self.node()) {
            // Only an event makes it ready, and those go to the first.
            if !entry.is_ready(self.direction) || !entry.waiters(self.direction).is_first(node) {
                return self.has_error();
            }
            if self.ask() {
                // It stays ready: the caller's next call will try.
                return true;
            }
            // What has come since is told by another event, but only by the next turn.
            entry.clear(self.direction);
        }
        self.ask()
    }

    fn node(&self) -> Option<&WaitNode> {
        // SAFETY: it is replaced by `stand` and `leave` only, and they keep no reference.
        unsafe { (*self.node.as_ptr()).as_ref() }
    }

    fn ask(&self) -> bool {
        match outside::is_ready(self.fd, self.direction) {
            Ok(ready) => ready,
            Err(error) => {
                self.error.set(Some(error));
                true
            }
        }
    }

    fn has_error(&self) -> bool {
        let error = self.error.take();
        let found = error.is_some();
        self.error.set(error);
        found
    }

    /// Has the current green thread unparked when the source becomes ready. Outside a runtime it
    /// does nothing.
    ///
    /// # Safety
    ///
    /// The arm stays where it is until `go` was called, and stands nowhere yet.
    unsafe fn wait_in_line(&self) {
        let Some(core) = Core::current() else {
            return refuse_in_child();
        };
        let entry = match entry_at(self.registrations, core, self.fd) {
            Ok(entry) => entry,
            Err(error) => return self.error.set(Some(error)),
        };
        self.node.set(Some(WaitNode::new(core.running())));
        if let Some(node) = self.node() {
            // SAFETY: invariant 43: the node stays in place, as the caller says, until it is
            // unlinked; the queue lies in an entry that stays with its source, which is borrowed.
            unsafe { entry.waiters(self.direction).push(node) };
        }
        self.place.set(Some((core, entry)));
        core.reactor.waiting.set(core.reactor.waiting.get() + 1);
    }

    fn go(&self) {
        let Some((core, entry)) = self.place.take() else {
            return;
        };
        core.reactor.waiting.set(core.reactor.waiting.get() - 1);
        drop(self.node.take());
        let next = entry.waiters(self.direction).first();
        if !next.is_null() && entry.is_ready(self.direction) {
            core.unpark(next);
        }
    }

    /// Whether the file descriptor could be asked.
    ///
    /// # Errors
    ///
    /// What epoll_ctl(2) and poll(2) say, `EBADF` for a closed file descriptor.
    pub fn finish(self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl Operation for ReadyArm<'_> {
    unsafe fn attempt(&self, _: &mut Option<Unparker>) -> bool {
        self.is_ready()
    }

    unsafe fn stand(&self, _: *const Wait, _: usize) {
        // SAFETY: the caller's duty.
        unsafe { self.wait_in_line() };
    }

    unsafe fn leave(&self) {
        self.go();
    }

    fn is_silent(&self) -> bool {
        true
    }
}

impl fmt::Debug for ReadyArm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyArm").finish_non_exhaustive()
    }
}
