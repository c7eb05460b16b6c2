//! `add_reader` and `add_writer`: a function that is called whenever a file descriptor is ready. Each is
//! a task, which waits for readiness as any future does.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::calls::current;
use crate::future;
use crate::io::{Pollable, Source};
use crate::park::Core;

thread_local! {
    /// Who is called for which file descriptor, of the runtimes of this OS thread.
    static WATCHES: RefCell<HashMap<Key, Rc<Watch>>> = RefCell::default();
}

/// The runtime's number, the file descriptor's, and the direction.
type Key = (u64, RawFd, Side);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Side {
    Reader,
    Writer,
}

/// Has the runner call `f` whenever a read from `fd` would not block, as often as that holds: what is not
/// read now is told again, after all others that can run. A reader that was there for the same number
/// of a file descriptor goes.
///
/// The file descriptor stays open until the reader is removed, by [`remove_reader`] or
/// [`ReadyCallback::remove`], or is replaced, or the run ends; dropping what this returns does not remove
/// it. It may be owned, shared (`Rc<TcpStream>`), or borrowed for ever. An end of the stream and an error
/// are told as readiness, since a read does not block. A callback that panics is reported, and removed.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Errors
///
/// `EBADF` for a closed file descriptor.
///
/// # Examples
///
/// ```
/// use greenlit::event_loop::{add_reader, remove_reader};
/// use greenlit::os::unix::net::UnixStream;
/// use greenlit::sync::mpsc;
/// use std::io::{self, Read, Write};
/// use std::rc::Rc;
///
/// greenlit::run(|| -> io::Result<()> {
///     let (ours, mut theirs) = UnixStream::pair()?;
///     let ours = Rc::new(ours);
///     let (sender, bytes) = mpsc::channel();
///     add_reader(ours.clone(), move |stream| {
///         let mut byte = [0];
///         (&**stream).read_exact(&mut byte).unwrap();
///         sender.send(byte[0]).unwrap();
///     })?;
///     theirs.write_all(b"hi")?;
///     assert_eq!((bytes.recv(), bytes.recv()), (Ok(b'h'), Ok(b'i')));
///     assert!(remove_reader(&ours));
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
#[track_caller]
pub fn add_reader<F>(fd: F, f: impl FnMut(&F) + 'static) -> io::Result<ReadyCallback>
where
    F: AsFd + 'static,
{
    add("add_reader", fd, Side::Reader, f)
}

/// Has the runner call `f` whenever a write to `fd` would not block; else as [`add_reader`].
///
/// # Panics
///
/// Outside a runtime.
///
/// # Errors
///
/// `EBADF` for a closed file descriptor.
#[track_caller]
pub fn add_writer<F>(fd: F, f: impl FnMut(&F) + 'static) -> io::Result<ReadyCallback>
where
    F: AsFd + 'static,
{
    add("add_writer", fd, Side::Writer, f)
}

/// Removes the reader of `fd`: it is not called any more. Returns whether there was one. It may remove
/// itself. Outside a runtime there is none.
pub fn remove_reader(fd: impl AsFd) -> bool {
    remove(fd.as_fd().as_raw_fd(), Side::Reader)
}

/// Removes the writer of `fd`; else as [`remove_reader`].
pub fn remove_writer(fd: impl AsFd) -> bool {
    remove(fd.as_fd().as_raw_fd(), Side::Writer)
}

/// A function that is called while a file descriptor is ready. Made by [`add_reader`] and
/// [`add_writer`]. Dropping it changes nothing.
pub struct ReadyCallback {
    watch: Rc<Watch>,
}

impl ReadyCallback {
    /// Removes the callback: it is not called any more. It may remove itself.
    pub fn remove(&self) {
        self.watch.remove();
    }

    /// Whether it was removed or replaced, or has panicked, or its run has ended.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.watch.is_removed.get()
    }
}

impl fmt::Debug for ReadyCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyCallback")
            .field("fd", &self.watch.key.1)
            .field("side", &self.watch.key.2)
            .field("is_removed", &self.is_removed())
            .finish()
    }
}

/// What a callback's task shares with those who may remove it.
struct Watch {
    key: Key,
    is_removed: Cell<bool>,
    /// Wakes the task while it waits.
    waker: Cell<Option<Waker>>,
}

impl Watch {
    /// The task ends as soon as it runs; the callback is not called any more.
    fn remove(self: &Rc<Self>) {
        self.is_removed.set(true);
        let _ = WATCHES.try_with(|watches| {
            let mut watches = watches.borrow_mut();
            if watches
                .get(&self.key)
                .is_some_and(|watch| Rc::ptr_eq(watch, self))
            {
                watches.remove(&self.key);
            }
        });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Removes the callback when its task ends, in whatever way.
struct Task(Rc<Watch>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.waker.take();
        self.0.remove();
    }
}

#[track_caller]
fn add<F>(
    call: &str,
    fd: F,
    side: Side,
    mut f: impl FnMut(&F) + 'static,
) -> io::Result<ReadyCallback>
where
    F: AsFd + 'static,
{
    let core = current(call);
    let key = (core.serial, fd.as_fd().as_raw_fd(), side);
    let source = Source::new(fd)?;
    let watch = Rc::new(Watch {
        key,
        is_removed: Cell::new(false),
        waker: Cell::new(None),
    });
    let former = WATCHES.with(|watches| watches.borrow_mut().insert(key, watch.clone()));
    if let Some(former) = former {
        former.remove();
    }
    let task = Task(watch.clone());
    drop(future::spawn(async move {
        while task.0.wait(&source).await {
            f(source.get_ref());
            // What is left is told again, but others come first.
            future::yield_now().await;
        }
    }));
    Ok(ReadyCallback { watch })
}

impl Watch {
    /// Waits until the file descriptor is ready; false where the callback was removed.
    async fn wait<F: AsFd>(&self, source: &Source<F>) -> bool {
        let arm = match self.key.2 {
            Side::Reader => source.watch_readable(),
            Side::Writer => source.watch_writable(),
        };
        let mut ready = arm.into_readiness();
        poll_fn(|context| {
            if self.is_removed.get() {
                return Poll::Ready(false);
            }
            // An error is something to tell too.
            let polled = Pin::new(&mut ready).poll(context).map(|_| true);
            if polled.is_pending() {
                self.waker.set(Some(context.waker().clone()));
            }
            polled
        })
        .await
    }
}

fn remove(fd: RawFd, side: Side) -> bool {
    let Some(core) = Core::here() else {
        return false;
    };
    let key = (core.serial, fd, side);
    let watch = WATCHES.with(|watches| watches.borrow().get(&key).cloned());
    if let Some(watch) = &watch {
        watch.remove();
    }
    watch.is_some()
}
