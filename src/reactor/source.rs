//! A source: a file descriptor that reactors know. It is `Send + Sync`, has one registration for
//! each runtime that uses it, made there at its first `EAGAIN`, and drops them before it is closed.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use nix::sys::epoll::EpollFlags;

use super::wakers::Wakers;
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
/// The end of the stream, an error or urgent data was seen: a short count no longer proves that the
/// next call would block (rule 14).
const ALWAYS_TRY: u8 = 4;
/// epoll refuses this file, or it never blocks.
const ALWAYS_READY: u8 = 8;
/// Wakers wait for a read, or for a write. So who finds neither need not look for them.
const READ_AWAITED: u8 = 16;
const WRITE_AWAITED: u8 = 32;

/// What one reactor knows of one source.
pub(crate) struct Entry {
    /// What is ready, and for what wakers wait.
    readiness: Cell<u8>,
    /// Counts the sources that this entry has served: a stale event carries an earlier one.
    generation: Cell<u32>,
    readers: Links,
    writers: Links,
    /// The wakers that wait for a read and for a write; `None` until the first has come.
    wakers: Cell<Option<Box<[Wakers; 2]>>>,
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
            wakers: Cell::new(None),
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.get()
    }

    /// Ends the entry's service for its source.
    pub(super) fn retire(&self) {
        // The notifier's and the timer's tokens have the highest generation: never reach it.
        self.generation
            .set((self.generation.get() + 1) % (u32::MAX - 1));
        self.readiness.set(0);
    }

    pub(super) fn always_ready(&self) {
        // It is new: nobody waits.
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

    /// Whether wakers wait for `direction`.
    #[inline]
    pub(super) fn is_awaited(&self, direction: Direction) -> bool {
        self.readiness.get() & awaited(direction) != 0
    }

    /// Shows the wakers that wait for `direction` to `f`, which runs no code of the user's.
    pub(super) fn with_wakers<R>(
        &self,
        direction: Direction,
        f: impl FnOnce(&mut Wakers) -> R,
    ) -> R {
        let mut wakers = self.wakers.take().unwrap_or_default();
        let side = &mut wakers[direction as usize];
        let result = f(side);
        let others = self.readiness.get() & !awaited(direction);
        self.readiness.set(match side.is_empty() {
            true => others,
            false => others | awaited(direction),
        });
        self.wakers.set(Some(wakers));
        result
    }

    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.readiness.get() & bit(direction) != 0
    }

    /// A call said that it would block: only an event makes the source ready again. Returns false
    /// where no event will, since the file always counts as ready.
    #[inline]
    pub(crate) fn clear(&self, direction: Direction) -> bool {
        if self.readiness.get() & ALWAYS_READY != 0 {
            return false;
        }
        self.readiness.set(self.readiness.get() & !bit(direction));
        true
    }

    /// A call on a TCP stream moved less than it was asked to: the edge is consumed, unless the
    /// stream's end or an error came with it (rule 14).
    #[inline]
    pub(crate) fn clear_short(&self, direction: Direction) {
        if self.readiness.get() & ALWAYS_TRY == 0 {
            self.clear(direction);
        }
    }
}

#[inline]
fn awaited(direction: Direction) -> u8 {
    match direction {
        Direction::Read => READ_AWAITED,
        Direction::Write => WRITE_AWAITED,
    }
}

#[inline]
fn bit(direction: Direction) -> u8 {
    match direction {
        Direction::Read => READABLE,
        Direction::Write => WRITABLE,
    }
}

/// Where a future's waker is: at which reactor and entry, and under which key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(super) reactor: u64,
    pub(super) token: u64,
    pub(super) direction: Direction,
    pub(super) key: u64,
}

impl Place {
    /// Whether it is one of `reactor`'s.
    pub(crate) fn is_at(&self, reactor: &Reactor) -> bool {
        self.reactor == reactor.shared.id
    }
}

/// What other OS threads leave with a reactor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    /// The source of the entry with this index has gone.
    Free(u32),
    /// A future was dropped that waits here.
    Forget(Place),
}

/// One runtime's registration of a source.
#[derive(Debug)]
struct Registration {
    /// The runtime's reactor; its number outlives it.
    reactor: Weak<Shared>,
    id: u64,
    token: u64,
    /// The fd itself was in the set already, by way of another source: this duplicate stands for
    /// it.
    alias: Option<OwnedFd>,
}

/// The registrations of one file descriptor.
#[derive(Debug)]
pub(crate) struct Source {
    /// The number and token of one of the registrations, so that most calls need no lock; 0 for
    /// none. Both are written by the OS thread of the runtime that they name, and replaced only
    /// once it has gone: who finds its own runtime's number finds its token too.
    home: AtomicU64,
    home_token: AtomicU64,
    registrations: Mutex<Vec<Registration>>,
    /// Whether the open file description may outlive the fd, so that closing it does not deregister
    /// (rule 15).
    shared: AtomicBool,
    /// Whether a future has ever waited for it: an entry that is freed by another OS thread may have
    /// wakers then.
    awaited: AtomicBool,
}

