//! What wakes a thread that polls a future by itself: the waker of `block_on`, for a green thread or an
//! OS thread.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::os_thread::OsThread;
use super::{Core, Limit, Mailbox, Mask, Outcome, Reason, refuse_in_child};
use crate::scheduler::{Record, Wakers};

/// Tells one thread that its future wants to be polled.
struct Signal {
    /// Set by other OS threads, or by anybody where the thread is an OS thread.
    is_set: AtomicBool,
    /// Set by the green thread's own OS thread.
    is_set_here: std::cell::Cell<bool>,
    home: Home,
}

/// Whom it wakes.
enum Home {
    Green {
        /// The runtime's number.
        serial: u64,
        /// The record's address, followed only on the runtime's OS thread, while its number is this one.
        record: usize,
        number: u64,
    },
    Os(Arc<OsThread>),
}

// SAFETY: invariant 102: the one field that is no atomic and changes is used by the OS thread alone that
// runs the green thread's runtime.
unsafe impl Send for Signal {}
// SAFETY: as above.
unsafe impl Sync for Signal {}

impl Signal {
    /// The runtime that it belongs to, if this OS thread runs it.
    fn core<'a>(&self) -> Option<&'a Core> {
        match self.home {
            Home::Green { serial, .. } => Core::here().filter(|core| core.serial == serial),
            Home::Os(_) => None,
        }
    }

    fn set(&self) {
        match (&self.home, self.core()) {
            (Home::Green { record, number, .. }, Some(core)) => {
                self.is_set_here.set(true);
                core.unpark_numbered(std::ptr::with_exposed_provenance(*record), *number);
            }
            _ if self.is_set.swap(true, Ordering::AcqRel) => {}
            (Home::Os(thread), _) => thread.unpark(),
            (
                Home::Green {
                    serial,
                    record,
                    number,
                },
                None,
            ) => {
                if let Some(mailbox) = Mailbox::of(*serial) {
                    mailbox.unpark(std::ptr::with_exposed_provenance(*record), *number);
                }
            }
        }
    }

    /// Takes the signal, if it is there; on the thread's own OS thread.
    #[inline]
    fn take(&self) -> bool {
        // What others did before they set it is seen from here on.
        let remote =
            self.is_set.load(Ordering::Relaxed) && self.is_set.swap(false, Ordering::Acquire);
        let local = match self.home {
            Home::Green { .. } => self.is_set_here.replace(false),
            Home::Os(_) => false,
        };
        local || remote
    }

    /// Whether it is that of `record`'s thread, which runs in `core`.
    fn is_of(&self, core: &Core, record: &Record) -> bool {
        matches!(self.home, Home::Green { serial, number, .. }
            if serial == core.serial && number == record.id.get())
    }
}

static WAKER: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// # Safety
///
/// As for all functions of a waker: `data` is that of a waker of this table, which lives.
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: a waker counts for one reference, which keeps the signal.
    unsafe { Arc::increment_strong_count(data.cast::<Signal>()) };
    RawWaker::new(data, &WAKER)
}

/// # Safety
///
/// As for `clone`; the waker is used up.
unsafe fn wake(data: *const ()) {
    // SAFETY: the waker's own reference passes to the value.
    unsafe { Arc::from_raw(data.cast::<Signal>()) }.set();
}

/// # Safety
///
/// As for `clone`.
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: as in `clone`.
    unsafe { &*data.cast::<Signal>() }.set();
}

/// # Safety
///
/// As for `clone`; the waker is used up.
unsafe fn drop_waker(data: *const ()) {
    // SAFETY: as in `wake`.
    drop(unsafe { Arc::from_raw(data.cast::<Signal>()) });
}

/// Whether `waker` is a `block_on`'s.
pub(super) fn is_signal_waker(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &raw const WAKER)
}

/// Signals that nobody else has, kept for the next who needs one.
#[derive(Default)]
pub(super) struct Spares(std::cell::Cell<Vec<Arc<Signal>>>);

/// How many are kept.
const MOST_SPARES: usize = 64;

impl Spares {
    fn take(&self) -> Option<Arc<Signal>> {
        let mut spares = self.0.take();
        let spare = spares.pop();
        self.0.set(spares);
        spare
    }

