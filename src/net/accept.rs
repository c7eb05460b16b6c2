//! Taking the next connection of a listener, whatever its addresses are. Called by `TcpListener` and
//! `UnixListener`.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::SockaddrStorage;

use super::socket::{Socket, StdSocket, is_ready};

impl<S: StdSocket> Socket<S> {
    /// Takes the next connection, which is non-blocking, and parks until there is one. One that its
    /// peer has already given up is skipped.
    pub(super) fn accept(
        &self,
        what: &'static str,
    ) -> io::Result<(OwnedFd, Option<SockaddrStorage>)> {
        self.read_with(what, |listener| self.try_accept(listener))
    }

    /// As [`accept`](Self::accept), as a future.
    pub(super) async fn accept_async(&self) -> io::Result<(OwnedFd, Option<SockaddrStorage>)> {
        let source = self.source();
        source
            .when_readable_async(|listener| self.try_accept(listener))
            .await
    }

    /// As [`accept`](Self::accept), polled.
    pub(super) fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(OwnedFd, Option<SockaddrStorage>)>> {
        self.source()
            .poll_when_readable(context, |listener| self.try_accept(listener))
    }

    fn try_accept(&self, listener: &S) -> io::Result<(OwnedFd, Option<SockaddrStorage>)> {
        let listener = listener.as_fd();
        // Others may have put the description into blocking mode, so it is asked first.
        if self.options.is_foreign() && !is_ready(&listener, PollFlags::POLLIN)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        skip_aborted(|| crate::io::accept(listener))
    }
}

/// Calls `accept` until it gives anything but a connection that was aborted in the queue.
/// Each such answer takes one connection off the queue, so this ends.
fn skip_aborted<T>(mut accept: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match accept() {
            Err(error) if error.raw_os_error() == Some(Errno::ECONNABORTED as i32) => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behaviour 38. No kernel at hand returns `ECONNABORTED` from `accept4`, so the answers are
    /// made up.
    #[test]
    fn aborted_connections_are_skipped_and_other_errors_are_not() {
        let mut answers = vec![
            Err(Errno::EMFILE),
            Ok(7),
            Err(Errno::ECONNABORTED),
            Err(Errno::ECONNABORTED),
        ];
        let mut accept = || {
            answers
                .pop()
                .expect("no more answers")
                .map_err(io::Error::from)
        };

        assert_eq!(skip_aborted(&mut accept).unwrap(), 7);
        let error = skip_aborted(&mut accept).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EMFILE as i32));
    }
}
