//! `Channel`: send and receive, with or without a wait.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::AtomicUsize;

use super::items::{Block, Items, Memory};
use crate::park::{Caller, Limit, Outcome, Unparker};
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::waiters::{How, Waiters};

/// Where an item lies while its thread waits: a receiver's is filled, a sender's emptied, by who
/// chooses the waiter, under the channel's lock.
pub(in crate::sync) type Slot<T> = Cell<Option<T>>;

/// What a queue of the channel's knows of a waiter: where its slot is.
pub(in crate::sync) type Note<T> = *const Slot<T>;

pub(in crate::sync) struct Channel<T> {
    pub(in crate::sync) queue: SpinLock<Queue<T>>,
    /// How many `Input`s and `Output`s there are.
    pub(super) inputs: AtomicUsize,
    pub(super) outputs: AtomicUsize,
    /// The lock hands items from one OS thread to another: only those that are `Send`.
    _items: PhantomData<*mut T>,
}

// SAFETY: it owns its items, and hands each to one thread.
unsafe impl<T: Send> Send for Channel<T> {}
// SAFETY: as above; no two threads see the same item.
unsafe impl<T: Send> Sync for Channel<T> {}

impl<T> UnwindSafe for Channel<T> {}
impl<T> RefUnwindSafe for Channel<T> {}

pub(in crate::sync) struct Queue<T> {
    items: Items<T>,
    /// Items that may lie in the channel; `usize::MAX` for no bound.
    capacity: usize,
    /// Whether the last sender or the last receiver has gone.
    pub(super) senders_gone: bool,
    pub(super) receivers_gone: bool,
    /// They wait only while there are no items.
    pub(in crate::sync) receivers: Waiters<Note<T>>,
    /// They wait only while there is no room.
    pub(in crate::sync) senders: Waiters<Note<T>>,
}

/// Why an operation was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum Failure {
    /// It would have had to wait.
    NotYet,
    /// The time is over.
    TimedOut,
    /// The other side has gone, or the thread is cancelled and unwinds already.
    Disconnected,
}

/// What is left to do when the lock has been let go.
#[must_use = "whoever was chosen waits for its unparker"]
pub(in crate::sync) struct Rest<T> {
    pub(super) unparker: Option<Unparker>,
    pub(super) memory: Memory<T>,
}

impl<T> Rest<T> {
    pub(in crate::sync) const fn new() -> Self {
        Self {
            unparker: None,
            memory: None,
        }
    }

    #[inline(always)]
    pub(in crate::sync) fn finish(self) {
        if let Some(unparker) = self.unparker {
            unparker.unpark();
        }
    }
}

impl<T> Queue<T> {
    /// Whether an item can be pushed at once.
    #[inline(always)]
    fn has_room(&self) -> bool {
        self.items.len() < self.capacity && !self.items.wants_memory()
    }

    /// Hands `slot`'s item over or puts it into the channel, if it can be done at once. Where the
    /// receivers have gone the item stays in its slot, and that is the answer.
    #[inline(always)]
    pub(in crate::sync) fn try_send(
        &mut self,
        slot: &Slot<T>,
        rest: &mut Rest<T>,
    ) -> Result<(), Failure> {
        if self.receivers_gone {
            return Err(Failure::Disconnected);
        }
        if let Some(receiver) = self.receivers.pop() {
            // SAFETY: invariant 81: the slot of a waiter that was chosen and not yet released.
            let place = unsafe { &**receiver.note() };
            // Nothing is dropped here: the place is empty.
            mem::forget(place.replace(slot.take()));
            rest.unparker = Some(receiver.release());
            return Ok(());
        }
        if self.items.len() < self.capacity {
            if let Some(item) = slot.take() {
                self.items.push(item);
            }
            return Ok(());
        }
        Err(Failure::NotYet)
    }

    /// Takes the item whose turn it is, if there is one.
    #[inline(always)]
    pub(in crate::sync) fn try_recv(&mut self, rest: &mut Rest<T>) -> Result<T, Failure> {
        if let Some(item) = self.items.pop(&mut rest.memory) {
            if !self.senders.is_empty() {
                self.refill(rest);
            }
            return Ok(item);
        }
        if self.senders.is_empty() {
            return Err(match self.senders_gone {
                true => Failure::Disconnected,
                false => Failure::NotYet,
            });
        }
        self.take_from_sender(rest).ok_or(Failure::NotYet)
    }

    /// There is room: the first who waits for it puts its item in.
    #[inline]
    fn refill(&mut self, rest: &mut Rest<T>) {
        // An item that came back may have used up the room.
        if self.items.len() < self.capacity
            && let Some(sent) = self.take_from_sender(rest)
        {
            self.items.push(sent);
        }
    }

