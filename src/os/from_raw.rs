//! `FromRawFd` for the types of `fs`, `io` and `net`: its method is unsafe to call.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::fs::File;
use crate::io::{PipeReader, PipeWriter};
use crate::net::unix::{UnixDatagram, UnixListener, UnixStream};
use crate::net::{TcpListener, TcpStream, UdpSocket};

macro_rules! from_raw_fd {
    ($($owner:ty),*) => {
        $(impl FromRawFd for $owner {
            unsafe fn from_raw_fd(fd: RawFd) -> $owner {
                // SAFETY: this method's caller vouches for what the called one asks: that `fd` is
                // open and nobody else owns it.
                <$owner>::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        })*
    };
}

from_raw_fd!(
    File,
    PipeReader,
    PipeWriter,
    TcpListener,
    TcpStream,
    UdpSocket,
    UnixDatagram,
    UnixListener,
    UnixStream
);
