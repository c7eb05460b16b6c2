//! `readable` and `writable`: readiness as a future.

use crate::io::{Pollable, Readiness};

/// A future that a read from `source` would not block: there is something to read, or the end, or an
/// error.
///
/// Any number of futures and green threads may wait for one source. The kernel is asked, so what the
/// caller has read before, by whatever way, is known. Polled outside a runtime it blocks the OS thread.
///
/// # Errors
///
/// What the kernel says to a file descriptor that cannot be waited for.
///
/// # Cancellation
///
/// Nothing is lost where the future is dropped.
///
/// # Examples
///
/// ```
/// use greenlit::{future, io};
/// use greenlit::io::{Read, Write};
///
/// greenlit::run(|| -> io::Result<()> {
///     let (mut reader, mut writer) = io::pipe()?;
///     writer.write_all(b"x")?;
///     future::block_on(future::readable(&reader))?;
///     reader.read_exact(&mut [0])
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
pub fn readable<S: Pollable + ?Sized>(source: &S) -> Readiness<'_> {
    source.watch_readable().into_readiness()
}

/// A future that a write to `source` would not block; otherwise as [`readable`].
///
/// # Errors
///
/// As [`readable`].
///
/// # Cancellation
///
/// As [`readable`].
pub fn writable<S: Pollable + ?Sized>(source: &S) -> Readiness<'_> {
    source.watch_writable().into_readiness()
}
