//! `stdin`: one buffer for the whole process, as std's, and not the same.

use std::fmt;
use std::io::{self, BufRead, BufReader, IoSliceMut, Lines, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{LazyLock, PoisonError};

use nix::unistd;

use super::polled::Awaiters;
use super::raw::Standard;
use crate::sync::{Mutex, MutexGuard};

pub(super) static INPUT: LazyLock<Mutex<BufReader<Input>>> =
    LazyLock::new(|| Mutex::new(BufReader::new(Input { polls: false })));

/// The tasks that poll until nobody has locked the input.
pub(super) static INPUT_AWAITERS: Awaiters = Awaiters::new();

/// The standard input below its buffer.
pub(super) struct Input {
    /// Whether a read is one attempt, and does not park.
    pub(super) polls: bool,
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.polls {
            true => Ok(unistd::read(Standard::In.as_fd(), buf)?),
            false => Standard::In.read(buf),
        }
    }
}

/// The standard input, as [`std::io::stdin`].
///
/// A green thread that has to wait for input, or for another one that reads, parks. The mode of the
/// file descriptor, which other processes share, stays as it is. Its buffer is not std's: a program
/// reads by one of the two.
///
/// # Examples
///
/// ```no_run
/// use greenlit::io;
///
/// greenlit::run(|| {
///     // Others run while nothing is typed.
///     for line in io::stdin().lines() {
///         greenlit::println!("{}", line?.to_uppercase());
///     }
///     Ok::<(), io::Error>(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    Stdin { _private: () }
}

/// A handle to the standard input, as [`std::io::Stdin`].
///
/// # Cancellation
///
/// A cancelled green thread unwinds from a call that waits. What was read into the buffer stays for
/// the next.
pub struct Stdin {
    _private: (),
}

/// The standard input, for one thread alone, as [`std::io::StdinLock`].
///
/// # Cancellation
///
/// As [`Stdin`].
#[must_use = "if unused stdin will immediately unlock"]
pub struct StdinLock<'a> {
    inner: MutexGuard<'a, BufReader<Input>>,
    /// It goes after the guard.
    _wakes: WakesAwaiters,
}

/// Wakes who polls for the lock, once that is free.
struct WakesAwaiters;

impl Drop for WakesAwaiters {
    fn drop(&mut self) {
        INPUT_AWAITERS.wake();
    }
}

impl<'a> StdinLock<'a> {
    pub(super) fn new(inner: MutexGuard<'a, BufReader<Input>>) -> Self {
        Self {
            inner,
            _wakes: WakesAwaiters,
        }
    }

    pub(super) fn reader(&mut self) -> &mut BufReader<Input> {
        &mut self.inner
    }
}

impl Stdin {
    /// Parks until nobody else reads, and keeps others from it.
    pub fn lock(&self) -> StdinLock<'static> {
        StdinLock::new(INPUT.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends one line, with its end, to `buf`. Returns how many bytes that is; 0 at the end of
    /// the input.
    ///
    /// # Errors
    ///
    /// `InvalidData` where it is not UTF-8; what read(2) says.
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_line(buf)
    }

    /// The lines from here on, without their ends. Others are kept from the input until the
    /// iterator is dropped.
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }
}

impl Read for StdinLock<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.inner.read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.inner.read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.inner.read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(buf)
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.inner.consume(n);
    }

    fn read_until(&mut self, byte: u8, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.inner.read_until(byte, buf)
    }

    fn read_line(&mut self, buf: &mut String) -> io::Result<usize> {
        self.inner.read_line(buf)
    }
}

/// Each call locks for its own length.
impl Read for &Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.lock().read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buf)
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        Standard::In.as_fd()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        libc::STDIN_FILENO
    }
}

impl AsFd for StdinLock<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        Standard::In.as_fd()
    }
}

impl AsRawFd for StdinLock<'_> {
    fn as_raw_fd(&self) -> RawFd {
        libc::STDIN_FILENO
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

impl fmt::Debug for StdinLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}
