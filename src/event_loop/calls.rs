//! `call_soon`, `call_later` and `call_at`: a function as a task that is queued at once, or when its
//! timer fires, which is set by the call itself.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::future::Sleep;
use crate::park::{Cause, Core, TaskRef, refuse_in_child};
use crate::scheduler::task::state;

/// Has the runner call `f`, after all tasks and callbacks that are queued already, and before those that
/// are queued later.
///
/// A callback that is dropped is called all the same; [`Callback::cancel`] ends it.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// use greenlit::event_loop::call_soon;
/// use greenlit::sync::mpsc;
///
/// greenlit::run(|| {
///     let (sender, receiver) = mpsc::channel();
///     let second = sender.clone();
///     call_soon(move || sender.send(1).unwrap());
///     call_soon(move || second.send(2).unwrap());
///     assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
/// });
/// ```
#[track_caller]
pub fn call_soon(f: impl FnOnce() + 'static) -> Callback {
    let core = current("call_soon");
    let call = Call {
        timer: None,
        f: Some(f),
    };
    let callback = Callback::new(core, call, None);
    core.schedule(&callback.task);
    callback
}

/// Has the runner call `f` when `delay` has passed since this call; else as [`call_at`].
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// use greenlit::time::{Duration, sleep};
/// use greenlit::event_loop::call_later;
///
/// greenlit::run(|| {
///     let late = call_later(Duration::from_millis(2), || unreachable!("it was cancelled"));
///     call_later(Duration::from_millis(1), move || late.cancel());
///     sleep(Duration::from_millis(3));
/// });
/// ```
#[track_caller]
pub fn call_later(delay: Duration, f: impl FnOnce() + 'static) -> Callback {
    let core = current("call_later");
    let deadline = clock::after(delay);
    call_timed(core, deadline, delay.is_zero(), f)
}

/// Has the runner call `f` at `deadline`, and never before.
///
/// Its timer is set by this call. Callbacks are queued when they are due, in the order of their
/// deadlines, equal ones in the order in which they were set, behind all that is queued by then. With a
/// deadline that has passed it is called after what is queued already, but still in that order among its
/// like. One past the clock's end is never called.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// use greenlit::event_loop::{call_at, call_soon};
/// use greenlit::sync::mpsc;
/// use greenlit::time::{Duration, Instant};
///
/// greenlit::run(|| {
///     let (sender, receiver) = mpsc::channel();
///     let send = |number: u32| {
///         let sender = sender.clone();
///         move || sender.send(number).unwrap()
///     };
///     let now = Instant::now();
///     call_at(now, send(3));
///     call_at(now - Duration::from_secs(1), send(2));
///     call_soon(send(1));
///     assert_eq!(receiver.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
/// });
/// ```
#[track_caller]
pub fn call_at(deadline: Instant, f: impl FnOnce() + 'static) -> Callback {
    let core = current("call_at");
    let deadline = deadline.nanos();
    call_timed(core, deadline, clock::has_passed(deadline), f)
}

#[track_caller]
pub(super) fn current<'a>(call: &str) -> &'a Core {
    let Some(core) = Core::current() else {
        refuse_in_child();
        panic!("{call}: no runtime runs on this OS thread; call it inside greenlit::run");
    };
    core
}

#[track_caller]
fn call_timed(core: &Core, deadline: u64, is_past: bool, f: impl FnOnce() + 'static) -> Callback {
    let (sleep, set_waker) = Sleep::set_in(core, deadline);
    let call = Call {
        timer: Some(sleep),
        f: Some(f),
    };
    let callback = Callback::new(core, call, Some(Instant::from_nanos_or_last(deadline)));
    set_waker(callback.task.waker());
    if is_past {
        core.note_overdue();
    }
    callback
}

/// The task of a callback.
struct Call<F> {
    /// The timer that wakes the task; `None` where there is none.
    timer: Option<Sleep>,
    /// `None` once it is called.
    f: Option<F>,
}

// The function is not called in place.
impl<F> Unpin for Call<F> {}

impl<F: FnOnce()> Future for Call<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(timer) = &mut self.timer
            && timer.poll_deadline(context).is_pending()
        {
            return Poll::Pending;
        }
        if let Some(f) = self.f.take() {
            f();
        }
        Poll::Ready(())
    }
}

/// What was given to [`call_soon`], [`call_later`] or [`call_at`]. Dropped, it is called all the same.
///
/// It stays on the OS thread of its runtime:
///
/// ```compile_fail
/// fn assert_send<T: Send>() {}
/// assert_send::<greenlit::event_loop::Callback>();
/// ```
pub struct Callback {
    task: TaskRef,
    /// When it is due; `None` for `call_soon`'s.
    deadline: Option<Instant>,
    _on_its_thread: PhantomData<*mut ()>,
}

impl Callback {
    /// A callback that is in no queue.
    #[track_caller]
    fn new<F: FnOnce() + 'static>(core: &Core, call: Call<F>, deadline: Option<Instant>) -> Self {
        // SAFETY: what is called is `'static`.
        let task = unsafe { core.new_task(call, None, Location::caller()) };
        // Nobody joins it: a panic is reported at once.
        task.set(state::DETACHED);
        Self {
            task,
            deadline,
            _on_its_thread: PhantomData,
        }
    }

    /// Keeps the function from being called. One that has begun goes on: then this does nothing, as after
    /// the end of the run.
    ///
    /// The function is dropped, with all that it has captured and with its timer, by the runner, when
    /// the cancelled callback comes to its turn in the queue: in a place where it may block.
    pub fn cancel(&self) {
        if self.task.is(state::POLLING | state::DONE) {
            return;
        }
        if let Some(core) = Core::numbered(self.task.serial) {
            core.cancel_task(&self.task, Cause::Static("the callback was cancelled"));
        }
    }

    /// Whether it was cancelled before it was called, by [`cancel`](Self::cancel) or by the end of the
    /// run.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.task.is(state::CANCELLED)
    }

    /// When it is to be called; `None` for one of [`call_soon`]'s.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback")
            .field("deadline", &self.deadline)
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
