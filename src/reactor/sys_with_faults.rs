//! `sys.rs` as unit tests see it: the same calls, of which a test can make the k-th fail. It stands
//! in for a machine that runs out of file descriptors or watches.

#[path = "sys.rs"]
mod real;

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::epoll::{Epoll, EpollEvent};
use nix::sys::eventfd::EventFd;

thread_local! {
    /// How many more calls succeed before one fails; negative: all succeed.
    static COUNTDOWN: Cell<i64> = const { Cell::new(-1) };
}

/// Lets the call after the next `calls` ones on this OS thread fail, once.
pub(in crate::reactor) fn fail_after(calls: i64) {
    COUNTDOWN.set(calls);
}

/// Whether the failure that was asked for has not happened yet; takes it back.
pub(in crate::reactor) fn take_back_failure() -> bool {
    COUNTDOWN.replace(-1) >= 0
}

/// Counts a call, and fails with `errno` if its turn has come.
fn count(errno: i32) -> io::Result<()> {
    let left = COUNTDOWN.get();
    COUNTDOWN.set((left - 1).max(-1));
    match left {
        0 => Err(io::Error::from_raw_os_error(errno)),
        _ => Ok(()),
    }
}

/// `real::create_epoll`, counted.
pub(in crate::reactor) fn create_epoll() -> io::Result<Epoll> {
    count(libc::EMFILE)?;
    real::create_epoll()
}

/// `real::create_eventfd`, counted.
pub(in crate::reactor) fn create_eventfd() -> io::Result<EventFd> {
    count(libc::EMFILE)?;
    real::create_eventfd()
}

/// `real::add`, counted.
pub(in crate::reactor) fn add(
    epoll: &Epoll,
    fd: BorrowedFd<'_>,
    event: EpollEvent,
) -> io::Result<()> {
    count(libc::ENOSPC)?;
    real::add(epoll, fd, event)
}
