//! A receive from a channel and a send to it, as arms of `select`.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::sync::mpsc::{RecvError, SendError};

use super::core::{Channel, Failure, Note, Rest, Slot};
use super::items::Memory;
use crate::park::Unparker;
use crate::sync::select::{Operation, Place};
use crate::sync::spin_lock::Held;
use crate::sync::waiters::Wait;

/// A receive as an arm of a [`Select`](crate::sync::select::Select): from `mpsc`, `mpmc` and
/// `oneshot`. It is done when there is an item, and when there is no sender.
pub struct RecvArm<'a, T> {
    channel: &'a Channel<T>,
    slot: Slot<T>,
    place: Place<Note<T>>,
    /// Memory of the channel's that nobody needs: it goes when no lock is held.
    memory: Cell<Memory<T>>,
}

/// A send as an arm of a [`Select`](crate::sync::select::Select): to `mpsc` and `mpmc`. It is done
/// when the item was taken, and when there is no receiver.
pub struct SendArm<'a, T> {
    channel: &'a Channel<T>,
    slot: Slot<T>,
    place: Place<Note<T>>,
}

impl<'a, T> RecvArm<'a, T> {
    pub(in crate::sync) fn new(channel: &'a Channel<T>) -> Self {
        Self {
            channel,
            slot: Slot::new(None),
            place: Place::new(),
            memory: Cell::new(None),
        }
    }

    /// What was received, if this arm was chosen.
    ///
    /// # Errors
    ///
    /// Where there is no item and no sender, and where this arm was not chosen.
    pub fn finish(self) -> Result<T, RecvError> {
        self.slot.into_inner().ok_or(RecvError)
    }
}

impl<'a, T> SendArm<'a, T> {
    pub(in crate::sync) fn new(channel: &'a Channel<T>, item: T) -> Self {
        Self {
            channel,
            slot: Slot::new(Some(item)),
            place: Place::new(),
        }
    }

    /// Whether the item was sent.
    ///
    /// # Errors
    ///
    /// The item, where there is no receiver, and where this arm was not chosen.
    pub fn finish(self) -> Result<(), SendError<T>> {
        match self.slot.into_inner() {
            None => Ok(()),
            Some(item) => Err(SendError(item)),
        }
    }
}

impl<T> Operation for RecvArm<'_, T> {
    fn lock(&self) -> Option<&Held> {
        Some(self.channel.queue.held())
    }

    unsafe fn attempt(&self, unparker: &mut Option<Unparker>) -> bool {
        if holds_item(&self.slot) {
            // It was done before, and what it received was not taken out.
            return true;
        }
        // SAFETY: the caller has the lock.
        let mut queue = unsafe { self.channel.queue.locked() };
        let mut rest = Rest::new();
        let result = queue.try_recv(&mut rest);
        *unparker = rest.unparker;
        // The cell is empty: this runs once, or again after it came to nothing.
        mem::forget(self.memory.replace(rest.memory));
        match result {
            Ok(item) => mem::forget(self.slot.replace(Some(item))),
            Err(Failure::NotYet) => return false,
            Err(_) => {}
        }
        true
    }

    unsafe fn stand(&self, wait: *const Wait, index: usize) {
        // SAFETY: the caller has the lock.
        let queue = unsafe { self.channel.queue.locked() };
        // SAFETY: the caller's duty.
        unsafe {
            self.place
                .stand(&queue.receivers, wait, index, &raw const self.slot)
        };
    }

    unsafe fn leave(&self) {
        // SAFETY: the caller has the lock.
        unsafe { self.place.leave() };
    }

    fn give_back(&self) {
        self.channel.take_back(&self.slot);
    }
}

impl<T> Operation for SendArm<'_, T> {
    fn lock(&self) -> Option<&Held> {
        Some(self.channel.queue.held())
    }

    fn prepare(&self) {
        drop(self.channel.lock_to_send());
    }

    unsafe fn attempt(&self, unparker: &mut Option<Unparker>) -> bool {
        if !holds_item(&self.slot) {
            // It was done before: its item was sent.
            return true;
        }
        // SAFETY: the caller has the lock.
        let mut queue = unsafe { self.channel.queue.locked() };
        let mut rest = Rest::new();
        let result = queue.try_send(&self.slot, &mut rest);
        *unparker = rest.unparker;
        result != Err(Failure::NotYet)
    }

    unsafe fn stand(&self, wait: *const Wait, index: usize) {
        // SAFETY: the caller has the lock.
        let queue = unsafe { self.channel.queue.locked() };
        // SAFETY: the caller's duty.
        unsafe {
            self.place
                .stand(&queue.senders, wait, index, &raw const self.slot)
        };
    }

    unsafe fn leave(&self) {
        // SAFETY: the caller has the lock.
        unsafe { self.place.leave() };
    }
}

fn holds_item<T>(slot: &Slot<T>) -> bool {
    // SAFETY: invariant 81: its own thread asks, before the node is linked; the reference goes at
    // once.
    unsafe { (*slot.as_ptr()).is_some() }
}

impl<T> fmt::Debug for RecvArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvArm").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SendArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendArm").finish_non_exhaustive()
    }
}
