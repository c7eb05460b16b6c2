//! What a `RemoteHandle` shares with the thread or task that it is the handle of: where the result
//! goes, and whom a cancel is for.

use std::any::Any;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::Result;

use crate::park::{Cancelled, Cause, Core, Parcel, TaskRef, is_panic, report};
use crate::thread::Thread;

/// The duty to deliver a result: who drops it has none, and says that the work was cancelled.
pub(super) struct Delivery<T> {
    shared: Arc<Shared<T>>,
}

/// What both sides have.
pub(super) struct Shared<T> {
    spawned_at: &'static Location<'static>,
    state: Mutex<State<T>>,
}

struct State<T> {
    progress: Progress<T>,
    /// Who awaits the result.
    awaiter: Option<Waker>,
    /// Why it was cancelled by its handle, if it was.
    cause: Option<Cause>,
    /// Whether there is no handle any more.
    is_detached: bool,
}

enum Progress<T> {
    /// It has not ended. `None` before the runtime has heard of it, and when nobody can cancel it.
    Underway(Option<Target>),
    Ended(Result<T>),
    /// The result was taken.
    Taken,
}

/// Whom a cancel is for.
pub(super) enum Target {
    Task(TaskRef),
    Thread(Thread),
}

impl<T> Delivery<T> {
    pub(super) fn new(spawned_at: &'static Location<'static>) -> Self {
        let state = State {
            progress: Progress::Underway(None),
            awaiter: None,
            cause: None,
            is_detached: false,
        };
        Self {
            shared: Arc::new(Shared {
                spawned_at,
                state: Mutex::new(state),
            }),
        }
    }

    pub(super) fn shared(&self) -> Arc<Shared<T>> {
        self.shared.clone()
    }

    pub(super) fn spawned_at(&self) -> &'static Location<'static> {
        self.shared.spawned_at
    }

    /// Leaves the result where the handle finds it. Where there is no handle any more, a panic goes
    /// on, so that it is reported by whom it was that panicked.
    pub(super) fn deliver(self, result: Result<T>) {
        if let Some(Err(payload)) = self.shared.end(result)
            && !is_own_cancel(&*payload)
        {
            resume_unwind(payload);
        }
    }

