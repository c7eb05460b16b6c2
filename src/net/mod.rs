//! `std::net`'s shape on the reactor: a call that would block parks the green thread and lets the
//! others run. Holds no unsafe code and no readiness loop of its own: every wait goes through
//! [`crate::io::Source`].
//!
//! Outside a runtime each call blocks the OS thread, as std's does.
//!
//! # What differs from std
//!
//! - [`ToSocketAddrs`] is a trait of this module. It covers the types that std's covers; names are
//!   looked up on another OS thread.
//! - Timeouts are kept to the nanosecond. std's are rounded up to the kernel's clock tick.
//! - A listener's queue is as long as the system allows; std's has room for 128 connections.
//! - The methods that std has deprecated (`only_v6`, `set_only_v6`) are left out.
//!
//! # Sockets that come from elsewhere
//!
//! A socket made by this module is always in the kernel's non-blocking mode, and leaves it when it
//! is converted into std's type or an [`OwnedFd`](std::os::fd::OwnedFd). One that is converted
//! *from* those is never switched, since another process or thread may share it: a blocking one
//! stays blocking for them, and a non-blocking one still parks here until `set_nonblocking` says
//! otherwise.

// What this module has itself shadows what the glob brings.
pub use std::net::*;

pub use self::addrs::{Resolved, ToSocketAddrs};
pub use self::tcp_listener::{Incoming, IncomingAsync, TcpListener};
pub use self::tcp_stream::TcpStream;
pub use self::udp_socket::UdpSocket;

mod addrs;
mod options;
mod socket;
mod connect;
mod accept;
mod transfer;
mod polled;
mod datagram;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;
mod udp_options;
pub(crate) mod unix;
pub(crate) mod linux;
