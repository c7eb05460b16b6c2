//! `Handle`: what reaches a runtime from other OS threads. What it sends is a letter in the runtime's
//! mailbox, of which a turn makes a task.

mod delivery;
mod errand;
mod remote;

pub use remote::RemoteHandle;

use std::error::Error;
use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Instant;
use crate::future::{self, Sleep};
use crate::park::{Core, Errand, Mailbox, Outsider};
use delivery::Delivery;
use errand::{Call, SpawnFuture, SpawnThread};

/// Reaches a runtime from any OS thread: spawns green threads and futures there, and calls functions.
///
/// Clones reach the same runtime. What one OS thread sends begins in the order in which it was sent;
/// a runtime that sleeps is woken at once, and a batch of letters costs one system call. From the
/// runtime's own OS thread it costs none.
///
/// # The end of the runtime
///
/// What was sent before the main closure returned, and has not begun, is dropped at the end of the run,
/// on the runtime's OS thread. What is sent later waits for the runtime's next run; a
/// [`Runtime`](crate::Runtime) that is dropped drops what waits. After that calls have no effect: they drop
/// what they were given on the calling thread, but for [`try_spawn`](Self::try_spawn), which gives it
/// back. Whoever waits for a result gets [`Cancelled`](crate::cancel::Cancelled) in each of these cases.
///
/// # Deadlocks
///
/// As long as a handle or a [`RemoteHandle`] lives, somebody may yet wake a runtime: none of the process
/// panics with a deadlock meanwhile, even if the runtime's own green threads have all of the handles.
/// The report of a possible one goes out as an event of `tracing`.
///
/// # Examples
///
/// ```
/// use greenlit::{Handle, thread};
/// use std::rc::Rc;
///
/// greenlit::run(|| {
///     let handle = Handle::current();
///     let other = std::thread::spawn(move || {
///         let sum = handle.spawn(|| {
///             // This runs in the runtime, as any green thread does.
///             let twenty = Rc::new(20);
///             let child = thread::spawn({
///                 let twenty = twenty.clone();
///                 move || *twenty + 1
///             });
///             child.join().unwrap() + *twenty
///         });
///         sum.join().unwrap()
///     });
///     assert_eq!(greenlit::blocking::unblock(|| other.join().unwrap()), 41);
/// });
/// ```
#[derive(Clone)]
pub struct Handle {
    mailbox: Arc<Mailbox>,
    /// Says that somebody may still start something: waits are no deadlock.
    counted: Outsider,
}

