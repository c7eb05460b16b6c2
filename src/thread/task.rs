//! What the handle of a spawned future has: a counted reference to the task, and its result.

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::task::{Context, Poll};
use std::thread::Result;

use super::handle::{self, Thread};
use super::spawn::Builder;
use crate::clock::Instant;
use crate::park::snapshot::Snapshot;
use crate::park::{
    Cancelled, Cause, Core, Limit, Mask, Outcome, TaskRef, drop_unclaimed, refuse_in_child,
};
use crate::scheduler::task::state;
use crate::scheduler::{Reason, Task, WaitNode};

/// The claim of the one handle of a task.
pub(super) struct TaskClaim<T> {
    task: TaskRef,
    thread: OnceCell<Thread>,
    _result: PhantomData<(T, *mut ())>,
}

impl<T> TaskClaim<T> {
    /// # Safety
    ///
    /// The task's result is a `T`, and it has no other handle.
    pub(super) unsafe fn new(task: TaskRef) -> Self {
        Self {
            task,
            thread: OnceCell::new(),
            _result: PhantomData,
        }
    }

    pub(super) fn task(&self) -> &Task {
        &self.task
    }

    pub(super) fn is_finished(&self) -> bool {
        self.task.is(state::DONE)
    }

    pub(super) fn thread(&self) -> &Thread {
        self.thread
            .get_or_init(|| handle::of_ended(self.task.number, self.task.name()))
    }

    /// What the task does, which has not ended.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        let core = Core::numbered(self.task.serial)?;
        Some(core.snapshot_of_task(&self.task))
    }

    /// The result of a task that has ended; it is taken once.
    pub(super) fn result(&self) -> Result<T> {
        if !self.task.is(state::HAS_RESULT) {
            return Err(Box::new(Cancelled::without_result()));
        }
        self.task.clear(state::HAS_RESULT);
        let result = (self.task.vtable.result)(&self.task).cast::<Result<T>>();
        // SAFETY: invariant 101: the result is there, as the flag said, which is cleared: it is read
        // once. It is a `T`'s, as `new` asks.
        unsafe { result.read() }
    }

    /// The result, when the task has ended; until then its end wakes the waker.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Result<T>> {
        let task = self.task();
        if task.is(state::DONE) {
            assert!(
                task.is(state::HAS_RESULT),
                "poll: this handle was ready before"
            );
            return Poll::Ready(self.result());
        }
        assert!(
            Core::numbered(task.serial).is_some(),
            "poll: the runtime of the future does not run here"
        );
        if !task.with_awaiter(|known| known.is_some_and(|known| known.will_wake(context.waker()))) {
            // It may be anybody's, and the task may end meanwhile.
            let waker = context.waker().clone();
            if task.is(state::DONE) {
                return self.poll(context);
            }
            // What was there is dropped last.
            drop(task.replace_awaiter(Some(waker)));
        }
        Poll::Pending
    }

    #[track_caller]
    pub(super) fn wait_for_end(&self) {
        let task = self.task();
        if task.is(state::DONE) {
            // A cancel ends the call nevertheless; where it cannot, there is nothing to wait for.
            if let Some(core) = Core::current() {
                let _ = core.check_cancel();
            }
            return;
        }
        let Some(core) = Core::current().filter(|core| core.serial == task.serial) else {
            refuse_in_child();
            panic!("join: the runtime of the future does not run here");
        };
        assert!(
            !std::ptr::eq(task, core.running().task()),
            "join: a future cannot join itself"
        );
        let unwinding = core.check_cancel().is_err();
        if task.is(state::DONE) {
            return;
        }
        let node = WaitNode::new(core.running());
        // SAFETY: invariant 43: the node is pinned to this frame and unlinked by its drop; the
        // queue lies in a task that the claim keeps.
        unsafe { task.joiners.push(&node) };
        let reason = Reason::joining_task(task.number);
        if unwinding
            || core.park(&reason, Limit::None, Mask::No, || !node.is_linked()) == Outcome::Cancelled
        {
            core.park(&reason, Limit::None, Mask::Yes, || !node.is_linked());
        }
    }

    pub(super) fn cancel(&self, cause: Cause) {
        // Where its runtime does not run, nobody polls it.
        if let Some(core) = Core::numbered(self.task.serial) {
            core.cancel_task(&self.task, cause);
        }
    }

    /// Asks the task to come to an end until `deadline`, when a green thread cancels it that waits till
    /// then; where there can be none, it is cancelled at once.
    pub(super) fn request(&self, cause: Cause, deadline: u64) {
        let Some(core) = Core::numbered(self.task.serial) else {
            return;
        };
        if self.task.is(state::DONE) {
            return;
        }
        core.request_task(&self.task, cause.clone(), deadline);
        let Some(deadline) = Instant::from_nanos(deadline) else {
            return;
        };
        let (task, why) = (TaskRef::to(&self.task), cause.clone());
        let grace = Builder::new().name("grace".to_owned()).spawn(move || {
            super::sleep_until(deadline);
            if let Some(core) = Core::here() {
                core.cancel_task(&task, why);
            }
        });
        if grace.is_err() {
            core.cancel_task(&self.task, cause);
        }
    }
}

impl<T> Drop for TaskClaim<T> {
    fn drop(&mut self) {
        self.task.set(state::DETACHED);
        // Who awaited it by this handle does so no more.
        drop(self.task.replace_awaiter(None));
        drop_unclaimed(&self.task);
    }
}
