//! What std lacks for streams that are read and written at once: owned halves, and a copy in both
//! directions.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use nix::sys::socket::{Shutdown, shutdown};

use crate::park::Core;
use crate::thread;

/// Takes a stream apart into a half that reads and one that writes, each of which can go its own
/// way, into a green thread of its own for example.
///
/// It is for closures that own what they use; a reference does the same where it lives long enough,
/// since `&stream` reads and writes. The stream is closed when both halves are gone: a half that
/// goes alone shuts nothing down.
///
/// # Examples
///
/// ```
/// use greenlit::io::{self, Read, Write};
/// use greenlit::{os::unix::net::UnixStream, thread};
///
/// greenlit::run(|| -> io::Result<()> {
///     let (stream, peer) = UnixStream::pair()?;
///     let (mut reader, mut writer) = io::split(stream);
///     let reads = thread::spawn(move || {
///         let mut bytes = [0; 4];
///         reader.read_exact(&mut bytes).map(|()| bytes)
///     });
///     writer.write_all(b"ping")?;
///     io::copy(&mut (&peer).take(4), &mut &peer)?;
///     assert_eq!(&reads.join().unwrap()?, b"ping");
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
pub fn split<T>(stream: T) -> (ReadHalf<T>, WriteHalf<T>)
where
    for<'a> &'a T: Read + Write,
{
    let stream = Arc::new(stream);
    (ReadHalf(stream.clone()), WriteHalf(stream))
}

/// The half of a stream that reads; [`split`] makes it.
///
/// # Cancellation
///
/// As the stream that was split.
pub struct ReadHalf<T>(Arc<T>);

/// The half of a stream that writes; [`split`] makes it.
///
/// # Cancellation
///
/// As the stream that was split.
pub struct WriteHalf<T>(Arc<T>);

impl<T> ReadHalf<T> {
    /// The stream.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.0
    }

    /// Whether both halves are of one stream.
    #[must_use]
    pub fn is_pair_of(&self, writer: &WriteHalf<T>) -> bool {
        Arc::ptr_eq(&self.0, &writer.0)
    }

    /// Puts both halves together again.
    ///
    /// # Panics
    ///
    /// Where they are not of one stream.
    #[must_use = "dropping the stream closes it"]
    pub fn unsplit(self, writer: WriteHalf<T>) -> T {
        assert!(
            self.is_pair_of(&writer),
            "unsplit: the two halves are of different streams"
        );
        drop(writer);
        Arc::into_inner(self.0).expect("a stream has two halves, and one has just gone")
    }
}

impl<T> WriteHalf<T> {
    /// The stream.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.0
    }
}

impl<T> Read for ReadHalf<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self.0).read_vectored(bufs)
    }
}

impl<T> Write for WriteHalf<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.0).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

impl<T: fmt::Debug> fmt::Debug for ReadHalf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadHalf").field(&self.0).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for WriteHalf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteHalf").field(&self.0).finish()
    }
}

/// Copies from `a` to `b` and from `b` to `a` at once, until both have come to their end, as a proxy
/// does. Returns how many bytes went from `a` to `b`, and from `b` to `a`.
///
/// Where one of them ends, writing to the other is shut down, and the other direction goes on. One
/// direction has a green thread of its own; outside a runtime, an OS thread.
///
/// # Errors
///
/// The first of either direction. Both streams are shut down then, so that the other direction ends
/// too. Before anything is copied, that of [`Builder::spawn`](crate::thread::Builder::spawn).
///
/// # Cancellation
///
/// The other direction is cancelled too, and waited for; then the green thread unwinds. Both streams
/// are left open, and what was read and not yet written is lost.
///
/// # Examples
///
/// ```no_run
/// use greenlit::net::{TcpListener, TcpStream};
/// use greenlit::{io, thread};
///
/// greenlit::run(|| -> io::Result<()> {
///     for client in TcpListener::bind("127.0.0.1:7000")?.incoming() {
///         let client = client?;
///         thread::spawn(move || {
///             let server = TcpStream::connect("127.0.0.1:8000")?;
///             io::copy_bidirectional(&client, &server)
///         });
///     }
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
pub fn copy_bidirectional<A, B>(a: &A, b: &B) -> io::Result<(u64, u64)>
where
    A: AsFd + Sync,
    B: AsFd + Sync,
    for<'x> &'x A: Read + Write,
    for<'x> &'x B: Read + Write,
{
    let (there, back) = if Core::current().is_some() {
        thread::scope(|scope| {
            let back = thread::Builder::new().spawn_scoped(scope, || copy_to_end(b, a))?;
            Ok::<_, io::Error>((copy_to_end(a, b), back.join()))
        })?
    } else {
        std::thread::scope(|scope| {
            let back = std::thread::Builder::new().spawn_scoped(scope, || copy_to_end(b, a))?;
            Ok::<_, io::Error>((copy_to_end(a, b), back.join()))
        })?
    };
    let back = back.unwrap_or_else(|payload| std::panic::resume_unwind(payload));
    Ok((there?, back?))
}

/// One direction; the other one ends with it where it fails.
fn copy_to_end<'a, From, To>(from: &'a From, to: &'a To) -> io::Result<u64>
where
    From: AsFd,
    To: AsFd,
    &'a From: Read,
    &'a To: Write,
{
    let (mut reader, mut writer) = (from, to);
    let copied = io::copy(&mut reader, &mut writer);
    match copied {
        Ok(_) => shut_down(to, Shutdown::Write),
        Err(_) => {
            shut_down(from, Shutdown::Both);
            shut_down(to, Shutdown::Both);
        }
    }
    copied
}

/// What cannot be shut down, since it is no socket or is gone already, has no other end to tell.
fn shut_down(stream: &impl AsFd, how: Shutdown) {
    let _ = shutdown(stream.as_fd().as_raw_fd(), how);
}
