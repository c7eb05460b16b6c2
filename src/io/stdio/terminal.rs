//! `IsTerminal`, which std has sealed: its own types alone may have std's.

use std::os::fd::AsFd;

/// Whether a file descriptor is a terminal, as [`std::io::IsTerminal`], for greenlit's types and
/// std's alike.
///
/// # Examples
///
/// ```
/// use greenlit::io::{self, IsTerminal};
///
/// let (reader, _writer) = io::pipe()?;
/// assert!(!reader.is_terminal());
/// # Ok::<(), io::Error>(())
/// ```
pub trait IsTerminal {
    /// Whether it is a terminal.
    fn is_terminal(&self) -> bool;
}

impl<T: AsFd> IsTerminal for T {
    fn is_terminal(&self) -> bool {
        nix::unistd::isatty(self).unwrap_or(false)
    }
}
