//! Tasks, which are futures that were spawned: how one is made, what its wakers do, and how it ends.
//! `runner.rs` polls them.

use std::cell::UnsafeCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread::Result;

use super::{Cancelled, Cause, Core, Mailbox, is_panic};
use crate::scheduler::task::{Payload, Vtable, state};
use crate::scheduler::{Record, Task};

/// One counted reference to a task.
pub(crate) struct TaskRef(NonNull<Task>);

// SAFETY: invariant 100: what other OS threads do with a task is made for it.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    pub(crate) fn to(task: &Task) -> Self {
        task.retain();
        Self(NonNull::from(task))
    }

    /// What wakes the task.
    pub(crate) fn waker(&self) -> Waker {
        Waker::clone(&borrowed_waker(self))
    }
}

impl Deref for TaskRef {
    type Target = Task;

    #[inline(always)]
    fn deref(&self) -> &Task {
        // SAFETY: the reference is counted.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the reference is this value's, and is given up once.
        unsafe { Task::release(self.0.as_ptr()) };
    }
}

/// A task with its future, and later its result.
#[repr(C)]
struct Cell<F: Future> {
    /// At the front, so that a pointer to it is one to the whole.
    header: Task,
    body: UnsafeCell<Body<F>>,
}

/// Each begins where the whole does.
#[repr(C)]
union Body<F: Future> {
    future: ManuallyDrop<F>,
    result: ManuallyDrop<Result<F::Output>>,
}

impl<F: Future> Cell<F> {
    const VTABLE: &'static Vtable = &Vtable {
        poll: Self::poll,
        cancel: Self::cancel,
        result: Self::result,
        drop_result: Self::drop_result,
        free: Self::free,
    };

    fn body(task: &Task) -> *mut Body<F> {
        // The header is that of such a cell: nobody else has this table.
        let cell: *const Self = std::ptr::from_ref(task).cast();
        // SAFETY: it lies at the front of the cell, which lives as long.
        unsafe { (*cell).body.get() }
    }

    /// # Safety
    ///
    /// As [`Vtable::poll`].
    unsafe fn poll(task: &Task, context: &mut Context<'_>) -> bool {
        // SAFETY: the caller says that the future is there and is used by nobody else.
        let future = unsafe { &mut *Self::body(task).cast::<F>() };
        // SAFETY: a cell stays where it was made until its future has been dropped.
        let mut future = unsafe { Pin::new_unchecked(future) };
        let result = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => Err(task.caught(payload)),
        };
        // SAFETY: the caller's duty.
        unsafe { Self::end(task, result) };
        true
    }

    /// # Safety
    ///
    /// As [`Vtable::cancel`].
    unsafe fn cancel(task: &Task, payload: Payload) {
        // SAFETY: the caller's duty.
        unsafe { Self::end(task, Err(payload)) };
    }

    /// Drops the future, and puts `result` in its place.
    ///
    /// # Safety
    ///
    /// The future is there, and nobody uses it.
    unsafe fn end(task: &Task, result: Result<F::Output>) {
        let body = Self::body(task);
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the caller's duty; it is not used again.
            unsafe { body.cast::<F>().drop_in_place() };
        }));
        let result = match dropped {
            Ok(()) => result,
            Err(second) => {
                let second = task.caught(second);
                match result {
                    Ok(value) => {
                        forget_panic(catch_unwind(AssertUnwindSafe(|| drop(value))));
                        Err(second)
                    }
                    Err(first) => {
                        if is_panic(task.number, &*second) {
                            super::report(task, "panicked when its future was dropped", second);
                        }
                        Err(first)
                    }
                }
            }
        };
        // SAFETY: the future has gone, and its place is large enough for the result, and aligned.
        unsafe { body.cast::<Result<F::Output>>().write(result) };
        task.set(state::HAS_RESULT);
    }

    fn result(task: &Task) -> *mut () {
        // Fields of a union lie at its front.
        Self::body(task).cast()
    }

    /// # Safety
    ///
    /// As [`Vtable::drop_result`].
    unsafe fn drop_result(task: &Task) -> Option<Payload> {
        task.clear(state::HAS_RESULT);
        // SAFETY: the caller says that it is there; it is read once.
        let result = unsafe { Self::body(task).cast::<Result<F::Output>>().read() };
        match result {
            Ok(value) => catch_unwind(AssertUnwindSafe(|| drop(value))).err(),
            Err(payload) => Some(payload),
        }
    }

    /// # Safety
    ///
    /// As [`Vtable::free`].
    unsafe fn free(task: *const Task) {
        // SAFETY: it came from a box of this type, and nobody uses it any more.
        drop(unsafe { Box::from_raw(task.cast::<Self>().cast_mut()) });
    }
}

