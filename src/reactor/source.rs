//! A source: a file descriptor that reactors know. It is `Send + Sync`, has one registration for each
//! runtime that uses it, made there at its first `EAGAIN`, and drops them before it is closed.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::sys::epoll::EpollFlags;

use super::{Reactor, Shared};
use crate::scheduler::Links;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// That a read, an accept or the like will not block.
    Read,
    /// That a write or a connect will not block.
    Write,
}

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// The end of the stream, an error or urgent data was seen: a short count no longer proves that the next
/// call would block (rule 14).
const ALWAYS_TRY: u8 = 4;
/// epoll refuses this file, or it never blocks.
const ALWAYS_READY: u8 = 8;

/// What one reactor knows of one source.
pub(crate) struct Entry {
    readiness: Cell<u8>,
    /// Counts the sources that this entry has served: a stale event carries an earlier one.
    generation: Cell<u32>,
    readers: Links,
    writers: Links,
}

/// An entry's index and generation in one word.
pub(super) fn token(index: u32, generation: u32) -> u64 {
    u64::from(index) | u64::from(generation) << 32
}

pub(super) fn split(token: u64) -> (u32, u32) {
    ((token & u64::from(u32::MAX)) as u32, (token >> 32) as u32)
}

impl Entry {
    pub(super) fn new() -> Self {
        Self {
            readiness: Cell::new(0),
            generation: Cell::new(0),
            readers: Links::new(),
            writers: Links::new(),
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.get()
    }

    /// Ends the entry's service for its source.
    pub(super) fn retire(&self) {
        // The notifier's and the timer's tokens have the two highest generations: never reach them.
        self.generation
            .set((self.generation.get() + 1) % (u32::MAX - 1));
        self.readiness.set(0);
    }

    pub(super) fn always_ready(&self) {
        self.readiness
            .set(READABLE | WRITABLE | ALWAYS_READY | ALWAYS_TRY);
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.readers.is_empty() || !self.writers.is_empty()
    }

    /// Adds what an event says.
    #[inline]
    pub(super) fn receive(&self, flags: EpollFlags) {
        let mut readiness = self.readiness.get();
        let ends = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        let urgent = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLPRI;
        if flags.intersects(EpollFlags::EPOLLIN | urgent | ends) {
            readiness |= READABLE;
        }
        if flags.intersects(EpollFlags::EPOLLOUT | ends) {
            readiness |= WRITABLE;
        }
        if flags.intersects(urgent | ends) {
            readiness |= ALWAYS_TRY;
        }
        self.readiness.set(readiness);
    }

    /// Those who wait for `direction`, in order.
    #[inline]
    pub(crate) fn waiters(&self, direction: Direction) -> &Links {
        match direction {
            Direction::Read => &self.readers,
            Direction::Write => &self.writers,
        }
    }

    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.readiness.get() & bit(direction) != 0
    }

    /// A call said that it would block: only an event makes the source ready again.
    #[inline]
    pub(crate) fn clear(&self, direction: Direction) {
        if self.readiness.get() & ALWAYS_READY == 0 {
            self.readiness.set(self.readiness.get() & !bit(direction));
        }
    }

    /// A call on a TCP stream moved less than it was asked to: the edge is consumed, unless the stream's
    /// end or an error came with it (rule 14).
    #[inline]
    pub(crate) fn clear_short(&self, direction: Direction) {
        if self.readiness.get() & ALWAYS_TRY == 0 {
            self.clear(direction);
        }
    }
}

#[inline]
fn bit(direction: Direction) -> u8 {
    match direction {
        Direction::Read => READABLE,
        Direction::Write => WRITABLE,
    }
}

/// One runtime's registration of a source.
#[derive(Debug)]
struct Registration {
    reactor: Arc<Shared>,
    token: u64,
    /// The fd itself was in the set already, by way of another source: this duplicate stands for it.
    alias: Option<OwnedFd>,
}

/// The registrations of one file descriptor.
#[derive(Debug)]
pub(crate) struct Source {
    /// The first runtime's.
    home: OnceLock<Registration>,
    /// Those of further runtimes.
    others: Mutex<Vec<Registration>>,
    /// Whether the open file description may outlive the fd, so that closing it does not deregister
    /// (rule 15).
    shared: AtomicBool,
}

impl Source {
    /// `shared` says whether another fd may refer to the same open file description.
    pub(crate) const fn new(shared: bool) -> Self {
        Self {
            home: OnceLock::new(),
            others: Mutex::new(Vec::new()),
            shared: AtomicBool::new(shared),
        }
    }

    /// From now on another fd refers to the same open file description.
    pub(crate) fn set_shared(&self) {
        self.shared.store(true, Ordering::Release);
    }

    /// The entry that `reactor` has for this source, if it has one.
    #[inline]
    pub(crate) fn entry<'a>(&self, reactor: &'a Reactor) -> Option<&'a Entry> {
        let home = self.home.get()?;
        if home.reactor.id == reactor.shared.id {
            return reactor.entry(home.token);
        }
        self.entry_elsewhere(reactor)
    }

    #[cold]
    fn entry_elsewhere<'a>(&self, reactor: &'a Reactor) -> Option<&'a Entry> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let registration = others
            .iter()
            .find(|other| other.reactor.id == reactor.shared.id)?;
        reactor.entry(registration.token)
    }

    /// Registers the source with `reactor`, which does not know it yet.
    ///
    /// # Errors
    ///
    /// What epoll_ctl(2) says: `EBADF` for a closed fd, `ENOSPC` where the user's watches are used up.
    #[cold]
    pub(crate) fn register<'a>(
        &self,
        reactor: &'a Reactor,
        fd: BorrowedFd<'_>,
    ) -> io::Result<&'a Entry> {
        let mut alias = None;
        let token = match reactor.register(fd) {
            Ok(token) => token,
            Err((error, token)) if error.raw_os_error() == Some(libc::EEXIST) => {
                let duplicate = fd.try_clone_to_owned();
                reactor.release(split(token).0);
                let duplicate = alias.insert(duplicate?);
                reactor
                    .register(duplicate.as_fd())
                    .map_err(|(error, token)| {
                        reactor.release(split(token).0);
                        error
                    })?
            }
            Err((error, token)) => {
                reactor.release(split(token).0);
                return Err(error);
            }
        };
        let registration = Registration {
            reactor: reactor.shared.clone(),
            token,
            alias,
        };
        if let Err(registration) = self.home.set(registration) {
            self.others
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(registration);
        }
        Ok(reactor.entry(token).expect("the entry was made above"))
    }

    /// Drops all registrations; the caller closes the fd or hands it on. `here` is the reactor of the
    /// calling OS thread, if it has one; `closes` says that the fd is closed next.
    pub(crate) fn deregister(&mut self, fd: BorrowedFd<'_>, here: Option<&Reactor>, closes: bool) {
        let Some(home) = self.home.take() else { return };
        let others = std::mem::take(
            self.others
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        // Closing the last fd of a description takes it out of every set (epoll(7), Q6).
        let leave = !closes || *self.shared.get_mut();
        for registration in std::iter::once(home).chain(others) {
            let (index, _) = split(registration.token);
            match &registration.alias {
                // It may have gone already: an fd that somebody closed is no longer in the set.
                Some(alias) => drop(registration.reactor.epoll.delete(alias.as_fd())),
                None if leave => drop(registration.reactor.epoll.delete(fd)),
                None => {}
            }
            match here {
                Some(reactor) if reactor.shared.id == registration.reactor.id => {
                    reactor.release(index)
                }
                _ => registration.reactor.free_from_outside(index),
            }
        }
    }
}
