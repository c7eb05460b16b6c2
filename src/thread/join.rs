//! `JoinHandle`, the `Claim` on a result that it shares with the handles of a scope, and where a
//! result lies between the end of a thread and its join: in the record, or in a box where it is too
//! large for that.

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::Result;

use super::handle::{self, Thread};
use super::scope;
use super::task::TaskClaim;
use super::watch::{EndWatch, Whose};
use crate::park::snapshot::Snapshot;
use crate::park::{
    Cancelled, Cause, Core, Limit, Mask, Outcome, TaskRef, is_panic, refuse_in_child, report,
};
use crate::scheduler::record::{RESULT_WORDS, extra};
use crate::scheduler::{Reason, Record, State, WaitNode, arena};

/// An owned permission to wait for the end of a green thread, or of a future that was
/// [spawned](crate::future::spawn), and take its result. It is a future itself.
///
/// Dropping it detaches the thread. It stays on its OS thread, as everything of a green thread
/// does:
///
/// ```compile_fail
/// fn assert_send<T: Send>() {}
/// assert_send::<greenlit::thread::JoinHandle<()>>();
/// ```
pub struct JoinHandle<T> {
    of: Of<T>,
}

/// What a handle is the handle of.
enum Of<T> {
    Thread(Claim<T>),
    /// A future that was spawned.
    Task(TaskClaim<T>),
}

/// What a handle has on a green thread: a counted reference to its record, and its result.
pub(super) struct Claim<T> {
    record: NonNull<Record>,
    thread: OnceCell<Thread>,
    _result: PhantomData<(T, *mut ())>,
}

/// Whether a result lies in the record itself.
const fn fits<T>() -> bool {
    size_of::<Result<T>>() <= RESULT_WORDS * size_of::<usize>()
        && align_of::<Result<T>>() <= align_of::<usize>()
}

impl<T> JoinHandle<T> {
    #[inline]
    pub(super) fn new(claim: Claim<T>) -> Self {
        Self {
            of: Of::Thread(claim),
        }
    }

    /// The handle of a task.
    ///
    /// # Safety
    ///
    /// Its result is a `T`, and it has no other handle.
    pub(crate) unsafe fn of_task(task: TaskRef) -> Self {
        Self {
            // SAFETY: the caller's duty.
            of: Of::Task(unsafe { TaskClaim::new(task) }),
        }
    }

    /// Waits for the green thread to end, and returns what its closure did: `Err` holds the payload
    /// of a panic, or [`Cancelled`](crate::cancel::Cancelled) where the thread was cancelled.
    ///
    /// # Panics
    ///
    /// If a green thread joins itself. In the main green thread, where every green thread is parked
    /// and nothing can wake one: a deadlock.
    ///
    /// # Errors
    ///
    /// The payload of the panic that ended the thread, or `Cancelled`.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and detaches the thread that it waited for. If
    /// it unwinds already, it waits.
    #[track_caller]
    #[inline]
    pub fn join(self) -> Result<T> {
        match self.of {
            Of::Thread(claim) => claim.join(),
            Of::Task(claim) => {
                claim.wait_for_end();
                claim.result()
            }
        }
    }

    /// Whether the thread has ended, so that `join` would not wait.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.of {
            Of::Thread(claim) => claim.is_finished(),
            Of::Task(claim) => claim.is_finished(),
        }
    }

    #[track_caller]
    pub(super) fn wait_for_end(&self) {
        match &self.of {
            Of::Thread(claim) => claim.wait_for_end(),
            Of::Task(claim) => claim.wait_for_end(),
        }
    }

    pub(super) fn cancel_for(&self, cause: Cause) {
        match &self.of {
            Of::Thread(claim) => claim.cancel(cause),
            Of::Task(claim) => claim.cancel(cause),
        }
    }

    /// Asks it to come to an end until `deadline`.
    pub(super) fn request_for(&self, cause: Cause, deadline: u64) {
        match &self.of {
            Of::Thread(claim) => claim.request(cause, deadline),
            Of::Task(claim) => claim.request(cause, deadline),
        }
    }

    /// Gives the thread another name, which reports and [`all`](super::all) show from now on.
    /// [`Thread::name`] shows the one that it had when its [`Thread`] was asked for first.
    pub fn set_name(&self, name: impl Into<Arc<str>>) {
        let name = Some(name.into());
        match &self.of {
            Of::Thread(claim) => claim.record().set_name(name),
            Of::Task(claim) => claim.task().set_name(name),
        }
    }

    /// What the thread does now, as one of [`all`](super::all); `None` once it has ended, and where
    /// its runtime does not run.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        if self.is_finished() {
            return None;
        }
        match &self.of {
            Of::Thread(claim) => Some(Core::of(claim.record())?.snapshot_of(claim.record())),
            Of::Task(claim) => claim.snapshot(),
        }
    }

    /// The handle of the green thread itself: its name, its number, `unpark`.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        match &self.of {
            Of::Thread(claim) => claim.thread(),
            Of::Task(claim) => claim.thread(),
        }
    }
}

