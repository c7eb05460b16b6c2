//! `std::os::unix::fs`: what may wait for a disk is greenlit's. std's extension traits are
//! implemented by greenlit's types, so they are std's.

pub use std::os::unix::fs::*;

pub use crate::fs::unix::{chown, fchown, lchown, symlink};
