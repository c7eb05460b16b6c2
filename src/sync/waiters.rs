//! The queue of those who wait for a lock, a permit, an item: the one list of waiters, behind a spin
//! lock, with waiters of any OS thread. Whoever ends a wait chooses the first, notes it under the
//! lock, and unparks it after that (rule 6).

use std::marker::PhantomPinned;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::spin_lock::{Locked, SpinLock};
use crate::park::{Caller, Limit, Links, Mask, Outcome, Reason, Unparker, WaitNode, Waiter};

/// One wait of one thread; it lies in the frame that waits.
pub(crate) struct Wait {
    pub(super) waiter: Waiter,
    /// Which of its entries was chosen; 0 while none was. It is written once, under the lock of the
    /// queue that the chosen entry is in.
    pub(super) chosen: AtomicUsize,
}

/// What a queue knows of one that waits in it.
pub(super) struct Entry<N> {
    wait: *const Wait,
    /// What `chosen` becomes.
    index: usize,
    /// Whether the same wait stands in other queues too, so that those who choose compete.
    one_of_many: bool,
    /// What the waiter wants, or where it takes it.
    note: N,
}

pub(super) type Node<N> = WaitNode<Entry<N>>;

/// Those who wait, first in, first out. It lies in a `SpinLock`.
pub(super) struct Waiters<N> {
    links: Links<Entry<N>>,
    /// Linked nodes point at `links`, whatever else is borrowed of the value that it is part of.
    _pinned: PhantomPinned,
}

/// A waiter that has been taken out of its queue, and will find that its wait is over. Whoever has
/// it holds the queue's lock.
pub(super) struct Chosen<'a, N> {
    entry: &'a Entry<N>,
}

impl Wait {
    /// # Safety
    ///
    /// As for `Waiter::new`.
    #[inline(always)]
    pub(super) unsafe fn new(caller: Caller<'_>) -> Self {
        Self {
            // SAFETY: the caller's duty.
            waiter: unsafe { Waiter::new(caller) },
            chosen: AtomicUsize::new(0),
        }
    }

    /// That of a future, which stays where it is while it stands in a queue.
    pub(super) fn of_future() -> Self {
        Self {
            waiter: Waiter::of_future(),
            chosen: AtomicUsize::new(0),
        }
    }

    #[inline(always)]
    pub(super) fn chosen(&self) -> usize {
        self.chosen.load(Ordering::Acquire)
    }
}

impl<N> Entry<N> {
    /// The only entry of a wait.
    #[inline(always)]
    pub(super) fn only(wait: &Wait, note: N) -> Node<N> {
        WaitNode::with_waiter(Self {
            wait,
            index: 1,
            one_of_many: false,
            note,
        })
    }

    /// One entry of a wait that has several; `index` is not 0.
    pub(super) fn one_of_many(wait: *const Wait, index: usize, note: N) -> Node<N> {
        WaitNode::with_waiter(Self {
            wait,
            index,
            one_of_many: true,
            note,
        })
    }
}

impl<N> Waiters<N> {
    pub(super) const fn new() -> Self {
        Self {
            links: Links::new(),
            _pinned: PhantomPinned,
        }
    }

    /// Whether nobody is linked in. Some of those who are may not be there to be chosen any more.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// # Safety
    ///
    /// As for `Links::push`: the node stays in place until it has been unlinked, under the lock.
    #[inline(always)]
    pub(super) unsafe fn push(&self, node: &Node<N>) {
        // SAFETY: the caller's duty.
        unsafe { self.links.push(node) };
    }

    /// Whom `pop` would take, as far as can be seen: looks past those who were leaked or chosen by
    /// another queue, and unlinks them.
    pub(super) fn first(&self) -> Option<&N> {
        loop {
            let head = self.links.head();
            // SAFETY: invariant 72: a linked node lives, and the lock that is held keeps it so.
            let node = unsafe { head.as_ref() }?;
            let entry = node.who();
            if !entry.is_gone() {
                return Some(&entry.note);
            }
            node.unlink();
        }
    }

