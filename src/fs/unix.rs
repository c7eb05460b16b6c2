//! The functions of `std::os::unix::fs`; `os::unix::fs` shows them.

use std::io;
use std::os::fd::AsFd;
use std::os::unix;
use std::path::Path;

use super::{on_path, on_paths};
use crate::blocking;

/// Makes a symbolic link, as [`std::os::unix::fs::symlink`].
///
/// # Errors
///
/// Where `link` exists.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    on_paths("fs::symlink", (original, link), |original, link| {
        unix::fs::symlink(original, link)
    })
}

/// Changes a file's owner and group, as [`std::os::unix::fs::chown`].
///
/// # Errors
///
/// Where there is no such file, or the caller may not.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn chown<P: AsRef<Path>>(dir: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    on_path("fs::chown", dir, move |dir| unix::fs::chown(dir, uid, gid))
}

/// As [`chown`], of a link itself.
///
/// # Errors
///
/// As [`chown`].
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn lchown<P: AsRef<Path>>(dir: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    on_path("fs::lchown", dir, move |dir| {
        unix::fs::lchown(dir, uid, gid)
    })
}

/// As [`chown`], of an open file.
///
/// # Errors
///
/// As [`chown`].
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn fchown<F: AsFd>(fd: F, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let fd = fd.as_fd();
    blocking::offload_shielded("fs::fchown", || unix::fs::fchown(fd, uid, gid))
}
