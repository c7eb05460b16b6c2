//! What all sockets of `net` have in common: std's socket on the reactor with its options beside
//! it, how calls on it wait, and how it comes from elsewhere and goes there.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::options::Options;
use crate::io::{Kind, Source};
use crate::time::Instant;

/// One of std's sockets: what they all have under the same names.
pub(super) trait StdSocket: AsFd + fmt::Debug + Sized {
    fn try_clone(&self) -> io::Result<Self>;
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;

    /// The kernel's timeouts of reads and writes. Listeners have none.
    fn timeouts(&self) -> [Option<Duration>; 2] {
        [None, None]
    }

    fn set_timeouts(&self, _timeouts: [Option<Duration>; 2]) {}
}

macro_rules! std_sockets {
    (listeners: $($listener:ty),*; others: $($other:ty),* $(,)?) => {
        $(impl StdSocket for $listener {
            std_sockets!(@common);
        })*
        $(impl StdSocket for $other {
            std_sockets!(@common);

            fn timeouts(&self) -> [Option<Duration>; 2] {
                // One that cannot be asked for is none: a conversion has no way to report an error.
                [self.read_timeout().ok().flatten(), self.write_timeout().ok().flatten()]
            }

            fn set_timeouts(&self, [read, write]: [Option<Duration>; 2]) {
                // An open socket refuses neither.
                let _ = self.set_read_timeout(read);
                let _ = self.set_write_timeout(write);
            }
        })*
    };
    (@common) => {
        fn try_clone(&self) -> io::Result<Self> {
            self.try_clone()
        }

        fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
            self.set_nonblocking(nonblocking)
        }
    };
}

std_sockets! {
    listeners: std::net::TcpListener, std::os::unix::net::UnixListener;
    others: std::net::TcpStream, std::net::UdpSocket, std::os::unix::net::UnixStream,
        std::os::unix::net::UnixDatagram,
}

/// A socket on the reactor.
pub(super) struct Socket<S: StdSocket> {
    source: Source<S>,
    /// Shared with every clone of this socket.
    pub(super) options: Arc<Options>,
}

impl<S: StdSocket> Socket<S> {
    /// One that this crate made: non-blocking and not shared.
    pub(super) fn own(source: Source<S>) -> Socket<S> {
        Socket {
            source,
            options: Arc::new(Options::new()),
        }
    }

    /// One that std made for this crate, whose mode is still the blocking one.
    pub(super) fn from_std(inner: S) -> io::Result<Socket<S>> {
        inner.set_nonblocking(true)?;
        Ok(Socket::own(Source::from_owned(inner, Kind::NonBlocking)))
    }

    /// One from elsewhere. Its timeouts come along; its mode stays what it was, for whoever shares
    /// it.
    pub(super) fn foreign(inner: S, kind: Kind) -> Socket<S> {
        let options = Options::foreign();
        let [read, write] = inner.timeouts();
        // None is zero, since the kernel keeps zero for "no timeout".
        let _ = options.read_timeout.set(read);
        let _ = options.write_timeout.set(write);
        let source = Source::from_owned(inner, kind);
        source.set_shared();
        Socket {
            source,
            options: Arc::new(options),
        }
    }

    /// Takes it off the reactor. Its timeouts go along. std's socket blocks, unless the user asked
    /// for the other mode, or it came in that.
    pub(super) fn into_std(self) -> S {
        let Socket { source, options } = self;
        let inner = source.into_inner();
        inner.set_timeouts([options.read_timeout.get(), options.write_timeout.get()]);
        if let Some(nonblocking) = options.hand_over() {
            // Only a closed fd is refused, and this one is open.
            let _ = inner.set_nonblocking(nonblocking);
        }
        inner
    }

    /// A second handle to the same socket.
    pub(super) fn try_clone(&self) -> io::Result<Socket<S>> {
        let source = Source::from_owned(self.get().try_clone()?, self.source.kind());
        source.set_shared();
        self.source.set_shared();
        Ok(Socket {
            source,
            options: Arc::clone(&self.options),
        })
    }

    /// std's socket, for calls that do not wait.
    #[inline]
    pub(super) fn get(&self) -> &S {
        self.source.get_ref()
    }

    /// For `select`, which waits for its readiness among other things.
    pub(super) fn source(&self) -> &Source<S> {
        &self.source
    }

    /// std's socket, for the user, who may duplicate its fd: from now on it leaves the reactor as a
    /// clone does when it is closed.
    pub(super) fn show(&self) -> &S {
        self.source.set_shared();
        self.get()
    }

    /// Runs `receive`, which must not block, and parks while it would.
    #[inline]
    pub(super) fn read_with<R>(
        &self,
        what: &'static str,
        mut receive: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        if self.options.is_nonblocking() {
            return receive(self.get());
        }
        let timeout = self.options.read_timeout.get();
        self.source.read_with(what, timeout, receive)
    }

    /// Runs `send`, which must not block, and parks while it would.
    #[inline]
    pub(super) fn write_with<R>(
        &self,
        what: &'static str,
        mut send: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        if self.options.is_nonblocking() {
            return send(self.get());
        }
        let timeout = self.options.write_timeout.get();
        self.source.write_with(what, timeout, send)
    }

    /// Runs `send`, which must not block and is no matter of this socket alone, once.
    pub(super) fn try_once<R>(&self, send: impl FnMut(&S) -> io::Result<R>) -> io::Result<R> {
        self.source.try_once(send)
    }

