//! `pipe`: bytes that go in at one end and come out at the other.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use super::{End, Pollable, ReadyArm, polled_end_is_read, polled_end_is_written};

/// Makes a pipe, as [`std::io::pipe`].
///
/// # Errors
///
/// When no file descriptors are left.
///
/// # Examples
///
/// ```
/// use greenlit::{io, thread};
/// use greenlit::io::{Read, Write};
///
/// greenlit::run(|| -> io::Result<()> {
///     let (mut reader, mut writer) = io::pipe()?;
///     let words = thread::spawn(move || writer.write_all(b"through a pipe"));
///     let mut text = String::new();
///     reader.read_to_string(&mut text)?; // Parks until the writer has come and gone.
///     assert_eq!(text, "through a pipe");
///     words.join().unwrap()
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((
        PipeReader(End::from_own(reader)),
        PipeWriter(End::from_own(writer)),
    ))
}

/// Declares one end: its type, and what both have.
macro_rules! end {
    ($(#[$docs:meta])* $name:ident) => {
        $(#[$docs])*
        ///
        /// It is in the non-blocking mode until somebody else comes to share it: a duplicate, the
        /// file descriptor that it shows, and what it is converted into are in the blocking mode,
        /// as a child process expects.
        ///
        /// # Cancellation
        ///
        /// A cancelled green thread unwinds from a call that waits; see
        /// [`Source`](crate::io::Source). No data is lost.
        pub struct $name(End<io::$name>);

        impl $name {
            /// A second handle to this end.
            ///
            /// # Errors
            ///
            /// When no file descriptor is left.
            pub fn try_clone(&self) -> io::Result<Self> {
                Ok(Self(End::from_elsewhere(self.0.share()?.try_clone()?)))
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
                self.0.into_inner().into_raw_fd()
            }
        }

        /// It keeps its mode, which others may share.
        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> Self {
                io::$name::from(fd).into()
            }
        }

        impl From<$name> for OwnedFd {
            fn from(end: $name) -> Self {
                end.0.into_inner().into()
            }
        }

        /// It keeps its mode, which others may share.
        impl From<io::$name> for $name {
            fn from(end: io::$name) -> Self {
                Self(End::from_elsewhere(end))
            }
        }

        impl From<$name> for io::$name {
            fn from(end: $name) -> Self {
                end.0.into_inner()
            }
        }

        impl From<$name> for Stdio {
            fn from(end: $name) -> Self {
                end.0.into_inner().into()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.0.get_ref(), f)
            }
        }
    };
}

end! {
    /// The end of a [`pipe`] that is read, as [`std::io::PipeReader`].
    PipeReader
}

end! {
    /// The end of a [`pipe`] that is written, as [`std::io::PipeWriter`].
    PipeWriter
}

impl Read for &PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // It is not asked of poll(2) whether there is something: nothing is wanted.
        if buf.is_empty() {
            return Ok(0);
        }
        let source = self.0.source();
        source.read_with("PipeReader::read", None, |mut pipe| pipe.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let source = self.0.source();
        source.read_with("PipeReader::read", None, |mut pipe| {
            pipe.read_vectored(bufs)
        })
    }
}

impl Write for &PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let source = self.0.source();
        source.write_with("PipeWriter::write", None, |mut pipe| {
            pipe.write(source.cut(buf))
        })
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let source = self.0.source();
        source.write_with("PipeWriter::write", None, |mut pipe| {
            match source.cut_vectored(bufs) {
                Some(buf) => pipe.write(buf),
                None => pipe.write_vectored(bufs),
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

polled_end_is_read!(PipeReader);
polled_end_is_written!(PipeWriter);
