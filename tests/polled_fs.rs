//! Files as futures: reads, writes and seeks, dropped futures, and calls that block in between.

use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_io::{AsyncSeek, AsyncWrite};
use greenlit::fs::{self, File, OpenOptions};
use greenlit::future::{block_on, spawn};
use greenlit::io::{Read, Seek, Write};
use greenlit::{run, thread};

use crate::polling::{Count, close, poll_read, poll_with, read, read_exact, write_all};

/// The path of a file that goes with this value.
struct Path(PathBuf);

impl Path {
    fn new(name: &str) -> Path {
        let name = format!("greenlit-polled-{}-{name}", std::process::id());
        Path(std::env::temp_dir().join(name))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn read_and_write(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path.0)
        .unwrap()
}

async fn flush<W: AsyncWrite + Unpin>(mut file: W) -> io::Result<()> {
    poll_fn(|context| Pin::new(&mut file).poll_flush(context)).await
}

async fn seek<S: AsyncSeek + Unpin>(mut file: S, pos: SeekFrom) -> io::Result<u64> {
    poll_fn(|context| Pin::new(&mut file).poll_seek(context, pos)).await
}

#[test]
fn a_file_is_written_sought_and_read() {
    const BYTES: usize = 3 << 20;
    let path = Path::new("long");
    run(|| {
        let mut file = read_and_write(&path);
        let data: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
        let expected = data.clone();
        let task = spawn(async move {
            write_all(&mut file, &data).await.unwrap();
            assert_eq!(
                seek(&mut file, SeekFrom::End(0)).await.unwrap(),
                BYTES as u64
            );
            assert_eq!(read(&mut file, &mut [0]).await.unwrap(), 0);
            assert_eq!(seek(&mut file, SeekFrom::Start(0)).await.unwrap(), 0);
            let mut copy = vec![0; BYTES];
            read_exact(&file, &mut copy).await.unwrap();
            assert_eq!(read(&file, &mut []).await.unwrap(), 0);
            close(&mut file).await.unwrap();
            copy
        });
        assert!(task.join().unwrap() == expected);
        assert!(fs::read(&path.0).unwrap() == expected);
    });
}

/// Calls that block see what futures have written, at once and in order.
#[test]
fn calls_that_block_wait_for_what_was_written() {
    let path = Path::new("mixed");
    run(|| {
        let file = Rc::new(read_and_write(&path));
        for round in 0..50_u64 {
            block_on(write_all(&*file, b"from a future, ")).unwrap();
            (&*file).write_all(b"from a thread; ").unwrap();
            assert_eq!((&*file).stream_position().unwrap(), 30 * (round + 1));
            block_on(write_all(&*file, b"")).unwrap();
        }
        let long = vec![b'l'; 500_000];
        for round in 1..=20 {
            block_on(write_all(&*file, &long)).unwrap();
            // It asks nobody else, and would be before the disk's turn.
            let end = (&*file).seek(SeekFrom::End(0)).unwrap();
            assert_eq!(end, 1500 + 500_000 * round);
            assert_eq!(file.metadata().unwrap().len(), 1500 + 500_000 * round);
        }
        file.set_len(1500).unwrap();
        (&*file).seek(SeekFrom::Start(1500)).unwrap();
        block_on(write_all(&*file, b"end")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1503);
        (&*file).seek(SeekFrom::Start(30)).unwrap();
        let mut words = [0; 30];
        (&*file).read_exact(&mut words).unwrap();
        assert_eq!(&words, b"from a future, from a thread; ");
        block_on(read_exact(&*file, &mut words)).unwrap();
        assert_eq!(&words, b"from a future, from a thread; ");
        assert_eq!((&*file).stream_position().unwrap(), 90);
    });
}

/// What is in no memory that the kernel would tell of is read elsewhere. A future that is dropped
/// meanwhile has read nothing.
#[test]
fn a_dropped_read_leaves_the_position() {
    run(|| {
        let file = File::open("/proc/self/status").unwrap();
        let whole = std::fs::read_to_string("/proc/self/status").unwrap();
        let (count, waker) = Count::new();
        let mut buf = [0; 5];
        let mut waited = 0;
        for _ in 0..20 {
            if poll_read(&file, &waker, &mut buf).is_pending() {
                waited += 1;
            } else {
                (&file).seek(SeekFrom::Start(0)).unwrap();
            }
        }
        assert!(waited > 0, "nothing was read elsewhere");
        assert_eq!((&file).stream_position().unwrap(), 0);
        until(|| count.get() > 0);
        // What was read for the one that was dropped is of another place.
        (&file).seek(SeekFrom::Start(3)).unwrap();
        block_on(read_exact(&file, &mut buf)).unwrap();
        assert_eq!(&buf, &whole.as_bytes()[3..8]);
        (&file).rewind().unwrap();
        block_on(read_exact(&file, &mut buf)).unwrap();
        assert_eq!(&buf, &whole.as_bytes()[..5]);
        block_on(read_exact(&file, &mut buf)).unwrap();
        assert_eq!(&buf, &whole.as_bytes()[5..10]);
        drop((file, waker));
        until(|| Arc::strong_count(&count) == 1);
    });
}

/// Yields until `condition` holds.
fn until(condition: impl Fn() -> bool) {
    let end = greenlit::time::Instant::now() + greenlit::time::Duration::from_secs(30);
    while !condition() {
        assert!(
            greenlit::time::Instant::now() < end,
            "it does not come to hold"
        );
        thread::yield_now();
    }
}

/// Several tasks append to one file: each line is there, once and whole.
#[test]
fn lines_of_several_tasks_are_appended_once() {
    let path = Path::new("log");
    run(|| {
        let mut options = OpenOptions::new();
        let log = Rc::new(options.append(true).create(true).open(&path.0).unwrap());
        let tasks: Vec<_> = (0..10)
            .map(|task| {
                let log = log.clone();
                spawn(async move {
                    for line in 0..20 {
                        write_all(&*log, format!("{task} {line}\n").as_bytes())
                            .await
                            .unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        block_on(flush(&*log)).unwrap();
        let text = fs::read_to_string(&path.0).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 200);
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 200);
    });
}

/// The error of a write is that of the flush, or of the next write.
#[test]
fn the_error_of_a_write_is_told() {
    let path = Path::new("read-only");
    std::fs::write(&path.0, "text").unwrap();
    run(|| {
        let file = File::open(&path.0).unwrap();
        block_on(async {
            write_all(&file, b"x").await.unwrap();
            let error = flush(&file).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
            flush(&file).await.unwrap();
            write_all(&file, b"x").await.unwrap();
            // A read leaves the error to who writes.
            read(&file, &mut [0]).await.unwrap();
            let error = write_all(&file, b"y").await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        });
    });
}

/// What was written is made although everything of the file is dropped.
#[test]
fn a_write_outlives_its_file() {
    let path = Path::new("dropped");
    run(|| {
        let file = read_and_write(&path);
        let (_, waker) = Count::new();
        let mut writer = &file;
        let written = poll_with(&waker, |context| {
            Pin::new(&mut writer).poll_write(context, b"kept")
        });
        assert!(written.is_ready());
        drop(file);
        until(|| std::fs::read(&path.0).unwrap() == b"kept");
    });
}

/// A device waits on the reactor, and is polled as any other source.
#[test]
fn a_device_is_polled() {
    run(|| {
        let zero = File::open("/dev/zero").unwrap();
        let mut buf = [1; 16];
        block_on(read_exact(&zero, &mut buf)).unwrap();
        assert_eq!(buf, [0; 16]);
    });
}

/// Outside a runtime the polls block, and are done at once.
#[test]
fn outside_a_runtime_files_block() {
    let path = Path::new("outside");
    let file = read_and_write(&path);
    let (_, waker) = Count::new();
    let mut handle = &file;
    let written = poll_with(&waker, |context| {
        Pin::new(&mut handle).poll_write(context, b"text")
    });
    assert!(written.is_ready());
    (&file).rewind().unwrap();
    assert!(poll_read(&file, &waker, &mut [0; 8]).is_ready());
}