/// Lets a payload go that nobody has a use for; dropping it may panic again.
fn forget_panic<T>(result: Result<T>) {
    if let Err(payload) = result
        && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        std::mem::forget(second);
    }
}

impl Task {
    /// A payload that unwound the future: the cancel of the runner that polled it is the task's own, and
    /// so is each that ended the first poll of an eager one.
    #[cold]
    fn caught(&self, mut payload: Payload) -> Payload {
        // SAFETY: invariant 101: a runner lives while it polls.
        let runner = unsafe { self.runner.get().as_ref() };
        if let Some(cancelled) = payload.downcast_mut::<Cancelled>()
            && runner.is_none_or(|runner| cancelled.target == runner.id.get())
        {
            cancelled.target = self.number;
        }
        payload
    }
}

/// The task that `record`'s thread polls, if it polls one.
pub(super) fn polled(record: &Record) -> Option<&Task> {
    // SAFETY: invariant 101: the task that a runner polls is counted.
    unsafe { record.task().as_ref() }
}

/// What was asked of the task that `record`'s thread polls, if it polls one.
#[cold]
pub(super) fn requested_task(record: &Record) -> Option<Cancelled> {
    let task = polled(record)?;
    match task.is(state::CANCELLED | state::REQUESTED) {
        true => Some(Cancelled::aimed(task.number, task.cause()?)),
        false => None,
    }
}

/// The wakers of tasks: their data is the task, and each counts for one reference.
static WAKER: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// # Safety
///
/// As for all functions of a waker: `data` is that of a waker of this table, which lives.
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: a waker keeps its task.
    unsafe { &*data.cast::<Task>() }.retain();
    RawWaker::new(data, &WAKER)
}

/// # Safety
///
/// As for `clone`; the waker is used up.
unsafe fn wake(data: *const ()) {
    // SAFETY: as in `clone`.
    unsafe { wake_by_ref(data) };
    // SAFETY: the caller's duty.
    unsafe { drop_waker(data) };
}

/// # Safety
///
/// As for `clone`.
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: as in `clone`.
    let task = unsafe { &*data.cast::<Task>() };
    match Core::numbered(task.serial) {
        Some(core) => core.schedule(task),
        None => send_word(task),
    }
}

/// # Safety
///
/// As for `clone`; the waker is used up.
unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the reference was the waker's.
    unsafe { Task::release(data.cast()) };
}

/// Has the task's runtime wake it, from another OS thread; where that runtime has gone, nothing is to
/// be done.
#[cold]
fn send_word(task: &Task) {
    // One letter is enough, until it has been read.
    if !task.has_letter.swap(true, Ordering::AcqRel)
        && let Some(mailbox) = Mailbox::of(task.serial)
    {
        mailbox.wake(TaskRef::to(task));
    }
}

/// The waker of a task that is polled: it is borrowed, and counts for nothing.
pub(super) fn borrowed_waker(task: &Task) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(std::ptr::from_ref(task).cast(), &WAKER);
    // SAFETY: the functions keep what a waker promises: they are thread-safe (invariant 100), and count.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

/// Whether `waker` is that of a task, of this runtime or another.
pub(super) fn is_task_waker(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &raw const WAKER)
}

/// The number of the task that `waker` wakes, if it wakes one.
pub(super) fn woken(waker: &Waker) -> Option<u64> {
    let task: *const Task = waker.data().cast();
    // SAFETY: the data of a waker of ours is a task, which the waker keeps.
    is_task_waker(waker).then(|| unsafe { (*task).number })
}

impl Core {
    /// Whether `waker` is that of a task of this runtime which has ended: waking it does nothing.
    pub(crate) fn is_spent(&self, waker: &Waker) -> bool {
        if !is_task_waker(waker) {
            return false;
        }
        // SAFETY: a waker of this table keeps its task, which is its data.
        let task = unsafe { &*waker.data().cast::<Task>() };
        task.serial == self.serial && task.is(state::DONE)
    }

    /// Makes a task of `future`, and puts it at the end of the task queue. What comes back is the
    /// reference of its handle.
    ///
    /// # Safety
    ///
    /// What the future and its output borrow lives until both have gone.
    pub(crate) unsafe fn spawn_task<F: Future>(
        &self,
        future: F,
        name: Option<Arc<str>>,
        spawned_at: &'static Location<'static>,
    ) -> TaskRef {
        // SAFETY: the caller's duty.
        let task = unsafe { self.new_task(future, name, spawned_at) };
        self.schedule(&task);
        task
    }

