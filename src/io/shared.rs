//! What a shared reference reads and writes, as traits of the referent: `Source<T>` asks for these.
//!
//! Were it to ask for `&T: Read`, the compiler would try `&Source<_>`, `&Source<Source<_>>` and so
//! on without end wherever somebody's generic function asks for `&T: Read` before `T` is known.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};

/// Of what a shared reference can be read.
pub trait SharedRead {
    /// [`Read::read`] through a shared reference.
    #[doc(hidden)]
    fn read_shared(&self, buf: &mut [u8]) -> io::Result<usize>;

    /// [`Read::read_vectored`] through a shared reference.
    #[doc(hidden)]
    fn read_vectored_shared(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
}

/// Of what a shared reference can be written.
pub trait SharedWrite {
    /// [`Write::write`] through a shared reference.
    #[doc(hidden)]
    fn write_shared(&self, buf: &[u8]) -> io::Result<usize>;

    /// [`Write::write_vectored`] through a shared reference.
    #[doc(hidden)]
    fn write_vectored_shared(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// [`Write::flush`] through a shared reference.
    #[doc(hidden)]
    fn flush_shared(&self) -> io::Result<()>;
}

impl<T> SharedRead for T
where
    for<'a> &'a T: Read,
{
    fn read_shared(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut shared = self;
        shared.read(buf)
    }

    fn read_vectored_shared(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut shared = self;
        shared.read_vectored(bufs)
    }
}

impl<T> SharedWrite for T
where
    for<'a> &'a T: Write,
{
    fn write_shared(&self, buf: &[u8]) -> io::Result<usize> {
        let mut shared = self;
        shared.write(buf)
    }

    fn write_vectored_shared(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut shared = self;
        shared.write_vectored(bufs)
    }

    fn flush_shared(&self) -> io::Result<()> {
        let mut shared = self;
        shared.flush()
    }
}
