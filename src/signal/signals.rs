//! `Signals`: a listener for some signals, which gives each delivery once.

use std::iter::FusedIterator;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::{fmt, io};

use futures_core::Stream;

use super::Signal;
use crate::io::{Kind, Pollable, ReadyArm, Source};
use crate::reactor::{SignalListener, check_signal, deliveries};
use crate::time::{Duration, Instant};

/// Listens for some signals, from its making on.
///
/// It can be shared by reference between green threads and between OS threads: then each delivery
/// goes to one of those that receive. Two `Signals` for the same signal each get it.
///
/// # Examples
///
/// ```
/// use greenlit::signal::{Signal, Signals};
/// use greenlit::{process, thread};
///
/// greenlit::run(|| {
///     let signals = Signals::new([Signal::USR1, Signal::TERM])?;
///     let waiter = thread::spawn(move || signals.recv());
///     let kill = ["-s", "USR1", &process::id().to_string()].map(str::to_owned);
///     process::Command::new("kill").args(kill).status()?;
///     assert_eq!(waiter.join().unwrap()?, Signal::USR1);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Signals {
    watched: Vec<Watched>,
    /// Where the next look begins, so that a signal that comes all the time does not hide another.
    next: AtomicUsize,
    source: Source<SignalListener>,
}

/// One of the signals.
#[derive(Debug)]
struct Watched {
    signal: Signal,
    /// How many deliveries were received, or came before this listener: the process's count when
    /// there is nothing to receive.
    received: AtomicUsize,
}

impl Watched {
    /// Takes one delivery, if there is one that nobody has received.
    fn take(&self) -> bool {
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let next = |received: usize| {
            let is_behind = received != deliveries(self.signal.as_raw());
            is_behind.then(|| received.wrapping_add(1))
        };
        self.received.fetch_update(success, failure, next).is_ok()
    }

    fn is_behind(&self) -> bool {
        self.received.load(Ordering::Relaxed) != deliveries(self.signal.as_raw())
    }
}

impl Signals {
    /// Begins to listen for `signals`. Their default actions, such as the end of the process, do
    /// not happen from now on, and never again; see the [module](super).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what no handler can receive: `SIGKILL`, `SIGSTOP`, the faults `SIGSEGV`,
    /// `SIGBUS`, `SIGFPE` and `SIGILL`, signals that the C library keeps for itself, and numbers
    /// that are no signal. `EMFILE` where no file descriptor is left.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
        let mut numbers: Vec<i32> = signals.into_iter().map(Signal::as_raw).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for &number in &numbers {
            check_signal(number)?;
        }
        // Counted before the handlers are there: whatever is delivered from here on is seen.
        let watched = numbers.iter().map(|&number| Watched {
            signal: Signal::from_raw(number),
            received: AtomicUsize::new(deliveries(number)),
        });
        let watched = watched.collect();
        let source = Source::from_owned(SignalListener::new(&numbers)?, Kind::NonBlocking);
        // The eventfd outlives this listener.
        source.set_shared();
        Ok(Signals {
            watched,
            next: AtomicUsize::new(0),
            source,
        })
    }

    /// Waits for the next delivery of any of the signals. Those of one signal come one by one;
    /// which of several signals comes first does not say which was sent first.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here. No signal is lost: what was delivered stays to
    /// be received.
    pub fn recv(&self) -> io::Result<Signal> {
        self.recv_within(None)
    }

    /// As [`recv`](Self::recv), as a future. No signal is lost where that is dropped.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    pub async fn recv_async(&self) -> io::Result<Signal> {
        self.source
            .when_readable_async(|listener| {
                self.take_or_silence(listener)
                    .ok_or_else(|| io::ErrorKind::WouldBlock.into())
            })
            .await
    }

    /// As [`recv`](Self::recv), but does not wait: `None` where there is nothing to receive.
    #[must_use = "the signal is received, and comes to nobody else"]
    pub fn try_recv(&self) -> Option<Signal> {
        let count = self.watched.len();
        let start = self.next.load(Ordering::Relaxed);
        let order = (0..count).map(|offset| (start + offset) % count);
        let index = order
            .into_iter()
            .find(|&index| self.watched[index].take())?;
        self.next.store((index + 1) % count, Ordering::Relaxed);
        Some(self.watched[index].signal)
    }

    /// As [`recv`](Self::recv), for `timeout` at the longest.
    ///
    /// # Errors
    ///
    /// `TimedOut`, and those of [`recv`](Self::recv).
    ///
    /// # Cancellation
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> io::Result<Signal> {
        self.recv_within(Some(timeout))
    }

    /// As [`recv`](Self::recv), until `deadline` at the longest.
    ///
    /// # Errors
    ///
    /// `TimedOut`, and those of [`recv`](Self::recv).
    ///
    /// # Cancellation
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_deadline(&self, deadline: Instant) -> io::Result<Signal> {
        self.recv_within(Some(deadline.saturating_duration_since(Instant::now())))
    }

    fn recv_within(&self, timeout: Option<Duration>) -> io::Result<Signal> {
        let result = self
            .source
            .read_with("waiting for a signal", timeout, |listener| {
                self.take_or_silence(listener)
                    .ok_or_else(|| io::ErrorKind::WouldBlock.into())
            });
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            result => result,
        }
    }

    /// Takes a delivery; where there is none, the bell is silent until the next one.
    fn take_or_silence(&self, listener: &SignalListener) -> Option<Signal> {
        self.try_recv().or_else(|| self.silence_and_take(listener))
    }

    /// Silences the bell, and takes what was delivered before that: it rings no more for those who
    /// share this listener, so that they are told.
    fn silence_and_take(&self, listener: &SignalListener) -> Option<Signal> {
        listener.silence();
        let signal = self.try_recv()?;
        listener.ring();
        Some(signal)
    }

    /// Whether there is a delivery that nobody has received.
    fn is_behind(&self) -> bool {
        self.watched.iter().any(Watched::is_behind)
    }

    /// The deliveries, without end, as a stream: the same as awaiting [`recv_async`](Self::recv_async)
    /// in a loop.
    pub fn iter_async(&self) -> IterAsync<'_> {
        IterAsync { signals: self }
    }

    /// The deliveries, without end: the same as calling [`recv`](Self::recv) in a loop.
    pub fn iter(&self) -> Iter<'_> {
        Iter { signals: self }
    }
}

