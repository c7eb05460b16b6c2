//! The waits of a queue as futures.

use std::cell::Cell;

use super::order::Order;
use super::state::{State, finish};
use super::{Queue, ShutDown, TryGetError};
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::waiters::Waiters;

impl<T, O: Order<T>> Queue<T, O> {
    /// As [`put`](Self::put), for futures: waits in the same queue, without a thread.
    ///
    /// # Errors
    ///
    /// The item, where the queue was shut down.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped puts nothing in; room that it was given already goes to the next.
    pub fn put_async(&self, item: T) -> impl Future<Output = Result<(), ShutDown<T>>> {
        Standing::new(Put {
            queue: self,
            item: Cell::new(Some(item)),
        })
    }

    /// As [`get`](Self::get), for futures: waits in the same queue, without a thread.
    ///
    /// # Errors
    ///
    /// Where there is no item, and the queue was shut down.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped takes no item: one that it was given already goes to the next.
    pub fn get_async(&self) -> impl Future<Output = Result<T, ShutDown>> {
        Standing::new(Get { queue: self })
    }

    /// As [`join`](Self::join), for futures.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost where the future is dropped.
    pub fn join_async(&self) -> impl Future<Output = ()> {
        Standing::new(Join { queue: self })
    }
}

struct Put<'a, T, O> {
    queue: &'a Queue<T, O>,
    /// `None` once it lies in the queue, or was given back.
    item: Cell<Option<T>>,
}

impl<T, O: Order<T>> Put<'_, T, O> {
    fn item(&self) -> T {
        self.item.take().expect("an item is put in once")
    }
}

impl<T, O: Order<T>> Want for Put<'_, T, O> {
    type State = State<O>;
    type Note = ();
    type Output = Result<(), ShutDown<T>>;

    fn lock(&self) -> &SpinLock<State<O>> {
        &self.queue.state
    }

    fn waiters(state: &State<O>) -> &Waiters<()> {
        &state.putters
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, State<O>>> {
        let mut state = self.queue.lock_to_put();
        if state.is_shut {
            drop(state);
            return Ok(Err(ShutDown(self.item())));
        }
        if !state.has_room() {
            return Err(state);
        }
        let rest = state.push(self.item());
        finish(state, rest);
        Ok(Ok(()))
    }

    fn note(&self, _: &mut State<O>, _: u64) {}

    fn chosen(&self) -> Option<Self::Output> {
        let put = self.queue.put_into_room(self.item());
        Some(put.map_err(|error| ShutDown(error.into_inner())))
    }

    fn give_back(&self) {
        self.queue.room_is_left();
    }
}

struct Get<'a, T, O> {
    queue: &'a Queue<T, O>,
}

impl<T, O: Order<T>> Want for Get<'_, T, O> {
    type State = State<O>;
    type Note = ();
    type Output = Result<T, ShutDown>;

    fn lock(&self) -> &SpinLock<State<O>> {
        &self.queue.state
    }

    fn waiters(state: &State<O>) -> &Waiters<()> {
        &state.getters
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, State<O>>> {
        match self.queue.get_now() {
            Ok(item) => Ok(Ok(item)),
            Err((state, TryGetError::Empty)) => Err(state),
            Err((_, TryGetError::ShutDown)) => Ok(Err(ShutDown(()))),
        }
    }

    fn note(&self, _: &mut State<O>, _: u64) {}

    fn chosen(&self) -> Option<Self::Output> {
        let got = self.queue.get_claimed();
        Some(got.map_err(|_| ShutDown(())))
    }

    fn give_back(&self) {
        self.queue.item_is_left();
    }
}

struct Join<'a, T, O> {
    queue: &'a Queue<T, O>,
}

impl<T, O: Order<T>> Want for Join<'_, T, O> {
    type State = State<O>;
    /// What `rounds` was.
    type Note = u64;
    type Output = ();

    fn lock(&self) -> &SpinLock<State<O>> {
        &self.queue.state
    }

    fn waiters(state: &State<O>) -> &Waiters<u64> {
        &state.joiners
    }

    fn enter(&self) -> Result<(), Locked<'_, State<O>>> {
        let state = self.queue.state.lock();
        match state.unfinished {
            0 => Ok(()),
            _ => Err(state),
        }
    }

    fn note(&self, state: &mut State<O>, _: u64) -> u64 {
        state.rounds
    }

    fn chosen(&self) -> Option<()> {
        Some(())
    }
}
