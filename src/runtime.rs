//! `run`, `Runtime` and its `Builder`: where a runtime is made, entered and ended.

use std::fmt;
use std::io;
use std::panic::Location;
use std::ptr::NonNull;
use std::time::Duration;

use crate::handle::Handle;
use crate::park::Core;
use crate::stack::{self, SizeClass};

/// Runs `f` as the main green thread of a new runtime on this OS thread, and returns what it
/// returns.
///
/// `f` may borrow, and runs on the OS thread's own stack. Inside it,
/// [`thread::spawn`](crate::thread::spawn) makes further green threads. When `f` returns, those
/// that remain are cancelled: each unwinds from the call that it is blocked in, and `run` returns
/// once all have ended.
///
/// # The end of a run
///
/// A green thread may take its time to stop: it is in a shielded call, waits in a destructor for a
/// lock that another OS thread holds, or for work that borrows from its stack. `run` waits for it, and
/// after five seconds, or [`Builder::stop_patience`], says so once on stderr, with what each waits for
/// and where it was spawned. One that cannot stop, since nothing can end its wait or it catches every
/// cancel and goes on, is reported and leaked: its stack stays where it is, its destructors never
/// run, and what it has locked stays locked.
///
/// A program that cannot have its green threads unwound, as std does not unwind threads when `main`
/// returns, ends by [`std::process::exit`] at the end of `f`. There is no setting that leaks what
/// remains and goes on: something that a leaked stack has lent to another OS thread could go before
/// it is given back.
///
/// # Panics
///
/// Inside another `run` on the same OS thread, or inside a coroutine; where the runtime cannot be made (no file
/// descriptors left); with what `f` panics with, after a line on stderr where that is the
/// [cancel](crate::cancel::Cancelled) of something else, caught and thrown on by hand; in a blocking call of `f` where every green thread
/// is parked and nothing can wake one.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// let words = vec!["two", "green", "threads"];
/// let count = greenlit::run(|| {
///     let child = thread::spawn(|| 2);
///     words.len() + child.join().unwrap()
/// });
/// assert_eq!(count, 5);
/// ```
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T,
{
    runtime_of_a_run().run(f)
}

#[track_caller]
fn runtime_of_a_run() -> Runtime {
    match Runtime::builder().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("run: no runtime can be made: {error}"),
    }
}

/// A runtime that can run again and again on the OS thread that made it, and keeps its stacks warm.
///
/// Several OS threads may have one each; they do not know each other. It stays on its OS thread:
///
/// ```compile_fail
/// fn assert_send<T: Send>() {}
/// assert_send::<greenlit::Runtime>();
/// ```
///
/// # Examples
///
/// ```
/// use greenlit::{Runtime, thread};
///
/// let mut runtime = Runtime::builder().stack_size(64 * 1024).max_threads(1000).build()?;
/// for round in 0..3 {
///     let answer = runtime.run(|| thread::spawn(move || round * 2).join().unwrap());
///     assert_eq!(answer, round * 2);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    /// It came from a box and is given back to one, unless its threads would not stop: what points
    /// into it must not be invalidated by moving a box.
    core: NonNull<Core>,
}

impl Runtime {
    /// The default settings, to be changed before [`Builder::build`].
    pub fn builder() -> Builder {
        Builder {
            stack_size: None,
            max_threads: usize::MAX,
            max_tasks: usize::MAX,
            stop_patience: STOP_PATIENCE,
            slow_slice: None,
        }
    }

