//! Cancel scopes, deadlines and shields: how a blocking call is ended before it is done, and by
//! whom.
//!
//! A [`Scope`] runs a function; its cancel ends whatever blocking call the function is in, and each
//! one that it makes afterwards, by an unwinding that runs destructors, prints nothing and stops at
//! the scope. What trio does with exceptions and libdill with error codes, greenlit does for
//! blocking Rust code. The rules, in short:
//!
//! - **The value wins.** A call that is complete returns its value; the cancel comes with the next
//!   call. Nothing that was received, read or locked gets lost.
//! - **It is a level, not an edge.** Whoever catches the unwinding and goes on is ended by the next
//!   blocking call again, until the scope is left.
//! - **It is aimed.** The outermost scope that is cancelled, and that no [`shield`] hides, takes it;
//!   scopes further in are passed through. Only a scope whose own deadline has passed says so.
//! - **It never starts twice.** In a destructor that runs while its green thread unwinds, a call of
//!   a cancelled thread that would wait returns an error, and locks and joins wait.
//!
//! Every blocking call looks for a cancel, [`yield_now`](crate::thread::yield_now) and
//! [`checkpoint`] too; nothing else does, so what computes for long calls `checkpoint` now and then.
//! Outside a runtime functions run as they would without a scope.
//!
//! The guide, with drawings and what other runtimes do, is docs/CANCELLATION.md.
//!
//! # Examples
//!
//! ```
//! use greenlit::cancel::Scope;
//! use greenlit::thread;
//!
//! greenlit::run(|| {
//!     let scope = Scope::new();
//!     let guest = thread::spawn({
//!         let scope = scope.clone();
//!         move || scope.run(thread::park)
//!     });
//!     thread::yield_now();
//!     scope.cancel("the restaurant closes");
//!     let error = guest.join().unwrap().unwrap_err();
//!     assert_eq!(error.to_string(), "cancelled: the restaurant closes");
//! });
//! ```

mod handle;
mod scope;

pub use crate::park::Cancelled;
pub use handle::Handle;
pub use scope::Scope;

use crate::clock::Instant;
use crate::park::{self, Cause, Core, Kind, Region};

/// Runs `f`; cancels and deadlines from outside it wait until it has ended, and come with the first
/// blocking call after it. Scopes and timeouts inside it work as ever.
///
/// It is for what must not stop half-way: the end of a protocol, the undoing of what was done. Give
/// it a [`timeout`](crate::time::timeout) of its own where it might hang. The
/// end of a run waits for it as well.
///
/// # Examples
///
/// ```
/// use greenlit::cancel::{self, Scope};
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let scope = Scope::new();
///     let mut notes = Vec::new();
///     let result = scope.run(|| {
///         scope.cancel("enough");
///         cancel::shield(|| {
///             thread::yield_now();
///             notes.push("not ended in the shield");
///         });
///         thread::yield_now();
///         notes.push("never reached");
///     });
///     assert!(result.is_err());
///     assert_eq!(notes, ["not ended in the shield"]);
/// });
/// ```
pub fn shield<R>(f: impl FnOnce() -> R) -> R {
    park::shielded(f)
}

/// Runs `f`, in which there are frames that cannot be unwound: callbacks that C code calls, and
/// whatever else is `extern "C"`.
///
/// A cancel that unwound such a frame would abort the process, and nothing can tell that it is
/// there. So blocking calls in `f` obey a cancel as they do under `panic = "abort"`: I/O returns an
/// error that holds [`Cancelled`], receives and timed waits return their errors, sleeps and parks
/// return early, and locks and joins wait as if nobody had cancelled.
///
/// # Examples
///
/// ```
/// use greenlit::cancel::{self, Cancelled, Scope};
/// use greenlit::io::{self, Read};
///
/// extern "C" fn callback(reader: &mut io::PipeReader) -> bool {
///     let error = reader.read(&mut [0]).unwrap_err();
///     error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
/// }
///
/// greenlit::run(|| -> io::Result<()> {
///     let (mut reader, _writer) = io::pipe()?;
///     let scope = Scope::new();
///     scope.cancel("not wanted");
///     assert!(scope.run(|| cancel::no_unwind(|| callback(&mut reader))).unwrap());
///     Ok(())
/// }).unwrap();
/// ```
pub fn no_unwind<R>(f: impl FnOnce() -> R) -> R {
    park::not_unwound(f)
}

