//! Files as futures: `AsyncRead`, `AsyncWrite` and `AsyncSeek`. What may wait for the disk is a job on
//! another OS thread, with a buffer of its own (rule 21) and a place in the file that was looked up
//! before. The position moves when what was read is delivered, and when what is to be written is taken.

use std::fs;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::File;
use super::file::Place;
use crate::blocking::{Unblock, unblock_async};
use crate::future;
use crate::io::{polled_by_reference, read_cached};
use crate::park::{Core, proceed};

/// What one job reads or writes at the most: it is copied.
const LONGEST: usize = 512 * 1024;

/// What the polls of a file share: a second handle, and the jobs that are under way.
#[derive(Debug, Default)]
pub(super) struct Polled {
    /// What jobs use: they may outlive the file.
    file: OnceLock<Arc<fs::File>>,
    read: Slot<Read>,
    write: Slot<io::Result<()>>,
}

/// The one job of its kind that is under way, or has a result that nobody has taken.
#[derive(Debug)]
struct Slot<T>(Mutex<Option<Job<T>>>);

#[derive(Debug)]
struct Job<T> {
    /// `None` when it has ended.
    runs: Option<Unblock<T>>,
    ended: Option<T>,
    waiting: Arc<Waiting>,
}

/// A read that has ended.
#[derive(Debug)]
struct Read {
    /// Where it was in the file.
    at: u64,
    data: Vec<u8>,
    result: io::Result<usize>,
}

/// Those who wait for a job's end.
#[derive(Debug, Default)]
struct Waiting(Mutex<Vec<Waker>>);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let wakers = std::mem::take(&mut *lock(&self.0));
        wakers.into_iter().for_each(Waker::wake);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Send + 'static> Slot<T> {
    /// Waits until no job is under way, and takes the last one's result, if nobody has.
    fn poll_ended(&self, context: &Context<'_>) -> Poll<Option<T>> {
        // Cloned while nothing is locked: it is the user's.
        let own = context.waker().clone();
        let mut slot = lock(&self.0);
        let Some(job) = &mut *slot else {
            return Poll::Ready(None);
        };
        if let Some(runs) = &mut job.runs {
            let mut waiting = lock(&job.waiting.0);
            if !waiting.iter().any(|waker| waker.will_wake(&own)) {
                waiting.push(own);
            }
            drop(waiting);
            let all = Waker::from(job.waiting.clone());
            let ended = ready!(Pin::new(runs).poll(&mut Context::from_waker(&all)));
            job.runs = None;
            job.ended = Some(ended);
        }
        let job = slot.take();
        drop(slot);
        Poll::Ready(job.and_then(|job| {
            // Others who wait are to look.
            job.waiting.wake();
            job.ended
        }))
    }

    fn begin(&self, job: impl FnOnce() -> T + Send + 'static) {
        *lock(&self.0) = Some(Job {
            runs: Some(unblock_async(job)),
            ended: None,
            waiting: Arc::default(),
        });
    }

    /// Leaves a result for somebody else, unless another job has begun.
    fn put_back(&self, ended: T) {
        lock(&self.0).get_or_insert(Job {
            runs: None,
            ended: Some(ended),
            waiting: Arc::default(),
        });
    }
}

impl Polled {
    /// The handle of jobs on `file`.
    fn handle(&self, file: &fs::File) -> io::Result<Arc<fs::File>> {
        if let Some(handle) = self.file.get() {
            return Ok(handle.clone());
        }
        let handle = Arc::new(file.try_clone()?);
        Ok(self.file.get_or_init(|| handle).clone())
    }

    /// Waits until what was written has been, and leaves an error to the next write.
    fn poll_written(&self, context: &Context<'_>) -> Poll<()> {
        if let Some(result @ Err(_)) = ready!(self.write.poll_ended(context)) {
            self.write.put_back(result);
        }
        Poll::Ready(())
    }

    /// As `poll_written`, for calls that block.
    pub(super) fn settle(&self) {
        if self.file.get().is_some() {
            future::block_on(poll_fn(|context| self.poll_written(context)));
        }
    }

    /// Whether a call of a green thread's holds the kernel's lock on the position: then its end is
    /// waited for elsewhere.
    fn waits_for_position(&self, file: &fs::File, busy: &AtomicUsize) -> io::Result<bool> {
        let waits = busy.load(Ordering::Relaxed) > 0;
        if waits {
            let file = self.handle(file)?;
            self.read.begin(move || Read {
                // Nobody takes this.
                at: u64::MAX,
                data: Vec::new(),
                result: (&*file).stream_position().map(|_| 0),
            });
        }
        Ok(waits)
    }
}

/// Repeats what a signal has interrupted.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The position, if the file has such.
fn position(mut file: &fs::File) -> Option<u64> {
    file.stream_position().ok()
}

