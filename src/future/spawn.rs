//! `spawn` and its `Builder`: a future becomes a task.

use std::future::IntoFuture;
use std::io;
use std::panic::Location;
use std::sync::Arc;

use crate::park::{Core, refuse_in_child};
use crate::thread::{JoinHandle, TrySpawnError};

/// Spawns a task that runs `future`, after the tasks and callbacks that are queued already.
///
/// It costs one allocation, and no stack. Neither the future nor its output has to be `Send`. The
/// handle is a green thread's: it can be joined, awaited, cancelled and selected. Dropped, it detaches
/// the task, which is cancelled at the end of the run if it has not ended.
///
/// To cancel a task drops its future, at its next turn; one that is in the middle of a blocking call
/// unwinds from there. A panic in a poll is the `Err` of whoever joins it, and is reported where nobody
/// does.
///
/// # Panics
///
/// Outside a runtime; where the runtime's `max_tasks` live already. [`Builder::spawn`] returns an error
/// instead.
///
/// # Examples
///
/// ```
/// use greenlit::future;
///
/// greenlit::run(|| {
///     let child = future::spawn(async { 20 });
///     let parent = future::spawn(async { child.await.unwrap() + 1 });
///     assert_eq!(parent.join().unwrap(), 21);
/// });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: IntoFuture,
    F::IntoFuture: 'static,
    F::Output: 'static,
{
    match Builder::new().spawn(future) {
        Ok(handle) => handle,
        Err(error) => panic!("spawn: {error}"),
    }
}

/// As [`spawn`], and gives the future back where it cannot be spawned: admission, for who would rather
/// turn work away than take in more than
/// [`max_tasks`](crate::runtime::Builder::max_tasks). It bounds what is taken in, and never what is woken.
///
/// Who would rather wait for room takes a permit of a [`Semaphore`](crate::sync::Semaphore) first.
///
/// # Errors
///
/// [`TrySpawnError::Full`] where the runtime's `max_tasks` live already;
/// [`NoRuntime`](TrySpawnError::NoRuntime) outside a runtime.
///
/// # Examples
///
/// ```
/// use greenlit::{Runtime, future};
///
/// let mut runtime = Runtime::builder().max_tasks(1).build()?;
/// runtime.run(|| {
///     let first = future::try_spawn(async { 1 }).unwrap();
///     let refused = future::try_spawn(async { 2 }).unwrap_err();
///     assert!(refused.is_full());
///     assert_eq!(first.join().unwrap(), 1);
///     // Now there is room.
///     let second = future::try_spawn(refused.into_inner()).unwrap();
///     assert_eq!(second.join().unwrap(), 2);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn try_spawn<F>(future: F) -> Result<JoinHandle<F::Output>, TrySpawnError<F>>
where
    F: IntoFuture,
    F::IntoFuture: 'static,
    F::Output: 'static,
{
    Builder::new().try_spawn(future)
}

/// A task's name, and whether it begins at once.
///
/// # Examples
///
/// ```
/// use greenlit::future;
///
/// greenlit::run(|| -> std::io::Result<()> {
///     let task = future::Builder::new().name("answer".into()).spawn(async { 42 })?;
///     assert_eq!(task.thread().name(), Some("answer"));
///     assert_eq!(task.join().unwrap(), 42);
///     Ok(())
/// }).unwrap();
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder spawns nothing until its spawn method is called"]
pub struct Builder {
    name: Option<String>,
    eager: bool,
}

impl Builder {
    /// No name, and the task waits for its turn.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name that reports show.
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// Whether the future is polled for the first time by `spawn` itself, in the calling thread, as
    /// Python's eager tasks are. One that is ready then never enters the task queue. A cancel of the
    /// task does not end a blocking call in that poll. In the body of a coroutine the task waits for its
    /// turn all the same.
    pub fn eager(mut self, eager: bool) -> Self {
        self.eager = eager;
        self
    }

    /// Spawns a task that runs `future`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where the runtime's `max_tasks` live already; `Unsupported` outside a runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> io::Result<JoinHandle<F::Output>>
    where
        F: IntoFuture,
        F::IntoFuture: 'static,
        F::Output: 'static,
    {
        self.try_spawn(future).map_err(io::Error::from)
    }

    /// As [`spawn`](Self::spawn), and gives the future back where it cannot be spawned.
    ///
    /// # Errors
    ///
    /// As [`try_spawn`].
    #[track_caller]
    pub fn try_spawn<F>(self, future: F) -> Result<JoinHandle<F::Output>, TrySpawnError<F>>
    where
        F: IntoFuture,
        F::IntoFuture: 'static,
        F::Output: 'static,
    {
        let spawned_at = Location::caller();
        let Some(core) = Core::current() else {
            refuse_in_child();
            return Err(TrySpawnError::NoRuntime(future));
        };
        if !core.admits_task() {
            return Err(TrySpawnError::Full(future));
        }
        let (name, future) = (self.name.map(Arc::from), future.into_future());
        // In a coroutine's body the poll could be carried to another thread, in the middle.
        let task = match self.eager && !core.is_in_coroutine() {
            // SAFETY: all bounds are `'static`.
            false => unsafe { core.spawn_task(future, name, spawned_at) },
            true => {
                // SAFETY: as above.
                let task = unsafe { core.new_task(future, name, spawned_at) };
                core.poll_now(&task);
                task
            }
        };
        // SAFETY: the task is new, and its future's output is what the handle says.
        Ok(unsafe { JoinHandle::of_task(task) })
    }
}