/// Lets a cancel come here, as a blocking call does, for code that computes for long: the
/// running green thread unwinds if it is cancelled. It counts on the fairness budget, so now and
/// then others run.
///
/// # Cancellation
///
/// A cancelled green thread unwinds from here; if it unwinds already, or cannot be unwound, the call
/// returns.
///
/// # Examples
///
/// ```
/// use greenlit::{cancel, time::{Duration, timeout}};
///
/// greenlit::run(|| {
///     let endless = timeout(Duration::from_millis(2), || loop {
///         cancel::checkpoint();
///     });
///     assert!(endless.is_err());
/// });
/// ```
#[inline]
pub fn checkpoint() {
    if let Some(core) = Core::current() {
        // What cannot be unwound goes on.
        let _ = core.check_cancel();
        core.spend();
    }
}

/// Whether the next blocking call would end: the running green thread is cancelled, by a scope that
/// it is in, a deadline or as a whole, and no [`shield`] hides that.
#[must_use]
pub fn is_cancelled() -> bool {
    Core::current().is_some_and(Core::is_cancelled)
}

/// Whether somebody wants the running green thread to come to an end, and why: it was cancelled,
/// or asked to stop within a grace period, by
/// [`Scope::cancel_softly`] and its like. A [`shield`] hides what is outside it.
#[must_use]
pub fn requested() -> Option<Cancelled> {
    Core::current().and_then(Core::requested)
}

/// Runs `f`, whose blocking calls end when the green thread is merely asked to stop, not only when it
/// is cancelled: for a wait between two pieces of work.
///
/// # Errors
///
/// Where a request, made before or meanwhile, ended `f`. A cancel of what is around it unwinds on.
///
/// # Examples
///
/// ```
/// use greenlit::cancel::{self, Scope};
/// use greenlit::{sync::mpsc, thread, time::Duration};
///
/// greenlit::run(|| {
///     let scope = Scope::new();
///     let (_sender, jobs) = mpsc::channel::<u32>();
///     let worker = thread::spawn({
///         let scope = scope.clone();
///         move || scope.run(|| {
///             while let Ok(Ok(_job)) = cancel::until_requested(|| jobs.recv()) {
///                 // A job that has begun may take until the end of the grace period.
///             }
///             "went home"
///         })
///     });
///     thread::yield_now();
///     scope.cancel_softly("closing time", Duration::from_secs(60));
///     assert_eq!(worker.join().unwrap().unwrap(), "went home");
/// });
/// ```
pub fn until_requested<R>(f: impl FnOnce() -> R) -> Result<R, Cancelled> {
    let region = Region::new(Kind::Listener, u64::MAX);
    park::within(&region, f).map_err(Cancelled::of)
}

/// The earliest deadline that would end a blocking call made here; `None` for none, and outside a
/// runtime. What lies outside a [`shield`] does not count, and what is cancelled already has no
/// deadline any more.
///
/// The deadlines of who owns a [`thread::scope`](crate::thread::scope()) end the scope's threads by way of
/// the owner, and are not seen from within them. Who needs one there asks before spawning, and hands
/// it to [`timeout_at`](crate::time::timeout_at).
#[must_use]
pub fn current_deadline() -> Option<Instant> {
    let core = Core::current()?;
    Instant::from_nanos(core.running().nearest_deadline())
}

/// Runs `f` until `deadline`; both are in nanoseconds since the epoch, and `now` was read just now.
#[inline]
pub(crate) fn before<R>(deadline: u64, now: u64, f: impl FnOnce() -> R) -> Result<R, Cause> {
    let region = Region::timed(deadline, now);
    park::within(&region, f)
}
