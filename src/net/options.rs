//! What std keeps in the kernel's socket and greenlit beside it: timeouts and the non-blocking
//! mode. The kernel's own would bind a thread that blocks in the kernel, and greenlit's threads do
//! not.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The options of one socket, shared by all its clones as std's are.
///
/// Each field stands alone, so every access is relaxed.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) read_timeout: Timeout,
    pub(super) write_timeout: Timeout,
    /// Whether calls return `WouldBlock` instead of parking.
    nonblocking: AtomicBool,
    /// Whether the open file description may be in the kernel's blocking mode: it came from
    /// elsewhere, or a clone of it went there. Never becomes false again.
    foreign: AtomicBool,
}

impl Options {
    /// For a socket that was made with `O_NONBLOCK`.
    pub(super) fn new() -> Options {
        Options {
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
            nonblocking: AtomicBool::new(false),
            foreign: AtomicBool::new(false),
        }
    }

    /// For a socket whose description others may share.
    pub(super) fn foreign() -> Options {
        let options = Options::new();
        options.set_foreign();
        options
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Relaxed)
    }

    pub(super) fn set_foreign(&self) {
        self.foreign.store(true, Ordering::Relaxed);
    }

    /// The kernel mode in which the description is handed to code outside greenlit, or `None` if it
    /// stays as it is. From then on clones that remain here must not count on `O_NONBLOCK`.
    pub(super) fn hand_over(&self) -> Option<bool> {
        let was_foreign = self.foreign.swap(true, Ordering::Relaxed);
        let nonblocking = self.is_nonblocking();
        (nonblocking || !was_foreign).then_some(nonblocking)
    }
}

/// How long one call may wait.
#[derive(Debug, Default)]
pub(super) struct Timeout {
    /// In nanoseconds; `NO_TIMEOUT` waits for ever by default, `LONGEST` on the user's word.
    nanoseconds: AtomicU64,
}

const NO_TIMEOUT: u64 = 0;

/// Stands for every timeout of 584 years and more.
const LONGEST: u64 = u64::MAX;

impl Timeout {
    /// The timeout, or `None` if the call waits for as long as it takes.
    pub(super) fn get(&self) -> Option<Duration> {
        match self.nanoseconds.load(Ordering::Relaxed) {
            NO_TIMEOUT => None,
            LONGEST => Some(Duration::MAX),
            nanoseconds => Some(Duration::from_nanos(nanoseconds)),
        }
    }

    /// # Errors
    ///
    /// `InvalidInput` for a timeout of zero, as std's.
    pub(super) fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        let nanoseconds = match timeout {
            None => NO_TIMEOUT,
            Some(Duration::ZERO) => return Err(zero_timeout()),
            Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(LONGEST),
        };
        self.nanoseconds.store(nanoseconds, Ordering::Relaxed);
        Ok(())
    }
}

/// The error that std has for a timeout of zero.
pub(super) fn zero_timeout() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "cannot set a 0 duration timeout",
    )
}
