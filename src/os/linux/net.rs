//! `std::os::linux::net`: [`TcpStreamExt`] for greenlit's stream; the addresses are std's.

pub use std::os::linux::net::*;

pub use crate::net::linux::TcpStreamExt;
