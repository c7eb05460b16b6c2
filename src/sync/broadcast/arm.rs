//! A receive from a broadcast as an arm of `select`.

use std::cell::Cell;
use std::fmt;
use std::mem;

use super::ring::Taken;
use super::{Receiver, RecvError, TryRecvError};
use crate::park::Unparker;
use crate::sync::select::{Operation, Place};
use crate::sync::spin_lock::Held;
use crate::sync::waiters::Wait;

/// A receive from a broadcast as an arm of a [`Select`](crate::sync::select::Select). It is done when
/// there is an item, when some were lost, and when there is no sender.
pub struct RecvArm<'a, T> {
    receiver: &'a Receiver<T>,
    /// What was taken when the arm was tried; an arm that waited takes its item in the end.
    result: Cell<Option<Result<Taken<T>, TryRecvError>>>,
    place: Place<u64>,
}

impl<'a, T: Clone> RecvArm<'a, T> {
    pub(super) fn new(receiver: &'a mut Receiver<T>) -> Self {
        Self {
            receiver,
            result: Cell::new(None),
            place: Place::new(),
        }
    }

    /// What was received, if this arm was chosen; another one has nothing to say.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    pub fn finish(self) -> Result<T, RecvError> {
        let taken = match self.result.into_inner() {
            Some(result) => result,
            None => self.receiver.shared.try_recv(&self.receiver.position),
        };
        taken.map(Taken::into_item).map_err(|end| match end {
            TryRecvError::Lagged(count) => RecvError::Lagged(count),
            TryRecvError::Empty | TryRecvError::Closed => RecvError::Closed,
        })
    }
}

impl<T> Operation for RecvArm<'_, T> {
    fn lock(&self) -> Option<&Held> {
        Some(self.receiver.shared.ring.held())
    }

    unsafe fn attempt(&self, _: &mut Option<Unparker>) -> bool {
        // Nothing is dropped here: it goes back where it was.
        let before = self.result.take();
        if before.is_some() {
            mem::forget(self.result.replace(before));
            return true;
        }
        // SAFETY: the caller has the lock.
        let mut ring = unsafe { self.receiver.shared.ring.locked() };
        let result = ring.take(&self.receiver.position);
        if matches!(result, Err(TryRecvError::Empty)) {
            return false;
        }
        // The cell is empty: see above.
        mem::forget(self.result.replace(Some(result)));
        true
    }

    unsafe fn stand(&self, wait: *const Wait, index: usize) {
        // SAFETY: the caller has the lock.
        let ring = unsafe { self.receiver.shared.ring.locked() };
        let wanted = self.receiver.position.get();
        // SAFETY: the caller's duty.
        unsafe { self.place.stand(&ring.waiters, wait, index, wanted) };
    }

    unsafe fn leave(&self) {
        // SAFETY: the caller has the lock.
        unsafe { self.place.leave() };
    }
}

impl<T> fmt::Debug for RecvArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvArm").finish_non_exhaustive()
    }
}
