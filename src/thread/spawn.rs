//! Spawning: where a green thread's closure lies, its first frame, and what becomes of its result.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use super::join::{self, Claim, JoinHandle};
use super::scope;
use super::try_spawn::TrySpawnError;
use crate::arch;
use crate::park::{Core, Spawn, cancelled_thread, refuse_in_child};
use crate::scheduler::Record;
use crate::scheduler::record::{extra, flag};
use crate::stack::{LEAST_BYTES, SizeClass, Stack};

/// Closures that are larger, or aligned to more, are boxed, so that a spawn touches one page of the
/// new stack and a small stack holds any.
const LARGEST_IN_PLACE: usize = 1024;

// With its alignment, and the first frame's, it reaches nowhere near the end of the least stack.
const _: () = assert!(4 * LARGEST_IN_PLACE <= LEAST_BYTES);

/// Spawns a green thread that runs `f`, after those that are ready already.
///
/// Neither the closure nor its result has to be `Send`: green threads stay on their OS thread. A
/// handle that is dropped detaches the thread; at the end of the run it is cancelled if it has not
/// ended.
///
/// # Panics
///
/// Outside a runtime; where the runtime's `max_threads` live already; where no stack can be made.
/// [`Builder::spawn`] returns an error instead.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
/// use std::rc::Rc;
///
/// greenlit::run(|| {
///     let shared = Rc::new(20);
///     let handle = thread::spawn({
///         let shared = shared.clone();
///         move || *shared + 1
///     });
///     assert_eq!(handle.join().unwrap() + *shared, 41);
/// });
/// ```
#[inline]
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    // SAFETY: both bounds are `'static`.
    match unsafe { spawn_on(None, None, Location::caller(), f) } {
        Ok(claim) => JoinHandle::new(claim),
        Err(error) => refuse(&error),
    }
}

/// As [`spawn`], and gives the closure back where it cannot be spawned: admission, for who would
/// rather turn work away than take in more than [`max_threads`](crate::runtime::Builder::max_threads).
///
/// Nothing waits for room here. A scope with a
/// [limit](crate::thread::ScopeBuilder::at_most) does, as does who takes a permit of a
/// [`Semaphore`](crate::sync::Semaphore) first.
///
/// # Errors
///
/// [`TrySpawnError::Full`] where the runtime's `max_threads` live already;
/// [`NoRuntime`](TrySpawnError::NoRuntime) outside a runtime; [`Stack`](TrySpawnError::Stack) where no
/// stack can be made.
///
/// # Examples
///
/// ```
/// use greenlit::{Runtime, thread};
///
/// let mut runtime = Runtime::builder().max_threads(1).build()?;
/// runtime.run(|| {
///     let first = thread::try_spawn(|| 1).unwrap();
///     let refused = thread::try_spawn(|| 2).unwrap_err();
///     assert!(refused.is_full());
///     assert_eq!(first.join().unwrap(), 1);
///     // Now there is room.
///     let second = thread::try_spawn(refused.into_inner()).unwrap();
///     assert_eq!(second.join().unwrap(), 2);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn try_spawn<F, T>(f: F) -> Result<JoinHandle<T>, TrySpawnError<F>>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    // SAFETY: both bounds are `'static`.
    unsafe { try_spawn_on(None, None, Location::caller(), f) }.map(JoinHandle::new)
}

/// Spawns a green thread that was asked for at `spawned_at`.
///
/// # Errors
///
/// As [`Builder::spawn`].
pub(crate) fn spawn_from<F, T>(
    spawned_at: &'static Location<'static>,
    f: F,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    // SAFETY: both bounds are `'static`.
    unsafe { spawn_on(None, None, spawned_at, f) }.map(JoinHandle::new)
}

#[cold]
#[track_caller]
pub(super) fn refuse(error: &io::Error) -> ! {
    panic!("spawn: {error}");
}