/// Awaiting a handle is [`join`](JoinHandle::join) for futures: it waits for the end, and gives the
/// result. Dropping it detaches.
///
/// # Panics
///
/// When it is polled again after it was ready. Where the handle's runtime does not run.
impl<T> Future for JoinHandle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        match &self.of {
            Of::Thread(claim) => claim.poll(context),
            Of::Task(claim) => claim.poll(context),
        }
    }
}

// Nothing in it is pinned: the result is moved out, and the rest lies elsewhere.
impl<T> Unpin for JoinHandle<T> {}

impl<T> Claim<T> {
    /// # Safety
    ///
    /// One reference of `record` is counted for the claim, and its thread's result is a `T`.
    #[inline]
    pub(super) unsafe fn new(record: &Record) -> Self {
        Self {
            record: NonNull::from(record),
            thread: OnceCell::new(),
            _result: PhantomData,
        }
    }

    #[inline]
    pub(super) fn record(&self) -> &Record {
        // SAFETY: invariant 41: the claim's counted reference keeps the record.
        unsafe { self.record.as_ref() }
    }

    #[track_caller]
    #[inline]
    pub(super) fn join(self) -> Result<T> {
        self.wait_for_end();
        self.result()
    }

    /// The result of a thread that was waited for.
    #[inline]
    pub(super) fn result(&self) -> Result<T> {
        self.take()
            .unwrap_or_else(|| Err(Box::new(Cancelled::without_result())))
    }

    /// The result, once the thread has ended; it is taken once.
    #[inline]
    pub(super) fn take(&self) -> Option<Result<T>> {
        if !self.is_finished() {
            return None;
        }
        // SAFETY: the thread has ended, and this claim, which stays on its OS thread, takes its
        // result.
        unsafe { take(self.record()) }
    }

    /// The result, when the thread has ended; until then its end wakes the waker.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<T>> {
        let record = self.record();
        if record.state.get() == State::Done {
            assert!(
                !record.has_extra(extra::TAKEN),
                "poll: this handle was ready before"
            );
            record.add_extra(extra::TAKEN);
            return Poll::Ready(self.result());
        }
        assert!(
            Core::of(record).is_some(),
            "poll: the green thread's runtime does not run here"
        );
        if !record.with_awaiter(|known| known.is_some_and(|known| known.will_wake(context.waker())))
        {
            // It may be anybody's, and the thread may end meanwhile.
            let waker = context.waker().clone();
            if self.is_finished() {
                return self.poll(context);
            }
            // What was there is dropped last.
            drop(record.replace_awaiter(Some(waker)));
        }
        Poll::Pending
    }

    #[track_caller]
    #[inline]
    pub(super) fn wait_for_end(&self) {
        match self.record().state.get() {
            // A cancel ends the call nevertheless; where it cannot, there is nothing to wait for.
            State::Done => {
                if let Some(core) = Core::current() {
                    let _ = core.check_cancel();
                }
            }
            _ => self.wait(),
        }
    }

    #[track_caller]
    fn wait(&self) {
        let record = self.record();
        let Some(core) = Core::current() else {
            refuse_in_child();
            panic!("join: the green thread's runtime does not run here");
        };
        assert!(
            !std::ptr::eq(record, core.running()),
            "join: a green thread cannot join itself"
        );
        let unwinding = core.check_cancel().is_err();
        if record.state.get() == State::Done {
            return;
        }
        let node = WaitNode::new(core.running());
        // SAFETY: invariant 43: the node is pinned to this frame and unlinked by its drop; the
        // queue lies in a record that the claim keeps.
        unsafe { record.joiners.push(&node) };
        let reason = Reason::joining(record.id.get());
        if unwinding
            || core.park(&reason, Limit::None, Mask::No, || !node.is_linked()) == Outcome::Cancelled
        {
            core.park(&reason, Limit::None, Mask::Yes, || !node.is_linked());
        }
    }

    /// The payload of a thread that has ended without a value, if it was not taken.
    pub(super) fn payload(&self) -> Option<&(dyn Any + Send)> {
        if !self.is_finished() || !self.record().has_result.get() {
            return None;
        }
        let slot = self.record().result.get();
        let result: *const Result<T> = match fits::<T>() {
            true => slot.cast(),
            // SAFETY: `deliver` put a pointer there.
            false => unsafe { slot.cast::<*const Result<T>>().read() },
        };
        // SAFETY: the result stays there until this claim takes it, which the caller borrows.
        match unsafe { &*result } {
            Ok(_) => None,
            Err(payload) => Some(&**payload),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.record().state.get() == State::Done
    }

    pub(super) fn thread(&self) -> &Thread {
        self.thread.get_or_init(|| handle::of(self.record()))
    }
}

