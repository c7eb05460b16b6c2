//! Folders: made by `DirBuilder`, listed by `ReadDir`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::os::unix::fs::{DirBuilderExt, DirEntryExt};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use super::on_path;
use crate::blocking;

/// Entries that one hop to the pool reads.
const BATCH: usize = 64;

/// Makes a folder, as [`std::fs::create_dir`].
///
/// # Errors
///
/// Where there is something of that name, or no folder to put it in.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn create_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    DirBuilder::new().create(path)
}

/// Makes a folder and all those above it, as [`std::fs::create_dir_all`].
///
/// # Errors
///
/// Where something on the way is no folder, or the caller may not.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// How a folder is made, as [`std::fs::DirBuilder`].
#[derive(Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: u32,
}

impl DirBuilder {
    /// One folder that all may read and write, as far as the umask permits it.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "std's has no default either")]
    pub fn new() -> Self {
        Self {
            recursive: false,
            mode: 0o777,
        }
    }

    /// Whether those above it are made too, and one that exists is no error.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Makes the folder.
    ///
    /// # Errors
    ///
    /// As [`create_dir`] and [`create_dir_all`].
    ///
    /// # Cancellation
    ///
    /// See [`fs`](crate::fs#cancellation).
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(self.recursive).mode(self.mode);
        on_path("fs::create_dir", path, move |path| builder.create(path))
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }
}

/// Lists a folder, as [`std::fs::read_dir`].
///
/// # Errors
///
/// Where it is no folder, or may not be read.
///
/// # Cancellation
///
/// See [`fs`](crate::fs#cancellation).
///
/// # Examples
///
/// ```
/// greenlit::run(|| {
///     for entry in greenlit::fs::read_dir(".")? {
///         println!("{}", entry?.path().display());
///     }
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    on_path("fs::read_dir", path, |path| {
        let mut list = ReadDir {
            left: Some(fs::read_dir(path)?),
            read: VecDeque::new(),
        };
        list.fill();
        Ok(list)
    })
}

/// The entries of a folder, as [`std::fs::ReadDir`]; one hop to the pool reads many.
///
/// # Cancellation
///
/// A look at the disk is waited for; see [`fs`](crate::fs#cancellation). No entry is lost.
pub struct ReadDir {
    /// What was not read yet; `None` at its end.
    left: Option<fs::ReadDir>,
    read: VecDeque<io::Result<DirEntry>>,
}

// What was read is whole whenever a panic passes by, as in std's.
impl UnwindSafe for ReadDir {}
impl RefUnwindSafe for ReadDir {}

impl ReadDir {
    /// Reads a batch, on an OS thread that may wait for it.
    fn fill(&mut self) {
        let Some(left) = &mut self.left else { return };
        while self.read.len() < BATCH {
            match left.next() {
                Some(entry) => self.read.push_back(entry.map(DirEntry::new)),
                None => {
                    self.left = None;
                    return;
                }
            }
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() && self.left.is_some() {
            blocking::offload_shielded("ReadDir::next", || self.fill());
        }
        self.read.pop_front()
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.left).finish()
    }
}

/// One entry of a folder, as [`std::fs::DirEntry`].
///
/// # Cancellation
///
/// A look at the disk is waited for; see [`fs`](crate::fs#cancellation).
pub struct DirEntry {
    entry: fs::DirEntry,
    /// Most file systems tell it with the name; `None` where asking for it failed.
    file_type: Option<FileType>,
}

impl DirEntry {
    fn new(entry: fs::DirEntry) -> Self {
        let file_type = entry.file_type().ok();
        Self { entry, file_type }
    }

    /// The folder's path with this name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// What the system knows of it; a link is not followed.
    ///
    /// # Errors
    ///
    /// Where it has gone.
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking::offload_shielded("DirEntry::metadata", || self.entry.metadata())
    }

    /// What it is; a link is not followed.
    ///
    /// # Errors
    ///
    /// Where the file system does not tell with the name, and it has gone.
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => blocking::offload_shielded("DirEntry::file_type", || self.entry.file_type()),
        }
    }

    /// Its name, without the folder's.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.entry.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.entry, f)
    }
}
