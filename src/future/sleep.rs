//! `Sleep`: a point in time as a future. In a runtime its timer lies with those of the green threads;
//! outside, with an OS thread that `outside.rs` keeps.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::outside;
use crate::clock::{self, Instant};
use crate::park::{Core, Mailbox, Parcel, refuse_in_child};

/// A future that is ready when `duration` has passed since this call. One past the clock's end never
/// is.
///
/// It is [`thread::sleep`](crate::thread::sleep) for async code, and needs no stack.
///
/// # Panics
///
/// Where it is polled outside a runtime, by an OS thread, and none can be started that wakes it.
///
/// # Cancellation
///
/// A sleep that is dropped leaves nothing behind.
///
/// # Examples
///
/// ```
/// use greenlit::future;
/// use greenlit::time::{Duration, Instant};
///
/// greenlit::run(|| {
///     let start = Instant::now();
///     future::block_on(future::sleep(Duration::from_millis(2)));
///     assert!(start.elapsed() >= Duration::from_millis(2));
/// });
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::until(clock::after(duration))
}

/// A future that is ready at `deadline`; with a deadline that has passed it lets others run first, as
/// [`thread::sleep_until`](crate::thread::sleep_until) does.
///
/// # Panics
///
/// As [`sleep`].
///
/// # Cancellation
///
/// As [`sleep`].
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::until(deadline.nanos())
}

/// A future that is ready at a point in time, and never before; made by [`sleep`] and [`sleep_until`].
///
/// In a runtime those fire in the order of their deadlines, equal ones in the order in which they were
/// polled first, and green threads that sleep stand in the same order. It belongs to no runtime: it
/// may be sent to other OS threads, and be polled by any executor, which is woken from the runtime's
/// own OS thread or, outside a runtime, from one named `greenlit-timer`. The end of a run wakes whoever
/// awaits it still, to be polled elsewhere. An executor of another crate that blocks the OS thread of a
/// runtime, in one of its green threads, blocks what would wake it.
///
/// # Examples
///
/// ```
/// use greenlit::future;
/// use greenlit::time::{Duration, Instant};
///
/// greenlit::run(|| {
///     let start = Instant::now();
///     let mut sleep = future::sleep(Duration::from_secs(3600));
///     sleep.reset(start + Duration::from_millis(2));
///     assert!(!sleep.is_elapsed());
///     future::block_on(&mut sleep);
///     assert!(sleep.is_elapsed());
/// });
/// ```
#[must_use = "a future does nothing until it is polled: await it"]
pub struct Sleep {
    /// In nanoseconds since the epoch; `u64::MAX` never comes.
    deadline: u64,
    timer: Timer,
}

const _: () = assert!(size_of::<Sleep>() == 24);

/// What has become of a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// Nobody is to be woken.
    Unset,
    /// The deadline had passed when it was first polled: it lets others run once.
    Yields,
    /// It has a slot among the timers of the runtime `serial`, set or fired.
    Slot { serial: u64, number: u32 },
    /// It is known to the OS thread that wakes those outside a runtime.
    Outside { key: u64 },
    /// It was ready.
    Done,
}

impl Sleep {
    pub(super) const fn until(deadline: u64) -> Self {
        Self {
            deadline,
            timer: Timer::Unset,
        }
    }

    /// A sleep whose timer is set already, in `core`; it wakes nobody before what is returned was called
    /// with whom to wake.
    pub(crate) fn set_in(core: &Core, deadline: u64) -> (Self, impl FnOnce(Waker)) {
        let number = core.timers.set_future(deadline, Waker::noop().clone());
        let serial = core.serial;
        let sleep = Self {
            deadline,
            timer: Timer::Slot { serial, number },
        };
        (sleep, move |waker| change_waker(serial, number, waker))
    }

