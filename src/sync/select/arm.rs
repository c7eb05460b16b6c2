//! What `select` asks of an arm: two calls under a lock for those that queue up, and a look at their
//! condition for those that do not.

use std::cell::UnsafeCell;

use crate::park::{Limit, Unparker};
use crate::sync::spin_lock::Held;
use crate::sync::waiters::{Entry, Node, Wait, Waiters};

/// One thing that a [`Select`](super::Select) may do: a receive, a send, a join, a wait for a point
/// in time or for a file descriptor. This crate's arms implement it, and only they.
#[expect(
    private_bounds,
    reason = "sealed: what an arm does, `Select` alone may ask for"
)]
pub trait Arm: Operation {}

impl<O: Operation + ?Sized> Arm for O {}

/// What an arm does. An arm with a lock stands in a queue, and whoever takes it out of there does
/// the operation for it. One without is a condition, about which its own thread is unparked, and
/// which it looks at then.
pub(crate) trait Operation {
    /// The lock of the queue that the arm stands in.
    fn lock(&self) -> Option<&Held> {
        None
    }

    /// Makes ready, before any lock is taken.
    fn prepare(&self) {}

    /// Does the operation if it can be done at once, or says that the condition holds.
    ///
    /// # Safety
    ///
    /// The caller has the arm's lock.
    unsafe fn attempt(&self, unparker: &mut Option<Unparker>) -> bool;

    /// Puts a node into the queue, for the wait in which this arm has this number.
    ///
    /// # Safety
    ///
    /// The caller has the arm's lock. The arm stays in place, and the wait lives, until the node has
    /// been taken out by `leave`.
    unsafe fn stand(&self, wait: *const Wait, index: usize);

    /// Takes the node out of the queue.
    ///
    /// # Safety
    ///
    /// The caller has the arm's lock.
    unsafe fn leave(&self);

    /// When the arm's time has come.
    fn limit(&self) -> Option<Limit> {
        None
    }

    /// Whether nobody unparks an OS thread without a runtime when the condition comes to hold.
    fn is_silent(&self) -> bool {
        false
    }

    /// Undoes an operation that another thread has done for the arm while its own was being unwound.
    fn give_back(&self) {}
}

/// An arm's node.
pub(in crate::sync) struct Place<N>(UnsafeCell<Option<Node<N>>>);

impl<N> Place<N> {
    pub(in crate::sync) const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// # Safety
    ///
    /// As for `Operation::stand`; the node stands in no queue.
    pub(in crate::sync) unsafe fn stand(
        &self,
        waiters: &Waiters<N>,
        wait: *const Wait,
        index: usize,
        note: N,
    ) {
        // SAFETY: the node is in no queue, so that nobody else refers to it.
        let node = unsafe { &mut *self.0.get() };
        let node = node.insert(Entry::one_of_many(wait, index, note));
        // SAFETY: the caller's duty.
        unsafe { waiters.push(node) };
    }

    /// # Safety
    ///
    /// The caller has the lock of the queue.
    pub(in crate::sync) unsafe fn leave(&self) {
        // SAFETY: who has the lock may look at the node, and nobody replaces it meanwhile.
        if let Some(node) = unsafe { &*self.0.get() } {
            node.unlink();
        }
    }
}
