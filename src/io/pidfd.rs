//! `pidfd_open(2)`, which nix does not offer. Called by `process`.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A file descriptor that becomes readable when the process has ended.
///
/// # Errors
///
/// `ENOSYS` before Linux 5.3 and under emulators, `ESRCH` where there is no such process, `EMFILE`.
pub(crate) fn open_pidfd(process: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers and touches no memory of this process; each number that
    // it does not like is an error.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    let number = RawFd::try_from(number).expect("the kernel's file descriptors fit");
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made `number` for this call, with `CLOEXEC` set, so nobody else
    // owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
