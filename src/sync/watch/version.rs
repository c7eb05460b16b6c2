//! The versions of a watched value, and those who wait for the next.

use std::cell::Cell;
use std::sync::mpsc::{RecvError, RecvTimeoutError};

use crate::park::{Caller, Limit, Outcome};
use crate::sync::spin_lock::SpinLock;
use crate::sync::waiters::{How, Waiters};

/// What is known of a watched value, but for the value itself.
pub(in crate::sync) struct Versions {
    pub(in crate::sync) state: SpinLock<State>,
}

pub(in crate::sync) struct State {
    /// Counts the changes.
    pub(in crate::sync) latest: u64,
    senders: usize,
    receivers: usize,
    /// Those who have seen the latest version, and which that was.
    pub(in crate::sync) waiters: Waiters<u64>,
}

impl State {
    /// Whether there is a version other than `seen`, or never will be.
    pub(in crate::sync) fn has_changed(&self, seen: u64) -> Result<bool, RecvError> {
        match self.latest != seen {
            true => Ok(true),
            false if self.senders == 0 => Err(RecvError),
            false => Ok(false),
        }
    }
}

impl Versions {
    /// Those of a value with one sender.
    pub(in crate::sync) const fn new() -> Self {
        Self {
            state: SpinLock::new(State {
                latest: 0,
                senders: 1,
                receivers: 0,
                waiters: Waiters::new(),
            }),
        }
    }

    /// Counts a receiver; returns the latest version.
    pub(in crate::sync) fn subscribe(&self) -> u64 {
        let mut state = self.state.lock();
        state.receivers += 1;
        state.latest
    }

    pub(in crate::sync) fn unsubscribe(&self) {
        self.state.lock().receivers -= 1;
    }

    pub(in crate::sync) fn receivers(&self) -> usize {
        self.state.lock().receivers
    }

    pub(in crate::sync) fn add_sender(&self) {
        self.state.lock().senders += 1;
    }

    /// The last one wakes all who wait.
    pub(in crate::sync) fn remove_sender(&self) {
        let mut state = self.state.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.tell(u64::MAX);
        }
    }

    pub(in crate::sync) fn latest(&self) -> u64 {
        self.state.lock().latest
    }

    /// The value has changed; returns its version.
    pub(in crate::sync) fn advance(&self) -> u64 {
        let mut state = self.state.lock();
        state.latest += 1;
        state.latest
    }

    /// Wakes those who have not seen `version`.
    pub(in crate::sync) fn tell(&self, version: u64) {
        self.state.release_while(
            self.state.lock(),
            |state| &state.waiters,
            |seen| *seen < version,
        );
    }

    pub(in crate::sync) fn has_changed(&self, seen: u64) -> Result<bool, RecvError> {
        self.state.lock().has_changed(seen)
    }

    pub(in crate::sync) fn changed(
        &self,
        seen: &Cell<u64>,
        limit: Limit,
    ) -> Result<(), RecvTimeoutError> {
        let caller = Caller::current();
        let mut cancelled = caller.check_cancel().is_err();
        loop {
            let state = self.state.lock();
            match state.has_changed(seen.get()) {
                Ok(true) => {
                    seen.set(state.latest);
                    drop(state);
                    caller.spend();
                    return Ok(());
                }
                Ok(false) if !cancelled => {}
                Ok(false) | Err(RecvError) => return Err(RecvTimeoutError::Disconnected),
            }
            let how = How::shared("waiting for a change", limit);
            // Whoever is woken is given nothing: it looks again.
            match self.state.wait(
                caller,
                state,
                |state| &state.waiters,
                seen.get(),
                how,
                || {},
            ) {
                Outcome::Woken => {}
                Outcome::TimedOut => return Err(RecvTimeoutError::Timeout),
                Outcome::Cancelled => cancelled = true,
            }
        }
    }

    /// Counts the latest version as seen; an error where it was, and no other will come.
    pub(in crate::sync) fn see(&self, seen: &Cell<u64>) -> Result<(), RecvError> {
        let latest = self.latest();
        match seen.replace(latest) == latest {
            true => Err(RecvError),
            false => Ok(()),
        }
    }
}
