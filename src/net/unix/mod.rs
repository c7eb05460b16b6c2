//! `std::os::unix::net`'s shape on the reactor. [`crate::os::unix::net`] shows it to the user.

mod address;
mod stream;
mod listener;
mod datagram;

pub use self::datagram::UnixDatagram;
pub use self::listener::{Incoming, IncomingAsync, UnixListener};
pub use self::stream::UnixStream;
