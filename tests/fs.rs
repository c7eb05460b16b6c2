//! `fs`: files and folders on the pool, FIFOs and devices on the reactor, and std's results for all.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use greenlit::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use greenlit::os::unix::fs::{DirBuilderExt, DirEntryExt, symlink};
use greenlit::time::Duration;
use greenlit::{run, thread};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;

/// A folder of one test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("greenlit-fs-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn fifo(&self) -> PathBuf {
        let path = self.path("fifo");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn smoke() {
    let folder = Folder::new();
    run(|| {
        fs::write(folder.path("a"), "some text").unwrap();
        assert_eq!(fs::read_to_string(folder.path("a")).unwrap(), "some text");
    });
}

/// Behaviour 39, for regular files: each function does what std's does.
#[test]
fn functions_do_what_stds_do() {
    let folder = Folder::new();
    let at = |name| folder.path(name);
    run(|| -> io::Result<()> {
        fs::create_dir_all(at("x/y"))?;
        assert_eq!(
            fs::create_dir(at("x")).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        fs::write(at("x/a"), b"\xffabc")?;
        assert_eq!(fs::read(at("x/a"))?, b"\xffabc");
        assert_eq!(
            fs::read_to_string(at("x/a")).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(fs::copy(at("x/a"), at("b"))?, 4);
        fs::rename(at("b"), at("c"))?;
        assert!(fs::exists(at("c"))? && !fs::exists(at("b"))?);
        fs::hard_link(at("c"), at("d"))?;
        assert_eq!(fs::metadata(at("d"))?.nlink(), 2);
        symlink("c", at("e"))?;
        assert!(fs::symlink_metadata(at("e"))?.is_symlink());
        assert_eq!(fs::read_link(at("e"))?, PathBuf::from("c"));
        assert_eq!(fs::canonicalize(at("e"))?, fs::canonicalize(at("c"))?);
        fs::set_permissions(at("c"), fs::Permissions::from_mode(0o400))?;
        assert_eq!(fs::metadata(at("c"))?.permissions().mode() & 0o777, 0o400);
        fs::remove_file(at("c"))?;
        assert_eq!(fs::read(at("c")).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(fs::remove_dir(at("x")).is_err());
        fs::remove_dir_all(at("x"))?;
        DirBuilder::new().mode(0o700).create(at("z"))?;
        assert_eq!(fs::metadata(at("z"))?.mode() & 0o777, 0o700);
        fs::remove_dir(at("z"))
    })
    .unwrap();
}

/// More entries than one hop reads; each comes once.
#[test]
fn a_folder_is_listed() {
    let folder = Folder::new();
    for n in 0..150 {
        std::fs::write(folder.path(&n.to_string()), "").unwrap();
    }
    run(|| {
        let mut names: Vec<u32> = fs::read_dir(&folder.0)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert!(entry.file_type().unwrap().is_file());
                assert_eq!(entry.metadata().unwrap().ino(), entry.ino());
                assert_eq!(entry.path().parent(), Some(&*folder.0));
                entry.file_name().to_str().unwrap().parse().unwrap()
            })
            .collect();
        names.sort_unstable();
        assert_eq!(names, Vec::from_iter(0..150));
        let missing = fs::read_dir(folder.path("none"));
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

/// Position, ends, and what a second handle shares.
#[test]
fn a_file_is_read_written_and_sought() {
    let folder = Folder::new();
    run(|| -> io::Result<()> {
        let path = folder.path("a");
        let mut file = File::create_new(&path)?;
        file.write_all(b"0123456789")?;
        assert_eq!(file.seek(SeekFrom::Start(3))?, 3);
        let mut four = [0; 4];
        file.read_exact(&mut four)?;
        assert_eq!(&four, b"3456");
        let mut clone = file.try_clone()?;
        assert_eq!(clone.stream_position()?, 7);
        let mut rest = String::new();
        clone.read_to_string(&mut rest)?;
        assert_eq!(rest, "789");
        assert_eq!(file.read(&mut four)?, 0);
        assert_eq!(file.read_at(&mut four, 8)?, 2);
        assert_eq!(file.write_at(b"xy", 4)?, 2);
        assert_eq!(file.stream_position()?, 10);
        file.set_len(6)?;
        file.sync_all()?;
        file.sync_data()?;
        assert_eq!(fs::read(&path)?, b"0123xy");
        assert_eq!(file.metadata()?.len(), 6);
        let mut log = OpenOptions::new().append(true).mode(0o600).open(&path)?;
        write!(log, "!")?;
        assert_eq!(fs::read(&path)?, b"0123xy!");
        let std: std::fs::File = file.into();
        assert_eq!(File::from(std).metadata()?.len(), 7);
        assert_eq!(
            File::create_new(path).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        Ok(())
    })
    .unwrap();
}

/// What the kernel has dropped from memory is read too, by the pool.
#[test]
fn a_file_that_is_not_in_memory_is_read() {
    let folder = Folder::new();
    let path = folder.path("a");
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    run(|| -> io::Result<()> {
        fs::write(&path, &bytes)?;
        let mut file = File::open(&path)?;
        file.sync_all()?;
        nix::fcntl::posix_fadvise(
            &file,
            0,
            0,
            nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED,
        )?;
        let (mut read, mut some) = (Vec::new(), [0; 4096]);
        loop {
            match file.read(&mut some)? {
                0 => break,
                count => read.extend_from_slice(&some[..count]),
            }
        }
        assert!(read == bytes);
        Ok(())
    })
    .unwrap();
}

/// Other green threads run while a file is written, and while one is read.
#[test]
fn others_run_meanwhile() {
    let folder = Folder::new();
    run(|| {
        let turns = Rc::new(std::cell::Cell::new(0));
        let other = {
            let turns = turns.clone();
            thread::spawn(move || {
                loop {
                    turns.set(turns.get() + 1);
                    thread::yield_now();
                }
            })
        };
        // One that is done before its thread could park lets nobody run; a thousand are not.
        let others_ran = |call: &dyn Fn()| {
            let before = turns.get();
            (0..1000).any(|_| {
                call();
                turns.get() > before
            })
        };
        let path = folder.path("a");
        assert!(others_ran(&|| fs::write(&path, vec![1; 1 << 16]).unwrap()));
        assert!(others_ran(&|| assert_eq!(
            fs::read(&path).unwrap().len(),
            1 << 16
        )));
        drop(other);
    });
}

/// A loop of reads that are all served from memory lets others run (behaviour 3).
#[test]
fn reads_from_memory_let_others_run() {
    let folder = Folder::new();
    std::fs::write(folder.path("a"), "x").unwrap();
    run(|| {
        let file = File::open(folder.path("a")).unwrap();
        let ran = Rc::new(std::cell::Cell::new(false));
        let other = {
            let ran = ran.clone();
            thread::spawn(move || ran.set(true))
        };
        let mut byte = [0];
        while !ran.get() {
            assert_eq!(file.read_at(&mut byte, 0).unwrap(), 1);
        }
        other.join().unwrap();
    });
}

/// Behaviour 39: a FIFO's open waits for the other end, and its reads wait on the reactor, both
/// while others run.
#[test]
fn a_fifo_is_waited_for() {
    let folder = Folder::new();
    let path = folder.fifo();
    run(|| {
        let reader = {
            let path = path.clone();
            thread::spawn(move || fs::read_to_string(path).unwrap())
        };
        thread::yield_now();
        let mut writer = File::options().write(true).open(&path).unwrap();
        for word in ["in ", "two ", "parts"] {
            writer.write_all(word.as_bytes()).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!reader.is_finished());
        drop(writer);
        assert_eq!(reader.join().unwrap(), "in two parts");
    });
}

/// More than any pool would hold: each waits without an OS thread, and a cancel ends them all.
#[test]
fn waits_for_a_fifo_cost_no_thread_and_are_cancelled() {
    let folder = Folder::new();
    let path = folder.fifo();
    run(|| {
        // Both ends, so that no open waits.
        let both = File::options().read(true).write(true).open(&path).unwrap();
        for _ in 0..600 {
            let mut reader = both.try_clone().unwrap();
            thread::spawn(move || reader.read(&mut [0]).unwrap());
        }
        thread::yield_now();
        // The pool is free for others.
        assert!(fs::metadata(&path).is_ok());
    });
}

/// The open of a FIFO that nobody opens at the other end is given up.
#[test]
fn a_cancel_ends_the_open_of_a_fifo() {
    let folder = Folder::new();
    let path = folder.fifo();
    run(|| {
        let path = path.clone();
        thread::spawn(move || File::open(path).map(drop));
        thread::yield_now();
        assert!(fs::metadata(folder.path("fifo")).is_ok());
    });
    // Where it is being opened elsewhere still, this lets that end: both ends are opened at once.
    assert!(File::options().read(true).write(true).open(&path).is_ok());
}

/// Behaviour 39: devices that never block, and one that is no file of epoll's.
#[test]
fn devices_are_read_and_written() {
    run(|| -> io::Result<()> {
        assert_eq!(fs::read("/dev/null")?, b"");
        fs::write("/dev/null", vec![0; 100_000])?;
        let mut zeroes = [1; 10_000];
        File::open("/dev/zero")?.read_exact(&mut zeroes)?;
        assert_eq!(zeroes, [0; 10_000]);
        File::open("/dev/urandom")?.read_exact(&mut zeroes)?;
        assert_ne!(zeroes, [0; 10_000]);
        assert_eq!(
            fs::write("/dev/full", "x").unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        Ok(())
    })
    .unwrap();
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

/// Rule 16: what leaves greenlit, is shown, or gets a second handle, is in the mode that std's would
/// be in; what was asked not to block does not.
#[test]
fn the_mode_of_a_fifo_is_its_users() {
    let folder = Folder::new();
    let path = folder.fifo();
    run(|| {
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        assert!(!is_nonblocking(open()));
        assert!(!is_nonblocking(std::fs::File::from(open())));
        let (mut file, mut clone) = {
            let file = open();
            let clone = file.try_clone().unwrap();
            (file, clone)
        };
        assert!(!is_nonblocking(&file));
        // They wait without a stall all the same.
        let reader = thread::spawn(move || clone.read(&mut [0; 8]).unwrap());
        thread::yield_now();
        file.write_all(b"abc").unwrap();
        assert_eq!(reader.join().unwrap(), 3);

        let mut asked = File::options();
        let asked = asked.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let error = asked.open(&path).unwrap().read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

/// A lock of another handle is waited for while others run; a wait that is given up leaves nothing
/// behind (behaviour 15).
#[test]
fn a_lock_is_waited_for() {
    let folder = Folder::new();
    let path = folder.path("a");
    run(|| {
        let (first, second) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        first.lock().unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        let second = Rc::new(second);
        let waiter = {
            let second = second.clone();
            thread::spawn(move || second.lock().unwrap())
        };
        thread::yield_now();
        first.unlock().unwrap();
        waiter.join().unwrap();
        assert!(matches!(
            first.try_lock_shared(),
            Err(TryLockError::WouldBlock)
        ));
        second.unlock().unwrap();
        second.lock_shared().unwrap();
        first.lock_shared().unwrap();
    });
    let first = File::open(&path).unwrap();
    first.lock().unwrap();
    run(|| {
        let second = File::open(&path).unwrap();
        thread::spawn(move || second.lock());
        thread::yield_now();
    });
    first.unlock().unwrap();
    assert!(std::fs::File::open(&path).unwrap().try_lock().is_ok());
}

/// A cancelled thread does not leave a write in the middle: what was begun is done when it unwinds.
#[test]
fn a_write_that_was_begun_is_done_before_its_thread_unwinds() {
    struct Checks(PathBuf, Rc<std::cell::Cell<bool>>);
    impl Drop for Checks {
        fn drop(&mut self) {
            self.1.set(std::fs::read(&self.0).unwrap() == b"all of it");
        }
    }
    let folder = Folder::new();
    let seen = Rc::new(std::cell::Cell::new(false));
    run(|| {
        let mut file = File::create(folder.path("a")).unwrap();
        let checks = Checks(folder.path("a"), seen.clone());
        thread::spawn(move || {
            let _checks = checks;
            file.write_all(b"all of it").unwrap();
            thread::park();
        });
        thread::yield_now();
    });
    assert!(seen.get());
}

#[test]
fn outside_a_runtime_all_works() {
    let folder = Folder::new();
    let path = folder.path("a");
    fs::write(&path, "text").unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.lock().unwrap();
    assert_eq!(io::read_to_string(&file).unwrap(), "text");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    assert_eq!(fs::read("/dev/null").unwrap(), b"");
}
