//! What may end a call, as the test sees it: a chain of regions, innermost first, beside the one that
//! the library has.

use std::cell::Cell;
use std::rc::Rc;

use greenlit::time::Instant;

#[expect(dead_code, reason = "programs have no cancel scopes yet")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole green thread. What is outside it belongs to the owner of its scope.
    Thread,
    /// What a cancel ends.
    Scope,
    /// What no cancel from outside ends.
    Shield,
}

pub(crate) struct Region {
    kind: Kind,
    outer: Option<Rc<Region>>,
    pub(crate) cancelled: Cell<bool>,
    pub(crate) deadline: Cell<Option<Instant>>,
}

impl Region {
    pub(crate) fn new(kind: Kind, outer: Option<Rc<Region>>) -> Rc<Self> {
        Rc::new(Self {
            kind,
            outer,
            cancelled: Cell::new(false),
            deadline: Cell::new(None),
        })
    }

    /// Whether a call here may end by a cancel. `ending` says that all threads are cancelled.
    pub(crate) fn may_end(&self, ending: bool) -> bool {
        self.look(ending, &|region| {
            region.cancelled.get()
                || region
                    .deadline
                    .get()
                    .is_some_and(|deadline| deadline <= Instant::now())
        })
    }

    /// Whether a call here has to end by a cancel that its own thread knows of.
    pub(crate) fn must_end(&self, ending: bool) -> bool {
        self.look_in_thread(ending, &|region| region.cancelled.get())
            .unwrap_or(false)
    }

    fn look(&self, ending: bool, ends: &dyn Fn(&Self) -> bool) -> bool {
        if let Some(found) = self.look_in_thread(ending, ends) {
            return found;
        }
        // Its owner may have been cancelled, and the thread with it.
        let mut region = self;
        while region.kind != Kind::Thread {
            match &region.outer {
                Some(outer) => region = outer,
                None => return false,
            }
        }
        region
            .outer
            .as_ref()
            .is_some_and(|owner| owner.look(false, ends))
    }

    /// `None` where neither this thread's regions end the call nor a shield keeps it.
    fn look_in_thread(&self, ending: bool, ends: &dyn Fn(&Self) -> bool) -> Option<bool> {
        let mut region = self;
        loop {
            match region.kind {
                Kind::Shield => return Some(false),
                _ if ends(region) => return Some(true),
                Kind::Thread => return ending.then_some(true),
                Kind::Scope => region = region.outer.as_deref()?,
            }
        }
    }
}