    /// Makes a task that nobody joins, for another OS thread: no task or green thread has spawned it.
    pub(crate) fn start_task(
        &self,
        future: impl Future<Output = ()> + 'static,
        spawned_at: &'static Location<'static>,
    ) -> TaskRef {
        // SAFETY: it is `'static`.
        let task = unsafe { self.new_child(0, future, None, spawned_at) };
        task.set(state::DETACHED);
        self.schedule(&task);
        task
    }

    /// As `spawn_task`, but the task is not queued: somebody wakes it.
    ///
    /// # Safety
    ///
    /// The same.
    pub(crate) unsafe fn new_task<F: Future>(
        &self,
        future: F,
        name: Option<Arc<str>>,
        spawned_at: &'static Location<'static>,
    ) -> TaskRef {
        // SAFETY: the caller's duty.
        unsafe { self.new_child(self.current_number(), future, name, spawned_at) }
    }

    /// As `new_task`, spawned by `parent`, the number of a task or a green thread.
    ///
    /// # Safety
    ///
    /// The same.
    unsafe fn new_child<F: Future>(
        &self,
        parent: u64,
        future: F,
        name: Option<Arc<str>>,
        spawned_at: &'static Location<'static>,
    ) -> TaskRef {
        let numbers = (self.serial, self.number(), parent);
        let cell = Box::new(Cell {
            header: Task::new(Cell::<F>::VTABLE, numbers, spawned_at, name),
            body: UnsafeCell::new(Body {
                future: ManuallyDrop::new(future),
            }),
        });
        let task = TaskRef(NonNull::from(Box::leak(cell)).cast());
        // SAFETY: invariant 101: it is counted for the runtime until it has ended, and is taken out then.
        unsafe { self.tasks.add(&task) };
        if self.ending.get() {
            self.cancel_task(&task, Cause::END_OF_RUN);
        }
        task
    }

    /// Says how many tasks may live at once where one more is spawned.
    pub(crate) fn set_max_tasks(&self, most: usize) {
        self.max_tasks.set(most);
    }

    /// Whether one more task may live.
    #[inline]
    pub(crate) fn admits_task(&self) -> bool {
        self.tasks.live() < self.max_tasks.get()
    }

    /// Puts a task into the task queue, unless it is there or has ended.
    #[inline]
    pub(crate) fn schedule(&self, task: &Task) {
        if task.is(state::QUEUED | state::DONE) {
            return;
        }
        // SAFETY: invariant 101: a task that has not ended is counted for its runtime, which keeps that
        // count until the task is neither alive nor queued.
        unsafe { self.tasks.push(task) };
        self.call_runner();
    }

    /// Cancels a task: its future is dropped by a runner, unless it is ready first. One that is in the
    /// middle of a poll, in a blocking call, unwinds from there.
    pub(crate) fn cancel_task(&self, task: &Task, cause: Cause) {
        if task.is(state::DONE) {
            return;
        }
        if !task.is(state::CANCELLED) {
            task.set(state::CANCELLED);
            task.with_extra(|extra| extra.cause = Some(cause.clone()));
        }
        // SAFETY: invariant 101: a runner lives while it polls.
        match unsafe { task.runner.get().as_ref() } {
            Some(runner) => {
                self.cancel_thread(runner, cause);
                // Those who listen in scopes that the poll waits for hear of it.
                self.wake_listeners();
            }
            None => self.schedule(task),
        }
    }

    /// Asks a task to come to an end until `deadline`: it is polled, and may ask. Who asks sees to it
    /// that it is cancelled then.
    pub(crate) fn request_task(&self, task: &Task, cause: Cause, deadline: u64) {
        if task.is(state::DONE | state::CANCELLED | state::REQUESTED) {
            return;
        }
        task.set(state::REQUESTED);
        task.with_extra(|extra| extra.cause = Some(cause.clone()));
        // SAFETY: invariant 101: a runner lives while it polls.
        match unsafe { task.runner.get().as_ref() } {
            Some(runner) => {
                self.request_thread(runner, cause, deadline);
                self.wake_listeners();
            }
            None => self.schedule(task),
        }
    }

    /// A letter has come that wakes `task`.
    pub(super) fn read_word(&self, task: &Task) {
        // Before it is scheduled: who wakes it after that sends another letter.
        task.has_letter.swap(false, Ordering::AcqRel);
        self.schedule(task);
    }

    /// The number of the task that is polled, or of the green thread that runs.
    pub(crate) fn current_number(&self) -> u64 {
        let record = self.running();
        polled(record).map_or_else(|| record.id.get(), |task| task.number)
    }
}
