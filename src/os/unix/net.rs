//! `std::os::unix::net` on the reactor: sockets that are named by a path, by an abstract name
//! ([`SocketAddrExt`](crate::os::linux::net::SocketAddrExt)), or not at all.
//!
//! What [`crate::net`] says of sockets that come from elsewhere, and of timeouts, holds here too.
//!
//! A connect to a listener whose queue is full is the one call here that another OS thread makes,
//! since no event tells of the room it waits for. [`crate::blocking`] says how many of those there
//! are.

pub use std::os::unix::net::*;

pub use crate::net::unix::{Incoming, IncomingAsync, UnixDatagram, UnixListener, UnixStream};