    /// Parks until the kernel says that sending would not block, or `deadline` has passed.
    pub(super) fn wait_writable(
        &self,
        what: &'static str,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.source.write_with(what, left, |inner| {
            match is_ready(inner, PollFlags::POLLOUT)? {
                true => Ok(()),
                false => Err(Errno::EAGAIN.into()),
            }
        })
    }

    /// As `wait_writable`, as a future, without a limit.
    pub(super) async fn wait_writable_async(&self) -> io::Result<()> {
        let is_writable = |inner: &S| match is_ready(inner, PollFlags::POLLOUT)? {
            true => Ok(()),
            false => Err(Errno::EAGAIN.into()),
        };
        self.source.when_writable_async(is_writable).await
    }

    /// Runs `receive`, which fills up to `wanted` bytes, and parks while there are none.
    #[inline]
    pub(super) fn read_bytes(
        &self,
        what: &'static str,
        wanted: usize,
        mut receive: impl FnMut(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.options.is_nonblocking() {
            return receive(self.get());
        }
        let timeout = self.options.read_timeout.get();
        self.source.read_bytes(what, timeout, wanted, receive)
    }

    /// Runs `send`, which takes up to `wanted` bytes, and parks while there is no room.
    #[inline]
    pub(super) fn write_bytes(
        &self,
        what: &'static str,
        wanted: usize,
        mut send: impl FnMut(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.options.is_nonblocking() {
            return send(self.get());
        }
        let timeout = self.options.write_timeout.get();
        self.source.write_bytes(what, timeout, wanted, send)
    }
}

/// Whether poll(2) says one of `flags`, an error or a hang-up of the socket now.
pub(super) fn is_ready(socket: &impl AsFd, flags: PollFlags) -> io::Result<bool> {
    let mut polled = [PollFd::new(socket.as_fd(), flags)];
    match poll(&mut polled, PollTimeout::ZERO) {
        Ok(count) => Ok(count > 0),
        // A signal is told of only where there is nothing else to tell.
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// What all of `net`'s types have that consist of a [`Socket`] named `socket`: the conversions, the
/// traits of file descriptors, and the methods that do not depend on what kind of socket it is.
macro_rules! socket_type {
    ($ours:ident, $std:ty, $kind:expr) => {
        impl $ours {
            /// Makes a second handle to the same socket. What it sends and receives, and all
            /// options, are shared.
            ///
            /// A shared reference does the same for less where lifetimes allow it.
            ///
            /// # Errors
            ///
            /// When no file descriptor is left.
            pub fn try_clone(&self) -> io::Result<$ours> {
                let socket = self.socket.try_clone()?;
                Ok($ours { socket })
            }

            /// Takes the error pending on the socket (`SO_ERROR`), if there is one.
            ///
            /// # Errors
            ///
            /// What `getsockopt(2)` reports.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.socket.get().take_error()
            }

            /// Chooses whether calls return `WouldBlock` instead of parking. Clones share the
            /// choice.
            ///
            /// # Errors
            ///
            /// None; the result is there because std's method has one.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.socket.options.set_nonblocking(nonblocking);
                Ok(())
            }
        }

        impl fmt::Debug for $ours {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.socket.get().fmt(formatter)
            }
        }

        /// A socket whose fd was shown may have been duplicated, and leaves the reactor as a clone
        /// does when it is closed.
        impl AsFd for $ours {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.show().as_fd()
            }
        }

        impl AsRawFd for $ours {
            fn as_raw_fd(&self) -> RawFd {
                self.socket.show().as_raw_fd()
            }
        }

        /// Timeouts come along. The socket's mode stays what it was, for whoever shares it; calls
        /// park here in either mode.
        impl From<$std> for $ours {
            fn from(inner: $std) -> $ours {
                let kind: fn(&$std) -> Kind = $kind;
                let kind = kind(&inner);
                $ours {
                    socket: Socket::foreign(inner, kind),
                }
            }
        }

        /// Timeouts go along. std's socket blocks, unless `set_nonblocking` says otherwise or it
        /// came in another mode.
        impl From<$ours> for $std {
            fn from(ours: $ours) -> $std {
                ours.socket.into_std()
            }
        }

        impl From<OwnedFd> for $ours {
            fn from(fd: OwnedFd) -> $ours {
                $ours::from(<$std>::from(fd))
            }
        }

        impl From<$ours> for OwnedFd {
            fn from(ours: $ours) -> OwnedFd {
                <$std>::from(ours).into()
            }
        }

        impl IntoRawFd for $ours {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl crate::io::Pollable for $ours {
            fn watch_readable(&self) -> crate::io::ReadyArm<'_> {
                self.socket.source().watch_readable()
            }

            fn watch_writable(&self) -> crate::io::ReadyArm<'_> {
                self.socket.source().watch_writable()
            }
        }

        const _: () = {
            const fn assert_send_sync<T: Send + Sync>() {}
            assert_send_sync::<$ours>();
        };
    };
}
pub(super) use socket_type;

/// The timeouts of a type that consists of a [`Socket`] named `socket`.
macro_rules! socket_timeouts {
    ($ours:ident) => {
        impl $ours {
            /// Bounds each following call that receives: one that gets nothing in this time returns
            /// `WouldBlock`. `None` waits for ever.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a timeout of zero.
            pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
                self.socket.options.read_timeout.set(dur)
            }

            /// Bounds each following call that sends: one that can hand over nothing in this time
            /// returns `WouldBlock`. `None` waits for ever.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a timeout of zero.
            pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
                self.socket.options.write_timeout.set(dur)
            }

            /// The timeout of calls that receive.
            ///
            /// # Errors
            ///
            /// None; the result is there because std's method has one.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.socket.options.read_timeout.get())
            }

            /// The timeout of calls that send.
            ///
            /// # Errors
            ///
            /// None; the result is there because std's method has one.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.socket.options.write_timeout.get())
            }
        }
    };
}
pub(super) use socket_timeouts;
