//! `std::os::linux::net`'s extensions, for this module's types. [`crate::os::linux::net`] shows them
//! to the user.

use std::io;
use std::os::linux::net::TcpStreamExt as _;

use super::TcpStream;

/// Linux's extensions of [`TcpStream`], shaped as
/// [`std::os::linux::net::TcpStreamExt`].
pub trait TcpStreamExt: Sealed {
    /// Sets `TCP_QUICKACK`, until the kernel resets it: data is acknowledged at once rather than
    /// delayed.
    ///
    /// # Errors
    ///
    /// What `setsockopt(2)` reports.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use greenlit::net::TcpStream;
    /// use greenlit::os::linux::net::TcpStreamExt;
    ///
    /// let stream = TcpStream::connect("127.0.0.1:7000")?;
    /// stream.set_quickack(true)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn set_quickack(&self, quickack: bool) -> io::Result<()>;

    /// The value of `TCP_QUICKACK`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    fn quickack(&self) -> io::Result<bool>;
}

/// Keeps others from implementing the traits of this file, which may grow as std's do.
pub trait Sealed {}

impl Sealed for TcpStream {}

impl TcpStreamExt for TcpStream {
    fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.socket.get().set_quickack(quickack)
    }

    fn quickack(&self) -> io::Result<bool> {
        self.socket.get().quickack()
    }
}
