//! The reactor's system calls that can run out of something; its unit tests put
//! `sys_with_faults.rs` in their place.

use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// epoll_create1(2).
pub(in crate::reactor) fn create_epoll() -> io::Result<Epoll> {
    Ok(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)
}

/// eventfd(2).
pub(in crate::reactor) fn create_eventfd() -> io::Result<EventFd> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    Ok(EventFd::from_value_and_flags(0, flags)?)
}

/// epoll_ctl(2) with `EPOLL_CTL_ADD`.
pub(in crate::reactor) fn add(
    epoll: &Epoll,
    fd: BorrowedFd<'_>,
    event: EpollEvent,
) -> io::Result<()> {
    Ok(epoll.add(fd, event)?)
}
