//! `stdout`, with a buffer of lines, and `stderr`, without one.

use std::fmt;
use std::io::{self, IoSlice, LineWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::process::Stdio;
use std::sync::{LazyLock, PoisonError};

use super::raw::{Standard, write_once, write_outside};
use super::turn::{Turn, Turns};
use crate::sync::Mutex;

/// What goes to the standard output, and whose turn it is. The mutex is taken for each write, by
/// the thread whose turn it is, so nobody waits for it.
pub(super) static OUTPUT: LazyLock<Mutex<LineWriter<Output>>> = LazyLock::new(|| {
    flush_at_exit();
    Mutex::new(LineWriter::new(Output { how: How::Parks }))
});
pub(super) static OUTPUT_TURNS: Turns = Turns::new();
pub(super) static ERROR_TURNS: Turns = Turns::new();

/// The standard output below its buffer.
pub(super) struct Output {
    how: How,
}

/// How the standard output is written.
#[derive(Clone, Copy, Debug)]
enum How {
    Parks,
    /// By one attempt, which does not wait.
    Polls,
    /// The process ends, so nobody else could run.
    Exits,
}

/// Does one thing to the buffer of the standard output that makes attempts only, and does not wait.
pub(super) fn poll_output(
    f: impl FnOnce(&mut LineWriter<Output>) -> io::Result<usize>,
) -> io::Result<usize> {
    // It is the turn of who comes here, so nobody is in the middle of a write.
    let mut output = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
    let how = std::mem::replace(&mut output.get_mut().how, How::Polls);
    let result = f(&mut output);
    output.get_mut().how = how;
    result
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.how {
            How::Parks => Standard::Out.write(buf),
            How::Polls => write_once(Standard::Out.as_fd(), buf),
            How::Exits => write_outside(Standard::Out.as_fd(), buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What lies in the buffer when the process exits is written, as std does; statics are not dropped.
fn flush_at_exit() {
    extern "C" fn flush() {
        // Nobody may be in the middle of a write; who is will not end it.
        if let Ok(mut writer) = OUTPUT.try_lock() {
            writer.get_mut().how = How::Exits;
            let _ = writer.flush();
            // What is written by other exit handlers is written at once.
            *writer = LineWriter::with_capacity(0, Output { how: How::Exits });
        }
    }
    // SAFETY: the handler is a function of this crate, which does not unwind: it calls system calls
    // and std's buffer. Where there is no memory to remember it, the rest of a line is lost.
    unsafe { libc::atexit(flush) };
}

/// The standard output, as [`std::io::stdout`].
///
/// A green thread that has to wait for room, or for another one that holds the lock, parks. The mode
/// of the file descriptor, which other processes share, stays as it is. Its buffer of lines is not
/// std's, but what lies in std's is written before anything else, so that a prompt of std's `print!`
/// shows when this one is flushed.
///
/// # Examples
///
/// ```
/// use greenlit::io::{self, Write};
///
/// greenlit::run(|| {
///     let mut out = io::stdout().lock();
///     writeln!(out, "one line")?;
///     writeln!(out, "and another, with none of anybody else's in between")
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
#[must_use]
pub fn stdout() -> Stdout {
    Stdout { _private: () }
}

/// The standard error, as [`std::io::stderr`]. It has no buffer.
#[must_use]
pub fn stderr() -> Stderr {
    Stderr { _private: () }
}

/// A handle to the standard output, as [`std::io::Stdout`].
///
/// # Cancellation
///
/// A cancelled green thread unwinds from a write. What it does while it unwinds is written all the
/// same.
pub struct Stdout {
    _private: (),
}

/// A handle to the standard error, as [`std::io::Stderr`].
///
/// # Cancellation
///
/// As [`Stdout`].
pub struct Stderr {
    _private: (),
}

/// The standard output, for one thread alone, as [`std::io::StdoutLock`]. That thread may lock it
/// again.
///
/// # Cancellation
///
/// As [`Stdout`].
#[must_use = "if unused stdout will immediately unlock"]
pub struct StdoutLock<'a> {
    _turn: Turn<'a>,
}

/// The standard error, for one thread alone, as [`std::io::StderrLock`]. That thread may lock it
/// again.
///
/// # Cancellation
///
/// As [`Stdout`].
#[must_use = "if unused stderr will immediately unlock"]
pub struct StderrLock<'a> {
    _turn: Turn<'a>,
}

impl Stdout {
    /// Parks until nobody else writes, and keeps others from it.
    pub fn lock(&self) -> StdoutLock<'static> {
        // Before the turn is taken, since an OS thread that has std's lock may wait for it. What is
        // wrong with the file will be said of the caller's own bytes.
        let _ = io::stdout().flush();
        StdoutLock {
            _turn: OUTPUT_TURNS.take(),
        }
    }
}

impl Stderr {
    /// Parks until nobody else writes, and keeps others from it.
    pub fn lock(&self) -> StderrLock<'static> {
        StderrLock {
            _turn: ERROR_TURNS.take(),
        }
    }
}

impl Write for StdoutLock<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut output = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
        output.write(buf)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        let mut output = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_all(buf)
    }

    /// Writes what lies in the buffer, and what std's `print!` left in std's.
    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()?;
        let mut output = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
        output.flush()
    }
}

impl Write for StderrLock<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Standard::Err.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What both streams have, each with its lock.
macro_rules! stream {
    ($stream:ident, $lock:ident, $standard:ident, $number:ident, $std:ident) => {
        /// Each call locks for its own length.
        impl Write for &$stream {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.lock().write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.lock().write_vectored(bufs)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.lock().write_all(buf)
            }

            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                self.lock().write_fmt(args)
            }

            fn flush(&mut self) -> io::Result<()> {
                self.lock().flush()
            }
        }

        impl Write for $stream {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                (&*self).write_all(buf)
            }

            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                (&*self).write_fmt(args)
            }

            fn flush(&mut self) -> io::Result<()> {
                (&*self).flush()
            }
        }

        impl AsFd for $stream {
            fn as_fd(&self) -> BorrowedFd<'_> {
                Standard::$standard.as_fd()
            }
        }

        impl AsRawFd for $stream {
            fn as_raw_fd(&self) -> RawFd {
                libc::$number
            }
        }

        impl AsFd for $lock<'_> {
            fn as_fd(&self) -> BorrowedFd<'_> {
                Standard::$standard.as_fd()
            }
        }

        impl AsRawFd for $lock<'_> {
            fn as_raw_fd(&self) -> RawFd {
                libc::$number
            }
        }

        /// A child process gets the same stream.
        impl From<$stream> for Stdio {
            fn from(_: $stream) -> Stdio {
                io::$std().into()
            }
        }

        impl fmt::Debug for $stream {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($stream)).finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $lock<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($lock)).finish_non_exhaustive()
            }
        }
    };
}

stream!(Stdout, StdoutLock, Out, STDOUT_FILENO, stdout);
stream!(Stderr, StderrLock, Err, STDERR_FILENO, stderr);