/// For `select`: it is readable while there is a signal to receive, which
/// [`try_recv`](Signals::try_recv) then does.
impl Pollable for Signals {
    fn watch_readable(&self) -> ReadyArm<'_> {
        // The bell may still ring of a signal that was received.
        let listener = self.source.get_ref();
        if !self.is_behind() {
            listener.silence();
            if self.is_behind() {
                listener.ring();
            }
        }
        self.source.watch_readable()
    }

    fn watch_writable(&self) -> ReadyArm<'_> {
        self.source.watch_writable()
    }
}

impl<'a> IntoIterator for &'a Signals {
    type Item = io::Result<Signal>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signals = self.watched.iter().map(|watched| watched.signal);
        f.debug_set().entries(signals).finish()
    }
}

/// The deliveries of a [`Signals`], without end. Made by [`Signals::iter`].
///
/// # Cancellation
///
/// As [`Signals::recv`].
#[derive(Debug)]
#[must_use = "signals are received as the iterator is advanced"]
pub struct Iter<'a> {
    signals: &'a Signals,
}

impl Iterator for Iter<'_> {
    type Item = io::Result<Signal>;

    fn next(&mut self) -> Option<io::Result<Signal>> {
        Some(self.signals.recv())
    }
}

impl FusedIterator for Iter<'_> {}

/// The deliveries of a [`Signals`], without end, as a stream. Made by [`Signals::iter_async`].
#[derive(Debug)]
#[must_use = "signals are received as the stream is polled"]
pub struct IterAsync<'a> {
    signals: &'a Signals,
}

impl Stream for IterAsync<'_> {
    type Item = io::Result<Signal>;

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Signal>>> {
        let signals = self.signals;
        let received = signals.source.poll_when_readable(context, |listener| {
            signals
                .take_or_silence(listener)
                .ok_or_else(|| io::ErrorKind::WouldBlock.into())
        });
        received.map(Some)
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Signals>();
    assert_send_sync::<Signal>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    /// Two signals that come between a look and the silence after it: who takes one of them wakes
    /// another for the other.
    #[test]
    fn who_silences_the_bell_and_finds_signals_rings_again() {
        let signals = Signals::new([Signal::WINCH]).unwrap();
        let listener = signals.source.get_ref();
        let rings = || {
            let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
        };
        for _ in 0..2 {
            nix::sys::signal::raise(nix::sys::signal::SIGWINCH).unwrap();
        }
        assert_eq!(signals.silence_and_take(listener), Some(Signal::WINCH));
        assert!(rings());
        assert_eq!(signals.take_or_silence(listener), Some(Signal::WINCH));
        assert_eq!(signals.take_or_silence(listener), None);
        assert!(!rings());
    }
}