    /// What reaches this runtime from other OS threads. What they send before a run begins in it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        // SAFETY: the core lives as long as `self`.
        Handle::of(unsafe { self.core.as_ref() })
    }

    /// Runs `f` as the main green thread; see [`run`].
    ///
    /// # Panics
    ///
    /// As [`run`].
    #[track_caller]
    pub fn run<F, T>(&mut self, f: F) -> T
    where
        F: FnOnce() -> T,
    {
        // SAFETY: the core lives as long as `self`.
        unsafe { self.core.as_ref() }.run(Location::caller(), f)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // SAFETY: the core lives as long as `self`.
        unsafe { self.core.as_ref() }.mailbox.close();
        // Threads that would not stop may still be in its queues: then it stays for ever.
        // SAFETY: the core lives as long as `self`.
        if !unsafe { self.core.as_ref() }.leaked.get() {
            // SAFETY: it came from a box and is never used again. No run is under way: that would
            // borrow `self`.
            drop(unsafe { Box::from_raw(self.core.as_ptr()) });
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

/// The settings of a [`Runtime`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until its build method is called"]
pub struct Builder {
    stack_size: Option<usize>,
    max_threads: usize,
    max_tasks: usize,
    stop_patience: Duration,
    slow_slice: Option<Duration>,
}

/// How long the end of a run waits before it says for whom, where its builder does not say.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

impl Builder {
    /// How many bytes of stack a green thread can use where its own builder does not say: at least
    /// 16 KiB, rounded up to a size class. Without it slots of 256 KiB are used, or what
    /// `RUST_MIN_STACK` asks for.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// The most green threads that may live at once, the main one and those that poll futures not
    /// counted. Without it there is
    /// no limit.
    pub fn max_threads(mut self, threads: usize) -> Self {
        self.max_threads = threads;
        self
    }

    /// The most futures that may live as tasks where one more is [spawned](crate::future::spawn).
    /// Without it there is no limit. Callbacks, and what a [`Handle`](crate::Handle) sends, count among
    /// them, and are taken in all the same.
    pub fn max_tasks(mut self, tasks: usize) -> Self {
        self.max_tasks = tasks;
        self
    }

    /// How long the end of a run waits for the green threads that it has cancelled before it says on
    /// stderr who has not stopped, what each waits for, and where it was spawned; 5 seconds where
    /// this is not called. It says so once, and goes on waiting; see [`run`]. `Duration::MAX` keeps
    /// it silent. In a program whose panics abort it says nothing, and leaks them then.
    pub fn stop_patience(mut self, patience: Duration) -> Self {
        self.stop_patience = patience;
        self
    }

    /// Debug mode: has a report written of each green thread and future that lets nobody else run for
    /// longer than `threshold`: a line on stderr, and an event of `tracing` (target `greenlit`, level
    /// WARN).
    ///
    /// A slice is what a green thread does between two switches, or one poll of a future. When a long
    /// one ends, the report says whose it was, where that was spawned, how long it took, what it had
    /// waited for before, and what ended it, with a backtrace of that place. One that goes on is told of
    /// after ten times `threshold`, and again after ten times as long, by an OS thread that looks on, since a
    /// loop that never yields ends no slice; where it is, a debugger can tell.
    ///
    /// ```text
    /// greenlit: green thread "worker" (#7, spawned at src/main.rs:10:5) ran for 120.3ms and let nobody else run, after reading fd 5, until sleeping
    ///    4: server::compress
    ///              at src/compress.rs:88:9
    /// ```
    ///
    /// With it each switch reads the clock and takes a lock; without it nothing is paid. Time in which
    /// the OS thread waited for a CPU counts, so `threshold` should not be too short. Python's for the
    /// same is 100 ms.
    pub fn slow_slice(mut self, threshold: Duration) -> Self {
        self.slow_slice = Some(threshold);
        self
    }

    /// Makes the runtime.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a stack size that cannot be served; what epoll_create1(2), eventfd(2) and
    /// sigaction(2) say, most often that no file descriptors are left.
    pub fn build(self) -> io::Result<Runtime> {
        let class = SizeClass::for_size(self.stack_size.unwrap_or_else(stack::default_size))?;
        stack::install_overflow_handler()?;
        let core = Core::new(self.max_threads, class)?;
        core.set_max_tasks(self.max_tasks);
        core.set_stop_patience(self.stop_patience);
        if let Some(threshold) = self.slow_slice {
            core.time_slices(threshold);
        }
        Ok(Runtime {
            core: NonNull::from(Box::leak(core)),
        })
    }
}