    /// Takes out and chooses who has waited the longest.
    #[inline]
    pub(super) fn pop(&self) -> Option<Chosen<'_, N>> {
        self.pop_if(|_| true)
    }

    /// The same if `wanted` says yes to it. `None` is for an empty queue too.
    #[inline]
    pub(super) fn pop_if(&self, wanted: impl Fn(&N) -> bool) -> Option<Chosen<'_, N>> {
        loop {
            // Not by `first`, and then by `pop`: in between another OS thread may leak the first.
            let head = self.links.head();
            // SAFETY: invariant 72: a linked node lives, and the lock that is held keeps it so.
            let node = unsafe { head.as_ref() }?;
            let entry = node.who();
            if !wanted(&entry.note) && !entry.is_gone() {
                return None;
            }
            node.unlink();
            if entry.claim() {
                return Some(Chosen { entry });
            }
        }
    }
}

impl<N> Entry<N> {
    /// Whether it is linked in, and nobody is there to be chosen any more.
    fn is_gone(&self) -> bool {
        // SAFETY: invariant 72: an entry's wait lives as long as its node is linked.
        let wait = unsafe { &*self.wait };
        wait.waiter.is_abandoned() || self.one_of_many && wait.chosen.load(Ordering::Relaxed) != 0
    }

    /// Makes the wait over on account of this entry; false where it is over already, or where its
    /// thread will never run again.
    #[inline]
    fn claim(&self) -> bool {
        // SAFETY: invariant 72: the wait lives until its node has been unlinked by who holds the
        // lock, and what has just been unlinked is let go with the lock.
        let wait = unsafe { &*self.wait };
        if wait.waiter.is_abandoned() {
            return false;
        }
        // Relaxed: whoever competes looks at what belongs to the entry under its queue's lock.
        !self.one_of_many
            || wait
                .chosen
                .compare_exchange(0, self.index, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl<N> Chosen<'_, N> {
    #[inline(always)]
    pub(super) fn note(&self) -> &N {
        &self.entry.note
    }

    /// Lets the waiter go. What is to be handed over has been handed over; the unparker is used
    /// after the lock has been let go.
    #[inline(always)]
    pub(super) fn release(self) -> Unparker {
        let entry = self.entry;
        // SAFETY: invariant 72: as in `claim`.
        let wait = unsafe { &*entry.wait };
        // SAFETY: invariant 72: a green thread of this OS thread stays in its wait until there is a
        // switch, and nobody switches between this and the use of the unparker.
        let unparker = unsafe { wait.waiter.unparker_for_now() };
        if !entry.one_of_many {
            // The waiter may leave from here on, and take node and wait with it.
            wait.chosen.store(entry.index, Ordering::Release);
        }
        unparker
    }
}

/// How a thread waits in a queue.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) reason: Reason,
    pub(super) limit: Limit,
    pub(super) mask: Mask,
}

impl How {
    /// A wait that any OS thread might end, and that a cancel ends.
    #[inline]
    pub(super) fn shared(what: &'static str, limit: Limit) -> Self {
        Self {
            reason: Reason::shared(what),
            limit,
            mask: Mask::No,
        }
    }

    /// The same for a thread whose `check_cancel` said that it `unwinds` already, and that has to
    /// wait all the same.
    #[inline]
    pub(super) fn masked_if(self, unwinds: bool) -> Self {
        match unwinds {
            true => Self {
                mask: Mask::Yes,
                ..self
            },
            false => self,
        }
    }
}

impl<S> SpinLock<S> {
    /// Stands in the queue that `waiters` finds, and parks until it is chosen. `locked` is let go
    /// meanwhile.
    ///
    /// `give_back` undoes a choice that fell while the thread was being unwound: it hands to the next
    /// what this thread was given.
    #[inline]
    pub(super) fn wait<N>(
        &self,
        caller: Caller<'_>,
        locked: Locked<'_, S>,
        waiters: impl Fn(&S) -> &Waiters<N>,
        note: N,
        how: How,
        give_back: impl FnOnce(),
    ) -> Outcome {
        self.wait_after(caller, locked, waiters, note, how, give_back, || {})
    }

