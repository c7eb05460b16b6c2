//! Guard pages: the page at the limit of each stack that faults when a stack overflows. Lightweight
//! guards (Linux 6.13) where they are proven to work, `mprotect` elsewhere. Called by `slab` before
//! a slot is first handed out.

use super::sys;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// `MADV_GUARD_INSTALL` of linux/mman.h, which libc does not name everywhere: the pages fault, the
/// mapping stays in one piece.
const GUARD_INSTALL: libc::c_int = 102;

/// How many guards one system call installs: measured, a guard costs 0.9 µs alone, 0.55 µs from 16
/// in one call on.
pub(super) const BATCH: usize = 64;

/// Makes the first pages of up to `count` slots guards, `stride` bytes apart from `first` on, and
/// says how many it made: at least one.
///
/// # Errors
///
/// Not even the first slot could be guarded. `vm.max_map_count` is the usual cause where `mprotect`
/// has to be used: it splits the mapping in two at each guard.
///
/// # Safety
///
/// All `count` pages belong to one mapping of [`sys::map`], and nobody uses them.
pub(super) unsafe fn install(first: *mut u8, stride: usize, count: usize) -> io::Result<usize> {
    if lightweight_guards_work() {
        // SAFETY: forwarded from the caller.
        let installed = unsafe { install_lightweight(first, stride, count.min(BATCH)) };
        if installed > 0 {
            return Ok(installed);
        }
        // The process may have called mlockall since the probe; mprotect still works then.
    }
    // SAFETY: forwarded from the caller.
    match unsafe { sys::protect(first, sys::page_size()) } {
        Ok(()) => Ok(1),
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Err(io::Error::new(
            error.kind(),
            format!(
                "cannot guard another stack: {error}: the process has as many mappings as vm.max_map_count allows; \
                 raise it (sysctl -w vm.max_map_count=…) or run fewer green threads"
            ),
        )),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("cannot guard a stack with mprotect: {error}"),
        )),
    }
}

/// Installs lightweight guards, all in one system call if the kernel can, and says how many there
/// are.
///
/// # Safety
///
/// As for [`install`].
unsafe fn install_lightweight(first: *mut u8, stride: usize, count: usize) -> usize {
    /// Whether the kernel was found not to take many guards at once.
    static ONE_BY_ONE: AtomicBool = AtomicBool::new(false);

    let page = sys::page_size();
    let empty = libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    };
    let mut ranges = [empty; BATCH];
    for (index, range) in ranges.iter_mut().enumerate().take(count) {
        range.iov_base = first.wrapping_add(index * stride).cast();
        range.iov_len = page;
    }

    // Advice for many ranges at once is young (Linux 6.13, and not in every sandbox): where it is
    // unknown they go one by one.
    if !ONE_BY_ONE.load(Ordering::Relaxed) {
        // SAFETY: forwarded from the caller; the pages hold nothing.
        match unsafe { sys::advise_each(&ranges[..count], GUARD_INSTALL) } {
            Ok(bytes) if bytes >= page => return bytes / page,
            Ok(_) => {}
            Err(error) => {
                let unknown = [libc::ENOSYS, libc::EINVAL, libc::EPERM].map(Some);
                if unknown.contains(&error.raw_os_error()) {
                    ONE_BY_ONE.store(true, Ordering::Relaxed);
                }
            }
        }
    }
    // SAFETY: forwarded from the caller; the page holds nothing.
    match unsafe { sys::advise(first, page, GUARD_INSTALL) } {
        Ok(()) => 1,
        Err(_) => 0,
    }
}

/// Whether `MADV_GUARD_INSTALL` makes pages fault here. Tried once a process.
fn lightweight_guards_work() -> bool {
    const UNKNOWN: u8 = 0;
    const WORK: u8 = 1;
    const DO_NOT: u8 = 2;
    /// What the probe found.
    static FOUND: AtomicU8 = AtomicU8::new(UNKNOWN);

    match FOUND.load(Ordering::Relaxed) {
        UNKNOWN => {}
        found => return found == WORK,
    }
    // A probe that could not be made (no descriptor or memory left) says nothing about the next.
    let Ok(work) = probe() else { return false };
    FOUND.store(if work { WORK } else { DO_NOT }, Ordering::Relaxed);
    work
}

/// Guards a page and lets the kernel read from it: an emulator that answers 0 to advice it does not
/// know is found out.
fn probe() -> io::Result<bool> {
    let page = sys::map(sys::page_size())?;
    // SAFETY: the page was mapped above and holds nothing.
    let installed = unsafe { sys::advise(page.as_ptr(), sys::page_size(), GUARD_INSTALL) };
    let work = match installed {
        Ok(()) => faults(page.as_ptr()),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    };
    // SAFETY: the page was mapped above and is known to nobody else.
    unsafe { sys::unmap(page, sys::page_size()) };
    work
}

/// Whether the byte at `address` cannot be read: whether the kernel refuses to write it into a pipe
/// with EFAULT.
pub(super) fn faults(address: *const u8) -> io::Result<bool> {
    let (_reader, writer) = io::pipe()?;
    // SAFETY: the kernel reads one byte, or refuses where there is none.
    match unsafe { libc::write(writer.as_raw_fd(), address.cast(), 1) } {
        -1 => Ok(io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)),
        _ => Ok(false),
    }
}
