//! `End<T>`: a source on a file descriptor that this crate opened itself, such as a pipe's. Nobody
//! shares it, so it is in the non-blocking mode; before others come to, it leaves that (rule 16).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{Kind, Source};

/// A source whose mode is ours to choose, as long as nobody shares it.
#[derive(Debug)]
pub(crate) struct End<T: AsFd> {
    source: Source<T>,
    /// Whether it was put into the non-blocking mode here and has not left it.
    switched: AtomicBool,
}

impl<T: AsFd> End<T> {
    /// What this crate has just opened.
    pub(crate) fn from_own(inner: T) -> Self {
        let switched = set_nonblocking(inner.as_fd(), true).is_ok();
        let kind = match switched {
            true => Kind::NonBlocking,
            false => Kind::Blocking,
        };
        Self {
            source: Source::from_owned(inner, kind),
            switched: AtomicBool::new(switched),
        }
    }

    /// What comes from elsewhere keeps its mode, for whoever shares it.
    pub(crate) fn from_elsewhere(inner: T) -> Self {
        // Only a closed file descriptor is refused, and this one is owned.
        let source = Source::new(inner).expect("an open file descriptor");
        Self {
            source,
            switched: AtomicBool::new(false),
        }
    }

    pub(crate) fn source(&self) -> &Source<T> {
        &self.source
    }

    pub(crate) fn get_ref(&self) -> &T {
        self.source.get_ref()
    }

    /// For who makes a duplicate: whoever gets that finds it in the blocking mode.
    ///
    /// # Errors
    ///
    /// What fcntl(2) says.
    pub(crate) fn share(&self) -> io::Result<&T> {
        self.source.set_shared();
        if self.switched.load(Ordering::Acquire) {
            // From here on poll(2) is asked first, and then the mode does not matter.
            self.source.set_blocking();
            set_nonblocking(self.as_fd(), false)?;
            self.switched.store(false, Ordering::Release);
        }
        Ok(self.get_ref())
    }

    /// For who shows the file descriptor, of which a duplicate may be made: as `share`.
    pub(crate) fn show(&self) -> &T {
        // It is open, which is all that fcntl(2) asks.
        self.share().unwrap_or_else(|_| self.get_ref())
    }

    /// Takes it off the reactor, in the blocking mode unless it came in the other one.
    pub(crate) fn into_inner(self) -> T {
        let inner = self.source.into_inner();
        if self.switched.into_inner() {
            // It is open and ours, which is all that fcntl(2) asks.
            let _ = set_nonblocking(inner.as_fd(), false);
        }
        inner
    }
}

impl<T: AsFd> AsFd for End<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, nonblocking);
    fcntl(fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}
