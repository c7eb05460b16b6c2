//! Reading a child's stdout and stderr at once, in one green thread or OS thread: an epoll instance
//! that holds both pipes is itself a file descriptor that the reactor knows.

use std::future::poll_fn;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::Poll;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{ChildStderr, ChildStdout};
use crate::io::{Kind, Pollable, Source};

/// What one read asks for: all that a pipe holds, unless somebody made it larger.
const CHUNK: usize = 64 * 1024;

/// Reads both pipes, as far as they are there, to their ends.
pub(super) fn collect(
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    match (stdout, stderr) {
        (None, None) => {}
        (Some(mut stdout), None) => _ = stdout.read_to_end(&mut out)?,
        (None, Some(mut stderr)) => _ = stderr.read_to_end(&mut err)?,
        (Some(mut stdout), Some(mut stderr)) => {
            let both = Both::new();
            match both.and_then(|both| both.add_all(&stdout, &stderr).map(|()| both)) {
                Ok(both) => {
                    let pipes = [stdout.source().get_ref(), stderr.source().get_ref()];
                    both.read_to_end(pipes, [&mut out, &mut err])?;
                }
                // Files on disk, which somebody put in the pipes' places: neither fills up.
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                    stdout.read_to_end(&mut out)?;
                    stderr.read_to_end(&mut err)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok((out, err))
}

/// As [`collect`], as a future.
pub(super) async fn collect_async(
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let stdout = stdout.as_ref().map(ChildStdout::source);
    let stderr = stderr.as_ref().map(ChildStderr::source);
    let mut chunk = vec![0; CHUNK];
    let mut left: Vec<_> = [(stdout, &mut out), (stderr, &mut err)]
        .into_iter()
        .filter_map(|(pipe, data)| Some((pipe?, data)))
        .collect();
    while !left.is_empty() {
        // Whichever has something; the future of the other is dropped, and leaves nothing behind.
        let mut ready: Vec<_> = left
            .iter()
            .map(|(pipe, _)| pipe.watch_readable().into_readiness())
            .collect();
        let (index, result) = poll_fn(|context| {
            let mut polls = ready.iter_mut().enumerate();
            polls
                .find_map(|(index, ready)| match Pin::new(ready).poll(context) {
                    Poll::Ready(result) => Some(Poll::Ready((index, result))),
                    Poll::Pending => None,
                })
                .unwrap_or(Poll::Pending)
        })
        .await;
        drop(ready);
        result?;
        let (pipe, data) = &mut left[index];
        match pipe.get_ref().read(&mut chunk) {
            Ok(0) => drop(left.swap_remove(index)),
            Ok(count) => data.extend_from_slice(&chunk[..count]),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((out, err))
}

/// The two pipes, as one source that is readable while one of them is.
struct Both(Source<Set>);

struct Set(Epoll);

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Both {
    fn new() -> io::Result<Self> {
        let set = Set(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        Ok(Self(Source::from_owned(set, Kind::NonBlocking)))
    }

    fn add_all(&self, stdout: &ChildStdout, stderr: &ChildStderr) -> io::Result<()> {
        let pipes = [stdout.source(), stderr.source()];
        for (index, pipe) in (0..).zip(pipes) {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, index);
            self.0.get_ref().0.add(pipe.get_ref(), event)?;
        }
        Ok(())
    }

    /// Reads from whichever has something, until both have ended.
    fn read_to_end(&self, pipes: [&PipeReader; 2], data: [&mut Vec<u8>; 2]) -> io::Result<()> {
        let set = &self.0.get_ref().0;
        let mut chunk = vec![0; CHUNK];
        let mut left = pipes.len();
        while left > 0 {
            self.0.wait_readable()?;
            let mut events = [EpollEvent::empty(); 2];
            let count = match set.wait(&mut events, EpollTimeout::ZERO) {
                Err(Errno::EINTR) => continue,
                count => count?,
            };
            for event in &events[..count] {
                let index = usize::from(event.data() == 1);
                let mut pipe = pipes[index];
                // One read a report, which does not block in either mode.
                match pipe.read(&mut chunk) {
                    Ok(0) => {
                        set.delete(pipe)?;
                        left -= 1;
                    }
                    Ok(count) => data[index].extend_from_slice(&chunk[..count]),
                    Err(error) if is_passing(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Whether another attempt may succeed.
fn is_passing(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::WouldBlock || kind == io::ErrorKind::Interrupted
}
