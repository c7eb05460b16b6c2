//! Reads and writes of the three standard file descriptors. Each call looks at what its file is
//! now, since whoever shares it, or a `dup2`, may have changed it since the last.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::{fcntl, unistd};

use crate::io::{Kind, Source, check_cancel, outside};
use crate::park::{Core, shielded};
use crate::reactor::Direction;

/// One of the three.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standard {
    In,
    Out,
    Err,
}

impl Standard {
    pub(super) fn as_fd(self) -> BorrowedFd<'static> {
        let number = match self {
            Self::In => libc::STDIN_FILENO,
            Self::Out => libc::STDOUT_FILENO,
            Self::Err => libc::STDERR_FILENO,
        };
        // SAFETY: std opens what is closed when the process starts, and takes all three to be open
        // for as long as it lasts; whoever closes one closes what is not theirs.
        unsafe { BorrowedFd::borrow_raw(number) }
    }
}

impl io::Read for Standard {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let fd = self.as_fd();
        let mut read = || Ok(unistd::read(fd, buf)?);
        let result = match Core::current() {
            None => outside::repeat(fd, Direction::Read, None, read),
            Some(_) => Source::new(fd)
                .and_then(|source| source.read_with("reading standard input", None, |_| read())),
        };
        or_closed(result, 0)
    }
}

impl Write for Standard {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let fd = self.as_fd();
        let result = match Core::current() {
            None => write_outside(fd, buf),
            // A destructor of a cancelled thread that prints a line prints it: an error would be a
            // panic in the middle of an unwinding.
            Some(_) => match check_cancel() {
                Ok(()) => write_inside(fd, buf),
                Err(_) => shielded(|| write_inside(fd, buf)),
            },
        };
        or_closed(result, buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes with no regard for green threads.
pub(super) fn write_outside(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    outside::repeat(fd, Direction::Write, None, || Ok(unistd::write(fd, buf)?))
}

/// Writes, and parks while there is no room.
fn write_inside(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let what = "writing standard output";
    match look_at(fd)? {
        // A disk makes nobody wait for long, and epoll refuses its files.
        Behind::Disk(source) => source.write_with(what, None, |fd| Ok(unistd::write(fd, buf)?)),
        Behind::Terminal(own) => {
            let source = Source::from_owned(own, Kind::NonBlocking);
            source.write_with(what, None, |mut own| own.write(buf))
        }
        Behind::Other(source) => {
            source.write_with(what, None, |fd| Ok(unistd::write(fd, source.cut(buf))?))
        }
    }
}
/// Writes what there is room for, and does not wait.
///
/// # Errors
///
/// `WouldBlock` where there is none.
pub(super) fn write_once(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    match look_at(fd)? {
        Behind::Disk(_) => Ok(unistd::write(fd, buf)?),
        Behind::Terminal(mut own) => own.write(buf),
        Behind::Other(source) => {
            if source.kind() == Kind::Blocking && !outside::is_ready(fd, Direction::Write)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(unistd::write(fd, source.cut(buf))?)
        }
    }
}

/// What lies behind a file descriptor, as to how it is written.
enum Behind<'a> {
    Disk(Source<BorrowedFd<'a>>),
    /// A terminal that has room for one byte blocks whoever writes two: poll(2) is no help. This is one
    /// that does not.
    Terminal(File),
    Other(Source<BorrowedFd<'a>>),
}

fn look_at(fd: BorrowedFd<'_>) -> io::Result<Behind<'_>> {
    let source = Source::new(fd)?;
    if source.kind() == Kind::Blocking {
        let kind = fstat(fd)?.st_mode & SFlag::S_IFMT.bits();
        if kind == SFlag::S_IFREG.bits() || kind == SFlag::S_IFBLK.bits() {
            return Ok(Behind::Disk(source));
        }
        if kind == SFlag::S_IFCHR.bits()
            && let Some(own) = reopen_terminal(fd)
        {
            return Ok(Behind::Terminal(own));
        }
    }
    Ok(Behind::Other(source))
}

/// The terminal behind `fd` by an open file description of our own, whose mode nobody shares (rule
/// 16). `None` where it is no terminal, or may not be opened again, as after `su`.
fn reopen_terminal(fd: BorrowedFd<'_>) -> Option<File> {
    if !unistd::isatty(fd).unwrap_or(false) {
        return None;
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let own = fcntl::open(path.as_str(), flags, Mode::empty()).ok()?;
    Some(own.into())
}

/// A standard file descriptor that was closed is as good as /dev/null, as std has it.
fn or_closed(result: io::Result<usize>, count: usize) -> io::Result<usize> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(count),
        result => result,
    }
}
