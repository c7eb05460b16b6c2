//! The two system calls that also say who the peer is, which nix offers in no safe form that fits:
//! `accept4(2)`, whose socket arrives with `O_NONBLOCK` and `CLOEXEC` set, so that a connection
//! costs one system call, and `recvfrom(2)` with flags. Called by `net`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{MsgFlags, SockaddrLike, SockaddrStorage};

/// Takes the next connection of a listening socket. Blocks only if the listener's description does.
/// The peer's address is `None` where the kernel gives none.
///
/// # Errors
///
/// What `accept4(2)` reports.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SockaddrStorage>)> {
    let mut peer = Peer::unknown();
    // SAFETY: `peer.storage` is writable for the `peer.length` bytes it is said to have, and both
    // live through the call, which writes nothing else. A file descriptor that does not listen is
    // an error of the kernel's.
    let number = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            peer.storage.as_mut_ptr().cast(),
            &raw mut peer.length,
            libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        )
    };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made `number` for this call, so nobody else owns it.
    let connection = unsafe { OwnedFd::from_raw_fd(number) };
    Ok((connection, peer.address()))
}

/// Takes the next datagram into `buffer`, which cuts it off, and says who sent it: `None` for a
/// Unix socket without a name. Blocks only without `MSG_DONTWAIT`, if the description does.
///
/// # Errors
///
/// What `recvfrom(2)` reports.
pub(crate) fn receive_from(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> io::Result<(usize, Option<SockaddrStorage>)> {
    let mut peer = Peer::unknown();
    // SAFETY: `buffer` is writable for its length, and `peer.storage` for the `peer.length` bytes
    // it is said to have. All live through the call, which writes nothing else.
    let count = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            flags.bits(),
            peer.storage.as_mut_ptr().cast(),
            &raw mut peer.length,
        )
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    Ok((count, peer.address()))
}

/// An address that the kernel fills in.
struct Peer {
    storage: MaybeUninit<libc::sockaddr_storage>,
    /// How many bytes there is room for, and then, how many the kernel has.
    length: libc::socklen_t,
}

impl Peer {
    fn unknown() -> Peer {
        Peer {
            storage: MaybeUninit::zeroed(),
            length: size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    fn address(&self) -> Option<SockaddrStorage> {
        // SAFETY: `storage` was zeroed before the kernel wrote into it, so all its bytes are
        // initialized. nix copies the first `length` of them, after checking that a
        // `sockaddr_storage` has that many.
        unsafe { SockaddrStorage::from_raw(self.storage.as_ptr().cast(), Some(self.length)) }
    }
}
