//! Calls that would stall the OS thread run on a pool of others (the crate `blocking`) while the
//! green thread that asked is parked: [`unblock`], and what name lookup and `fs` are made of.

mod job;

use std::cell::UnsafeCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{ptr, thread};

use crate::park::{Core, Limit, Mailbox, Mask, refuse_in_child};
use crate::scheduler::{Reason, Wakers};
pub(crate) use job::unblock_apart;
pub use job::{Unblock, unblock_async};

/// Runs `f` on another OS thread, of a pool that grows with the demand, and returns its result;
/// other green threads run meanwhile. Outside a runtime it runs `f` in place, as the blocking call
/// that it is.
///
/// It is for what blocks and knows nothing of green threads: a C library, a lock of another
/// process, a long computation. A hop there and back wakes two OS threads, which takes tens of
/// microseconds. The pool has up to 500 OS threads (`BLOCKING_MAX_THREADS` sets another number);
/// calls beyond that wait in a queue, so jobs must not wait for each other without bound.
/// Thread-locals that `f` sees are those of the pool's thread, and `f` is outside the runtime: its
/// own blocking calls block that OS thread.
///
/// # Panics
///
/// With `f`'s payload where it panics.
///
/// # Cancellation
///
/// A cancelled green thread does not wait for `f`, which runs to its end elsewhere, and whose
/// result is dropped there. Where it cannot be unwound, or in a destructor that an unwinding runs, it waits.
///
/// # Examples
///
/// ```
/// use greenlit::{blocking, thread};
///
/// let sum = greenlit::run(|| {
///     let job = thread::spawn(|| blocking::unblock(|| (1..=100).sum::<u32>()));
///     // This green thread could serve others meanwhile.
///     job.join().unwrap()
/// });
/// assert_eq!(sum, 5050);
/// ```
pub fn unblock<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    offload("a blocking call", f)
}

/// [`unblock`], with what the green thread is said to wait for.
pub(crate) fn offload<R: Send + 'static>(
    what: &'static str,
    f: impl FnOnce() -> R + Send + 'static,
) -> R {
    let result = offload_or_leave(Room::Pool, what, f, |_| false);
    result.expect("a job that is not left has a result")
}

/// As [`offload`], for I/O: a cancel that cannot unwind is its error, and the job is left to itself.
/// In a destructor that an unwinding runs it waits.
pub(crate) fn offload_io<R: Send + 'static>(
    what: &'static str,
    f: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> io::Result<R> {
    offload_or_leave(Room::Pool, what, f, may_leave).unwrap_or_else(|| Err(cancelled()))
}

/// As [`offload_io`], for what may take for ever, such as the opening of a FIFO: on an OS thread of
/// its own, so that the pool's are left to others.
pub(crate) fn offload_apart<R: Send + 'static>(
    what: &'static str,
    f: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> io::Result<R> {
    offload_or_leave(Room::Apart, what, f, may_leave).unwrap_or_else(|| Err(cancelled()))
}

/// Whether the running thread, which is cancelled and is not unwound by it, may leave its job.
fn may_leave(core: &Core) -> bool {
    !(thread::panicking() && core.unwinds(core.running()))
}

#[cold]
fn cancelled() -> io::Error {
    match Core::current().and_then(Core::cancelled) {
        Some(cancelled) => cancelled.into(),
        None => io::Error::other("the green thread is cancelled"),
    }
}

/// Where a job runs.
#[derive(Clone, Copy, Debug)]
enum Room {
    /// On a thread of the pool.
    Pool,
    /// On a new thread.
    Apart,
}

/// Has another OS thread run `f`, and waits for its result. `None` where a cancel could not unwind and
/// `leaves` says that the job is to be left.
fn offload_or_leave<R: Send + 'static>(
    room: Room,
    what: &'static str,
    f: impl FnOnce() -> R + Send + 'static,
    leaves: fn(&Core) -> bool,
) -> Option<R> {
    let Some(core) = Core::current() else {
        refuse_in_child();
        return Some(f());
    };
    if core.check_cancel().is_err() && leaves(core) {
        return None;
    }
    let result = Arc::new(Mutex::new(None));
    let call = Letter::new(core);
    let job = {
        let result = result.clone();
        move || {
            let value = catch_unwind(AssertUnwindSafe(f));
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            call.send();
        }
    };
    start(room, job);

    let is_done = || {
        let result = result.lock().unwrap_or_else(PoisonError::into_inner);
        result.is_some()
    };
    if !wait(core, what, Mask::No, &is_done) {
        if leaves(core) {
            return None;
        }
        // A destructor that runs while its thread unwinds waits for the result all the same.
        wait(core, what, Mask::Yes, &is_done);
    }
    let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    match value.expect("the wait ended with a result") {
        Ok(value) => Some(value),
        Err(payload) => resume_unwind(payload),
    }
}

