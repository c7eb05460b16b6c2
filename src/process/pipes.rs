//! The parent's ends of a child's pipes. They are in the non-blocking mode; the child's ends, other
//! open file descriptions, are not (rule 16).

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::Stdio;
use crate::io::{Kind, Source};

/// Switches `O_NONBLOCK` of a pipe's end that nobody shares. Returns whether it did.
fn set_nonblocking(end: BorrowedFd<'_>, nonblocking: bool) -> bool {
    let Ok(flags) = fcntl(end, FcntlArg::F_GETFL) else {
        return false;
    };
    let mut flags = OFlag::from_bits_retain(flags);
    flags.set(OFlag::O_NONBLOCK, nonblocking);
    fcntl(end, FcntlArg::F_SETFL(flags)).is_ok()
}

/// An end of a pipe.
struct End<T: AsFd> {
    source: Source<T>,
    /// Whether it was put into the non-blocking mode here, and leaves it when it is handed on.
    switched: bool,
}

impl<T: AsFd> End<T> {
    /// An end that std's `spawn` has just made.
    fn from_spawn(inner: T) -> Self {
        let switched = set_nonblocking(inner.as_fd(), true);
        let kind = match switched {
            true => Kind::NonBlocking,
            false => Kind::Blocking,
        };
        Self {
            source: Source::from_owned(inner, kind),
            switched,
        }
    }

    /// One that comes from elsewhere keeps its mode, for whoever shares it.
    fn from_elsewhere(inner: T) -> Self {
        // Only a closed file descriptor is refused, and this one is owned.
        let source = Source::new(inner).expect("an open file descriptor");
        Self {
            source,
            switched: false,
        }
    }

    fn into_inner(self) -> T {
        let inner = self.source.into_inner();
        if self.switched {
            set_nonblocking(inner.as_fd(), false);
        }
        inner
    }

    /// An end whose fd was shown may have been duplicated, and leaves the reactor as a duplicate
    /// does when it is closed.
    fn shown(&self) -> &T {
        self.source.set_shared();
        self.source.get_ref()
    }
}

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
                Self(End::from_spawn($pipe::from(OwnedFd::from(end))))
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

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.shown().as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.shown().as_raw_fd()
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
                let what = concat!(stringify!($name), "::read");
                self.0
                    .source
                    .read_with(what, None, |mut pipe| pipe.read(buffer))
            }

            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let what = concat!(stringify!($name), "::read");
                self.0
                    .source
                    .read_with(what, None, |mut pipe| pipe.read_vectored(buffers))
            }
        }

        impl $name {
            /// The pipe on the reactor.
            pub(super) fn source(&self) -> &Source<PipeReader> {
                &self.0.source
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

impl Write for &ChildStdin {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&self.0.source).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0.source).write_vectored(buffers)
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
