//! Every stable item of `std::fs` and `std::os::unix::fs` has its place here, so that replacing
//! `std::` by `greenlit::` in `use` lines compiles; and what greenlit replaces has std's methods.

#![expect(
    unused_qualifications,
    reason = "std's items are told from ours by their paths"
)]

#[expect(
    deprecated,
    unused_imports,
    reason = "the list of all names is the test"
)]
use greenlit::fs::{
    DirBuilder, DirEntry, File, FileTimes, FileType, Metadata, OpenOptions, Permissions, ReadDir,
    TryLockError, canonicalize, copy, create_dir, create_dir_all, exists, hard_link, metadata,
    read, read_dir, read_link, read_to_string, remove_dir, remove_dir_all, remove_file, rename,
    set_permissions, soft_link, symlink_metadata, write,
};
#[expect(unused_imports, reason = "the list of all names is the test")]
use greenlit::os::unix::fs::{
    DirBuilderExt, DirEntryExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt,
    chown, chroot, fchown, lchown, symlink,
};

use std::any::TypeId;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

/// What may wait for a disk is greenlit's own; what only tells is std's.
#[test]
fn what_waits_is_replaced_and_the_rest_is_stds() {
    fn traits<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    traits::<(File, OpenOptions, DirBuilder, ReadDir, DirEntry)>();
    assert_ne!(TypeId::of::<File>(), TypeId::of::<std::fs::File>());
    assert_ne!(
        TypeId::of::<OpenOptions>(),
        TypeId::of::<std::fs::OpenOptions>()
    );
    assert_ne!(TypeId::of::<ReadDir>(), TypeId::of::<std::fs::ReadDir>());
    assert_ne!(TypeId::of::<DirEntry>(), TypeId::of::<std::fs::DirEntry>());
    assert_ne!(
        TypeId::of::<DirBuilder>(),
        TypeId::of::<std::fs::DirBuilder>()
    );
    assert_eq!(TypeId::of::<Metadata>(), TypeId::of::<std::fs::Metadata>());
    assert_eq!(
        TypeId::of::<Permissions>(),
        TypeId::of::<std::fs::Permissions>()
    );
}

/// Each line is a signature of std's.
#[test]
fn the_functions_have_stds_signatures() {
    type P = &'static Path;
    let _: fn(P) -> io::Result<PathBuf> = canonicalize;
    let _: fn(P, P) -> io::Result<u64> = copy;
    let _: fn(P) -> io::Result<()> = create_dir;
    let _: fn(P) -> io::Result<()> = create_dir_all;
    let _: fn(P) -> io::Result<bool> = exists;
    let _: fn(P, P) -> io::Result<()> = hard_link;
    let _: fn(P) -> io::Result<Metadata> = metadata;
    let _: fn(P) -> io::Result<Vec<u8>> = read;
    let _: fn(P) -> io::Result<ReadDir> = read_dir;
    let _: fn(P) -> io::Result<PathBuf> = read_link;
    let _: fn(P) -> io::Result<String> = read_to_string;
    let _: fn(P) -> io::Result<()> = remove_dir;
    let _: fn(P) -> io::Result<()> = remove_dir_all;
    let _: fn(P) -> io::Result<()> = remove_file;
    let _: fn(P, P) -> io::Result<()> = rename;
    let _: fn(P, Permissions) -> io::Result<()> = set_permissions;
    let _: fn(P) -> io::Result<Metadata> = symlink_metadata;
    let _: fn(P, &'static [u8]) -> io::Result<()> = write;
    let _: fn(P, P) -> io::Result<()> = symlink;
    let _: fn(P, Option<u32>, Option<u32>) -> io::Result<()> = chown;
    let _: fn(P, Option<u32>, Option<u32>) -> io::Result<()> = lchown;
    let _: fn(&'static File, Option<u32>, Option<u32>) -> io::Result<()> = fchown;
}

/// Each line is a method of std's.
#[test]
fn a_file_has_stds_methods() {
    type P = &'static Path;
    let _: fn(P) -> io::Result<File> = File::open;
    let _: fn(P) -> io::Result<File> = File::create;
    let _: fn(P) -> io::Result<File> = File::create_new;
    let _: fn() -> OpenOptions = File::options;
    let _: fn(&File) -> io::Result<()> = File::sync_all;
    let _: fn(&File) -> io::Result<()> = File::sync_data;
    let _: fn(&File) -> io::Result<()> = File::lock;
    let _: fn(&File) -> io::Result<()> = File::lock_shared;
    let _: fn(&File) -> Result<(), TryLockError> = File::try_lock;
    let _: fn(&File) -> Result<(), TryLockError> = File::try_lock_shared;
    let _: fn(&File) -> io::Result<()> = File::unlock;
    let _: fn(&File, u64) -> io::Result<()> = File::set_len;
    let _: fn(&File) -> io::Result<Metadata> = File::metadata;
    let _: fn(&File) -> io::Result<File> = File::try_clone;
    let _: fn(&File, Permissions) -> io::Result<()> = File::set_permissions;
    let _: fn(&File, FileTimes) -> io::Result<()> = File::set_times;
    let _: fn(&File, SystemTime) -> io::Result<()> = File::set_modified;
}

/// Each bound is an `impl` of std's.
#[test]
fn a_file_has_stds_traits() {
    fn moves<T: io::Read + io::Write + io::Seek>() {}
    moves::<File>();
    moves::<&File>();
    fn is_an_fd<T: AsFd + AsRawFd + FromRawFd + IntoRawFd + FileExt + Send + Sync + Unpin>() {}
    is_an_fd::<File>();
    fn converts<T: Into<OwnedFd> + Into<Stdio> + From<OwnedFd> + std::fmt::Debug>() {}
    converts::<File>();
    fn passes_to_std<T: Into<std::fs::File> + From<std::fs::File>>() {}
    passes_to_std::<File>();
    fn opens<T: OpenOptionsExt + Clone + std::fmt::Debug + Send + Sync>() {}
    opens::<OpenOptions>();
    fn lists<T: Iterator<Item = io::Result<DirEntry>> + std::fmt::Debug + Send + Sync>() {}
    lists::<ReadDir>();
    fn is_listed<T: DirEntryExt + std::fmt::Debug + Send + Sync>() {}
    is_listed::<DirEntry>();
    fn builds<T: DirBuilderExt + std::fmt::Debug>() {}
    builds::<DirBuilder>();
}
