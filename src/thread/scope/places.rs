//! At most so many of a scope's threads at once: a spawn waits until there is a place, in the order in
//! which the spawns came.

use std::thread::panicking;

use crate::park::{Core, Limit, Mask, Outcome, WaitNode};
use crate::scheduler::{Reason, Tally};

/// A spawner's place in the queue of those who wait for one in the scope.
struct Waits<'a> {
    tally: &'a Tally,
    node: WaitNode,
    /// Whether it is a thread of this scope, which keeps its place while it waits for another.
    is_own: bool,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.is_own {
            let own = &self.tally.own_spawners;
            own.set(own.get() - 1);
        }
    }
}

/// A place for a thread that is about to be spawned. It is given back where nothing comes of that.
pub(super) struct Place<'a>(&'a Tally);

impl<'a> Place<'a> {
    /// Waits for one, in a scope that has only so many.
    #[inline]
    pub(super) fn take(tally: &'a Tally) -> Option<Self> {
        tally.is_limited().then(|| {
            tally.take_place();
            Self(tally)
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.give_place();
    }
}

impl Tally {
    /// Takes a place for a thread that is about to be spawned; waits until there is one. In a scope
    /// that is cancelled nobody waits: what is spawned there does nothing.
    ///
    /// # Panics
    ///
    /// Where every place is held by a thread that waits here itself: none would ever be free.
    #[cold]
    #[track_caller]
    pub(super) fn take_place(&self) {
        // Without a runtime the spawn fails, and gives the place back.
        if let Some(core) = Core::current() {
            let refused = core.check_cancel().is_err();
            // Nobody waits while there is a place: who gives one back gives it to the first.
            if !self.has_place() && !self.is_cancelled() && !self.must_exceed(core) {
                return self.wait_for_place(core, refused);
            }
        }
        self.placed.set(self.placed.get() + 1);
    }

    /// Whether each place is held by a thread that waits for another one, now that the running one would
    /// as well. A destructor that spawns while its thread unwinds gets a place beyond the limit.
    ///
    /// # Panics
    ///
    /// So, unless it unwinds.
    #[track_caller]
    fn must_exceed(&self, core: &Core) -> bool {
        let own = self.own_spawners.get() + 1;
        if !std::ptr::eq(core.running().scope(), self) || own < self.placed.get() {
            return false;
        }
        let unwinds = panicking() && core.unwinds(core.running());
        assert!(
            unwinds,
            "spawn: each of the scope's {own} places is held by a green thread that waits for another \
             one; spawn from the scope's closure, or run more at once"
        );
        true
    }

    fn wait_for_place(&self, core: &Core, refused: bool) {
        let record = core.running();
        let is_own = std::ptr::eq(record.scope(), self);
        let waits = Waits {
            tally: self,
            node: WaitNode::new(record),
            is_own,
        };
        if is_own {
            self.own_spawners.set(self.own_spawners.get() + 1);
        }
        // SAFETY: invariant 43: the node is pinned to this frame and unlinked by its drop; the tally
        // outlives whoever may spawn in its scope.
        unsafe { self.spawners.push(&waits.node) };
        let reason = Reason::new("waiting for a place in its scope");
        // Who is taken out of the queue has got a place by that.
        let done = || !waits.node.is_linked();
        if refused || core.park(&reason, Limit::None, Mask::No, done) == Outcome::Cancelled {
            core.park(&reason, Limit::None, Mask::Yes, done);
        }
    }

    /// Gives a place back: that of a thread that ends, or could not be spawned.
    #[cold]
    pub(super) fn give_place(&self) {
        self.placed.set(self.placed.get() - 1);
        self.fill_places();
    }

    /// Gives the places that there are to those who have waited the longest; in a cancelled scope
    /// there are enough.
    pub(super) fn fill_places(&self) {
        while self.has_place() || self.is_cancelled() {
            let spawner = self.spawners.pop();
            if spawner.is_null() {
                return;
            }
            self.placed.set(self.placed.get() + 1);
            if let Some(core) = Core::here() {
                core.unpark(spawner);
            }
        }
    }
}
