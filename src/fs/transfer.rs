//! Moves bytes from and to a `File`. What uses its position counts itself, so that nobody waits in
//! place for the kernel's lock on it.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::File;
use super::file::Place;
use crate::blocking::offload_shielded;
use crate::io::{enter_call, read_cached, read_cached_at};
use crate::park::Core;

/// Runs a call elsewhere that uses the file's position.
fn offload_busy<R: Send>(
    what: &'static str,
    file: &fs::File,
    busy: &AtomicUsize,
    f: impl FnOnce(&fs::File) -> R + Send,
) -> R {
    /// It counts down when the call is over, or has unwound.
    struct Busy<'a>(&'a AtomicUsize);
    impl Drop for Busy<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    busy.fetch_add(1, Ordering::Relaxed);
    let _busy = Busy(busy);
    offload_shielded(what, || f(file))
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.settle();
        let (mut file, busy) = match &self.place {
            Place::Pool { file, busy, .. } => (file, busy),
            Place::Reactor(end) => return end.source().read(buf),
        };
        if Core::current().is_some() && busy.load(Ordering::Relaxed) == 0 {
            enter_call()?;
            if let Some(count) = read_cached(file.as_fd(), buf) {
                return Ok(count);
            }
        }
        offload_busy("File::read", file, busy, |_| file.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.settle();
        match &self.place {
            Place::Pool { file, busy, .. } => offload_busy("File::read", file, busy, |mut file| {
                file.read_vectored(bufs)
            }),
            Place::Reactor(end) => end.source().read_vectored(bufs),
        }
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.settle();
        match &self.place {
            Place::Pool { file, busy, .. } => {
                offload_busy("File::read", file, busy, |mut file| file.read_to_end(buf))
            }
            Place::Reactor(end) => end.source().read_to_end(buf),
        }
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.settle();
        match &self.place {
            Place::Pool { file, busy, .. } => offload_busy("File::read", file, busy, |mut file| {
                file.read_to_string(buf)
            }),
            Place::Reactor(end) => end.source().read_to_string(buf),
        }
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.settle();
        match &self.place {
            Place::Pool { file, busy, .. } => {
                offload_busy("File::write", file, busy, |mut file| file.write(buf))
            }
            Place::Reactor(end) => end.source().write(buf),
        }
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.settle();
        match &self.place {
            Place::Pool { file, busy, .. } => {
                offload_busy("File::write", file, busy, |mut file| {
                    file.write_vectored(bufs)
                })
            }
            Place::Reactor(end) => end.source().write_vectored(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A change of the position asks the disk for nothing.
impl Seek for &File {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.settle();
        match &self.place {
            Place::Pool { file, busy, .. } if busy.load(Ordering::Relaxed) > 0 => {
                offload_busy("File::seek", file, busy, |mut file| file.seek(pos))
            }
            _ => self.inner().seek(pos),
        }
    }
}

impl Read for File {
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
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl Seek for File {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        (&*self).seek(pos)
    }
}

impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.settle();
        let Place::Pool { file, .. } = &self.place else {
            return self.inner().read_at(buf, offset);
        };
        if Core::current().is_some() {
            enter_call()?;
            if let Some(count) = read_cached_at(file.as_fd(), buf, offset) {
                return Ok(count);
            }
        }
        self.offload("File::read_at", |file| file.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.settle();
        match &self.place {
            Place::Pool { .. } => self.offload("File::write_at", |file| file.write_at(buf, offset)),
            Place::Reactor(end) => end.get_ref().write_at(buf, offset),
        }
    }
}
