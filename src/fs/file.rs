//! `File`: an open file, on the pool or on the reactor. Its reads and writes are in
//! `transfer.rs`.

use std::fs::{FileTimes, Metadata, Permissions, TryLockError};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};
use std::{fmt, fs, io};

use super::OpenOptions;
use super::polled::Polled;
use crate::blocking::offload_shielded;
use crate::io::{End, check_cancel};
use crate::park::Core;
use crate::thread;

/// How long a wait for a lock of a file sleeps at first, and at most, before it asks again.
const FIRST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(50);

/// An open file, as [`std::fs::File`].
///
/// Calls that may wait for the disk run on other OS threads; a read of what is in memory already is
/// made in place. A FIFO, a tty or another device waits on the reactor instead.
///
/// std reads and writes an `Arc<File>` too. A foreign crate cannot add that; go through
/// `&*file`, since `&File` reads and writes.
///
/// # Cancellation
///
/// A cancelled green thread unwinds at the entry of a call. One that waits for the disk is waited
/// for; see [`fs`](crate::fs). A wait for a FIFO or a device, or for a lock, is given up.
///
/// # Examples
///
/// ```
/// use greenlit::fs::File;
/// use greenlit::io::Read;
///
/// greenlit::run(|| {
///     let mut bytes = [0; 4];
///     File::open("/dev/zero")?.read_exact(&mut bytes)?;
///     assert_eq!(bytes, [0; 4]);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    pub(super) place: Place,
}

/// Who waits for the file.
pub(super) enum Place {
    /// The pool: a file on disk, or one whose calls were asked not to block.
    Pool {
        file: fs::File,
        /// Calls under way that use the file's position: until they end, the kernel holds up
        /// whoever else uses it.
        busy: AtomicUsize,
        /// What futures share that poll it.
        polled: Polled,
    },
    /// The reactor: a FIFO, a device, a socket.
    Reactor(End<fs::File>),
}

