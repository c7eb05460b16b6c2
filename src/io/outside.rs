//! The same calls outside a runtime: they block the OS thread in poll(2), as std's would in the
//! call itself.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::clock::Instant;
use crate::reactor::Direction;

/// Whether a call in `direction` would not block now.
pub(super) fn is_ready(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    poll_once(fd, direction, PollTimeout::ZERO)
}

/// Repeats `op` until it does not say `WouldBlock`, and waits in between, for `timeout` in all.
pub(super) fn repeat<R>(
    fd: BorrowedFd<'_>,
    direction: Direction,
    timeout: Option<Duration>,
    mut op: impl FnMut() -> io::Result<R>,
) -> io::Result<R> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        match op() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(fd, direction, deadline)?
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

pub(super) fn wait(
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<Instant>,
) -> io::Result<()> {
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                None | Some(Duration::ZERO) => {
                    return Err(io::Error::from_raw_os_error(libc::EAGAIN));
                }
                // Rounded up, so that the wait is never short; the longest is cut and done again.
                Some(left) => {
                    let millis = left.as_nanos().div_ceil(1_000_000);
                    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
                }
            },
        };
        if poll_once(fd, direction, timeout)? {
            return Ok(());
        }
    }
}

fn poll_once(fd: BorrowedFd<'_>, direction: Direction, timeout: PollTimeout) -> io::Result<bool> {
    let interest = match direction {
        Direction::Read => PollFlags::POLLIN,
        Direction::Write => PollFlags::POLLOUT,
    };
    let mut fds = [PollFd::new(fd, interest)];
    match poll(&mut fds, timeout) {
        Ok(count)
            if count > 0
                && fds[0]
                    .revents()
                    .is_some_and(|got| got.contains(PollFlags::POLLNVAL)) =>
        {
            Err(Errno::EBADF.into())
        }
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
