//! A job on another OS thread as a future.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::{Room, start};
use crate::park::{Core, Mailbox, Parcel};

/// Runs `f` on another OS thread, as [`unblock`](super::unblock) does, and returns a future of its
/// result. It runs from the call on, whether the future is polled or not.
///
/// The future can be polled anywhere, outside a runtime too. Where it is dropped, `f` runs to its end
/// all the same, and its result is dropped there.
///
/// # Panics
///
/// The poll panics with `f`'s payload where `f` does, and where the future has ended before.
///
/// # Examples
///
/// ```
/// use greenlit::{blocking, future};
///
/// let sum = greenlit::run(|| {
///     future::block_on(async {
///         let job = blocking::unblock_async(|| (1..=100).sum::<u32>());
///         // Other futures run meanwhile.
///         job.await
///     })
/// });
/// assert_eq!(sum, 5050);
/// ```
pub fn unblock_async<F, T>(f: F) -> Unblock<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    unblock_in(Room::Pool, f)
}

/// As [`unblock_async`], for what may take for ever: on an OS thread of its own.
pub(crate) fn unblock_apart<F, T>(f: F) -> Unblock<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    unblock_in(Room::Apart, f)
}

fn unblock_in<F, T>(room: Room, f: F) -> Unblock<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let state = Arc::new(Mutex::new(State::Runs(None)));
    let counted = Core::current().map(Counted::new);
    let job = {
        let state = state.clone();
        move || {
            let result = catch_unwind(AssertUnwindSafe(f));
            // The future may have gone: then its part of the state goes with this one's.
            let former = std::mem::replace(&mut *lock(&state), State::Done(result));
            drop(state);
            drop(counted);
            if let State::Runs(Some(waker)) = former {
                // A waker of anybody's, which may panic: the hook has told it.
                let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
            }
        }
    };
    start(room, job);
    Unblock { state }
}

/// The result of a call that runs on another OS thread. Made by [`unblock_async`].
#[must_use = "what the call returns is dropped with the future"]
pub struct Unblock<T> {
    state: Arc<Mutex<State<T>>>,
}

enum State<T> {
    /// It is waited for by this waker, if by any.
    Runs(Option<Waker>),
    Done(thread::Result<T>),
    Taken,
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Future for Unblock<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Wakers are the user's code: they are cloned and dropped while nothing is locked.
        let waker = context.waker().clone();
        let mut state = lock(&self.state);
        let former = match &mut *state {
            State::Runs(waiting) => waiting.replace(waker),
            State::Done(_) => {
                let done = std::mem::replace(&mut *state, State::Taken);
                drop(state);
                match done {
                    State::Done(Ok(value)) => return Poll::Ready(value),
                    State::Done(Err(payload)) => resume_unwind(payload),
                    State::Runs(_) | State::Taken => unreachable!("it was seen to be done"),
                }
            }
            State::Taken => panic!("poll: the call's result was taken already"),
        };
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<T> Drop for Unblock<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let waker = match &mut *state {
            State::Runs(waiting) => waiting.take(),
            State::Done(_) | State::Taken => None,
        };
        drop(state);
        drop(waker);
    }
}

impl<T> fmt::Debug for Unblock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unblock").finish_non_exhaustive()
    }
}

/// Counts a job of a runtime's until its end, whether somebody still waits for it or not: before that
/// nothing is a deadlock.
struct Counted {
    serial: u64,
    mailbox: Arc<Mailbox>,
}

impl Counted {
    fn new(core: &Core) -> Self {
        core.offloaded.set(core.offloaded.get() + 1);
        Self {
            serial: core.serial,
            mailbox: core.mailbox.clone(),
        }
    }
}

/// However the job ends, and where no OS thread could be had for it too.
impl Drop for Counted {
    fn drop(&mut self) {
        let serial = self.serial;
        self.mailbox.send(Arc::new(End { serial }));
    }
}

/// Tells a runtime that a job has ended.
struct End {
    serial: u64,
}

impl Parcel for End {
    fn open(&self) {
        if let Some(core) = Core::numbered(self.serial) {
            core.offloaded.set(core.offloaded.get() - 1);
        }
    }
}
