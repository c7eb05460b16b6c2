//! The ring of a broadcast. Items are counted references, so that each receiver clones its item when
//! the lock has been let go, and a reference that nobody else has is used again.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SendError;

use super::{RecvTimeoutError, TryRecvError};
use crate::park::{Caller, Limit, Outcome};
use crate::sync::spin_lock::SpinLock;
use crate::sync::waiters::{How, Waiters};

pub(in crate::sync) struct Shared<T> {
    pub(in crate::sync) ring: SpinLock<Ring<T>>,
    senders: AtomicUsize,
    /// Receivers of several OS threads look at one item at the same time.
    _items: PhantomData<*mut T>,
}

// SAFETY: it owns its items, gives shared references to them to several threads, and the item
// itself to one.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> std::panic::UnwindSafe for Shared<T> {}
impl<T> std::panic::RefUnwindSafe for Shared<T> {}

pub(in crate::sync) struct Ring<T> {
    places: Box<[Place<T>]>,
    /// The number of the next item that is sent.
    next: u64,
    receivers: usize,
    senders_gone: bool,
    /// Those who have got everything, and the number of the item that each waits for.
    pub(in crate::sync) waiters: Waiters<u64>,
}

struct Place<T> {
    item: Arc<Option<T>>,
    /// How many receivers have not got it yet.
    left: usize,
}

/// An item on its way to one receiver.
pub(in crate::sync) enum Taken<T> {
    /// Nobody else wants it.
    Owned(T),
    Shared(Arc<Option<T>>),
}

impl<T: Clone> Taken<T> {
    /// The item. It clones or drops, so no lock is held.
    pub(in crate::sync) fn into_item(self) -> T {
        let item = match self {
            Self::Owned(item) => Some(item),
            Self::Shared(item) => Arc::unwrap_or_clone(item),
        };
        item.expect("an item that is shared stays where it is")
    }
}

impl<T> Ring<T> {
    /// Takes the receiver's next item, and moves its position on.
    pub(in crate::sync) fn take(&mut self, position: &Cell<u64>) -> Result<Taken<T>, TryRecvError> {
        let kept = self.places.len() as u64;
        let oldest = self.next.saturating_sub(kept);
        let number = position.get();
        if number < oldest {
            position.set(oldest);
            return Err(TryRecvError::Lagged(oldest - number));
        }
        if number == self.next {
            return Err(match self.senders_gone {
                true => TryRecvError::Closed,
                false => TryRecvError::Empty,
            });
        }
        position.set(number + 1);
        Ok(self.place(number).take())
    }

    fn place(&mut self, number: u64) -> &mut Place<T> {
        let count = self.places.len() as u64;
        &mut self.places[(number % count) as usize]
    }
}

impl<T> Place<T> {
    fn take(&mut self) -> Taken<T> {
        self.left -= 1;
        if self.left == 0
            && let Some(item) = Arc::get_mut(&mut self.item)
            && let Some(item) = item.take()
        {
            return Taken::Owned(item);
        }
        Taken::Shared(self.item.clone())
    }
}

impl<T> Shared<T> {
    /// A ring for one sender.
    pub(in crate::sync) fn new(capacity: usize) -> Self {
        let place = || Place {
            item: Arc::new(None),
            left: 0,
        };
        Self {
            ring: SpinLock::new(Ring {
                places: (0..capacity).map(|_| place()).collect(),
                next: 0,
                receivers: 0,
                senders_gone: false,
                waiters: Waiters::new(),
            }),
            senders: AtomicUsize::new(1),
            _items: PhantomData,
        }
    }

    /// Counts a receiver, and returns its position.
    pub(in crate::sync) fn subscribe(&self) -> u64 {
        let mut ring = self.ring.lock();
        ring.receivers += 1;
        ring.next
    }

    /// A receiver goes: what it did not get it gets no more.
    pub(in crate::sync) fn unsubscribe(&self, position: u64) {
        let position = Cell::new(position);
        let mut ring = self.ring.lock();
        ring.receivers -= 1;
        let end = ring.next;
        // What is sent from here on does not count this receiver.
        while position.get() < end {
            let taken = ring.take(&position);
            drop(ring);
            drop(taken);
            ring = self.ring.lock();
        }
    }

    pub(in crate::sync) fn receivers(&self) -> usize {
        self.ring.lock().receivers
    }

    pub(in crate::sync) fn send(&self, item: T) -> Result<usize, SendError<T>> {
        let caller = Caller::current();
        // A thread that unwinds already sends all the same.
        let _ = caller.check_cancel();
        let mut item = Some(item);
        let mut spare = None;
        let mut retired = None;
        let (receivers, number) = loop {
            let mut ring = self.ring.lock();
            let (receivers, number) = (ring.receivers, ring.next);
            if receivers == 0 {
                break (receivers, number);
            }
            let place = ring.place(number);
            if spare.is_some() {
                retired = spare
                    .take()
                    .map(|spare| mem::replace(&mut place.item, spare));
            }
            if let Some(oldest) = Arc::get_mut(&mut place.item) {
                mem::swap(oldest, &mut item);
                place.left = receivers;
                ring.next = number + 1;
                break (receivers, number);
            }
            // Somebody clones the oldest item right now: the new one gets memory of its own.
            drop(ring);
            spare = Some(Arc::new(None));
        };
        let oldest = match item {
            Some(item) if receivers == 0 => return Err(SendError(item)),
            oldest => oldest,
        };
        // Before the oldest item goes: its destructor may panic.
        self.wake(number);
        drop((oldest, retired));
        caller.spend();
        Ok(receivers)
    }

    /// Wakes those who wait for the item `number`.
    fn wake(&self, number: u64) {
        self.ring.release_while(
            self.ring.lock(),
            |ring| &ring.waiters,
            |wanted| *wanted <= number,
        );
    }

    pub(in crate::sync) fn try_recv(&self, position: &Cell<u64>) -> Result<Taken<T>, TryRecvError> {
        self.ring.lock().take(position)
    }

    pub(in crate::sync) fn recv(
        &self,
        position: &Cell<u64>,
        limit: Limit,
    ) -> Result<Taken<T>, RecvTimeoutError> {
        let caller = Caller::current();
        let mut cancelled = caller.check_cancel().is_err();
        loop {
            let mut ring = self.ring.lock();
            let end = match ring.take(position) {
                Ok(taken) => {
                    drop(ring);
                    caller.spend();
                    return Ok(taken);
                }
                Err(end) => end,
            };
            match end {
                TryRecvError::Lagged(count) => return Err(RecvTimeoutError::Lagged(count)),
                TryRecvError::Closed => return Err(RecvTimeoutError::Closed),
                TryRecvError::Empty if cancelled => return Err(RecvTimeoutError::Closed),
                TryRecvError::Empty => {}
            }
            let how = How::shared("receiving from a broadcast", limit);
            let wanted = position.get();
            // Whoever is woken is given nothing: its item is kept, or counted as lost.
            match self
                .ring
                .wait(caller, ring, |ring| &ring.waiters, wanted, how, || {})
            {
                Outcome::Woken => {}
                Outcome::TimedOut => return Err(RecvTimeoutError::Timeout),
                Outcome::Cancelled => cancelled = true,
            }
        }
    }

    pub(in crate::sync) fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// The last one wakes all who wait.
    pub(in crate::sync) fn remove_sender(&self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ring.lock().senders_gone = true;
            self.wake(u64::MAX);
        }
    }
}
