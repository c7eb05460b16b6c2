//! `sys.rs` as unit tests see it: the same calls, of which a test can make the k-th fail.
//! It stands in for a machine that runs out of mappings, memory or address space.

#[path = "sys.rs"]
mod real;

pub(in crate::stack) use self::real::{page_size, residency, unmap};

use std::cell::Cell;
use std::io;
use std::ptr::NonNull;

thread_local! {
    /// How many more calls succeed before one fails; negative: all succeed.
    static COUNTDOWN: Cell<i64> = const { Cell::new(-1) };

    /// Whether advice and protection are refused.
    static PAGES_REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Lets the call after the next `calls` ones on this OS thread fail with ENOMEM, once.
pub(in crate::stack) fn fail_after(calls: i64) {
    COUNTDOWN.set(calls);
}

/// Whether the failure that was asked for has not happened yet; takes it back.
pub(in crate::stack) fn take_back_failure() -> bool {
    COUNTDOWN.replace(-1) >= 0
}

/// Lets all advice and protection on this OS thread fail with ENOMEM, as where there are too many
/// mappings, or no longer.
pub(in crate::stack) fn refuse_pages(refused: bool) {
    PAGES_REFUSED.set(refused);
}

/// Counts a call about pages of a mapping, and fails if its turn has come or all are refused.
fn count_pages() -> io::Result<()> {
    if PAGES_REFUSED.get() {
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    count()
}

/// Counts a call, and fails if its turn has come.
fn count() -> io::Result<()> {
    let left = COUNTDOWN.get();
    COUNTDOWN.set((left - 1).max(-1));
    match left {
        0 => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
        _ => Ok(()),
    }
}

/// [`real::map`], counted.
pub(in crate::stack) fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    count()?;
    real::map(bytes)
}

/// [`real::advise`], counted.
///
/// # Safety
///
/// As for [`real::advise`].
pub(in crate::stack) unsafe fn advise(
    start: *mut u8,
    bytes: usize,
    advice: libc::c_int,
) -> io::Result<()> {
    count_pages()?;
    // SAFETY: forwarded from the caller.
    unsafe { real::advise(start, bytes, advice) }
}

/// [`real::advise_each`], counted.
///
/// # Safety
///
/// As for [`real::advise_each`].
pub(in crate::stack) unsafe fn advise_each(
    ranges: &[libc::iovec],
    advice: libc::c_int,
) -> io::Result<usize> {
    count_pages()?;
    // SAFETY: forwarded from the caller.
    unsafe { real::advise_each(ranges, advice) }
}

/// [`real::protect`], counted.
///
/// # Safety
///
/// As for [`real::protect`].
pub(in crate::stack) unsafe fn protect(start: *mut u8, bytes: usize) -> io::Result<()> {
    count_pages()?;
    // SAFETY: forwarded from the caller.
    unsafe { real::protect(start, bytes) }
}