/// Runs `f`, which may borrow, on another OS thread and waits for its end; other green threads run
/// meanwhile. A cancel is looked for at the entry, and does not end the wait (rule 21).
///
/// # Panics
///
/// With `f`'s payload where it panics.
pub(crate) fn offload_shielded<R: Send>(what: &'static str, f: impl FnOnce() -> R + Send) -> R {
    let Some(core) = Core::current() else {
        refuse_in_child();
        return f();
    };
    let _ = core.check_cancel();
    let call = Call {
        f: UnsafeCell::new(Some(f)),
        result: UnsafeCell::new(None),
    };
    let is_done = Arc::new(AtomicBool::new(false));
    let job = {
        let borrowed = Borrowed(ptr::from_ref(&call).cast());
        let (run, letter, is_done) = (run_call(&call), Letter::new(core), is_done.clone());
        move || {
            let borrowed = borrowed;
            // SAFETY: invariant 58: the call lies in a frame that waits for `is_done`, and `run` was
            // made for it.
            unsafe { run(borrowed.0) };
            // From here on the frame may go.
            is_done.store(true, Ordering::Release);
            letter.send();
        }
    };
    {
        let _frame_stays = UntilDone(&is_done);
        start(Room::Pool, job);
        wait(core, what, Mask::Yes, &|| is_done.load(Ordering::Acquire));
    }
    match call.result.into_inner().expect("the job has ended") {
        Ok(value) => value,
        Err(payload) => resume_unwind(payload),
    }
}

/// A call in the frame of the green thread that waits for it. The job alone touches it until it is
/// done, and the frame alone afterwards.
struct Call<F, R> {
    f: UnsafeCell<Option<F>>,
    result: UnsafeCell<Option<thread::Result<R>>>,
}

/// The address of a `Call` on its way to the OS thread that runs it.
struct Borrowed(*const ());

// SAFETY: what lies there, a closure and a result, are `Send` by the bounds of `run_call`, and pass
// to the job and back one after the other.
unsafe impl Send for Borrowed {}

/// What runs `call` once its type is forgotten: a job is `'static`, while a call may borrow.
fn run_call<F, R>(_call: &Call<F, R>) -> unsafe fn(*const ())
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    /// # Safety
    ///
    /// `call` is a `Call<F, R>` that stays where it is and that nobody else touches meanwhile.
    unsafe fn run<F: FnOnce() -> R, R>(call: *const ()) {
        // SAFETY: the caller's duty.
        let call = unsafe { &*call.cast::<Call<F, R>>() };
        // SAFETY: nobody else touches it, says the caller.
        let f = unsafe { &mut *call.f.get() };
        let f = f.take().expect("a call is run once");
        let result = catch_unwind(AssertUnwindSafe(f));
        // SAFETY: as above.
        unsafe { *call.result.get() = Some(result) };
    }
    run::<F, R>
}

/// Keeps its frame, however that is left, until the job has ended. The wait before it sees to that
/// without blocking the OS thread, and nothing is known that unwinds from it; this is the proof that
/// needs no such knowledge.
struct UntilDone<'a>(&'a AtomicBool);

impl Drop for UntilDone<'_> {
    fn drop(&mut self) {
        // In a forked child the job is not there: it stayed with the parent, as did its memory.
        while !self.0.load(Ordering::Acquire) && Core::here().is_some() {
            thread::yield_now();
        }
    }
}

/// What tells the green thread that its job is done; whom, it knows by address and number only.
struct Letter {
    record: usize,
    number: u64,
    mailbox: Arc<Mailbox>,
}

impl Letter {
    fn new(core: &Core) -> Self {
        let record = core.running();
        Self {
            record: ptr::from_ref(record).expose_provenance(),
            number: record.id.get(),
            mailbox: core.mailbox.clone(),
        }
    }

    fn send(self) {
        let record = ptr::with_exposed_provenance(self.record);
        self.mailbox.unpark(record, self.number);
    }
}

fn start(room: Room, job: impl FnOnce() + Send + 'static) {
    match room {
        Room::Pool => blocking::unblock(job).detach(),
        Room::Apart => {
            // Where no thread can be made, the pool takes the job in.
            let job = Arc::new(Mutex::new(Some(job)));
            let apart = job.clone();
            let builder = thread::Builder::new().name("greenlit-apart".to_owned());
            if builder.spawn(move || run_once(&apart)).is_err() {
                blocking::unblock(move || run_once(&job)).detach();
            }
        }
    }
}

fn run_once(job: &Mutex<Option<impl FnOnce()>>) {
    let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(job) = job {
        job();
    }
}

/// Parks until the job is done; false where a cancel that could not unwind ended it.
fn wait(core: &Core, what: &'static str, mask: Mask, is_done: &dyn Fn() -> bool) -> bool {
    if is_done() {
        // It was done at once: a loop of such calls lets others run too.
        core.spend();
        return true;
    }
    let _counted = Counted::new(core);
    let reason = Reason::new(what).woken_by(Wakers::Event);
    core.park(&reason, Limit::None, mask, is_done);
    is_done()
}

/// Counts a job while somebody waits for it, so that the wait is no deadlock.
struct Counted<'a>(&'a Core);

impl<'a> Counted<'a> {
    fn new(core: &'a Core) -> Self {
        core.offloaded.set(core.offloaded.get() + 1);
        Self(core)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.offloaded.set(self.0.offloaded.get() - 1);
    }
}