impl Handle {
    /// The handle of the runtime that this OS thread runs.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        match Self::try_current() {
            Some(handle) => handle,
            None => {
                panic!("current: no runtime runs on this OS thread; call it inside greenlit::run")
            }
        }
    }

    /// As [`current`](Self::current); `None` outside a runtime.
    #[must_use]
    pub fn try_current() -> Option<Self> {
        Core::here().map(Self::of)
    }

    pub(crate) fn of(core: &Core) -> Self {
        Self {
            mailbox: core.mailbox.clone(),
            counted: Outsider::new(),
        }
    }

    /// Spawns a green thread in the runtime, which runs `f`. To drop what it returns detaches the thread.
    ///
    /// Where no green thread can be made, as [`thread::Builder::spawn`](crate::thread::Builder::spawn)
    /// tells, the result is `Err` with its [`io::Error`](std::io::Error) as the payload.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> RemoteHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (delivery, handle) = self.delivery(Location::caller());
        // Where the runtime has gone, the errand says so when it is dropped.
        drop(self.give(SpawnThread { f, delivery }));
        handle
    }

    /// As [`spawn`](Self::spawn), and gives the closure back where the runtime has gone.
    ///
    /// # Errors
    ///
    /// The closure, once the runtime was dropped.
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<RemoteHandle<T>, RuntimeEnded<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (delivery, handle) = self.delivery(Location::caller());
        match self.give(SpawnThread { f, delivery }) {
            Ok(()) => Ok(handle),
            Err(errand) => Err(RuntimeEnded(errand.f)),
        }
    }

    /// Spawns a task in the runtime, which runs the future that `make` returns.
    ///
    /// The future is made on the runtime's OS thread, and need not be `Send`.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{Handle, future};
    /// use std::rc::Rc;
    ///
    /// greenlit::run(|| {
    ///     let handle = Handle::current();
    ///     let answer = greenlit::blocking::unblock(move || {
    ///         let remote = handle.spawn_future(|| async {
    ///             let shared = Rc::new(42);
    ///             future::yield_now().await;
    ///             *shared
    ///         });
    ///         remote.join().unwrap()
    ///     });
    ///     assert_eq!(answer, 42);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_future<F, Fut>(&self, make: F) -> RemoteHandle<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: IntoFuture + 'static,
        Fut::Output: Send + 'static,
    {
        let (delivery, handle) = self.delivery(Location::caller());
        drop(self.give(SpawnFuture { make, delivery }));
        handle
    }

    /// Has the runtime call `f`, after the tasks and callbacks that are queued already. It needs no stack
    /// of its own: a runner calls it, as it polls tasks.
    #[track_caller]
    pub fn call_soon<F, T>(&self, f: F) -> RemoteHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.call(None, f, Location::caller())
    }

    /// As [`call_soon`](Self::call_soon), when `delay` has passed since this call. At the end of the
    /// run it is cancelled if it has not begun.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::Handle;
    /// use greenlit::time::Duration;
    ///
    /// greenlit::run(|| {
    ///     let handle = Handle::current();
    ///     let remote = handle.call_later(Duration::from_millis(1), || "later");
    ///     assert_eq!(remote.join().unwrap(), "later");
    /// });
    /// ```
    #[track_caller]
    pub fn call_later<F, T>(&self, delay: Duration, f: F) -> RemoteHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.call(Some(future::sleep(delay)), f, Location::caller())
    }

    /// As [`call_later`](Self::call_later), at a point in time.
    #[track_caller]
    pub fn call_at<F, T>(&self, deadline: Instant, f: F) -> RemoteHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.call(Some(future::sleep_until(deadline)), f, Location::caller())
    }

    fn call<F, T>(
        &self,
        sleep: Option<Sleep>,
        f: F,
        called_at: &'static Location<'static>,
    ) -> RemoteHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (delivery, handle) = self.delivery(called_at);
        drop(self.give(Call { sleep, f, delivery }));
        handle
    }

    /// Whether the runtime has gone, so that calls have no effect.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.mailbox.is_closed()
    }

    fn delivery<T>(
        &self,
        spawned_at: &'static Location<'static>,
    ) -> (Delivery<T>, RemoteHandle<T>) {
        let delivery = Delivery::new(spawned_at);
        let handle = RemoteHandle::new(&delivery, self.mailbox.clone(), self.counted.clone());
        (delivery, handle)
    }

    /// Has the runtime see to `errand`; gives it back where the runtime has gone.
    fn give<E: Errand + 'static>(&self, errand: E) -> Result<(), E> {
        match Core::here().filter(|core| Arc::ptr_eq(&core.mailbox, &self.mailbox)) {
            Some(core) => {
                Box::new(errand).open(core);
                Ok(())
            }
            None => self.mailbox.commission(errand),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The runtime that something was to be sent to has gone; here it is again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RuntimeEnded<F>(pub F);

impl<F> RuntimeEnded<F> {
    /// What was to be sent.
    pub fn into_inner(self) -> F {
        self.0
    }
}

impl<F> fmt::Debug for RuntimeEnded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeEnded").finish_non_exhaustive()
    }
}

impl<F> fmt::Display for RuntimeEnded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the runtime has ended")
    }
}

impl<F> Error for RuntimeEnded<F> {}

/// An error of kind `NotConnected`, without what was to be sent.
impl<F> From<RuntimeEnded<F>> for io::Error {
    fn from(_: RuntimeEnded<F>) -> Self {
        Self::new(io::ErrorKind::NotConnected, RuntimeEnded(()))
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Handle>();
};
