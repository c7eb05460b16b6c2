//! The notifier: an eventfd by which any OS thread ends a reactor's sleep. It is registered
//! edge-triggered, so each write is an event of its own and nobody has to read the counter.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use super::sys;

/// Wakes the OS thread from outside.
#[derive(Debug)]
pub(super) struct Notifier(EventFd);

impl Notifier {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(sys::create_eventfd()?))
    }

    pub(super) fn notify(&self) {
        // The counter is full after 2^64 - 2 writes that nobody read: start anew, and write again.
        // No other error is possible on an eventfd that this object owns (eventfd(2)).
        if self.0.write(1) == Err(Errno::EAGAIN) {
            let _ = self.0.read();
            let _ = self.0.write(1);
        }
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
