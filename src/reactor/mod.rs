//! The reactor: epoll, edge-triggered, each source registered once for both directions. A turn
//! collects what became ready and says whose wait that ends; it runs no code of the user's and
//! knows no scheduler.

mod epoll;
mod notifier;
mod source;
mod wakers;
mod signal;

#[cfg_attr(test, path = "sys_with_faults.rs")]
mod sys;

use std::cell::{Cell, UnsafeCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use nix::sys::epoll::EpollFlags;

use crate::scheduler::Record;
use epoll::Epoll;
pub(crate) use epoll::Timeout;
use notifier::Notifier;
pub(crate) use signal::{SignalListener, check_signal, deliveries};
use source::Word;
pub(crate) use source::{Direction, Entry, Place, Source};

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
    /// What was dropped on other OS threads: sources, and futures that waited for one.
    words: Mutex<Vec<Word>>,
    /// Whether `words` holds any.
    has_words: AtomicBool,
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

    /// Leaves word for the reactor's OS thread, which reads it in a turn that is notified, or when it
    /// needs an entry.
    fn leave(&self, word: Word, notifies: bool) {
        self.words
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(word);
        self.has_words.store(true, Ordering::Release);
        if notifies {
            self.notify();
        }
    }

    fn take_words(&self) -> Vec<Word> {
        if !self.has_words.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.words.lock().unwrap_or_else(PoisonError::into_inner))
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
    /// Wakers that waited for sources which have gone, until they are woken.
    released: Cell<Vec<Waker>>,
    /// How many green threads are parked on readiness, and how many wakers wait for it.
    pub(crate) waiting: Cell<usize>,
    /// What the latest future that waits here has as its key.
    keys: Cell<u64>,
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
                words: Mutex::new(Vec::new()),
                has_words: AtomicBool::new(false),
            }),
            entries: UnsafeCell::new(Vec::new()),
            free: UnsafeCell::new(Vec::new()),
            released: Cell::new(Vec::new()),
            waiting: Cell::new(0),
            keys: Cell::new(0),
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until a source is ready, the notifier was used or the time is up, and calls `unpark`
    /// with who waits the longest for each direction that became ready, and `wake` with all wakers
    /// that wait for it. Neither runs code of the user's. A signal ends the wait early.
    ///
    /// # Errors
    ///
    /// What epoll_wait(2) says; `EINTR` is not an error here.
    pub(crate) fn turn(
        &self,
        timeout: Timeout,
        mut unpark: impl FnMut(*const Record),
        mut wake: impl FnMut(Waker),
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
                if !entry.is_ready(direction) {
                    continue;
                }
                if !entry.waiters(direction).is_empty() {
                    unpark(entry.waiters(direction).first());
                }
                if entry.is_awaited(direction) {
                    self.take_wakers(entry, direction, &mut wake);
                }
            }
        })?;
        if turn.notified {
            self.read_words();
            self.take_released().into_iter().for_each(wake);
        }
        Ok(turn)
    }

    /// Gives each waker that waits for `direction` to `each`.
    #[cold]
    fn take_wakers(&self, entry: &Entry, direction: Direction, each: &mut impl FnMut(Waker)) {
        entry.with_wakers(direction, |wakers| {
            self.waiting.set(self.waiting.get() - wakers.len());
            wakers.take(each);
        });
    }

    /// Whether `waker` waits already, by a `poll_*` method.
    pub(crate) fn awaits(&self, entry: &Entry, direction: Direction, waker: &Waker) -> bool {
        entry.is_awaited(direction) && entry.with_wakers(direction, |wakers| wakers.contains(waker))
    }

    /// Has `waker`, which came by a `poll_*` method, woken when the source becomes ready. Returns
    /// wakers that are of no use any more, such as `is_spent` says, for the caller to drop.
    pub(crate) fn add_polled(
        &self,
        entry: &Entry,
        direction: Direction,
        waker: Waker,
        is_spent: impl Fn(&Waker) -> bool,
    ) -> Vec<Waker> {
        entry.with_wakers(direction, |wakers| {
            let before = wakers.len();
            let left = wakers.push(waker, is_spent);
            self.waiting.set(self.waiting.get() + wakers.len() - before);
            left
        })
    }

    /// A key for a future that is to wait here.
    fn key(&self) -> u64 {
        self.keys.set(self.keys.get() + 1);
        self.keys.get()
    }

    /// Whether `waker` waits at this place of `entry` already.
    pub(crate) fn awaits_at(&self, entry: &Entry, place: &Place, waker: &Waker) -> bool {
        entry.is_awaited(place.direction)
            && entry.with_wakers(place.direction, |wakers| {
                wakers
                    .get(place.key)
                    .is_some_and(|waiting| waiting.will_wake(waker))
            })
    }

    /// Has `waker`, at this place of `entry`, woken when the source becomes ready. Returns the one that
    /// was there before, for the caller to drop.
    pub(crate) fn add_at(&self, entry: &Entry, place: &Place, waker: Waker) -> Option<Waker> {
        let former = entry.with_wakers(place.direction, |wakers| wakers.insert(place.key, waker));
        if former.is_none() {
            self.waiting.set(self.waiting.get() + 1);
        }
        former
    }

    /// Takes out the waker of a future that waits no more, for the caller to drop.
    fn remove_waker(&self, place: &Place) -> Option<Waker> {
        let entry = self.entry(place.token)?;
        if !entry.is_awaited(place.direction) {
            return None;
        }
        let waker = entry.with_wakers(place.direction, |wakers| wakers.remove(place.key))?;
        self.waiting.set(self.waiting.get() - 1);
        Some(waker)
    }

    /// Takes the wakers that waited for sources which have gone, for the caller to wake.
    pub(crate) fn take_released(&self) -> Vec<Waker> {
        self.released.take()
    }

    /// Takes all wakers: nobody will take a turn for them.
    pub(crate) fn take_all_wakers(&self) -> Vec<Waker> {
        self.read_words();
        let mut all = self.take_released();
        // SAFETY: invariant 45: what is called below does not come back here.
        let entries = unsafe { &*self.entries.get() };
        for entry in entries {
            for direction in [Direction::Read, Direction::Write] {
                if entry.is_awaited(direction) {
                    self.take_wakers(entry, direction, &mut |waker| all.push(waker));
                }
            }
        }
        all
    }

    /// Does what other OS threads have left word of.
    fn read_words(&self) {
        for word in self.shared.take_words() {
            match word {
                Word::Free(index) => self.release(index),
                Word::Forget(place) => {
                    // It is dropped where wakers are: by whoever wakes it.
                    let waker = self.remove_waker(&place);
                    self.set_released(waker);
                }
            }
        }
    }

    fn set_released(&self, wakers: impl IntoIterator<Item = Waker>) {
        let mut released = self.released.take();
        released.extend(wakers);
        self.released.set(released);
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
        self.read_words();
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

    /// Takes an entry back from a source that has gone. Who waited for it is to be woken
    /// ([`take_released`](Self::take_released)).
    fn release(&self, index: u32) {
        // SAFETY: as in `entry`.
        let entry: &Entry = unsafe { &(&(*self.entries.get()))[index as usize] };
        for direction in [Direction::Read, Direction::Write] {
            if entry.is_awaited(direction) {
                let mut wakers = Vec::new();
                self.take_wakers(entry, direction, &mut |waker| wakers.push(waker));
                self.set_released(wakers);
            }
        }
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
