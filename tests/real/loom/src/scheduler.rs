//! The real list, over a record that no model uses.

pub(crate) use wait_queue::{Links, WaitNode};

#[path = "../../../../src/scheduler/wait_queue.rs"]
mod wait_queue;

pub(crate) struct Record {
    pub(crate) state: core::cell::Cell<State>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum State {
    Done,
}
