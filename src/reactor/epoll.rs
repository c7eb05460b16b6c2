//! The boundary to epoll(7): create, add, delete, and a wait whose timeout counts in nanoseconds.

use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::sys;

/// Events that one wait takes at first; a full buffer doubles, up to `MOST_EVENTS`.
const FIRST_EVENTS: usize = 256;
const MOST_EVENTS: usize = 4096;

/// What epoll hands back for the timer of kernels without `epoll_pwait2`; no entry has this index.
const TIMER: u64 = u64::MAX - 1;

/// How long a turn may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// Not at all.
    Zero,
    /// Until an event or for so many nanoseconds.
    Nanos(u64),
    /// Until an event.
    Never,
}

/// An epoll instance and its event buffer.
pub(super) struct Epoll {
    epoll: nix::sys::epoll::Epoll,
    /// Only the OS thread that takes the turns touches it (invariant 46).
    events: UnsafeCell<Vec<EpollEvent>>,
    /// Where the kernel has no `epoll_pwait2` (before 5.11): the timer that stands in for its
    /// timeout.
    timer: OnceLock<TimerFd>,
}

// SAFETY: the event buffer is touched in `wait` alone, which only the reactor that owns this
// instance calls, and a reactor stays on one OS thread (invariant 46); all else is file
// descriptors.
unsafe impl Sync for Epoll {}
// SAFETY: as above; nothing in it is bound to the OS thread that made it.
unsafe impl Send for Epoll {}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: sys::create_epoll()?,
            events: UnsafeCell::new(vec![EpollEvent::empty(); FIRST_EVENTS]),
            timer: OnceLock::new(),
        })
    }

    pub(super) fn add(&self, fd: BorrowedFd<'_>, flags: EpollFlags, token: u64) -> io::Result<()> {
        sys::add(&self.epoll, fd, EpollEvent::new(flags, token))
    }

    pub(super) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(self.epoll.delete(fd)?)
    }

    /// Waits, then calls `each` with the token and flags of every event.
    #[inline]
    pub(super) fn wait(
        &self,
        timeout: Timeout,
        mut each: impl FnMut(u64, EpollFlags),
    ) -> io::Result<()> {
        // SAFETY: invariant 46: one OS thread waits, and `each` never comes back here.
        let events = unsafe { &mut *self.events.get() };
        let count = match self.wait_nanos(events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        for event in &events[..count] {
            if event.data() != TIMER {
                each(event.data(), event.events());
            }
        }
        if count == events.len() && count < MOST_EVENTS {
            events.resize(count * 2, EpollEvent::empty());
        }
        Ok(())
    }

    fn wait_nanos(&self, events: &mut [EpollEvent], timeout: Timeout) -> Result<usize, Errno> {
        /// Whether this kernel has been seen to lack `epoll_pwait2`.
        static LACKING: AtomicBool = AtomicBool::new(false);
        let nanos = match timeout {
            Timeout::Zero => return self.wait_millis(events, 0),
            Timeout::Never => return self.wait_millis(events, -1),
            Timeout::Nanos(nanos) => nanos,
        };
        if LACKING.load(Ordering::Relaxed) {
            return self.wait_timer(events, nanos);
        }
        match self.pwait2(events, nanos) {
            // Some sandboxes answer EPERM to a call that they do not know.
            Err(Errno::ENOSYS | Errno::EPERM) => {
                LACKING.store(true, Ordering::Relaxed);
                self.wait_timer(events, nanos)
            }
            result => result,
        }
    }

    fn wait_millis(&self, events: &mut [EpollEvent], millis: libc::c_int) -> Result<usize, Errno> {
        let capacity = i32::try_from(events.len()).expect("the buffer is bounded");
        // SAFETY: `EpollEvent` is a transparent epoll_event, and the buffer has room for `capacity`
        // of them.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.0.as_raw_fd(),
                events.as_mut_ptr().cast(),
                capacity,
                millis,
            )
        };
        Errno::result(count).map(|count| usize::try_from(count).unwrap_or(0))
    }

    fn pwait2(&self, events: &mut [EpollEvent], nanos: u64) -> Result<usize, Errno> {
        let capacity = i32::try_from(events.len()).expect("the buffer is bounded");
        let timeout = TimeSpec::from_duration(Duration::from_nanos(nanos));
        // SAFETY: as in `wait_millis`; the timeout is a timespec that lives through the call, and a
        // null signal mask leaves the mask as it is.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.0.as_raw_fd(),
                events.as_mut_ptr(),
                capacity,
                ptr::from_ref(timeout.as_ref()),
                ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        Errno::result(count).map(|count| usize::try_from(count).unwrap_or(0))
    }

    /// Waits with a timerfd in the set, since epoll_wait(2) rounds to milliseconds.
    #[cold]
    fn wait_timer(&self, events: &mut [EpollEvent], nanos: u64) -> Result<usize, Errno> {
        let Ok(timer) = self.timer() else {
            // No file descriptor is free for it. Whole milliseconds are late, but not early.
            let millis = nanos.div_ceil(1_000_000);
            return self.wait_millis(events, i32::try_from(millis).unwrap_or(i32::MAX));
        };
        // A zero expiration would disarm the timer.
        let expiration =
            Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(nanos.max(1))));
        timer.set(expiration, TimerSetTimeFlags::empty())?;
        self.wait_millis(events, -1)
    }

    /// The timer, made and registered at the first call.
    fn timer(&self) -> Result<&TimerFd, Errno> {
        if let Some(timer) = self.timer.get() {
            return Ok(timer);
        }
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
        )?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        self.epoll
            .add(timer.as_fd(), EpollEvent::new(flags, TIMER))?;
        Ok(self.timer.get_or_init(|| timer))
    }
}

impl fmt::Debug for Epoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Epoll")
            .field(&self.epoll.0.as_raw_fd())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behaviour 10, where the kernel has no `epoll_pwait2`.
    #[test]
    fn the_timer_stands_in_for_the_timeout() {
        let epoll = Epoll::new().unwrap();
        let mut events = vec![EpollEvent::empty(); 4];
        for nanos in [0, 1, 200_000, 50_000] {
            let start = crate::clock::now();
            assert_eq!(epoll.wait_timer(&mut events, nanos).unwrap(), 1);
            assert_eq!(events[0].data(), TIMER);
            assert!(crate::clock::now() - start >= nanos);
        }
    }
}
