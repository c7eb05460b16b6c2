//! `accept4(2)` that returns the peer's address, which nix offers in no safe form. The new socket
//! arrives with `O_NONBLOCK` and `CLOEXEC` set: a connection costs one system call. Called by
//! `net`'s listeners.

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{SockaddrLike, SockaddrStorage};

/// Takes the next connection of a listening IP socket. Blocks only if the listener's description
/// does.
///
/// # Errors
///
/// What `accept4(2)` reports.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

    // SAFETY: `storage` is writable for the `length` bytes it is said to have, and both live
    // through the call, which writes nothing else. A file descriptor that does not listen is an
    // error of the kernel's.
    let number = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            storage.as_mut_ptr().cast(),
            &raw mut length,
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }

    // SAFETY: the kernel has just made `number` for this call, so nobody else owns it.
    let connection = unsafe { OwnedFd::from_raw_fd(number) };
    // SAFETY: `storage` was zeroed before the kernel wrote into it, so all its bytes are
    // initialized. nix copies the first `length` of them, after checking that a `sockaddr_storage`
    // has that many.
    let address = unsafe { SockaddrStorage::from_raw(storage.as_ptr().cast(), Some(length)) };
    Ok((connection, ip_address(address)?))
}

/// The address as std shows it.
fn ip_address(address: Option<SockaddrStorage>) -> io::Result<SocketAddr> {
    let address = address.as_ref();
    if let Some(v4) = address.and_then(SockaddrStorage::as_sockaddr_in) {
        return Ok(SocketAddr::V4(SocketAddrV4::from(*v4)));
    }
    if let Some(v6) = address.and_then(SockaddrStorage::as_sockaddr_in6) {
        return Ok(SocketAddr::V6(SocketAddrV6::from(*v6)));
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the peer has no IP address",
    ))
}