impl File {
    fn poll_read_on_pool(
        context: &Context<'_>,
        (mut file, busy, polled): Pooled<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(polled.poll_written(context));
            let ended = ready!(polled.read.poll_ended(context));
            if polled.waits_for_position(file, busy)? {
                continue;
            }
            let Some(at) = position(file) else {
                // A FIFO or a device that was opened with `O_NONBLOCK`.
                return Poll::Ready(retry(|| file.read(buf)));
            };
            if let Some(read) = ended
                && read.at == at
            {
                let count = read.result?.min(buf.len());
                buf[..count].copy_from_slice(&read.data[..count]);
                file.seek(SeekFrom::Start(at + count as u64))?;
                return Poll::Ready(Ok(count));
            }
            if let Some(count) = read_cached(file.as_fd(), buf) {
                return Poll::Ready(Ok(count));
            }
            let file = polled.handle(file)?;
            let mut data = vec![0; buf.len().min(LONGEST)];
            polled.read.begin(move || {
                let result = retry(|| file.read_at(&mut data, at));
                Read { at, data, result }
            });
        }
    }

    fn poll_write_on_pool(
        context: &Context<'_>,
        (mut file, busy, polled): Pooled<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(result) = ready!(polled.write.poll_ended(context)) {
                result?;
            }
            if busy.load(Ordering::Relaxed) > 0 {
                ready!(polled.read.poll_ended(context));
            }
            if polled.waits_for_position(file, busy)? {
                continue;
            }
            let flags = OFlag::from_bits_retain(fcntl(file.as_fd(), FcntlArg::F_GETFL)?);
            let appends = flags.contains(OFlag::O_APPEND);
            let Some(at) = position(file) else {
                return Poll::Ready(retry(|| file.write(buf)));
            };
            let handle = polled.handle(file)?;
            let data = buf[..buf.len().min(LONGEST)].to_vec();
            let count = data.len();
            if !appends {
                file.seek(SeekFrom::Start(at + count as u64))?;
            }
            polled.write.begin(move || match appends {
                true => (&*handle).write_all(&data),
                false => handle.write_all_at(&data, at),
            });
            return Poll::Ready(Ok(count));
        }
    }
}

/// A file on the pool: the file, how many calls use its position, and what its polls share.
type Pooled<'a> = (&'a fs::File, &'a AtomicUsize, &'a Polled);

/// What is in memory is read in place; for the disk another OS thread is asked. Where the future is
/// dropped, nothing was read, and the position is where it was.
impl AsyncRead for &File {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let pooled = match &self.place {
            Place::Pool { file, busy, polled } => (file, busy, polled),
            Place::Reactor(end) => return Pin::new(&mut end.source()).poll_read(context, buf),
        };
        if Core::current().is_none() {
            return Poll::Ready(self.get_mut().read(buf));
        }
        ready!(proceed(context));
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        File::poll_read_on_pool(context, pooled, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Place::Reactor(end) = &self.place {
            return Pin::new(&mut end.source()).poll_read_vectored(context, bufs);
        }
        let first = bufs.iter_mut().find(|buf| !buf.is_empty());
        self.poll_read(context, first.map_or(&mut [], |buf| buf))
    }
}

/// What is written is copied and handed to another OS thread: the write is ready then, and made a little
/// later, also where everything of the file is dropped. Its error is that of the next write, flush or
/// close, so flush what matters. All other calls on this file, those that block too, wait for it first.
impl AsyncWrite for &File {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let pooled = match &self.place {
            Place::Pool { file, busy, polled } => (file, busy, polled),
            Place::Reactor(end) => return Pin::new(&mut end.source()).poll_write(context, buf),
        };
        if Core::current().is_none() {
            return Poll::Ready(self.get_mut().write(buf));
        }
        ready!(proceed(context));
        File::poll_write_on_pool(context, pooled, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Place::Reactor(end) = &self.place {
            return Pin::new(&mut end.source()).poll_write_vectored(context, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.poll_write(context, first.map_or(&[], |buf| buf))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Place::Pool { polled, .. } = &self.place
            && let Some(result) = ready!(polled.write.poll_ended(context))
        {
            result?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

/// A change of the position asks the disk for nothing, and is made in place, when what was written before
/// has been.
impl AsyncSeek for &File {
    fn poll_seek(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pos: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        if let Place::Pool { file, busy, polled } = &self.place {
            ready!(polled.poll_written(context));
            while busy.load(Ordering::Relaxed) > 0 {
                ready!(polled.read.poll_ended(context));
                polled.waits_for_position(file, busy)?;
            }
        }
        Poll::Ready(self.inner().seek(pos))
    }
}

polled_by_reference!(read File);
polled_by_reference!(write File);

/// As its shared reference.
impl AsyncSeek for File {
    fn poll_seek(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pos: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        Pin::new(&mut &*self).poll_seek(context, pos)
    }
}
