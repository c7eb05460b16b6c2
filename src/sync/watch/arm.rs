//! A wait for a change of a watched value as an arm of `select`.

use std::cell::Cell;
use std::fmt;
use std::sync::mpsc::RecvError;

use super::version::Versions;
use crate::park::Unparker;
use crate::sync::select::{Operation, Place};
use crate::sync::spin_lock::Held;
use crate::sync::waiters::Wait;

/// A wait for a change as an arm of a [`Select`](crate::sync::select::Select). It is done when there
/// is a value that was not seen, and when there is no sender.
pub struct ChangedArm<'a> {
    versions: &'a Versions,
    seen: &'a Cell<u64>,
    place: Place<u64>,
}

impl<'a> ChangedArm<'a> {
    pub(super) fn new(versions: &'a Versions, seen: &'a Cell<u64>) -> Self {
        Self {
            versions,
            seen,
            place: Place::new(),
        }
    }

    /// Counts the latest value as seen, if this arm was chosen.
    ///
    /// # Errors
    ///
    /// Where there is none that was not seen, and the senders have gone.
    pub fn finish(self) -> Result<(), RecvError> {
        self.versions.see(self.seen)
    }
}

impl Operation for ChangedArm<'_> {
    fn lock(&self) -> Option<&Held> {
        Some(self.versions.state.held())
    }

    unsafe fn attempt(&self, _: &mut Option<Unparker>) -> bool {
        // SAFETY: the caller has the lock.
        let state = unsafe { self.versions.state.locked() };
        state.has_changed(self.seen.get()) != Ok(false)
    }

    unsafe fn stand(&self, wait: *const Wait, index: usize) {
        // SAFETY: the caller has the lock.
        let state = unsafe { self.versions.state.locked() };
        let seen = self.seen.get();
        // SAFETY: the caller's duty.
        unsafe { self.place.stand(&state.waiters, wait, index, seen) };
    }

    unsafe fn leave(&self) {
        // SAFETY: the caller has the lock.
        unsafe { self.place.leave() };
    }
}

impl fmt::Debug for ChangedArm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangedArm").finish_non_exhaustive()
    }
}