impl Source {
    /// `shared` says whether another fd may refer to the same open file description.
    pub(crate) const fn new(shared: bool) -> Self {
        Self {
            home: AtomicU64::new(0),
            home_token: AtomicU64::new(0),
            registrations: Mutex::new(Vec::new()),
            shared: AtomicBool::new(shared),
            awaited: AtomicBool::new(false),
        }
    }

    /// From now on another fd refers to the same open file description.
    pub(crate) fn set_shared(&self) {
        self.shared.store(true, Ordering::Release);
    }

    /// The entry that `reactor` has for this source, if it has one.
    #[inline]
    pub(crate) fn entry<'a>(&self, reactor: &'a Reactor) -> Option<&'a Entry> {
        match self.home.load(Ordering::Relaxed) {
            0 => None,
            home if home == reactor.shared.id => {
                reactor.entry(self.home_token.load(Ordering::Relaxed))
            }
            _ => self.entry_elsewhere(reactor),
        }
    }

    #[cold]
    fn entry_elsewhere<'a>(&self, reactor: &'a Reactor) -> Option<&'a Entry> {
        let registrations = self.lock();
        let registration = registrations
            .iter()
            .find(|known| known.id == reactor.shared.id)?;
        reactor.entry(registration.token)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Registration>> {
        self.registrations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the source with `reactor`, which does not know it yet.
    ///
    /// # Errors
    ///
    /// What epoll_ctl(2) says: `EBADF` for a closed fd, `ENOSPC` where the user's watches are used
    /// up.
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
        let id = reactor.shared.id;
        let mut registrations = self.lock();
        registrations.retain(|known| known.reactor.strong_count() > 0);
        let home = self.home.load(Ordering::Relaxed);
        if !registrations.iter().any(|known| known.id == home) {
            self.home_token.store(token, Ordering::Relaxed);
            self.home.store(id, Ordering::Relaxed);
        }
        registrations.push(Registration {
            reactor: Arc::downgrade(&reactor.shared),
            id,
            token,
            alias,
        });
        Ok(reactor.entry(token).expect("the entry was made above"))
    }

    /// A future waits for it from now on, or did.
    pub(crate) fn set_awaited(&self) {
        self.awaited.store(true, Ordering::Release);
    }

    /// Takes the waker with this key out of the entry that a runtime has for this source. `None` where
    /// it is not there any more, or another OS thread's runtime does so.
    pub(crate) fn forget(&self, place: &Place, here: Option<&Reactor>) -> Option<Waker> {
        if let Some(here) = here
            && here.shared.id == place.reactor
        {
            return here.remove_waker(place);
        }
        let registrations = self.lock();
        let registration = registrations
            .iter()
            .find(|known| known.id == place.reactor && known.token == place.token)?;
        if let Some(reactor) = registration.reactor.upgrade() {
            reactor.leave(Word::Forget(*place), true);
        }
        None
    }

    /// A place for the waker of one more future at the entry that `reactor` has for this source.
    pub(crate) fn place(&self, reactor: &Reactor, direction: Direction) -> Option<Place> {
        let home = self.home.load(Ordering::Relaxed);
        let token = match home == reactor.shared.id {
            true => self.home_token.load(Ordering::Relaxed),
            false => {
                let registrations = self.lock();
                let mut known = registrations.iter();
                known.find(|known| known.id == reactor.shared.id)?.token
            }
        };
        Some(Place {
            reactor: reactor.shared.id,
            token,
            direction,
            key: reactor.key(),
        })
    }

    /// Drops all registrations; the caller closes the fd or hands it on, and wakes who waited for it
    /// ([`Reactor::take_released`]). `here` is the reactor of the calling OS thread, if it has one;
    /// `closes` says that the fd is closed next.
    pub(crate) fn deregister(&mut self, fd: BorrowedFd<'_>, here: Option<&Reactor>, closes: bool) {
        *self.home.get_mut() = 0;
        let registrations = self
            .registrations
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        // Closing the last fd of a description takes it out of every set (epoll(7), Q6).
        let leave = !closes || *self.shared.get_mut();
        for registration in std::mem::take(registrations) {
            // A runtime that has gone took its set along; that of a forking parent is not ours to
            // change.
            let Some(reactor) = registration
                .reactor
                .upgrade()
                .filter(|reactor| reactor.is_ours())
            else {
                continue;
            };
            // An fd that somebody closed behind our back is no longer in the set: that is no error
            // here.
            let _ = match &registration.alias {
                Some(alias) => reactor.epoll.delete(alias.as_fd()),
                None if leave => reactor.epoll.delete(fd),
                None => Ok(()),
            };
            let (index, _) = split(registration.token);
            match here {
                Some(here) if here.shared.id == registration.id => here.release(index),
                _ => reactor.leave(Word::Free(index), *self.awaited.get_mut()),
            }
        }
    }
}