/// A green thread's name and stack size, as [`std::thread::Builder`].
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| -> std::io::Result<()> {
///     let worker = thread::Builder::new().name("worker".into()).stack_size(64 * 1024).spawn(|| {
///         thread::current().name().map(str::to_owned)
///     })?;
///     assert_eq!(worker.join().unwrap().as_deref(), Some("worker"));
///     Ok(())
/// }).unwrap();
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder spawns nothing until its spawn method is called"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// No name, and the runtime's stack size.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name that reports and `Thread::name` show.
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// How many bytes of stack the thread can use, at least 16 KiB; rounded up to a size class.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Spawns a green thread that runs `f`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a stack size that cannot be served; `WouldBlock` where the runtime's
    /// `max_threads` live already; `Unsupported` outside a runtime; what mmap(2) and its kin say
    /// where no stack can be made, with the remedy.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        // SAFETY: both bounds are `'static`.
        unsafe { self.spawn_unchecked(f) }
    }

    /// As [`spawn`](Self::spawn), and gives the closure back where it cannot be spawned.
    ///
    /// # Errors
    ///
    /// As [`try_spawn`]; [`TrySpawnError::Stack`] also for a stack size that cannot be served.
    #[track_caller]
    pub fn try_spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, TrySpawnError<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let name = self.name.map(Arc::from);
        // SAFETY: both bounds are `'static`.
        unsafe { try_spawn_on(self.stack_size, name, Location::caller(), f) }.map(JoinHandle::new)
    }

    /// Spawns a green thread that runs `f`, which may borrow.
    ///
    /// # Safety
    ///
    /// The caller sees to it that the thread has ended before anything goes that `f` or its result
    /// borrows: it joins the handle, or leaks what is borrowed. [`scope`](super::scope) does so by
    /// itself.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub unsafe fn spawn_unchecked<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T,
    {
        // SAFETY: the caller's duty.
        unsafe { self.claim(f) }.map(JoinHandle::new)
    }

    /// As `spawn_unchecked`, with the claim that handles are made of.
    ///
    /// # Safety
    ///
    /// The same.
    #[track_caller]
    pub(super) unsafe fn claim<F, T>(self, f: F) -> io::Result<Claim<T>>
    where
        F: FnOnce() -> T,
    {
        let name = self.name.map(Arc::from);
        // SAFETY: the caller's duty.
        unsafe { spawn_on(self.stack_size, name, Location::caller(), f) }
    }
}

/// Spawns a green thread whose closure and result may borrow.
///
/// # Safety
///
/// The thread ends before anything goes that `f` or its result borrows.
#[inline]
pub(super) unsafe fn spawn_on<F, T>(
    stack_size: Option<usize>,
    name: Option<Arc<str>>,
    spawned_at: &'static Location<'static>,
    f: F,
) -> io::Result<Claim<T>>
where
    F: FnOnce() -> T,
{
    let (core, stack) = room(stack_size)?;
    // SAFETY: the caller's duty.
    Ok(unsafe { place_or_box(core, stack, name, spawned_at, f) })
}

/// As `spawn_on`, and gives the closure back.
///
/// # Safety
///
/// The same.
#[inline]
unsafe fn try_spawn_on<F, T>(
    stack_size: Option<usize>,
    name: Option<Arc<str>>,
    spawned_at: &'static Location<'static>,
    f: F,
) -> Result<Claim<T>, TrySpawnError<F>>
where
    F: FnOnce() -> T,
{
    match room(stack_size) {
        // SAFETY: the caller's duty.
        Ok((core, stack)) => Ok(unsafe { place_or_box(core, stack, name, spawned_at, f) }),
        Err(error) => Err(error.with(f)),
    }
}

/// The runtime and a stack, whatever is spawned. What does not depend on the closure's type is
/// compiled once, and not for each spawn of a program.
#[inline]
fn room<'a>(stack_size: Option<usize>) -> Result<(&'a Core, Stack), TrySpawnError<()>> {
    let Some(core) = Core::current() else {
        refuse_in_child();
        return Err(TrySpawnError::NoRuntime(()));
    };
    if !core.admits() {
        return Err(TrySpawnError::Full(()));
    }
    let stack = match stack_size {
        None => core.pool().acquire(core.default_class()),
        Some(bytes) => SizeClass::for_size(bytes)
            .map_err(io::Error::from)
            .and_then(|class| core.pool().acquire(class)),
    };
    match stack {
        Ok(stack) => Ok((core, stack)),
        Err(error) => Err(TrySpawnError::Stack((), error)),
    }
}

/// As `place`, for closures of any size.
///
/// # Safety
///
/// As `spawn_on`.
#[inline]
unsafe fn place_or_box<F, T>(
    core: &Core,
    stack: Stack,
    name: Option<Arc<str>>,
    spawned_at: &'static Location<'static>,
    f: F,
) -> Claim<T>
where
    F: FnOnce() -> T,
{
    // As a constant it keeps the way that is not taken from being compiled.
    if const { size_of::<F>() > LARGEST_IN_PLACE || align_of::<F>() > LARGEST_IN_PLACE } {
        // SAFETY: the caller's duty.
        return unsafe { place(core, stack, name, spawned_at, Box::new(f)) };
    }
    // SAFETY: the caller's duty.
    unsafe { place(core, stack, name, spawned_at, f) }
}

