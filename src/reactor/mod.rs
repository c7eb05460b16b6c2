//! The reactor: epoll, edge-triggered, each source registered once for both directions. A turn
//! collects what became ready and says whose wait that ends; it runs no code of the user's and
//! knows no scheduler.

mod epoll;
mod notifier;
mod source;
mod signal;

#[cfg_attr(test, path = "sys_with_faults.rs")]
mod sys;

use std::cell::{Cell, UnsafeCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::epoll::EpollFlags;

use crate::scheduler::Record;
use epoll::Epoll;
pub(crate) use epoll::Timeout;
use notifier::Notifier;
pub(crate) use signal::{SignalListener, check_signal, deliveries};
pub(crate) use source::{Direction, Entry, Source};

/// What epoll hands back for the notifier; no entry has this index.
const NOTIFIER: u64 = u64::MAX;

/// Every source is registered for this, once.
const INTEREST: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLOUT)
    .union(EpollFlags::EPOLLRDHUP)
    .union(EpollFlags::EPOLLPRI)
    .union(EpollFlags::EPOLLET);

/// How often this process and those that it was forked from have forked inside a runtime.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Counts a fork, in its child: a reactor that was made before is the parent's.
pub(crate) fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// The half that other OS threads may reach.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Unique in the process.
    id: u64,
    /// What `FORKS` was when it was made.
    forks: u32,
    epoll: Epoll,
    notifier: Notifier,
    /// Entries whose source was dropped on another OS thread.
    freed: Mutex<Vec<u32>>,
    /// Whether `freed` holds any.
    has_freed: AtomicBool,
}

impl Shared {
    /// Ends the turn that the reactor's OS thread sleeps in, or the next one it takes.
    pub(crate) fn notify(&self) {
        self.notifier.notify();
    }

    /// Whether this process made it, and was not forked since.
    pub(crate) fn is_ours(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    fn free_from_outside(&self, index: u32) {
        self.freed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(index);
        self.has_freed.store(true, Ordering::Release);
    }
}

/// One runtime's reactor.
pub(crate) struct Reactor {
    shared: Arc<Shared>,
    /// One entry a source, boxed so that waiters can point at its queues while the table grows.
    #[expect(
        clippy::vec_box,
        reason = "wait nodes point into entries while the vector grows"
    )]
    entries: UnsafeCell<Vec<Box<Entry>>>,
    /// Indices of entries that belong to no source, the latest last.
    free: UnsafeCell<Vec<u32>>,
    /// How many green threads are parked on readiness.
    pub(crate) waiting: Cell<usize>,
}

/// What a turn found besides ready sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// How many events arrived.
    pub(crate) events: usize,
    /// Whether the notifier was among them.
    pub(crate) notified: bool,
}

impl Reactor {
    /// # Errors
    ///
    /// What epoll_create1(2), eventfd(2) and epoll_ctl(2) say: most often `EMFILE`.
    pub(crate) fn new() -> io::Result<Self> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let epoll = Epoll::new()?;
        let notifier = Notifier::new()?;
        epoll.add(
            notifier.as_fd(),
            EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            NOTIFIER,
        )?;
        Ok(Self {
            shared: Arc::new(Shared {
                id: IDS.fetch_add(1, Ordering::Relaxed),
                forks: FORKS.load(Ordering::Relaxed),
                epoll,
                notifier,
                freed: Mutex::new(Vec::new()),
                has_freed: AtomicBool::new(false),
            }),
            entries: UnsafeCell::new(Vec::new()),
            free: UnsafeCell::new(Vec::new()),
            waiting: Cell::new(0),
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until a source is ready, the notifier was used or the time is up, and calls `wake`
    /// with who waits the longest for each direction that became ready. A signal ends the wait
    /// early.
    ///
    /// # Errors
    ///
    /// What epoll_wait(2) says; `EINTR` is not an error here.
    pub(crate) fn turn(
        &self,
        timeout: Timeout,
        mut wake: impl FnMut(*const Record),
    ) -> io::Result<Turn> {
        let mut turn = Turn {
            events: 0,
            notified: false,
        };
        self.shared.epoll.wait(timeout, |token, flags| {
            turn.events += 1;
            if token == NOTIFIER {
                turn.notified = true;
                return;
            }
            // The event may be stale: its source was closed in this turn or before, and the entry
            // may serve another by now. The generation tells.
            let Some(entry) = self.entry(token) else {
                return;
            };
            entry.receive(flags);
            for direction in [Direction::Read, Direction::Write] {
                if entry.is_ready(direction) && !entry.waiters(direction).is_empty() {
                    wake(entry.waiters(direction).first());
                }
            }
        })?;
        Ok(turn)
    }

    /// The entry of a token, unless it has served another source since.
    #[inline]
    fn entry(&self, token: u64) -> Option<&Entry> {
        let (index, generation) = source::split(token);
        // SAFETY: invariant 45: the vector is borrowed for single statements; a box in it is
        // dropped only with the reactor, so the entry outlives this borrow of `self`.
        let entry: &Entry = unsafe { (&(*self.entries.get())).get(index as usize)? };
        (entry.generation() == generation).then_some(entry)
    }

    /// A free entry for a new source, and its token.
    fn acquire(&self) -> (u64, &Entry) {
        if self.shared.has_freed.swap(false, Ordering::Acquire) {
            let freed = std::mem::take(
                &mut *self
                    .shared
                    .freed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            for index in freed {
                self.release(index);
            }
        }
        // SAFETY: invariant 45.
        let recycled = unsafe { (*self.free.get()).pop() };
        let index = recycled.unwrap_or_else(|| {
            // SAFETY: invariant 45: growing moves the boxes, not the entries.
            let entries = unsafe { &mut *self.entries.get() };
            entries.push(Box::new(Entry::new()));
            u32::try_from(entries.len() - 1).expect("file descriptors are fewer than 2^31")
        });
        // SAFETY: as in `entry`.
        let entry: &Entry = unsafe { &(&(*self.entries.get()))[index as usize] };
        (source::token(index, entry.generation()), entry)
    }

    /// Takes an entry back from a source that has gone.
    fn release(&self, index: u32) {
        // SAFETY: as in `entry`.
        let entry: &Entry = unsafe { &(&(*self.entries.get()))[index as usize] };
        entry.retire();
        // A waiter that was leaked is still linked: such an entry serves nobody else.
        if entry.has_waiters() {
            return;
        }
        // SAFETY: invariant 45.
        unsafe { (*self.free.get()).push(index) };
    }

    /// Registers `fd` with epoll under a new entry.
    fn register(&self, fd: BorrowedFd<'_>) -> Result<u64, (io::Error, u64)> {
        let (token, entry) = self.acquire();
        match self.shared.epoll.add(fd, INTEREST, token) {
            Ok(()) => Ok(token),
            // A file that epoll refuses is always ready.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                entry.always_ready();
                Ok(token)
            }
            Err(error) => Err((error, token)),
        }
    }
}

#[cfg(test)]
mod tests;