impl<T> JoinHandle<T> {
    /// For `select`, which waits for the thread's end among other things.
    pub(crate) fn watch(&self) -> EndWatch<'_> {
        EndWatch {
            whose: match &self.of {
                Of::Thread(claim) => Whose::Thread(claim.record()),
                Of::Task(claim) => Whose::Task(claim.task()),
            },
            node: Cell::new(None),
        }
    }

    /// The result of a thread that has ended; afterwards the handle has none.
    pub(crate) fn take_result(&self) -> Result<T> {
        match &self.of {
            Of::Thread(claim) => claim.result(),
            Of::Task(claim) => claim.result(),
        }
    }
}

impl<T> Claim<T> {
    #[inline(never)]
    fn drop_result(&self) {
        drop_unclaimed(self.record(), self.take());
    }
}

impl<T> Drop for Claim<T> {
    #[inline]
    fn drop(&mut self) {
        if self.record().has_result.get() {
            self.drop_result();
        }
        // SAFETY: the reference that was counted for this claim, given up once.
        unsafe { arena::release(self.record.as_ptr()) };
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field(
                "id",
                &match &self.of {
                    Of::Thread(claim) => claim.record().id.get(),
                    Of::Task(claim) => claim.task().number,
                },
            )
            .finish_non_exhaustive()
    }
}

/// Leaves a thread's result for its handle, or drops it where there is none. Called on the thread's
/// own stack. Returns whether there was a panic that nobody has seen yet.
///
/// # Safety
///
/// `record` is the running thread's, which ends now, and its handle has a `Claim<T>`.
pub(super) unsafe fn deliver<T>(record: &Record, result: Result<T>) -> bool {
    let has_handle = record.references.get() > 1;
    if !has_handle {
        return drop_unclaimed(record, Some(result));
    }
    let panicked = matches!(&result, Err(payload) if is_panic(record.id.get(), &**payload));
    let slot = record.result.get();
    if const { fits::<T>() } {
        // SAFETY: the slot is free, large enough and aligned (`fits`); nobody borrows it.
        unsafe { slot.cast::<Result<T>>().write(result) };
    } else {
        // SAFETY: a pointer fits any slot.
        unsafe {
            slot.cast::<*mut Result<T>>()
                .write(Box::into_raw(Box::new(result)))
        };
    }
    record.has_result.set(true);
    panicked
}

/// Takes the result out of an ended thread's record.
///
/// # Safety
///
/// If the record has a result, `deliver::<T>` left it.
#[inline]
unsafe fn take<T>(record: &Record) -> Option<Result<T>> {
    if !record.has_result.replace(false) {
        return None;
    }
    let slot = record.result.get();
    if const { fits::<T>() } {
        // SAFETY: `deliver` wrote it, and it is read once: `has_result` is cleared.
        return Some(unsafe { slot.cast::<Result<T>>().read() });
    }
    // SAFETY: as above.
    let boxed = unsafe { slot.cast::<*mut Result<T>>().read() };
    // SAFETY: the pointer came from a box.
    Some(*unsafe { Box::from_raw(boxed) })
}

/// Drops a result that nobody joins, and reports its panic, once. Returns whether there was one.
#[inline]
fn drop_unclaimed<T>(record: &Record, result: Option<Result<T>>) -> bool {
    let payload = match result {
        Some(Err(payload)) => payload,
        Some(Ok(value)) => match catch_unwind(AssertUnwindSafe(|| drop(value))) {
            Ok(()) => return false,
            Err(payload) => payload,
        },
        None => return false,
    };
    lose_payload(record, payload)
}

/// Drops the payload of a thread that nobody joins. Returns whether it was of a panic; then it is
/// reported, or its scope has it.
#[cold]
#[inline(never)]
fn lose_payload(record: &Record, payload: Box<dyn Any + Send>) -> bool {
    if !is_panic(record.id.get(), &*payload) {
        return false;
    }
    let left = match record.has_extra(extra::SCOPED) {
        true => scope::keep(record, payload),
        false => Some(payload),
    };
    if let Some(payload) = left {
        report(record, "panicked and nobody joined it", payload);
    }
    true
}
