//! The one list of waiters: nodes on the waiters' own stacks, first in, first out. Joins, sources
//! and `park::WaitQueue` are made of it, and behind a lock the queues of `sync`, whose waiters are of
//! any OS thread.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::ptr;

use super::{Record, State};

/// One waiter's place in a wait queue. It lies on the stack of the thread that waits, and its drop
/// takes it out of the queue however the wait ended.
pub(crate) struct WaitNode<W = *const Record> {
    prev: Cell<*const Self>,
    next: Cell<*const Self>,
    /// The queue it is linked in; null when it is in none.
    queue: Cell<*const Links<W>>,
    /// Who waits: the record of a green thread of this OS thread, or what a queue of `sync` knows of
    /// its waiter.
    who: W,
    _pinned: PhantomPinned,
}

/// The two ends of a queue of waiters.
pub(crate) struct Links<W = *const Record> {
    head: Cell<*const WaitNode<W>>,
    tail: Cell<*const WaitNode<W>>,
}

impl<W> WaitNode<W> {
    pub(crate) const fn with_waiter(who: W) -> Self {
        Self {
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            queue: Cell::new(ptr::null()),
            who,
            _pinned: PhantomPinned,
        }
    }

    /// Who waits.
    #[inline]
    pub(crate) fn who(&self) -> &W {
        &self.who
    }

    /// Whether the node is still in its queue.
    #[inline]
    pub(crate) fn is_linked(&self) -> bool {
        !self.queue.get().is_null()
    }

    /// Takes the node out of the queue it is in, if it is in one.
    #[inline]
    pub(crate) fn unlink(&self) {
        let queue = self.queue.replace(ptr::null());
        if queue.is_null() {
            return;
        }
        let (prev, next) = (self.prev.get(), self.next.get());
        // SAFETY: invariant 43: a queue outlives the nodes that are linked in it.
        let queue = unsafe { &*queue };
        match prev.is_null() {
            true => queue.head.set(next),
            // SAFETY: as above: a linked node lives.
            false => unsafe { (*prev).next.set(next) },
        }
        match next.is_null() {
            true => queue.tail.set(prev),
            // SAFETY: as above.
            false => unsafe { (*next).prev.set(prev) },
        }
    }
}

impl WaitNode {
    pub(crate) const fn new(record: *const Record) -> Self {
        Self::with_waiter(record)
    }
}

impl<W> Drop for WaitNode<W> {
    fn drop(&mut self) {
        self.unlink();
    }
}

impl<W> Links<W> {
    pub(crate) const fn new() -> Self {
        Self {
            head: Cell::new(ptr::null()),
            tail: Cell::new(ptr::null()),
        }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Links `node` in as the last.
    ///
    /// # Safety
    ///
    /// `node` is in no queue, stays where it is until it is unlinked, and is unlinked before this
    /// queue moves or is dropped.
    #[inline]
    pub(crate) unsafe fn push(&self, node: &WaitNode<W>) {
        let tail = self.tail.replace(node);
        node.prev.set(tail);
        node.next.set(ptr::null());
        node.queue.set(self);
        match tail.is_null() {
            true => self.head.set(node),
            // SAFETY: invariant 43: a linked node lives.
            false => unsafe { (*tail).next.set(node) },
        }
    }

    /// Links `node` in as the first: for a waiter that has had its turn, and keeps its place.
    ///
    /// # Safety
    ///
    /// As for `push`.
    pub(crate) unsafe fn push_first(&self, node: &WaitNode<W>) {
        let head = self.head.replace(node);
        node.prev.set(ptr::null());
        node.next.set(head);
        node.queue.set(self);
        match head.is_null() {
            true => self.tail.set(node),
            // SAFETY: invariant 43: a linked node lives.
            false => unsafe { (*head).prev.set(node) },
        }
    }

    /// Whether `node` is the first of this queue.
    #[inline]
    pub(crate) fn is_first(&self, node: &WaitNode<W>) -> bool {
        ptr::eq(self.head.get(), node)
    }

    /// Who waits, the first who came first. Nobody comes or leaves while it is walked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &W> {
        // SAFETY: invariant 43: a linked node lives, and so does the next.
        let mut next = unsafe { self.head.get().as_ref() };
        std::iter::from_fn(move || {
            let node = next?;
            // SAFETY: as above.
            next = unsafe { node.next.get().as_ref() };
            Some(&node.who)
        })
    }

    /// The node that was linked in first; null when there is none.
    #[inline(always)]
    pub(crate) fn head(&self) -> *const WaitNode<W> {
        self.head.get()
    }
}

impl Links {
    /// Who waits the longest; null when nobody does. A thread that was leaked in its wait, since it
    /// could not be unwound, is passed over for good.
    #[inline]
    pub(crate) fn first(&self) -> *const Record {
        loop {
            let head = self.head.get();
            if head.is_null() {
                return ptr::null();
            }
            // SAFETY: invariant 43: a linked node lives.
            let node = unsafe { &*head };
            // SAFETY: its record lives as long.
            let record = unsafe { &*node.who };
            if record.state.get() != State::Done {
                return record;
            }
            node.unlink();
        }
    }

    /// Takes out who waits the longest; null when nobody does.
    #[inline]
    pub(crate) fn pop(&self) -> *const Record {
        let record = self.first();
        if !record.is_null() {
            // SAFETY: the queue is not empty, and a linked node lives.
            unsafe { (*self.head.get()).unlink() };
        }
        record
    }
}
