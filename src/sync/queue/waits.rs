//! How a queue's callers wait.

use std::mem;

use super::order::{self, Order};
use super::state::{State, finish};
use super::{Queue, TryGetError, TryPutError};
use crate::park::{Caller, Limit, Outcome};
use crate::sync::spin_lock::Locked;
use crate::sync::waiters::How;

impl<T, O: Order<T>> Queue<T, O> {
    /// The lock, with memory for one more item.
    pub(super) fn lock_to_put(&self) -> Locked<'_, State<O>> {
        let mut state = self.state.lock();
        while state.items.len() == state.items.room() {
            let wanted = order::more(state.items.len());
            drop(state);
            let mut memory = O::with_room(wanted);
            state = self.state.lock();
            if memory.room() > state.items.room() {
                memory.take_over(&mut state.items);
                mem::swap(&mut memory, &mut state.items);
            }
            drop(state);
            // No item is left in it.
            drop(memory);
            state = self.state.lock();
        }
        state
    }

    #[track_caller]
    pub(super) fn put_limited(&self, item: T, limit: Limit) -> Result<(), TryPutError<T>> {
        let caller = Caller::current();
        let cancelled = caller.check_cancel().is_err();
        let mut state = self.lock_to_put();
        if state.is_shut {
            drop(state);
            caller.spend();
            return Err(TryPutError::ShutDown(item));
        }
        if state.has_room() {
            let rest = state.push(item);
            finish(state, rest);
            caller.spend();
            return Ok(());
        }
        if cancelled {
            return Err(TryPutError::ShutDown(item));
        }
        let how = How::shared("putting into a queue", limit);
        let outcome = self.state.wait(
            caller,
            state,
            |state| &state.putters,
            (),
            how,
            || self.room_is_left(),
        );
        match outcome {
            Outcome::Woken => self.put_into_room(item),
            Outcome::TimedOut => Err(TryPutError::Full(item)),
            Outcome::Cancelled => Err(TryPutError::ShutDown(item)),
        }
    }

    /// A putter that was chosen has come.
    pub(super) fn put_into_room(&self, item: T) -> Result<(), TryPutError<T>> {
        let mut state = self.lock_to_put();
        state.room_ends();
        if state.is_shut {
            drop(state);
            return Err(TryPutError::ShutDown(item));
        }
        let rest = state.push(item);
        finish(state, rest);
        Ok(())
    }

    /// A putter was chosen while it was being unwound: the next one has the room.
    #[cold]
    pub(super) fn room_is_left(&self) {
        let mut state = self.state.lock();
        state.room_ends();
        let rest = state.choose_putter();
        finish(state, rest);
    }

    /// Takes an item that belongs to nobody, or gives the lock back, under which there was none.
    pub(super) fn get_now(&self) -> Result<T, (Locked<'_, State<O>>, TryGetError)> {
        let mut state = self.state.lock();
        if !state.has_item() {
            let error = match state.is_shut {
                true => TryGetError::ShutDown,
                false => TryGetError::Empty,
            };
            return Err((state, error));
        }
        let (item, rest) = state.pop();
        finish(state, rest);
        item.ok_or_else(|| (self.state.lock(), TryGetError::Empty))
    }

    #[track_caller]
    pub(super) fn get_limited(&self, limit: Limit) -> Result<T, TryGetError> {
        let caller = Caller::current();
        let cancelled = caller.check_cancel().is_err();
        let state = match self.get_now() {
            Ok(item) => {
                caller.spend();
                return Ok(item);
            }
            Err((state, TryGetError::ShutDown)) => {
                drop(state);
                caller.spend();
                return Err(TryGetError::ShutDown);
            }
            Err((state, TryGetError::Empty)) => state,
        };
        if cancelled {
            return Err(TryGetError::ShutDown);
        }
        let how = How::shared("getting from a queue", limit);
        let outcome = self.state.wait(
            caller,
            state,
            |state| &state.getters,
            (),
            how,
            || self.item_is_left(),
        );
        match outcome {
            Outcome::Woken => self.get_claimed(),
            Outcome::TimedOut => Err(TryGetError::Empty),
            Outcome::Cancelled => Err(TryGetError::ShutDown),
        }
    }

    /// A getter that was chosen has come. There is no item for it where the queue was shut down.
    pub(super) fn get_claimed(&self) -> Result<T, TryGetError> {
        let mut state = self.state.lock();
        state.claim_ends();
        let (item, rest) = state.pop();
        finish(state, rest);
        item.ok_or(TryGetError::ShutDown)
    }

    /// A getter was chosen while it was being unwound: the next one has the item.
    #[cold]
    pub(super) fn item_is_left(&self) {
        let mut state = self.state.lock();
        state.claim_ends();
        let rest = state.choose_getter();
        finish(state, rest);
    }

    #[track_caller]
    pub(super) fn join_limited(&self, limit: Limit) -> bool {
        self.state.wait_for(
            "joining a queue",
            limit,
            |state| state.unfinished == 0,
            |state| &state.joiners,
            |state| state.rounds,
        )
    }

    pub(super) fn release_joiners<'a>(&'a self, state: Locked<'a, State<O>>) {
        let rounds = state.rounds;
        self.state
            .release_while(state, |state| &state.joiners, |came| *came < rounds);
    }
}
