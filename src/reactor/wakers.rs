//! The wakers of futures that wait for one source. They are code of the user's: nothing here calls,
//! clones or drops one, but gives it to the caller, who does so when nothing is borrowed any more.

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;

/// So many wakers of `poll_*` methods are kept before those whose tasks have ended are looked for.
const FIRST_LIMIT: usize = 16;

/// Who waits for one direction of a source.
#[derive(Default)]
pub(super) struct Wakers {
    /// Those that came by a `poll_*` method, each once. Such a method does not learn that its future
    /// was dropped, so some may be of tasks that wait no more.
    polled: Vec<Waker>,
    /// How many `polled` may hold before it is looked through; 0 before the first time.
    limit: usize,
    /// Those of futures that take them back, by the future's key.
    keyed: BTreeMap<u64, Waker>,
}

impl Wakers {
    pub(super) fn is_empty(&self) -> bool {
        self.polled.is_empty() && self.keyed.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.polled.len() + self.keyed.len()
    }

    /// Whether `waker` has come by a `poll_*` method.
    pub(super) fn contains(&self, waker: &Waker) -> bool {
        self.polled.iter().any(|polled| polled.will_wake(waker))
    }

    /// Adds a waker of a `poll_*` method, unless it is there. Returns those that are of no use any
    /// more.
    pub(super) fn push(&mut self, waker: Waker, is_spent: impl Fn(&Waker) -> bool) -> Vec<Waker> {
        if self.contains(&waker) {
            return vec![waker];
        }
        let mut spent = Vec::new();
        if self.polled.len() >= self.limit.max(FIRST_LIMIT) {
            let polled = mem::take(&mut self.polled);
            (spent, self.polled) = polled.into_iter().partition(is_spent);
            self.limit = 2 * self.polled.len();
        }
        self.polled.push(waker);
        spent
    }

    /// The waker of the future with this key.
    pub(super) fn get(&self, key: u64) -> Option<&Waker> {
        self.keyed.get(&key)
    }

    /// Adds or replaces the waker of the future with this key, and returns the former.
    pub(super) fn insert(&mut self, key: u64, waker: Waker) -> Option<Waker> {
        self.keyed.insert(key, waker)
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Waker> {
        self.keyed.remove(&key)
    }

    /// Takes all of them, those of each kind in the order in which they came.
    pub(super) fn take(&mut self, each: impl FnMut(Waker)) {
        self.limit = 0;
        let polled = mem::take(&mut self.polled);
        let keyed = mem::take(&mut self.keyed);
        polled.into_iter().chain(keyed.into_values()).for_each(each);
    }
}
