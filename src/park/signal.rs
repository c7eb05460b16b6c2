//! What wakes a thread that polls a future by itself: the waker of `block_on`, for a green thread or an
//! OS thread.

use std::cell::Cell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use super::os_thread::OsThread;
use super::{Core, Limit, Mailbox, Mask, Outcome, Reason, refuse_in_child};
use crate::scheduler::{Record, Wakers};

/// Tells one thread that its future wants to be polled.
struct Signal {
    /// Set by other OS threads, or by anybody where the thread is an OS thread.
    is_set: AtomicBool,
    /// Set by the green thread's own OS thread.
    is_set_here: Cell<bool>,
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
            Home::Green { serial, .. } => Core::numbered(serial),
            Home::Os(_) => None,
        }
    }

    fn set(&self) {
        match (&self.home, self.core()) {
            (Home::Green { record, number, .. }, Some(core)) => {
                self.is_set_here.set(true);
                core.unpark_numbered(ptr::with_exposed_provenance(*record), *number);
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
                    mailbox.unpark(ptr::with_exposed_provenance(*record), *number);
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
    ptr::eq(waker.vtable(), &raw const WAKER)
}

/// The number of the green thread that `waker` wakes, if it is a `block_on`'s.
pub(super) fn woken(waker: &Waker) -> Option<u64> {
    let signal: *const Signal = waker.data().cast();
    // SAFETY: the data of such a waker is a signal, which the waker keeps.
    let home = is_signal_waker(waker).then(|| unsafe { &(*signal).home })?;
    match home {
        Home::Green { number, .. } => Some(*number),
        Home::Os(_) => None,
    }
}

/// Signals that nobody else has, kept for the next who needs one.
#[derive(Default)]
pub(super) struct Spares(Cell<Vec<Arc<Signal>>>);

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
///
/// The future is polled with a waker that borrows this value, and whose clones are those of a signal,
/// which is made for the first of them: a future that is ready at once costs none.
pub(crate) struct Wakeup {
    /// The signal, counted once for this value; null until somebody wanted it.
    signal: AtomicPtr<Signal>,
    /// Whom a signal of this value wakes.
    owner: Owner,
    /// Whether a cancel does not end its waits.
    mask: Mask,
}

/// The thread that polls, as long as its frame stays.
#[derive(Clone, Copy)]
enum Owner {
    Green {
        serial: u64,
        record: *const Record,
        number: u64,
    },
    /// Null in the destructors of the OS thread's locals, where there is one signal for each wait.
    Os(*const OsThread),
}

// SAFETY: invariant 103: what other OS threads do with a reference, by way of a waker that borrows it, is
// to look at the atomic, and to copy what never changes.
unsafe impl Sync for Wakeup {}

impl Wakeup {
    /// Looks for a cancel, as each blocking call does.
    #[inline]
    pub(crate) fn new() -> Self {
        let mut mask = Mask::No;
        match Core::current() {
            Some(core) if core.check_cancel().is_err() => {
                // There is no error that it could return.
                mask = Mask::Yes;
            }
            Some(_) => {}
            None => refuse_in_child(),
        }
        let owner = Owner::current();
        owner.begin();
        Self {
            signal: AtomicPtr::new(ptr::null_mut()),
            owner,
            mask,
        }
    }

    /// Polls `future`, which gets a waker that ends the next `wait`. What was set before is forgotten:
    /// the poll is the answer to it.
    #[inline]
    pub(crate) fn poll<F: Future + ?Sized>(&mut self, future: Pin<&mut F>) -> Poll<F::Output> {
        let signal = self.signal.load(Ordering::Relaxed);
        let raw = if signal.is_null() {
            RawWaker::new(ptr::from_ref(self).cast(), &BORROWED)
        } else {
            self.renew();
            RawWaker::new(self.signal().cast(), &WAKER)
        };
        // SAFETY: the functions keep what a waker promises: they are thread-safe (invariants 102 and
        // 103), and count. This one is borrowed, counts for nothing, and goes before `self`.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw) });
        future.poll(&mut Context::from_waker(&waker))
    }

    /// Before another poll: takes the signal, if it is set.
    fn renew(&mut self) {
        // A coroutine may have carried the call to another thread.
        let owner = Owner::current();
        if !owner.is(self.owner) {
            self.put_back();
            owner.begin();
            std::mem::replace(&mut self.owner, owner).end();
        }
        // SAFETY: the signal is counted for this value.
        unsafe { &*self.signal() }.take();
    }

    /// The signal, which is made if there is none; on any OS thread.
    fn signal(&self) -> *const Signal {
        let known = self.signal.load(Ordering::Acquire);
        if !known.is_null() {
            return known;
        }
        let made = Arc::into_raw(self.owner.signal()).cast_mut();
        // Release: who finds it uses what it points to.
        let exchanged = self.signal.compare_exchange(
            ptr::null_mut(),
            made,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        match exchanged {
            Ok(_) => made,
            Err(known) => {
                // SAFETY: it came from an `Arc`, whose count was nobody else's.
                drop(unsafe { Arc::from_raw(made) });
                known
            }
        }
    }

    /// Waits until the waker of the last poll is used.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; where it cannot, it waits.
    #[track_caller]
    pub(crate) fn wait(&mut self, what: &'static str) {
        if !Owner::current().is(self.owner) {
            // A coroutine has carried the call to another thread: it polls again there.
            self.renew();
            return;
        }
        // SAFETY: the signal is counted for this value. It is no `Arc` here, whose count would say
        // something else.
        let signal = unsafe { &*self.signal() };
        let Some(core) = Core::current() else {
            if let Home::Os(thread) = &signal.home {
                thread.park(Limit::None, || signal.take());
            }
            return;
        };
        if signal.take() {
            // It was set in the poll: the others that can run have their turn.
            return core.yield_in_call();
        }
        let reason = Reason::new(what).woken_by(Wakers::Held(self.wakers()));
        if core.park(&reason, Limit::None, self.mask, || signal.take()) == Outcome::Cancelled {
            core.park(&reason, Limit::None, Mask::Yes, || signal.take());
            self.mask = Mask::Yes;
        }
    }

    /// How many wakers have the signal: beside this call nobody else does.
    fn wakers(&self) -> usize {
        // SAFETY: it came from an `Arc`, which is counted for this value and stays so.
        let signal = ManuallyDrop::new(unsafe { Arc::from_raw(self.signal()) });
        Arc::strong_count(&signal) - 1
    }

    #[cold]
    fn put_back(&mut self) {
        let signal = std::mem::replace(self.signal.get_mut(), ptr::null_mut());
        if signal.is_null() {
            return;
        }
        // SAFETY: it came from an `Arc`, and what was counted for this value passes on.
        let signal = unsafe { Arc::from_raw(signal.cast_const()) };
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
    #[inline]
    fn drop(&mut self) {
        if !self.signal.get_mut().is_null() {
            self.put_back();
        }
        self.owner.end();
    }
}

/// The wakers that borrow a `Wakeup`: their data is its address. They are never dropped.
static BORROWED: RawWakerVTable =
    RawWakerVTable::new(clone_borrowed, wake_borrowed, wake_borrowed, |_| {});

/// # Safety
///
/// As for all functions of a waker: the `Wakeup` that `data` points to is there.
unsafe fn clone_borrowed(data: *const ()) -> RawWaker {
    // SAFETY: the caller's duty.
    let signal = unsafe { &*data.cast::<Wakeup>() }.signal();
    // SAFETY: the signal is there as long as the `Wakeup`.
    unsafe { clone(signal.cast()) }
}

/// # Safety
///
/// As for `clone_borrowed`.
unsafe fn wake_borrowed(data: *const ()) {
    // SAFETY: the caller's duty.
    let signal = unsafe { &*data.cast::<Wakeup>() }.signal();
    // SAFETY: as above.
    unsafe { &*signal }.set();
}

impl Owner {
    #[inline]
    fn current() -> Self {
        match Core::current() {
            Some(core) => Self::Green {
                serial: core.serial,
                record: core.running(),
                number: core.running().id.get(),
            },
            None => Self::Os(OsThread::address()),
        }
    }

    /// It is a `Wakeup`'s from now on.
    #[inline]
    fn begin(self) {
        if let Self::Os(thread) = self
            && !thread.is_null()
        {
            OsThread::lend();
        }
    }

    /// It is so no more.
    #[inline]
    fn end(self) {
        if let Self::Os(thread) = self
            && !thread.is_null()
        {
            OsThread::give_back();
        }
    }

    fn is(self, other: Self) -> bool {
        match (self, other) {
            (
                Self::Green { serial, number, .. },
                Self::Green {
                    serial: serial_,
                    number: number_,
                    ..
                },
            ) => (serial, number) == (serial_, number_),
            (Self::Os(thread), Self::Os(thread_)) => thread == thread_,
            _ => false,
        }
    }

    /// Whether the calling thread runs in the owner's OS thread, so that its spares may be used.
    fn is_here(self) -> bool {
        match self {
            Self::Green { serial, .. } => Core::numbered(serial).is_some(),
            Self::Os(thread) => Core::here().is_none() && thread == OsThread::address(),
        }
    }

    /// A signal for it; on any OS thread, while its frame stays.
    #[cold]
    fn signal(self) -> Arc<Signal> {
        let home = match self {
            Self::Green {
                serial,
                record,
                number,
            } => Home::Green {
                serial,
                record: record.expose_provenance(),
                number,
            },
            Self::Os(thread) => Home::Os(match thread.is_null() {
                true => OsThread::current(),
                // SAFETY: invariant 103: it is lent as long as the `Wakeup` is there.
                false => unsafe { OsThread::at(thread) },
            }),
        };
        let spare = match (self, self.is_here()) {
            (_, false) => None,
            (Self::Green { .. }, true) => Core::here().and_then(|core| core.signals.take()),
            (Self::Os(_), true) => SPARES.try_with(Spares::take).ok().flatten(),
        };
        let Some(mut spare) = spare else {
            return Arc::new(Signal {
                is_set: AtomicBool::new(false),
                is_set_here: Cell::new(false),
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
}
