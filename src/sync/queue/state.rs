//! What lies under the lock of a queue: its items, who waits, and how many of those who were chosen
//! have not come yet. A chosen waiter owns an item or a room, whichever it is when it comes.

use super::order::sealed::Items;
use crate::park::Unparker;
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::waiters::Waiters;

pub(super) struct State<O> {
    pub(super) items: O,
    /// How many items may lie here; `usize::MAX` for no bound.
    pub(super) bound: usize,
    /// Items that belong to getters that were chosen and have not come yet. Where the queue was shut
    /// down there may be more of these than items: then the last to come get none.
    claims: usize,
    /// Rooms that belong to putters that were chosen and have not come yet.
    rooms: usize,
    /// Items that were put in, and not reported as done.
    pub(super) unfinished: usize,
    /// How often `unfinished` came to 0: those who joined before are let go by it.
    pub(super) rounds: u64,
    pub(super) is_shut: bool,
    /// They wait only while each item belongs to somebody.
    pub(super) getters: Waiters<()>,
    /// They wait only while each room belongs to somebody.
    pub(super) putters: Waiters<()>,
    /// What `rounds` was when each one came.
    pub(super) joiners: Waiters<u64>,
}

/// Whom to unpark when the lock has been let go.
pub(super) type Rest = Option<Unparker>;

impl<O> State<O> {
    pub(super) const fn new(items: O) -> Self {
        Self {
            items,
            bound: usize::MAX,
            claims: 0,
            rooms: 0,
            unfinished: 0,
            rounds: 0,
            is_shut: false,
            getters: Waiters::new(),
            putters: Waiters::new(),
            joiners: Waiters::new(),
        }
    }

    /// Whether there is an item that belongs to nobody.
    pub(super) fn has_item<T>(&self) -> bool
    where
        O: Items<T>,
    {
        self.items.len() > self.claims
    }

    /// Whether there is room that belongs to nobody.
    pub(super) fn has_room<T>(&self) -> bool
    where
        O: Items<T>,
    {
        self.items.len() + self.rooms < self.bound
    }

    /// Puts an item into a room, for which there is the memory, and chooses who gets one.
    pub(super) fn push<T>(&mut self, item: T) -> Rest
    where
        O: Items<T>,
    {
        self.items.push(item);
        self.unfinished += 1;
        self.choose_getter()
    }

    /// Takes an item out, and chooses who has the room.
    pub(super) fn pop<T>(&mut self) -> (Option<T>, Rest)
    where
        O: Items<T>,
    {
        let item = self.items.pop();
        (item, self.choose_putter())
    }

    pub(super) fn choose_getter<T>(&mut self) -> Rest
    where
        O: Items<T>,
    {
        if !self.has_item() {
            return None;
        }
        let unparker = self.getters.pop()?.release();
        self.claims += 1;
        Some(unparker)
    }

    pub(super) fn choose_putter<T>(&mut self) -> Rest
    where
        O: Items<T>,
    {
        if !self.has_room() {
            return None;
        }
        let unparker = self.putters.pop()?.release();
        self.rooms += 1;
        Some(unparker)
    }

    /// A getter that was chosen has come.
    pub(super) fn claim_ends(&mut self) {
        self.claims -= 1;
    }

    /// A putter that was chosen has come.
    pub(super) fn room_ends(&mut self) {
        self.rooms -= 1;
    }

    /// So many items are done.
    pub(super) fn finish(&mut self, count: usize) {
        self.unfinished = self.unfinished.saturating_sub(count);
        if self.unfinished == 0 {
            self.rounds += 1;
        }
    }

    /// Chooses all who wait for items or rooms of a queue that was shut down: they come to hear of
    /// it. Returns the first, and the queue is to be asked again.
    pub(super) fn dismiss(&mut self) -> Rest {
        if let Some(getter) = self.getters.pop() {
            let unparker = getter.release();
            self.claims += 1;
            return Some(unparker);
        }
        let unparker = self.putters.pop()?.release();
        self.rooms += 1;
        Some(unparker)
    }
}

/// Lets go of the lock, and then unparks who was chosen under it.
pub(super) fn finish<S>(locked: Locked<'_, S>, rest: Rest) {
    drop(locked);
    if let Some(unparker) = rest {
        unparker.unpark();
    }
}

/// Lets all go who wait for what will not come any more.
pub(super) fn dismiss_all<O>(lock: &SpinLock<State<O>>) {
    loop {
        let mut state = lock.lock();
        let Some(unparker) = state.dismiss() else {
            return;
        };
        drop(state);
        unparker.unpark();
    }
}
