//! The parent's ends of a child's pipes. They are in the non-blocking mode until somebody sees their
//! file descriptors; the child's ends, other open file descriptions, are not (rule 16).

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use std::pin::Pin;
use std::task::{Context, Poll};

use super::Stdio;
use crate::io::{End, Pollable, ReadyArm, Source, polled_end_is_read, polled_end_is_written};

/// Declares one end: its type, the pipe that it is, and the conversions that all three have.
macro_rules! end {
    ($(#[$docs:meta])* $name:ident($pipe:ident)) => {
        $(#[$docs])*
        ///
        /// Outside a runtime its calls block the OS thread.
        ///
        /// # Cancellation
        ///
        /// A cancelled green thread unwinds from a call that waits; see
        /// [`Source`](crate::io::Source).
        pub struct $name(End<$pipe>);

        impl From<std::process::$name> for $name {
            fn from(end: std::process::$name) -> Self {
                Self(End::from_own($pipe::from(OwnedFd::from(end))))
            }
        }

        /// It keeps its mode: a pipe in the blocking mode is asked by poll(2) before each call.
        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> Self {
                Self(End::from_elsewhere($pipe::from(fd)))
            }
        }

        /// It leaves the non-blocking mode, so that whoever it is handed to finds std's.
        impl From<$name> for OwnedFd {
            fn from(end: $name) -> Self {
                end.0.into_inner().into()
            }
        }

        /// It becomes a stream of another child's.
        impl From<$name> for Stdio {
            fn from(end: $name) -> Self {
                Stdio::from(OwnedFd::from(end))
            }
        }

        impl Pollable for $name {
            fn watch_readable(&self) -> ReadyArm<'_> {
                self.0.source().watch_readable()
            }

            fn watch_writable(&self) -> ReadyArm<'_> {
                self.0.source().watch_writable()
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.show().as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.show().as_raw_fd()
            }
        }

        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

/// Reading, for the two ends that are read.
macro_rules! readable {
    ($name:ident) => {
        impl Read for $name {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                // Nothing is wanted, so there is nothing to wait for.
                if buffer.is_empty() {
                    return Ok(0);
                }
                let what = concat!(stringify!($name), "::read");
                self.source()
                    .read_with(what, None, |mut pipe| pipe.read(buffer))
            }

            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let what = concat!(stringify!($name), "::read");
                self.source()
                    .read_with(what, None, |mut pipe| pipe.read_vectored(buffers))
            }
        }

        impl $name {
            /// The pipe on the reactor.
            pub(super) fn source(&self) -> &Source<PipeReader> {
                self.0.source()
            }
        }
    };
}

end! {
    /// Writes to a child's stdin; dropping it is the end of the child's input.
    ChildStdin(PipeWriter)
}
end! {
    /// Reads a child's stdout.
    ChildStdout(PipeReader)
}
end! {
    /// Reads a child's stderr.
    ChildStderr(PipeReader)
}
readable!(ChildStdout);
readable!(ChildStderr);
polled_end_is_read!(ChildStdout);
polled_end_is_read!(ChildStderr);
polled_end_is_written!(ChildStdin);

impl Write for &ChildStdin {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.source().write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.source().write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ChildStdin {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<ChildStdin>();
    assert_send_sync::<ChildStdout>();
    assert_send_sync::<ChildStderr>();
};
