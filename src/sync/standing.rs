//! A wait of a future: the same queue, and the same place in it, as a thread that parks would have.
//! It lies in the future, which allocates nothing, is polled and dropped on any OS thread, and is
//! woken by whoever chooses it, after the lock has been let go.

use std::cell::{Cell, UnsafeCell};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use super::spin_lock::{Locked, SpinLock};
use super::waiters::{Entry, Node, Wait, Waiters};
use crate::park::{self, Caller};

/// What a future waits for in a queue, and what becomes of it.
pub(super) trait Want {
    /// What lies behind the lock.
    type State;
    /// What the queue knows of one that waits.
    type Note;
    type Output;

    fn lock(&self) -> &SpinLock<Self::State>;

    fn waiters(state: &Self::State) -> &Waiters<Self::Note>;

    /// Does it at once, if that can be; else returns the lock, under which it could not be done. It
    /// may be called several times, and counts the future as waiting at no time.
    fn enter(&self) -> Result<Self::Output, Locked<'_, Self::State>>;

    /// The future, which is polled for the thread or task of this `number`, is about to stand in the
    /// queue, whose lock is held.
    fn note(&self, state: &mut Self::State, number: u64) -> Self::Note;

    /// It stands there, and the lock has been let go.
    fn queued(&self) {}

    /// It was chosen. `None` where that says no more than that it has to look again.
    fn chosen(&self) -> Option<Self::Output>;

    /// The future was dropped while it stood in the queue.
    fn left(&self) {}

    /// The future was dropped after it was chosen: the next one gets what it was given.
    fn give_back(&self) {}
}

/// The future. Pinned, it does not move from the first poll to its drop, which takes it out of the
/// queue.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub(super) struct Standing<W: Want> {
    wait: Wait,
    /// `None` until it stands in the queue for the first time.
    node: UnsafeCell<Option<Node<W::Note>>>,
    phase: Cell<Phase>,
    want: W,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It stands in no queue.
    Fresh,
    /// It was put into the queue, and perhaps chosen since.
    Queued,
    Over,
}

// SAFETY: invariant 112: what other OS threads reach of it, and what it reaches of them, is behind the
// queue's lock. What it holds besides are a waker, which is `Send`, and what it wants.
unsafe impl<W: Want + Send> Send for Standing<W> {}
// SAFETY: a shared reference to it can do nothing.
unsafe impl<W: Want> Sync for Standing<W> {}

impl<W: Want> Standing<W> {
    pub(super) fn new(want: W) -> Self {
        Self {
            wait: Wait::of_future(),
            node: UnsafeCell::new(None),
            phase: Cell::new(Phase::Fresh),
            want,
        }
    }

    fn over(&self, output: W::Output) -> Poll<W::Output> {
        self.phase.set(Phase::Over);
        Poll::Ready(output)
    }

    /// Does what it wants at once, or stands in the queue for it.
    fn begin(self: Pin<&Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        ready!(park::proceed(cx));
        match self.want.enter() {
            Ok(output) => return self.over(output),
            Err(locked) => drop(locked),
        }
        // Under no lock: to clone a waker is to call the user's code.
        let waker = cx.waker().clone();
        let number = Caller::current().number();
        let mut locked = match self.want.enter() {
            Ok(output) => return self.over(output),
            Err(locked) => locked,
        };
        let note = self.want.note(&mut locked, number);
        // SAFETY: invariant 110: it stands in no queue. The slot is empty.
        let none = unsafe { self.wait.waiter.set_waker(Some(waker)) };
        debug_assert!(none.is_none(), "a waker is taken by who chooses");
        self.wait.chosen.store(0, Ordering::Relaxed);
        // SAFETY: invariant 111: the node is in no queue, so that nobody else refers to it.
        let node = unsafe { &mut *self.node.get() };
        let node = node.insert(Entry::only(&self.wait, note));
        // SAFETY: invariant 111: the future is pinned, and unlinks the node before it goes.
        unsafe { W::waiters(&locked).push(node) };
        drop(locked);
        self.phase.set(Phase::Queued);
        self.want.queued();
        Poll::Pending
    }

    /// Whether it was chosen. If not, it is this waker that will be woken.
    fn look(&self, cx: &mut Context<'_>) -> bool {
        if self.wait.chosen() != 0 {
            return true;
        }
        let locked = self.want.lock().lock();
        if self.wait.chosen() != 0 {
            return true;
        }
        // SAFETY: invariant 110: the lock is held.
        if unsafe { self.wait.waiter.will_wake(cx.waker()) } {
            return false;
        }
        drop(locked);
        let waker = cx.waker().clone();
        let locked = self.want.lock().lock();
        let is_chosen = self.wait.chosen() != 0;
        let useless = match is_chosen {
            true => Some(waker),
            // SAFETY: invariant 110: the lock is held.
            false => unsafe { self.wait.waiter.set_waker(Some(waker)) },
        };
        drop(locked);
        // Under no lock: to drop a waker is to call the user's code.
        drop(useless);
        is_chosen
    }
}

impl<W: Want> Future for Standing<W> {
    type Output = W::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        let this = self.into_ref();
        match this.phase.get() {
            Phase::Fresh => return this.begin(cx),
            Phase::Queued if !this.look(cx) => return Poll::Pending,
            Phase::Queued => {}
            Phase::Over => panic!("a future was polled after it had completed"),
        }
        match this.want.chosen() {
            Some(output) => this.over(output),
            None => {
                this.phase.set(Phase::Fresh);
                this.begin(cx)
            }
        }
    }
}

impl<W: Want> Drop for Standing<W> {
    fn drop(&mut self) {
        if self.phase.get() != Phase::Queued {
            return;
        }
        let locked = self.want.lock().lock();
        // SAFETY: invariant 111: who has the lock may look at the node, and nobody replaces it
        // meanwhile.
        let node = unsafe { &*self.node.get() }.as_ref();
        let was_queued = node.is_some_and(Node::is_linked);
        node.into_iter().for_each(Node::unlink);
        drop(locked);
        match was_queued {
            true => self.want.left(),
            false => self.want.give_back(),
        }
    }
}