/// Puts a closure that is no larger than that onto a stack, and spawns the thread that runs it.
///
/// # Safety
///
/// As `spawn_on`.
#[inline]
unsafe fn place<F, T>(
    core: &Core,
    stack: Stack,
    name: Option<Arc<str>>,
    spawned_at: &'static Location<'static>,
    f: F,
) -> Claim<T>
where
    F: FnOnce() -> T,
{
    let top = top(stack.base(), size_of::<F>(), align_of::<F>());
    // SAFETY: `top` lies at most 1,024 bytes and one alignment below the base of a stack of at
    // least 16 KiB that nobody uses, and is aligned for `F`.
    unsafe { top.cast::<F>().write(f) };
    // SAFETY: `root` reads the closure once, never returns and catches what unwinds; the caller
    // says that what the closure borrows lives as long as its thread.
    let record = unsafe { start(core, stack, top, root::<F, T>, name, spawned_at) };
    // SAFETY: `spawn` counted one reference for this claim, and the thread's result is a `T`.
    unsafe { Claim::new(record) }
}

/// Where a closure lies: at the top of the stack, aligned as it and the first frame ask.
#[inline]
fn top(base: *mut u8, size: usize, align: usize) -> *mut u8 {
    let gap = (base.addr() - size) % align.max(16) + size;
    base.wrapping_sub(gap)
}

/// Spawns the thread that begins with `entry`, which gets `top`.
///
/// # Safety
///
/// As [`Core::spawn`].
#[inline]
unsafe fn start<'a>(
    core: &'a Core,
    stack: Stack,
    top: *mut u8,
    entry: arch::Entry,
    name: Option<Arc<str>>,
    spawned_at: &'static Location<'static>,
) -> &'a Record {
    let spawn = Spawn {
        stack,
        entry,
        top,
        data: top.cast(),
        name,
        spawned_at,
        parent: core.current_number(),
    };
    // SAFETY: the caller's duty.
    unsafe { core.spawn(spawn) }
}

/// The first frame of every green thread.
///
/// # Safety
///
/// It is entered by a switch from another thread of the current runtime, with `data` pointing at
/// the closure, which nobody else reads.
unsafe extern "C" fn root<F, T>(dead: *mut (), data: *mut ()) -> !
where
    F: FnOnce() -> T,
{
    let Some(core) = Core::current() else {
        unreachable!("switches happen inside a run")
    };
    if !dead.is_null() {
        core.bury(dead);
    }
    let record = core.running();
    // SAFETY: the caller's duty.
    let f = unsafe { data.cast::<F>().read() };
    run_body(core, record, f);
    let Some(core) = Core::current() else {
        end_of_forked_child()
    };
    core.exit(record)
}

/// Runs the closure and keeps or drops its result; all on the thread's own stack (rule 7).
fn run_body<F, T>(core: &Core, record: &Record, f: F)
where
    F: FnOnce() -> T,
{
    let care = record.has(flag::CANCELLED | flag::TIMED);
    let result = match care && core.begin_with_care(record) {
        false => catch_unwind(AssertUnwindSafe(f)),
        // Cancelled before it ran, where nothing can unwind: its destructors' calls get errors.
        true if cfg!(panic = "abort") => {
            drop(f);
            let payload: Box<dyn Any + Send> = Box::new(cancelled_thread(record));
            Err(payload)
        }
        // Cancelled before it ran: its closure is dropped by an unwinding, as it would be later on,
        // so that blocking calls in its destructors know that they must not start one.
        true => catch_unwind(AssertUnwindSafe(|| {
            let _dropped = f;
            core.unwind(record)
        })),
    };
    // SAFETY: this is the end of the thread, whose result is a `T`.
    let panicked = unsafe { join::deliver(record, result) };
    // In a forked child the thread has no runtime any more, and no end.
    if Core::here().is_some() {
        core.end_locals(record);
    }
    if record.has_extra(extra::SCOPED) {
        scope::leave(record, panicked);
    }
}

#[cold]
fn end_of_forked_child() -> ! {
    let _ = writeln!(
        io::stderr(),
        "greenlit: a forked child came to the end of a green thread, and there is no runtime to go on with; \
         exec or exit in the child"
    );
    std::process::abort();
}

const _: () = assert!(size_of::<JoinHandle<u64>>() <= 24);