    #[inline]
    fn take_from_sender(&mut self, rest: &mut Rest<T>) -> Option<T> {
        let sender = self.senders.pop()?;
        // SAFETY: invariant 81: the slot of a waiter that was chosen and not yet released.
        let item = unsafe { &**sender.note() }.take();
        rest.unparker = Some(sender.release());
        item
    }
}

impl<T> Channel<T> {
    pub(in crate::sync) fn new(capacity: Option<usize>) -> Self {
        Self {
            queue: SpinLock::new(Queue {
                items: Items::with_capacity(capacity),
                capacity: capacity.unwrap_or(usize::MAX),
                senders_gone: false,
                receivers_gone: false,
                receivers: Waiters::new(),
                senders: Waiters::new(),
            }),
            inputs: AtomicUsize::new(1),
            outputs: AtomicUsize::new(1),
            _items: PhantomData,
        }
    }

    /// The lock, with memory for one more item.
    #[inline(always)]
    pub(in crate::sync) fn lock_to_send(&self) -> Locked<'_, Queue<T>> {
        let queue = self.queue.lock();
        match queue.items.wants_memory() {
            true => self.bring_memory(queue),
            false => queue,
        }
    }

    #[cold]
    #[inline(never)]
    fn bring_memory<'a>(&'a self, mut queue: Locked<'a, Queue<T>>) -> Locked<'a, Queue<T>> {
        while queue.items.wants_memory() {
            drop(queue);
            let block = Block::new();
            queue = self.queue.lock();
            let useless = queue.items.bring(Some(block));
            if useless.is_some() {
                drop(queue);
                drop(useless);
                queue = self.queue.lock();
            }
        }
        queue
    }

    /// Does nothing that waits.
    #[inline]
    pub(in crate::sync) fn try_send(&self, item: T) -> Result<(), (Failure, T)> {
        let slot = Slot::new(Some(item));
        let mut rest = Rest::new();
        let mut queue = self.lock_to_send();
        let result = queue.try_send(&slot, &mut rest);
        drop(queue);
        rest.finish();
        give_back(result, slot)
    }

    #[inline]
    pub(in crate::sync) fn send(&self, item: T, limit: Limit) -> Result<(), (Failure, T)> {
        let caller = Caller::current();
        let cancelled = caller.has_news() && caller.check_cancel().is_err();
        let mut queue = self.queue.lock();
        if !queue.receivers.is_empty() {
            // They wait, so they have not gone.
            if let Some(receiver) = queue.receivers.pop() {
                // SAFETY: invariant 81: the slot of a waiter that was chosen and not yet released.
                let place = unsafe { &**receiver.note() };
                // Nothing is dropped here: the place is empty.
                mem::forget(place.replace(Some(item)));
                let unparker = receiver.release();
                drop(queue);
                unparker.unpark();
                caller.spend();
                return Ok(());
            }
        } else if queue.has_room() && !queue.receivers_gone {
            queue.items.push(item);
            drop(queue);
            caller.spend();
            return Ok(());
        }
        drop(queue);
        self.send_slowly(caller, item, limit, cancelled)
    }

    /// The receivers have gone, or there is no room, or not yet the memory for it.
    #[inline(never)]
    fn send_slowly(
        &self,
        caller: Caller<'_>,
        item: T,
        limit: Limit,
        cancelled: bool,
    ) -> Result<(), (Failure, T)> {
        let slot = Slot::new(Some(item));
        let mut rest = Rest::new();
        let mut queue = self.lock_to_send();
        let result = queue.try_send(&slot, &mut rest);
        if result == Err(Failure::NotYet) && !cancelled {
            let result = self.wait_to_send(caller, queue, &slot, limit);
            return give_back(result, slot);
        }
        drop(queue);
        rest.finish();
        if result == Err(Failure::NotYet) {
            return give_back(Err(Failure::Disconnected), slot);
        }
        caller.spend();
        give_back(result, slot)
    }

    fn wait_to_send(
        &self,
        caller: Caller<'_>,
        queue: Locked<'_, Queue<T>>,
        slot: &Slot<T>,
        limit: Limit,
    ) -> Result<(), Failure> {
        let how = How::shared("sending to a channel", limit);
        let note: Note<T> = slot;
        // A sender that was chosen has sent: there is nothing to give back.
        let outcome = self
            .queue
            .wait(caller, queue, |queue| &queue.senders, note, how, || {});
        match outcome {
            // Its item is still here where the receivers have gone.
            Outcome::Woken => Ok(()),
            Outcome::TimedOut => Err(Failure::TimedOut),
            Outcome::Cancelled => Err(Failure::Disconnected),
        }
    }

    /// Does nothing that waits.
    #[inline]
    pub(in crate::sync) fn try_recv(&self) -> Result<T, Failure> {
        let mut rest = Rest::new();
        let mut queue = self.queue.lock();
        let result = queue.try_recv(&mut rest);
        drop(queue);
        rest.finish();
        result
    }

    #[inline]
    pub(in crate::sync) fn recv(&self, limit: Limit) -> Result<T, Failure> {
        let caller = Caller::current();
        let cancelled = caller.has_news() && caller.check_cancel().is_err();
        let mut queue = self.queue.lock();
        if queue.senders.is_empty() {
            let mut memory = None;
            if let Some(item) = queue.items.pop(&mut memory) {
                drop(queue);
                if memory.is_some() {
                    drop(memory);
                }
                caller.spend();
                return Ok(item);
            }
            if !queue.senders_gone && !cancelled {
                return self.wait_to_recv(caller, queue, limit);
            }
        }
        self.recv_slowly(caller, queue, limit, cancelled)
    }

    /// There are senders that wait, or none at all.
    #[inline(never)]
    fn recv_slowly(
        &self,
        caller: Caller<'_>,
        mut queue: Locked<'_, Queue<T>>,
        limit: Limit,
        cancelled: bool,
    ) -> Result<T, Failure> {
        let mut rest = Rest::new();
        let result = queue.try_recv(&mut rest);
        if !matches!(result, Err(Failure::NotYet)) {
            drop(queue);
            rest.finish();
            caller.spend();
            return result;
        }
        if cancelled {
            return Err(Failure::Disconnected);
        }
        self.wait_to_recv(caller, queue, limit)
    }

    #[inline]
    fn wait_to_recv(
        &self,
        caller: Caller<'_>,
        queue: Locked<'_, Queue<T>>,
        limit: Limit,
    ) -> Result<T, Failure> {
        let slot = Slot::new(None);
        let how = How::shared("receiving from a channel", limit);
        let note: Note<T> = &raw const slot;
        let outcome = self.queue.wait(
            caller,
            queue,
            |queue| &queue.receivers,
            note,
            how,
            || self.take_back(&slot),
        );
        match outcome {
            // It was chosen without an item where the senders have gone.
            Outcome::Woken => slot.take().ok_or(Failure::Disconnected),
            Outcome::TimedOut => Err(Failure::TimedOut),
            Outcome::Cancelled => Err(Failure::Disconnected),
        }
    }

    /// A receiver was handed an item while it was being unwound: the next one gets it, or it lies in
    /// the channel before all others.
    #[cold]
    pub(in crate::sync) fn take_back(&self, slot: &Slot<T>) {
        let Some(item) = slot.take() else {
            return;
        };
        let mut queue = self.queue.lock();
        let Some(receiver) = queue.receivers.pop() else {
            queue.items.push_front(item);
            return;
        };
        // SAFETY: invariant 81: the slot of a waiter that was chosen and not yet released.
        let place = unsafe { &**receiver.note() };
        mem::forget(place.replace(Some(item)));
        let unparker = receiver.release();
        drop(queue);
        unparker.unpark();
    }

    /// The last sender has gone: whoever waits for an item waits in vain.
    pub(super) fn close_for_senders(&self) {
        let mut queue = self.queue.lock();
        queue.senders_gone = true;
        self.queue
            .release_while(queue, |queue| &queue.receivers, |_| true);
    }

    /// The last receiver has gone: what lies in the channel goes, and whoever waits for room keeps
    /// its item.
    pub(super) fn close_for_receivers(&self) {
        let mut queue = self.queue.lock();
        queue.receivers_gone = true;
        let items = queue.items.take();
        self.queue
            .release_while(queue, |queue| &queue.senders, |_| true);
        drop(items);
    }

    pub(in crate::sync) fn len(&self) -> usize {
        self.queue.lock().items.len()
    }

    /// How many items may lie here; `None` for no bound.
    pub(in crate::sync) fn capacity(&self) -> Option<usize> {
        let capacity = self.queue.lock().capacity;
        (capacity != usize::MAX).then_some(capacity)
    }

    pub(in crate::sync) fn is_full(&self) -> bool {
        let queue = self.queue.lock();
        queue.items.len() >= queue.capacity
    }

    pub(in crate::sync) fn receivers_gone(&self) -> bool {
        self.queue.lock().receivers_gone
    }

    pub(in crate::sync) fn senders_gone(&self) -> bool {
        self.queue.lock().senders_gone
    }
}

/// The item goes back to its sender where it was not sent.
#[inline(always)]
fn give_back<T>(result: Result<(), Failure>, slot: Slot<T>) -> Result<(), (Failure, T)> {
    match slot.into_inner() {
        None => Ok(()),
        Some(item) => Err((result.err().unwrap_or(Failure::Disconnected), item)),
    }
}
