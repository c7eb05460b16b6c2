//! The system calls that map, guard, measure and trim stacks, each turned into an [`io::Result`]
//! and nothing more. Called by `slab`, `guard`, `watermark` and `signal_stack`. Unit tests see
//! `sys_with_faults.rs` in its place, which can make the k-th call fail.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Page size of this machine in bytes.
#[inline]
pub(in crate::stack) fn page_size() -> usize {
    /// The answer of the first call; zero before it.
    static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

    let known = PAGE_SIZE.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: sysconf reads a number and touches no memory of ours.
    let asked = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let bytes = usize::try_from(asked).expect("the page size is positive");
    PAGE_SIZE.store(bytes, Ordering::Relaxed);
    bytes
}

/// Reserves `bytes` of zeroed private memory, of which nothing is resident and nothing counts
/// against the commit limit.
pub(in crate::stack) fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a new anonymous mapping at an address that the kernel chooses overlaps nothing.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(start.cast()).expect("mmap does not place a mapping at address zero"))
}

/// Gives a whole mapping back.
///
/// # Safety
///
/// `start` and `bytes` are one mapping of [`map`], and nobody uses it any more.
pub(in crate::stack) unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller hands over the whole mapping.
    let result = unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
    // A whole mapping cannot be refused; splitting one could.
    debug_assert_eq!(result, 0, "munmap: {}", io::Error::last_os_error());
}

/// Gives the kernel `advice` about a range of pages.
///
/// # Safety
///
/// The range belongs to a mapping of [`map`], and nobody relies on contents that the advice
/// discards.
pub(in crate::stack) unsafe fn advise(
    start: *mut u8,
    bytes: usize,
    advice: libc::c_int,
) -> io::Result<()> {
    // SAFETY: forwarded from the caller.
    match unsafe { libc::madvise(start.cast(), bytes, advice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives the kernel `advice` about many ranges in one call, and says for how many bytes it was
/// taken.
///
/// # Safety
///
/// As for [`advise`], for every range.
pub(in crate::stack) unsafe fn advise_each(
    ranges: &[libc::iovec],
    advice: libc::c_int,
) -> io::Result<usize> {
    // A descriptor kept for longer would stand for the parent in a forked child.
    // SAFETY: getpid has no preconditions.
    let own_id = unsafe { libc::getpid() };
    // SAFETY: pidfd_open takes two numbers.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, own_id, 0) };
    if process < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel reads `ranges.len()` entries; the ranges themselves are the caller's
    // promise.
    let advised = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            process,
            ranges.as_ptr(),
            ranges.len(),
            advice,
            0,
        )
    };
    let result = usize::try_from(advised).map_err(|_| io::Error::last_os_error());
    let descriptor = libc::c_int::try_from(process).expect("a descriptor fits an int");
    // SAFETY: the descriptor was opened above and is known to nobody else.
    unsafe { libc::close(descriptor) };
    result
}

/// Takes all access to a range of pages away.
///
/// # Safety
///
/// The range belongs to a mapping of [`map`], and nobody uses it.
pub(in crate::stack) unsafe fn protect(start: *mut u8, bytes: usize) -> io::Result<()> {
    // SAFETY: forwarded from the caller.
    match unsafe { libc::mprotect(start.cast(), bytes, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes for each page from `start` on whether it is resident (lowest bit set) into `pages`.
pub(in crate::stack) fn residency(start: *mut u8, pages: &mut [u8]) -> io::Result<()> {
    // SAFETY: the kernel writes one byte a page into `pages` and only looks at page tables for the
    // range.
    let result =
        unsafe { libc::mincore(start.cast(), pages.len() * page_size(), pages.as_mut_ptr()) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
