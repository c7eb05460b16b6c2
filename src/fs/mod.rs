//! std's `fs`: what may wait for a disk runs on other OS threads while the green thread that asked
//! is parked.
//!
//! What is not listed here as greenlit's own is std's. Each call is one hop to the pool of
//! [`crate::blocking`] and back, tens of microseconds, but for reads of what the kernel has
//! in memory, which are made in place. So do as with std: read and write in large pieces, by
//! [`BufReader`](std::io::BufReader), [`BufWriter`](std::io::BufWriter), [`read`] and
//! [`write()`].
//!
//! FIFOs, ttys and other devices wait on the reactor, as sockets do.
//!
//! Outside a runtime the calls block the OS thread, as std's do.
//!
//! # Cancellation
//!
//! A cancelled green thread unwinds at the entry of each call. One that is cancelled in the middle
//! does not wait for a call that takes a path, which has its effect all the same; it does wait for
//! the calls on an open [`File`], and unwinds from the next. Where it cannot be unwound it gets an
//! error in place of that; calls on an open file other than reads, writes and locks are then done,
//! and so is all of it in a destructor that an unwinding runs.
//!
//! # Examples
//!
//! ```
//! use greenlit::{fs, thread};
//!
//! greenlit::run(|| -> std::io::Result<()> {
//!     let path = std::env::temp_dir().join(format!("greenlit-{}", std::process::id()));
//!     let writer = thread::spawn({
//!         let path = path.clone();
//!         move || fs::write(path, "kept")
//!     });
//!     writer.join().unwrap()?;
//!     assert_eq!(fs::read_to_string(&path)?, "kept");
//!     fs::remove_file(&path)
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod dir;
mod file;
mod transfer;
mod polled;
mod open;
pub(crate) mod unix;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

// What this module has itself shadows what the glob brings.
pub use std::fs::*;

pub use dir::{DirBuilder, DirEntry, ReadDir, create_dir, create_dir_all, read_dir};
pub use file::File;
pub use open::OpenOptions;

use crate::blocking;

/// Runs a call on a path elsewhere. It owns the path, and may be abandoned (rule 21).
fn on_path<P: AsRef<Path>, R: Send + 'static>(
    what: &'static str,
    path: P,
    f: impl FnOnce(&Path) -> io::Result<R> + Send + 'static,
) -> io::Result<R> {
    let path = path.as_ref().to_owned();
    blocking::offload_io(what, move || f(&path))
}

/// The same with two paths.
fn on_paths<P: AsRef<Path>, Q: AsRef<Path>, R: Send + 'static>(
    what: &'static str,
    paths: (P, Q),
    f: impl FnOnce(&Path, &Path) -> io::Result<R> + Send + 'static,
) -> io::Result<R> {
    let (first, second) = (paths.0.as_ref().to_owned(), paths.1.as_ref().to_owned());
    blocking::offload_io(what, move || f(&first, &second))
}

/// Reads a whole file, as [`std::fs::read`].
///
/// # Errors
///
/// Those of [`File::open`] and of the reads.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file of UTF-8, as [`std::fs::read_to_string`].
///
/// # Errors
///
/// Those of [`read`], and `InvalidData` where it is not UTF-8.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a whole file, which it makes or replaces, as [`std::fs::write`].
///
/// # Errors
///
/// Those of [`File::create`] and of the writes.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    File::create(path)?.write_all(contents.as_ref())
}

/// Copies a file and its permissions, as [`std::fs::copy`]. Returns its length in bytes.
///
/// # Errors
///
/// Where `from` is no file that may be read, or `to` cannot be written.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    on_paths("fs::copy", (from, to), |from, to| std::fs::copy(from, to))
}

/// Gives a file or a folder another name, as [`std::fs::rename`].
///
/// # Errors
///
/// Where `from` does not exist, or the two are on different file systems.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<()> {
    on_paths("fs::rename", (from, to), |from, to| {
        std::fs::rename(from, to)
    })
}

/// Makes a hard link, as [`std::fs::hard_link`].
///
/// # Errors
///
/// Where `original` is no file, or `link` exists.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    on_paths("fs::hard_link", (original, link), |original, link| {
        std::fs::hard_link(original, link)
    })
}

/// Makes a symbolic link, as [`std::fs::soft_link`].
///
/// # Errors
///
/// Where `link` exists.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
#[deprecated(note = "use greenlit::os::unix::fs::symlink")]
pub fn soft_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    unix::symlink(original, link)
}

/// Removes a file, as [`std::fs::remove_file`].
///
/// # Errors
///
/// Where there is none, or the folder does not permit it.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn remove_file<P: AsRef<Path>>(path: P) -> io::Result<()> {
    on_path("fs::remove_file", path, |path| std::fs::remove_file(path))
}

/// Removes an empty folder, as [`std::fs::remove_dir`].
///
/// # Errors
///
/// Where there is none, or it is not empty.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn remove_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    on_path("fs::remove_dir", path, |path| std::fs::remove_dir(path))
}

/// Removes a folder and all that is in it, as [`std::fs::remove_dir_all`].
///
/// # Errors
///
/// Where there is none, or something in it cannot be removed.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    on_path("fs::remove_dir_all", path, |path| {
        std::fs::remove_dir_all(path)
    })
}

/// What the system knows of a file, as [`std::fs::metadata`]; links are followed.
///
/// # Errors
///
/// Where there is none, or a folder on the way cannot be searched.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    on_path("fs::metadata", path, |path| std::fs::metadata(path))
}

/// What the system knows of a file or of a link itself, as [`std::fs::symlink_metadata`].
///
/// # Errors
///
/// As [`metadata`].
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    on_path("fs::symlink_metadata", path, |path| {
        std::fs::symlink_metadata(path)
    })
}

/// Whether there is a file, as [`std::fs::exists`].
///
/// # Errors
///
/// Where that cannot be told.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn exists<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    on_path("fs::exists", path, |path| std::fs::exists(path))
}

/// The absolute path without links, as [`std::fs::canonicalize`].
///
/// # Errors
///
/// Where there is no such file.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    on_path("fs::canonicalize", path, |path| std::fs::canonicalize(path))
}

/// Where a symbolic link leads, as [`std::fs::read_link`].
///
/// # Errors
///
/// Where it is no link.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    on_path("fs::read_link", path, |path| std::fs::read_link(path))
}

/// Changes what a file permits, as [`std::fs::set_permissions`].
///
/// # Errors
///
/// Where there is none, or it is somebody else's.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    on_path("fs::set_permissions", path, |path| {
        std::fs::set_permissions(path, permissions)
    })
}
