//! Reads of files whose data are in memory already: `RWF_NOWAIT` asks the kernel to say so, and to
//! read nothing otherwise. `fs` saves a hop to another OS thread by it.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::park::Core;

/// Reads what is in memory at the file's own position. `None` where nothing was read, since the
/// disk would have to be asked, or the file system does not know how to tell.
pub(crate) fn read_cached(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Option<usize> {
    // An offset of -1 is the file's position.
    read(fd, buffer, -1)
}

/// As [`read_cached`], at `offset`.
pub(crate) fn read_cached_at(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> Option<usize> {
    read(fd, buffer, i64::try_from(offset).ok()?)
}

fn read(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: i64) -> Option<usize> {
    let buffer = IoSliceMut::new(buffer);
    let vector = (&raw const buffer).cast::<libc::iovec>();
    // SAFETY: an `IoSliceMut` is an `iovec`, of memory that is borrowed exclusively for the call.
    let count = unsafe { libc::preadv2(fd.as_raw_fd(), vector, 1, offset, libc::RWF_NOWAIT) };
    // Not in memory; interrupted; not known to the file system, the kernel or an emulator: the way
    // over the pool finds out what else there is.
    let count = usize::try_from(count).ok()?;
    // A loop of reads that never wait lets others run too.
    if let Some(core) = Core::current() {
        core.spend();
    }
    Some(count)
}