    /// When it is ready. For a deadline past what the clock counts, 584 years ahead, the last that it
    /// counts.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::from_nanos_or_last(self.deadline)
    }

    /// Whether the deadline has passed.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        self.timer == Timer::Done || clock::has_passed(self.deadline)
    }

    /// Moves the deadline, and whoever awaits it is woken by the new one. A sleep that was ready can be
    /// awaited again.
    pub fn reset(&mut self, deadline: Instant) {
        let deadline = deadline.nanos();
        let before = mem::replace(&mut self.deadline, deadline);
        let moved = match self.timer {
            Timer::Unset => return,
            Timer::Slot { serial, number } => {
                Core::numbered(serial).is_some_and(|core| core.timers.move_future(number, deadline))
            }
            Timer::Outside { key } => outside::move_to(before, key, deadline),
            Timer::Yields | Timer::Done => false,
        };
        if !moved {
            // Where it was set on another OS thread, its waker is woken there, and polls it anew.
            self.unset(before);
        }
    }

    /// Whether the deadline has passed; else the task is woken when it does. Unlike `poll` it does not
    /// let others run first.
    pub(crate) fn poll_deadline(&mut self, context: &Context<'_>) -> Poll<()> {
        if let Timer::Slot { serial, number } = self.timer
            && let Some(core) = Core::current().filter(|core| core.serial == serial)
        {
            if core.timers.future_has_fired(number) {
                return self.finish();
            }
            if core.timers.future_wakes(number, context.waker()) {
                return Poll::Pending;
            }
            // The user's code, in which the timer may fire.
            let waker = context.waker().clone();
            if let Some(core) = Core::numbered(serial) {
                if core.timers.future_has_fired(number) {
                    return self.finish();
                }
                drop(core.timers.replace_waker(number, waker));
                return Poll::Pending;
            }
        }
        if self.timer == Timer::Done || clock::has_passed(self.deadline) {
            return self.finish();
        }
        self.set(context.waker().clone());
        Poll::Pending
    }

    fn finish(&mut self) -> Poll<()> {
        self.unset(self.deadline);
        self.timer = Timer::Done;
        Poll::Ready(())
    }

    /// Has `waker` woken at the deadline, by those who are responsible where it is polled now.
    fn set(&mut self, waker: Waker) {
        let core = Core::current();
        if let (Timer::Outside { key }, None) = (self.timer, core) {
            let Some(waker) = outside::change_waker(self.deadline, key, waker) else {
                return;
            };
            // It fires just now.
            return waker.wake();
        }
        self.unset(self.deadline);
        self.timer = match Core::current() {
            Some(core) => Timer::Slot {
                serial: core.serial,
                number: core.timers.set_future(self.deadline, waker),
            },
            None => {
                refuse_in_child();
                Timer::Outside {
                    key: outside::set(self.deadline, waker),
                }
            }
        };
    }

    /// Gives up the timer, which is set to `deadline`.
    fn unset(&mut self, deadline: u64) {
        match mem::replace(&mut self.timer, Timer::Unset) {
            Timer::Slot { serial, number } => give_up(serial, number),
            // The waker that comes back is dropped with no lock held.
            Timer::Outside { key } => drop(outside::unset(deadline, key)),
            Timer::Unset | Timer::Yields | Timer::Done => {}
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.timer == Timer::Unset && clock::has_passed(self.deadline) {
            self.timer = Timer::Yields;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.poll_deadline(context)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.unset(self.deadline);
    }
}

/// Has a timer that is set wake `waker` instead of another, which is dropped when nothing of the
/// runtime is held: both may be anybody's.
fn change_waker(serial: u64, number: u32, waker: Waker) {
    let before = match Core::numbered(serial) {
        Some(core) => core.timers.replace_waker(number, waker),
        None => Some(waker),
    };
    drop(before);
}

/// Gives a slot back to its runtime.
fn give_up(serial: u64, number: u32) {
    match Core::numbered(serial) {
        Some(core) => {
            let waker = core.timers.free(number);
            drop(waker);
        }
        None => give_up_from_afar(serial, number),
    }
}

/// As `give_up`, where the runtime does not run on this OS thread. If it is gone, so are its slots.
#[cold]
fn give_up_from_afar(serial: u64, number: u32) {
    if let Some(mailbox) = Mailbox::of(serial) {
        mailbox.send(Arc::new(Abandoned { serial, number }));
    }
}

/// A slot that another OS thread has given up.
struct Abandoned {
    serial: u64,
    number: u32,
}

impl Parcel for Abandoned {
    fn open(&self) {
        if let Some(core) = Core::numbered(self.serial)
            && let Some(waker) = core.timers.free(self.number)
        {
            // It wakes for nothing, unless the deadline was moved. It cannot be dropped here, which
            // may run code of anybody's.
            core.wake(waker);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline())
            .field("is_elapsed", &self.is_elapsed())
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert_movable<T: Send + Sync + Unpin>() {}
    assert_movable::<Sleep>();
};