    /// As `wait`; calls `queued` when the thread stands in the queue and the lock has been let go.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "`wait` is this with one less")]
    pub(super) fn wait_after<N>(
        &self,
        caller: Caller<'_>,
        locked: Locked<'_, S>,
        waiters: impl Fn(&S) -> &Waiters<N>,
        note: N,
        how: How,
        give_back: impl FnOnce(),
        queued: impl FnOnce(),
    ) -> Outcome {
        // SAFETY: it stays in this frame, which is part of the run.
        let wait = unsafe { Wait::new(caller) };
        let node = Entry::only(&wait, note);
        // SAFETY: invariant 72: the node is pinned to this frame, and is unlinked before the frame
        // goes: by who chose it, or by `leaves`.
        unsafe { waiters(&locked).push(&node) };
        drop(locked);

        let mut leaves = Leaves {
            lock: self,
            node: &node,
            give_back: Some(give_back),
        };
        queued();
        let outcome = wait
            .waiter
            .park_limited(caller, how.reason, how.limit, how.mask, || {
                wait.chosen.load(Ordering::Acquire) != 0
            });
        if outcome == Outcome::Woken {
            mem::forget(leaves);
            return outcome;
        }
        match leaves.unlink() {
            true => outcome,
            // It was chosen after all, in the last moment.
            false => Outcome::Woken,
        }
    }
}

impl<S> SpinLock<S> {
    /// Lets go, in order, of those at the head of the queue whose note `goes`. Each is unparked while
    /// the lock is let go.
    pub(super) fn release_while<'a, N>(
        &'a self,
        mut locked: Locked<'a, S>,
        waiters: impl Fn(&S) -> &Waiters<N>,
        goes: impl Fn(&N) -> bool,
    ) {
        while let Some(waiter) = waiters(&locked).pop_if(&goes) {
            let unparker = waiter.release();
            drop(locked);
            unparker.unpark();
            locked = self.lock();
        }
    }

    /// Waits until `is_there`, or until somebody releases this thread, whose note is made when it
    /// stands in the queue. Returns false where the limit has passed, and where a cancelled thread
    /// that unwinds already would have to wait under one.
    #[track_caller]
    pub(super) fn wait_for<N>(
        &self,
        what: &'static str,
        limit: Limit,
        is_there: impl Fn(&S) -> bool,
        waiters: impl Fn(&S) -> &Waiters<N>,
        note_of: impl Fn(&S) -> N,
    ) -> bool {
        let caller = Caller::current();
        let unwinds = caller.check_cancel().is_err();
        let mut how = How::shared(what, limit).masked_if(unwinds);
        loop {
            let locked = self.lock();
            if is_there(&locked) {
                drop(locked);
                caller.spend();
                return true;
            }
            if unwinds && limit != Limit::None {
                return false;
            }
            let note = note_of(&locked);
            match self.wait(caller, locked, &waiters, note, how, || {}) {
                Outcome::Woken => return true,
                _ if limit != Limit::None => return false,
                // It unwinds already, and has to wait all the same.
                _ => how = how.masked_if(true),
            }
        }
    }
}

/// Takes the node out of its queue when the wait ends in another way than by a choice.
struct Leaves<'a, S, N, G: FnOnce()> {
    lock: &'a SpinLock<S>,
    node: &'a Node<N>,
    /// `None` once the wait has ended without an unwinding.
    give_back: Option<G>,
}

impl<S, N, G: FnOnce()> Leaves<'_, S, N, G> {
    /// Returns whether the node was still in the queue.
    fn unlink(&mut self) -> bool {
        self.give_back = None;
        unlink(self.lock, self.node)
    }
}

impl<S, N, G: FnOnce()> Drop for Leaves<'_, S, N, G> {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take()
            && !unlink(self.lock, self.node)
        {
            give_back();
        }
    }
}

fn unlink<S, N>(lock: &SpinLock<S>, node: &Node<N>) -> bool {
    let locked = lock.lock();
    let linked = node.is_linked();
    node.unlink();
    drop(locked);
    linked
}
