//! `Child`: a child process, its end an event on the reactor.

use std::os::fd::OwnedFd;
use std::{fmt, io};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::collect::{collect, collect_async};
use super::{ChildStderr, ChildStdin, ChildStdout, ExitStatus, Output};
use crate::blocking::{offload_apart, unblock_apart};
use crate::io::{Kind, Pollable, Source, enter_call, open_pidfd};

/// A child process, as [`std::process::Child`]. Made by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it neither ends the child nor waits for it: one that nobody waits for stays a zombie
/// when it has ended.
///
/// # Examples
///
/// ```
/// use greenlit::process::Command;
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let mut child = Command::new("cat").stdin(greenlit::process::Stdio::piped()).spawn()?;
///     let other = thread::spawn(|| "runs while the child is waited for");
///     let status = child.wait()?; // It closes the child's stdin first.
///     assert!(status.success());
///     assert_eq!(other.join().unwrap(), "runs while the child is waited for");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Child {
    /// std's child, without its pipes.
    inner: std::process::Child,
    /// The child's pidfd, from the first wait on; `None` after it was waited for, and where the
    /// system has none.
    pidfd: Option<Source<OwnedFd>>,
    /// The child's stdin, if it was piped and not taken.
    pub stdin: Option<ChildStdin>,
    /// The child's stdout, if it was piped and not taken.
    pub stdout: Option<ChildStdout>,
    /// The child's stderr, if it was piped and not taken.
    pub stderr: Option<ChildStderr>,
}

impl Child {
    pub(super) fn from_std(mut inner: std::process::Child) -> Child {
        Child {
            stdin: inner.stdin.take().map(ChildStdin::from),
            stdout: inner.stdout.take().map(ChildStdout::from),
            stderr: inner.stderr.take().map(ChildStderr::from),
            inner,
            pidfd: None,
        }
    }

    /// Forces the child to end, by `SIGKILL`. It does not wait for it.
    ///
    /// # Errors
    ///
    /// What `kill(2)` reports. A child that was waited for already is no error.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()
    }

    /// The child's process identifier.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Waits until the child has ended, and returns how; once it has, always the same. The child's
    /// stdin is closed first, so that it does not wait for this process in turn.
    ///
    /// # Errors
    ///
    /// `ECHILD` where somebody else has waited for the child, or `SIGCHLD` is ignored.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here. The child goes on, and can be waited for again.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        enter_call()?;
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        if let Some(pidfd) = self.pidfd() {
            pidfd.wait_readable()?;
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
        }
        // There is no pidfd; or the child has ended, but a debugger waits for it first.
        let pid = Pid::from_raw(self.id().cast_signed());
        offload_apart("waiting for a child process", move || {
            block_until_exit(pid);
            Ok(())
        })?;
        self.inner.wait()
    }

    /// As [`wait`](Self::wait), as a future. Where that is dropped, the child goes on, and can be waited
    /// for again.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub async fn wait_async(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        if let Some(pidfd) = self.pidfd() {
            pidfd.watch_readable().into_readiness().await?;
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
        }
        let pid = Pid::from_raw(self.id().cast_signed());
        unblock_apart(move || block_until_exit(pid)).await;
        self.inner.wait()
    }

    /// The child's pidfd, if the system has such. The child was not waited for, so the identifier is
    /// still its own.
    fn pidfd(&mut self) -> Option<&Source<OwnedFd>> {
        if self.pidfd.is_none()
            && let Ok(pidfd) = open_pidfd(self.id())
        {
            self.pidfd = Some(Source::from_owned(pidfd, Kind::NonBlocking));
        }
        self.pidfd.as_ref()
    }

    /// How the child has ended; `None` while it runs. It does not park.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.inner.try_wait()?;
        if status.is_some() {
            self.pidfd = None;
        }
        Ok(status)
    }

    /// Waits until the child has ended, and collects what it writes to its stdout and stderr where
    /// they are piped, both at once, so that it never waits for room in one while the other is
    /// read. Its stdin is closed first.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and those of reading.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and what was read is lost. The child goes on.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = collect(self.stdout.take(), self.stderr.take())?;
        let status = self.wait()?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// As [`wait_with_output`](Self::wait_with_output), as a future. Where that is dropped, what was read
    /// is lost, and the child goes on.
    ///
    /// # Errors
    ///
    /// As [`wait_with_output`](Self::wait_with_output).
    pub async fn wait_with_output_async(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = collect_async(self.stdout.take(), self.stderr.take()).await?;
        let status = self.wait_async().await?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

/// Blocks the OS thread until the child could be waited for without blocking, or never will be.
fn block_until_exit(pid: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(Errno::EINTR) {}
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Child>();
};