    /// Keeps `signal` if nobody else has it.
    fn keep(&self, mut signal: Arc<Signal>) {
        if Arc::get_mut(&mut signal).is_some() {
            let mut spares = self.0.take();
            if spares.len() < MOST_SPARES {
                spares.push(signal);
            }
            self.0.set(spares);
        }
    }
}

thread_local! {
    /// The signals of an OS thread that runs no runtime.
    static SPARES: Spares = Spares::default();
}

/// The calling thread's wait for a future that it polls by itself.
pub(crate) struct Wakeup {
    /// `None` only while it is replaced.
    signal: Option<Arc<Signal>>,
    /// Whether a cancel does not end its waits.
    mask: Mask,
}

impl Wakeup {
    /// Looks for a cancel, as each blocking call does.
    pub(crate) fn new() -> Self {
        refuse_in_child();
        let mut mask = Mask::No;
        if let Some(core) = Core::current()
            && core.check_cancel().is_err()
        {
            // There is no error that it could return.
            mask = Mask::Yes;
        }
        Self {
            signal: Some(current()),
            mask,
        }
    }

    fn signal(&self) -> &Arc<Signal> {
        self.signal.as_ref().expect("it is there but for a moment")
    }

    /// A waker for the next poll. It is borrowed, and counts for nothing. What was set before is
    /// forgotten: the poll is the answer to it.
    pub(crate) fn waker(&mut self) -> ManuallyDrop<Waker> {
        if !self.is_ours() {
            self.put_back();
            self.signal = Some(current());
        }
        self.signal().take();
        let raw = RawWaker::new(Arc::as_ptr(self.signal()).cast(), &WAKER);
        // SAFETY: the functions keep what a waker promises: they are thread-safe (invariant 102), and
        // count.
        ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
    }

    /// Waits until the waker of the last poll is used.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; where it cannot, it waits.
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &'static str) {
        if !self.is_ours() {
            return;
        }
        let signal = self.signal();
        let Some(core) = Core::current() else {
            if let Home::Os(thread) = &signal.home {
                thread.park(Limit::None, || signal.take());
            }
            return;
        };
        // A signal that nobody else has is never set.
        let wakers = match Arc::strong_count(signal) {
            1 => Wakers::Local,
            _ => Wakers::Process,
        };
        let reason = Reason::new(what).woken_by(wakers);
        if core.park(&reason, Limit::None, self.mask, || signal.take()) == Outcome::Cancelled {
            core.park(&reason, Limit::None, Mask::Yes, || signal.take());
            self.mask = Mask::Yes;
        }
    }

    /// Whether the signal is the calling thread's: a coroutine may have carried the call to another.
    fn is_ours(&self) -> bool {
        match (Core::current(), &self.signal().home) {
            (Some(core), _) => self.signal().is_of(core, core.running()),
            (None, Home::Os(thread)) => Arc::ptr_eq(thread, &OsThread::current()),
            (None, Home::Green { .. }) => false,
        }
    }

    fn put_back(&mut self) {
        let Some(signal) = self.signal.take() else {
            return;
        };
        match (&signal.home, signal.core()) {
            (Home::Green { .. }, Some(core)) => core.signals.keep(signal),
            (Home::Green { .. }, None) => {}
            (Home::Os(_), _) => {
                // In the destructors of thread-locals they may be gone already.
                let _ = SPARES.try_with(|spares| spares.keep(signal));
            }
        }
    }
}

impl Drop for Wakeup {
    fn drop(&mut self) {
        self.put_back();
    }
}

/// A signal for the calling thread.
fn current() -> Arc<Signal> {
    let home = match Core::current() {
        Some(core) => Home::Green {
            serial: core.serial,
            record: std::ptr::from_ref(core.running()).expose_provenance(),
            number: core.running().id.get(),
        },
        None => Home::Os(OsThread::current()),
    };
    let spare = match Core::current() {
        Some(core) => core.signals.take(),
        None => SPARES.try_with(Spares::take).ok().flatten(),
    };
    let Some(mut spare) = spare else {
        return Arc::new(Signal {
            is_set: AtomicBool::new(false),
            is_set_here: std::cell::Cell::new(false),
            home,
        });
    };
    match Arc::get_mut(&mut spare) {
        Some(signal) => {
            signal.home = home;
            signal.is_set_here.set(false);
            *signal.is_set.get_mut() = false;
            spare
        }
        None => unreachable!("a spare is nobody else's"),
    }
}
