//! The end of a green thread or of a future as one of several things that are waited for: what `select`
//! stands by.

use std::cell::Cell;
use std::ptr;

use crate::park::Core;
use crate::scheduler::task::state;
use crate::scheduler::{Links, Record, State, Task, WaitNode};

/// A place among those who are unparked when a green thread or a task ends.
pub(crate) struct EndWatch<'a> {
    pub(super) whose: Whose<'a>,
    pub(super) node: Cell<Option<WaitNode>>,
}

/// Whose end it is.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    Thread(&'a Record),
    Task(&'a Task),
}

impl<'a> Whose<'a> {
    fn is_done(self) -> bool {
        match self {
            Self::Thread(record) => record.state.get() == State::Done,
            Self::Task(task) => task.is(state::DONE),
        }
    }

    fn has_result(self) -> bool {
        match self {
            Self::Thread(record) => record.has_result.get(),
            Self::Task(task) => task.is(state::HAS_RESULT),
        }
    }

    fn joiners(self) -> &'a Links {
        match self {
            Self::Thread(record) => &record.joiners,
            Self::Task(task) => &task.joiners,
        }
    }

    /// Whether it is that of the runtime that runs here.
    fn is_of(self, core: &Core) -> bool {
        match self {
            Self::Thread(record) => core.owns(record),
            Self::Task(task) => core.serial == task.serial,
        }
    }

    /// Whether the running thread would wait for itself.
    fn is_running(self, core: &Core) -> bool {
        match self {
            Self::Thread(record) => ptr::eq(record, core.running()),
            Self::Task(task) => ptr::eq(task, core.running().task()),
        }
    }
}

impl EndWatch<'_> {
    /// Whether it has ended, and its result was not taken.
    pub(crate) fn is_over(&self) -> bool {
        self.whose.is_done() && self.whose.has_result()
    }

    /// Has the current green thread unparked at the end.
    ///
    /// # Panics
    ///
    /// Outside the runtime, where there is nobody to wait for.
    ///
    /// # Safety
    ///
    /// The place stays where it is until `leave` was called, and stands nowhere yet.
    pub(crate) unsafe fn stand(&self) {
        if self.whose.is_done() {
            return;
        }
        let Some(core) = Core::current().filter(|core| self.whose.is_of(core)) else {
            panic!("select: the runtime of the green thread to join does not run here");
        };
        assert!(
            !self.whose.is_running(core),
            "select: a green thread cannot join itself"
        );
        self.node.set(Some(WaitNode::new(core.running())));
        // SAFETY: nobody replaces the node while it is linked.
        if let Some(node) = unsafe { &*self.node.as_ptr() } {
            // SAFETY: invariant 43: the node stays in place, as the caller says, until it is
            // unlinked; the queue lies in what the handle keeps.
            unsafe { self.whose.joiners().push(node) };
        }
    }

    pub(crate) fn leave(&self) {
        drop(self.node.take());
        // The end unparks one: the others by way of him.
        if self.whose.is_done()
            && let Some(core) = Core::current()
        {
            let next = self.whose.joiners().pop();
            if !next.is_null() {
                core.unpark(next);
            }
        }
    }
}