    /// The work could not begin.
    pub(super) fn fail(self, error: io::Error) {
        if let Some(Err(payload)) = self.shared.end(Err(Box::new(error))) {
            self.shared.lose(payload);
        }
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        if self.shared.is_over() {
            return;
        }
        let asked = Core::current().and_then(Core::requested);
        let cancelled = match (asked, self.shared.lock().cause.clone()) {
            (Some(cancelled), _) => cancelled,
            (None, Some(cause)) => Cancelled::of(cause),
            (None, None) => Cancelled::of(Cause::END_OF_RUN),
        };
        drop(self.shared.end(Err(Box::new(cancelled))));
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has ended, and a result was there.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.lock().progress, Progress::Underway(_))
    }

    /// Keeps the result for the handle, and wakes who awaits it; gives it back where there is no
    /// handle.
    fn end(&self, result: Result<T>) -> Option<Result<T>> {
        let mut state = self.lock();
        let (ended, left) = match state.is_detached {
            true => (Progress::Taken, Some(result)),
            false => (Progress::Ended(result), None),
        };
        let before = mem::replace(&mut state.progress, ended);
        let awaiter = state.awaiter.take();
        drop(state);
        drop(before);
        if let Some(waker) = awaiter {
            wake(waker);
        }
        left
    }

    /// The result, once it is there; until then its end wakes the waker.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Result<T>> {
        if self.is_over() {
            return Poll::Ready(self.take());
        }
        // A waker may be anybody's: neither its clone nor its drop happens under the lock.
        let waker = context.waker().clone();
        let mut state = self.lock();
        let is_over = !matches!(state.progress, Progress::Underway(_));
        let before = match is_over {
            true => Some(waker),
            false => state.awaiter.replace(waker),
        };
        drop(state);
        drop(before);
        match is_over {
            true => Poll::Ready(self.take()),
            false => Poll::Pending,
        }
    }

    /// The result, which is there.
    fn take(&self) -> Result<T> {
        let progress = mem::replace(&mut self.lock().progress, Progress::Taken);
        match progress {
            Progress::Ended(result) => result,
            Progress::Taken => panic!("poll: this handle was ready before"),
            Progress::Underway(_) => unreachable!("it has ended"),
        }
    }

    /// Says whom a cancel is for, one that has come already included; on the runtime's OS thread.
    pub(super) fn aim(&self, target: Target) {
        let mut state = self.lock();
        let cause = state.cause.clone();
        let is_wanted = !state.is_detached || cause.is_some();
        let before = match &mut state.progress {
            Progress::Underway(aim) if is_wanted => aim.replace(target),
            _ => Some(target),
        };
        drop(state);
        drop(before);
        if cause.is_some() {
            self.cancel_here();
        }
    }

    /// Notes the reason of a cancel. Whether the runtime is to be told of it.
    pub(super) fn note_cancel(&self, cause: Cause) -> bool {
        let mut state = self.lock();
        let is_first = matches!(state.progress, Progress::Underway(_)) && state.cause.is_none();
        if is_first {
            state.cause = Some(cause);
        }
        is_first
    }

    /// Cancels the work, on the runtime's OS thread.
    pub(super) fn cancel_here(&self) {
        let state = self.lock();
        let (Progress::Underway(Some(target)), Some(cause)) =
            (&state.progress, state.cause.clone())
        else {
            return;
        };
        let target = match target {
            Target::Task(task) => Target::Task(TaskRef::to(task)),
            Target::Thread(thread) => Target::Thread(thread.clone()),
        };
        drop(state);
        match target {
            Target::Task(task) => {
                if let Some(core) = Core::numbered(task.serial) {
                    core.cancel_task(&task, cause);
                }
            }
            Target::Thread(thread) => thread.cancel_here(cause),
        }
    }

    /// Whether the calling thread or task does the work.
    pub(super) fn is_the_caller(&self) -> bool {
        let Some(core) = Core::current() else {
            return false;
        };
        match &self.lock().progress {
            Progress::Underway(Some(Target::Task(task))) => task.number == core.current_number(),
            Progress::Underway(Some(Target::Thread(thread))) => {
                thread.id() == crate::thread::current().id()
            }
            _ => false,
        }
    }

    /// There is no handle any more. A panic that nobody has seen is reported.
    pub(super) fn detach(&self) {
        let mut state = self.lock();
        state.is_detached = true;
        let awaiter = state.awaiter.take();
        let is_cancelled = state.cause.is_some();
        let before = match &mut state.progress {
            // Who was cancelled is so all the same; nobody can cancel the others any more.
            Progress::Underway(_) if is_cancelled => None,
            Progress::Underway(target) => {
                target.take().map(|target| Progress::Underway(Some(target)))
            }
            _ => Some(mem::replace(&mut state.progress, Progress::Taken)),
        };
        drop(state);
        drop(awaiter);
        match before {
            Some(Progress::Ended(Err(payload))) => self.lose(payload),
            before => drop(before),
        }
    }

    /// Nobody takes the payload: it is reported, unless it is of a cancel.
    fn lose(&self, payload: Box<dyn Any + Send>) {
        let name = format!("what a handle has started (at {})", self.spawned_at);
        match payload.downcast::<io::Error>() {
            Ok(error) => {
                let text = Box::new(error.to_string());
                report(&name, "could not begin and nobody joined it", text);
            }
            Err(payload) if payload.is::<Cancelled>() => {}
            Err(payload) => report(&name, "panicked and nobody joined it", payload),
        }
    }
}

impl<T: Send + 'static> Parcel for Shared<T> {
    fn open(&self) {
        self.cancel_here();
    }
}

/// Wakes who awaits a result. Inside a runtime code of the user's is left to a runner: this may be a
/// destructor.
fn wake(waker: Waker) {
    match Core::here() {
        Some(core) => core.wake(waker),
        None => {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                report(&"a waker", "panicked", payload);
            }
        }
    }
}

/// Whether a payload that the running thread or task has caught is of its own cancel.
fn is_own_cancel(payload: &(dyn Any + Send)) -> bool {
    Core::current().is_some_and(|core| {
        let numbers = [core.running().id.get(), core.current_number()];
        numbers.into_iter().any(|number| !is_panic(number, payload))
    })
}
