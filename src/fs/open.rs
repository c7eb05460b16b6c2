//! `OpenOptions`: how a file is opened, and whether its calls go to the pool or to the reactor.

use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::{fs, io};

use super::File;
use crate::blocking;
use crate::park::Core;

/// How a file is opened, as [`std::fs::OpenOptions`].
///
/// # Examples
///
/// ```
/// use greenlit::fs::OpenOptions;
/// use greenlit::io::Write;
///
/// greenlit::run(|| {
///     let mut log = OpenOptions::new().append(true).open("/dev/null")?;
///     writeln!(log, "a line")
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    options: fs::OpenOptions,
    /// What `custom_flags` was last given.
    custom_flags: i32,
}

impl OpenOptions {
    /// Nothing chosen yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "std's has no default either")]
    pub fn new() -> Self {
        Self {
            options: fs::OpenOptions::new(),
            custom_flags: 0,
        }
    }

    /// Opens it to be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.options.read(read);
        self
    }

    /// Opens it to be written.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.options.write(write);
        self
    }

    /// Opens it to be written at its end, wherever that is by then.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.options.append(append);
        self
    }

    /// Empties it.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.options.truncate(truncate);
        self
    }

    /// Makes it if there is none.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.options.create(create);
        self
    }

    /// Makes it, and fails if there is one.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.options.create_new(create_new);
        self
    }

    /// Opens the file at `path`. A FIFO is waited for until it is open at the other end, on an OS
    /// thread of its own.
    ///
    /// # Errors
    ///
    /// As [`std::fs::OpenOptions::open`].
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread does not wait; the file is closed when it has been opened.
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let path = path.as_ref().to_owned();
        let options = self.options.clone();
        let blocks = self.custom_flags & libc::O_NONBLOCK == 0;
        if Core::current().is_none() {
            return Ok(opened(options.open(path)?, blocks));
        }
        let known = blocking::offload_io("File::open", {
            let (options, path) = (options.clone(), path.clone());
            move || match blocks && is_fifo(&path) {
                true => Ok(None),
                false => options.open(path).map(|file| Some(opened(file, blocks))),
            }
        });
        if let Some(file) = known? {
            return Ok(file);
        }
        blocking::offload_apart("File::open of a FIFO", move || {
            options.open(path).map(|file| opened(file, true))
        })
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.options.mode(mode);
        self
    }

    /// A FIFO or a device that is opened with `O_NONBLOCK` returns `WouldBlock`, as with std.
    fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.options.custom_flags(flags);
        self.custom_flags = flags;
        self
    }
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// `blocks` says that its user expects calls that block.
fn opened(file: fs::File, blocks: bool) -> File {
    match blocks {
        true => File::from_own(file),
        false => File::on_disk(file),
    }
}
