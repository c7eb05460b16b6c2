//! `Readiness`: a future that a source is ready. A future's place at the reactor, which takes the waker
//! back when the future is dropped.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::outside;
use super::polled::entry_at;
use crate::park::{self, Core, refuse_in_child};
use crate::reactor::{self, Direction, Place};

/// A future that a source is ready. [`future::readable`](crate::future::readable) and
/// [`future::writable`](crate::future::writable) make it.
///
/// Its result is an error where epoll_ctl(2) or poll(2) has one to tell: `EBADF` for a closed file
/// descriptor. It may be polled again after that, and waits for the next time.
#[must_use = "a future does nothing unless it is polled"]
pub struct Readiness<'a> {
    stand: Stand<'a>,
}

impl<'a> Readiness<'a> {
    pub(super) fn new(
        registrations: &'a reactor::Source,
        fd: BorrowedFd<'a>,
        direction: Direction,
    ) -> Self {
        Self {
            stand: Stand::new(registrations, fd, direction),
        }
    }
}

impl Future for Readiness<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stand = &mut self.stand;
        if Core::current().is_none() {
            refuse_in_child();
            return Poll::Ready(outside::wait(stand.fd, stand.direction, None));
        }
        ready!(park::proceed(context));
        while !stand.is_ready()? {
            if stand.leave_waker(context.waker())? {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Where a future stands that waits for a source, by a key of its own.
pub(super) struct Stand<'a> {
    registrations: &'a reactor::Source,
    fd: BorrowedFd<'a>,
    direction: Direction,
    /// Where the waker of the last poll was left; it may be gone from there.
    place: Option<Place>,
}

impl<'a> Stand<'a> {
    pub(super) fn new(
        registrations: &'a reactor::Source,
        fd: BorrowedFd<'a>,
        direction: Direction,
    ) -> Self {
        Self {
            registrations,
            fd,
            direction,
            place: None,
        }
    }

    /// Whether a call would not block, as far as the reactor or the kernel knows.
    fn is_ready(&self) -> io::Result<bool> {
        let entry = Core::current().and_then(|core| self.registrations.entry(&core.reactor));
        // Only an event makes it ready once a call said that it would block.
        if entry.is_some_and(|entry| !entry.is_ready(self.direction)) {
            return Ok(false);
        }
        if outside::is_ready(self.fd, self.direction)? {
            return Ok(true);
        }
        // What comes from now on is told by another event. Where none will come, poll(2) does not say
        // that it would block.
        if let Some(entry) = entry {
            entry.clear(self.direction);
        }
        Ok(false)
    }

    /// Has `waker` woken when the source becomes ready; false where it has.
    pub(super) fn leave_waker(&mut self, waker: &Waker) -> io::Result<bool> {
        let mut own: Option<Waker> = None;
        loop {
            let Some(core) = Core::current() else {
                // Cloning it has led out of the runtime.
                outside::wait(self.fd, self.direction, None)?;
                return Ok(false);
            };
            let entry = entry_at(self.registrations, core, self.fd)?;
            if entry.is_ready(self.direction) {
                return Ok(false);
            }
            let reactor = &core.reactor;
            let here = self.place.filter(|place| place.is_at(reactor));
            if let Some(place) = here
                && reactor.awaits_at(entry, &place, waker)
            {
                return Ok(true);
            }
            let Some(own) = own.take() else {
                if here.is_none() {
                    self.take_back();
                }
                own = Some(waker.clone());
                continue;
            };
            self.registrations.set_awaited();
            let place = here.or_else(|| self.registrations.place(reactor, self.direction));
            let Some(place) = place else {
                return Ok(false);
            };
            let former = reactor.add_at(entry, &place, own);
            self.place = Some(place);
            drop(former);
            return Ok(true);
        }
    }

    /// Takes the waker out of where it was left.
    fn take_back(&mut self) {
        if let Some(place) = self.place.take() {
            let here = Core::here().map(|core| &core.reactor);
            drop(self.registrations.forget(&place, here));
        }
    }
}

impl Drop for Stand<'_> {
    fn drop(&mut self) {
        self.take_back();
    }
}

impl fmt::Debug for Readiness<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("fd", &self.stand.fd)
            .field("direction", &self.stand.direction)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync + Unpin>() {}
    assert_send_sync::<Readiness<'_>>();
};
