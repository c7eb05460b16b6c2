//! The run queue: an intrusive ring whose head is the running thread. A yield only advances the
//! head; what becomes ready is linked in before it, so the order is first in, first out.

use std::cell::Cell;
use std::ptr;

use super::Record;

/// The ring of the green threads that can run.
pub(crate) struct RunQueue {
    /// The running thread; null while nothing can run.
    head: Cell<*const Record>,
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        Self {
            head: Cell::new(ptr::null()),
        }
    }

    /// The running thread, or what runs next while nobody does; null when nothing can run.
    #[inline(always)]
    pub(crate) fn head(&self) -> *const Record {
        self.head.get()
    }

    /// The thread behind `record`, which is in this ring: `record` itself when it is alone.
    #[inline(always)]
    pub(crate) fn next(&self, record: &Record) -> *const Record {
        record.next.get()
    }

    /// Makes `record` the head: what ran becomes the ring's last if `record` was its next.
    ///
    /// # Safety
    ///
    /// `record` is in this ring.
    #[inline(always)]
    pub(crate) unsafe fn set_head(&self, record: *const Record) {
        self.head.set(record);
    }

    /// Links `record` in as the last.
    ///
    /// # Safety
    ///
    /// `record` is live, is in no ring, and stays live until it is removed.
    #[inline]
    pub(crate) unsafe fn push(&self, record: *const Record) {
        let head = self.head.get();
        if head.is_null() {
            // SAFETY: the caller says that the record lives.
            let only = unsafe { &*record };
            only.next.set(record);
            only.prev.set(record);
            self.head.set(record);
            return;
        }
        // SAFETY: the head is a member, thus live.
        let last = unsafe { (*head).prev.get() };
        // SAFETY: both are members, and the caller's record lives.
        unsafe { link(record, last, head) };
    }

    /// Unlinks `record`. If it was the head, the thread behind it becomes the head; null if it was
    /// alone.
    ///
    /// # Safety
    ///
    /// `record` is in this ring.
    #[inline]
    pub(crate) unsafe fn remove(&self, record: *const Record) {
        // SAFETY: members are live.
        let this = unsafe { &*record };
        let next = this.next.get();
        if next == record {
            self.head.set(ptr::null());
            return;
        }
        let prev = this.prev.get();
        // SAFETY: neighbours of a member are members.
        unsafe { (*prev).next.set(next) };
        // SAFETY: as above.
        unsafe { (*next).prev.set(prev) };
        if self.head.get() == record {
            self.head.set(next);
        }
    }

    /// Takes the head out and puts `successor` in its place in the ring, which is the last; the
    /// thread behind becomes the head. As a push and a remove, in fewer steps.
    ///
    /// # Safety
    ///
    /// The ring is not empty; `successor` is live, is in no ring, and stays live until it is
    /// removed.
    #[inline]
    pub(crate) unsafe fn replace_head(&self, successor: *const Record) {
        let head = self.head.get();
        // SAFETY: the head is a member, thus live.
        let leaving = unsafe { &*head };
        let (prev, next) = (leaving.prev.get(), leaving.next.get());
        if next == head {
            self.head.set(ptr::null());
            // SAFETY: the caller's duty.
            return unsafe { self.push(successor) };
        }
        // SAFETY: the neighbours of a member are members.
        unsafe { link(successor, prev, next) };
        self.head.set(next);
    }

    /// Moves `record` to the place right behind the head, so that it runs next.
    ///
    /// # Safety
    ///
    /// `record` is in this ring and is not its head.
    pub(crate) unsafe fn advance(&self, record: *const Record) {
        let head = self.head.get();
        // SAFETY: the caller says that it is a member; the head remains, so the ring is not empty.
        unsafe { self.remove(record) };
        // SAFETY: the head is a member, thus live.
        let next = unsafe { (*head).next.get() };
        // SAFETY: both are members, and the caller's record lives.
        unsafe { link(record, head, next) };
    }
}

/// Links `record` in between two neighbours.
///
/// # Safety
///
/// All three are live records; `prev` and `next` are neighbours in one ring.
#[inline(always)]
unsafe fn link(record: *const Record, prev: *const Record, next: *const Record) {
    // SAFETY: the caller says that it lives.
    let this = unsafe { &*record };
    // SAFETY: the same.
    let before = unsafe { &*prev };
    // SAFETY: the same.
    let after = unsafe { &*next };
    this.prev.set(prev);
    this.next.set(next);
    before.next.set(record);
    after.prev.set(record);
}