impl File {
    /// Opens a file to be read.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::open`].
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to be written, makes it if there is none, and empties it.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create`].
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file, and opens it to be read and written.
    ///
    /// # Errors
    ///
    /// As [`std::fs::File::create_new`]; `AlreadyExists` where there is one.
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).open(path)
    }

    /// Options to open a file by.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// A file whose description is this crate's own.
    pub(super) fn from_own(file: fs::File) -> File {
        match is_on_disk(&file) {
            true => File::on_disk(file),
            false => File {
                place: Place::Reactor(End::from_own(file)),
            },
        }
    }

    pub(super) fn on_disk(file: fs::File) -> File {
        let busy = AtomicUsize::new(0);
        File {
            place: Place::Pool {
                file,
                busy,
                polled: Polled::default(),
            },
        }
    }

    pub(super) fn inner(&self) -> &fs::File {
        match &self.place {
            Place::Pool { file, .. } => file,
            Place::Reactor(end) => end.get_ref(),
        }
    }

    /// Runs a call elsewhere that does not use the file's position.
    pub(super) fn offload<R: Send>(
        &self,
        what: &'static str,
        f: impl FnOnce(&fs::File) -> R + Send,
    ) -> R {
        self.settle();
        let file = self.inner();
        offload_shielded(what, || f(file))
    }

    /// Waits for what a future has written and the disk has not yet.
    pub(super) fn settle(&self) {
        if let Place::Pool { polled, .. } = &self.place {
            polled.settle();
        }
    }

    /// Makes sure that all that was written is on the disk.
    ///
    /// # Errors
    ///
    /// What fsync(2) says: also that an earlier write has failed.
    pub fn sync_all(&self) -> io::Result<()> {
        self.offload("File::sync_all", fs::File::sync_all)
    }

    /// As [`sync_all`](Self::sync_all), without metadata that no reader needs.
    ///
    /// # Errors
    ///
    /// What fdatasync(2) says.
    pub fn sync_data(&self) -> io::Result<()> {
        self.offload("File::sync_data", fs::File::sync_data)
    }

    /// Waits until nobody else has a lock on the file, and locks it, as [`std::fs::File::lock`].
    ///
    /// Whoever has the lock tells nobody when it lets go, so this asks again and again, at most 50
    /// ms apart.
    ///
    /// # Errors
    ///
    /// What flock(2) says.
    pub fn lock(&self) -> io::Result<()> {
        self.lock_by(fs::File::lock, fs::File::try_lock)
    }

    /// As [`lock`](Self::lock), for a lock that several may have at once.
    ///
    /// # Errors
    ///
    /// What flock(2) says.
    pub fn lock_shared(&self) -> io::Result<()> {
        self.lock_by(fs::File::lock_shared, fs::File::try_lock_shared)
    }

    fn lock_by(
        &self,
        lock: fn(&fs::File) -> io::Result<()>,
        try_lock: fn(&fs::File) -> Result<(), TryLockError>,
    ) -> io::Result<()> {
        let mut nap = FIRST_NAP;
        while Core::current().is_some() {
            match check_cancel() {
                Ok(()) => {}
                // One that unwinds already cannot be cancelled in its sleep.
                Err(_) if thread::panicking() => break,
                Err(error) => return Err(error),
            }
            match self.offload("File::lock", try_lock) {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => thread::sleep(nap),
            }
            nap = (nap * 2).min(LONGEST_NAP);
        }
        self.offload("File::lock", lock)
    }

    /// Locks the file if nobody else has a lock on it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where somebody has; what flock(2) says.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.offload("File::try_lock", fs::File::try_lock)
    }

    /// As [`try_lock`](Self::try_lock), for a lock that several may have at once.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.offload("File::try_lock_shared", fs::File::try_lock_shared)
    }

    /// Lets go of the lock.
    ///
    /// # Errors
    ///
    /// What flock(2) says.
    pub fn unlock(&self) -> io::Result<()> {
        self.offload("File::unlock", fs::File::unlock)
    }

    /// Cuts the file, or extends it by zeroes.
    ///
    /// # Errors
    ///
    /// Where it was not opened to be written, or the disk is full.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.offload("File::set_len", |file| file.set_len(size))
    }

    /// What the system knows of the file.
    ///
    /// # Errors
    ///
    /// What statx(2) says.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.offload("File::metadata", fs::File::metadata)
    }

    /// A second handle, with the same position.
    ///
    /// # Errors
    ///
    /// When no file descriptor is left.
    pub fn try_clone(&self) -> io::Result<File> {
        match &self.place {
            Place::Pool { file, .. } => file.try_clone().map(File::on_disk),
            Place::Reactor(end) => {
                let place = Place::Reactor(End::from_elsewhere(end.share()?.try_clone()?));
                Ok(File { place })
            }
        }
    }

    /// Changes what the file permits.
    ///
    /// # Errors
    ///
    /// Where it is somebody else's.
    pub fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        self.offload("File::set_permissions", |file| file.set_permissions(perm))
    }

    /// Changes when the file was read and written.
    ///
    /// # Errors
    ///
    /// Where it is somebody else's.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.offload("File::set_times", |file| file.set_times(times))
    }

    /// Changes when the file was written.
    ///
    /// # Errors
    ///
    /// As [`set_times`](Self::set_times).
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }
}

/// Whether epoll knows nothing of it. Where that cannot be told, the pool is good for all.
fn is_on_disk(file: &fs::File) -> bool {
    use std::os::unix::fs::FileTypeExt;
    file.metadata().map_or(true, |metadata| {
        let kind = metadata.file_type();
        kind.is_file() || kind.is_dir() || kind.is_block_device()
    })
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.inner(), f)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.place {
            Place::Pool { file, .. } => file.as_fd(),
            Place::Reactor(end) => end.show().as_fd(),
        }
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

/// A FIFO or a device keeps its mode, which others may share.
impl From<fs::File> for File {
    fn from(file: fs::File) -> File {
        match is_on_disk(&file) {
            true => File::on_disk(file),
            false => File {
                place: Place::Reactor(End::from_elsewhere(file)),
            },
        }
    }
}

impl From<File> for fs::File {
    fn from(file: File) -> fs::File {
        match file.place {
            Place::Pool { file, .. } => file,
            Place::Reactor(end) => end.into_inner(),
        }
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        fs::File::from(fd).into()
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        fs::File::from(file).into()
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        fs::File::from(file).into()
    }
}
