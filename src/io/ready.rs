//! The readiness loop: try; where the call would block, park until the reactor says that it would
//! not, and try again. It comes in two forms, since code of the user's, which may suspend a
//! coroutine and be continued anywhere, must not run while its caller holds anything of a runtime's
//! (invariant 55).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use super::polled::{entry_at, register};
use super::{Kind, Source, outside};
use crate::clock;
use crate::park::{Core, Limit, Mask, Outcome, refuse_in_child};
use crate::reactor::{Direction, Entry};
use crate::scheduler::{Reason, WaitNode, Wakers};

impl<T: AsFd> Source<T> {
    /// The readiness loop of this crate's own calls: try; where the call would block, park until
    /// the reactor says that it would not, and try again. `is_short` says of a result that it
    /// proves the readiness consumed. `op` runs no code of the user's.
    #[inline]
    pub(super) fn ready_loop<R>(
        &self,
        direction: Direction,
        what: &'static str,
        timeout: Option<Duration>,
        is_short: impl Fn(&R) -> bool,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let inner = self.get_ref();
        let fd = inner.as_fd();
        let mut attempt = || {
            if self.kind() == Kind::Blocking && !outside::is_ready(fd, direction)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            op(inner)
        };
        let Some(core) = Core::current() else {
            refuse_in_child();
            return outside::repeat(fd, direction, timeout, attempt);
        };
        enter(core)?;

        let mut entry = self.registrations.entry(&core.reactor);
        // Whoever waits already comes first, and what is known to block is not tried.
        if entry
            .is_none_or(|entry| entry.is_ready(direction) && entry.waiters(direction).is_empty())
        {
            match retry_interrupted(&mut attempt) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    self.note_short(entry, direction, &is_short, &result);
                    core.spend();
                    return result;
                }
            }
            if let Some(entry) = entry
                && !entry.clear(direction)
            {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        let entry = match entry.take() {
            Some(entry) => entry,
            None => register(&self.registrations, core, fd)?,
        };
        let wait = Wait {
            fd,
            direction,
            what,
            timeout,
            keeps_place: false,
        };
        let result = wait.park(core, entry, &mut attempt)?;
        self.note_short(Some(entry), direction, &is_short, &result);
        result
    }

    /// One try, past those who wait: for a call that waits for something else than this source's
    /// readiness. `op` runs no code of the user's.
    pub(crate) fn try_once<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        let mut attempt = || op(self.get_ref());
        let Some(core) = Core::current() else {
            refuse_in_child();
            return retry_interrupted(&mut attempt);
        };
        enter(core)?;
        let result = retry_interrupted(&mut attempt);
        core.spend();
        result
    }

    /// Forgets the readiness that a short count proved consumed.
    #[inline]
    pub(super) fn note_short<R>(
        &self,
        entry: Option<&Entry>,
        direction: Direction,
        is_short: &impl Fn(&R) -> bool,
        result: &io::Result<R>,
    ) {
        if self.kind() == Kind::Stream
            && let (Some(entry), Ok(value)) = (entry, result)
            && is_short(value)
        {
            entry.clear_short(direction);
        }
    }

    /// The same for calls of the user's: everything of the runtime is let go before `op`, and found
    /// anew after it.
    pub(super) fn when_ready<R>(
        &self,
        direction: Direction,
        what: &'static str,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut waited = !self.may_try(direction)?;
        if waited {
            self.wait_turn(direction, what, false)?;
        }
        loop {
            let turn = Turn {
                source: self,
                direction,
            };
            let result = match self.would_block(direction)? {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => retry_interrupted(&mut || op(self.get_ref())),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::mem::forget(turn),
                result => {
                    drop(turn);
                    if !waited && let Some(core) = Core::current() {
                        core.spend();
                    }
                    return result;
                }
            }
            // It has had its turn, and keeps its place at the head.
            self.consume(direction)?;
            self.wait_turn(direction, what, true)?;
            waited = true;
        }
    }

    /// Whether a call need not wait first: nobody else does, and it is not known to block.
    fn may_try(&self, direction: Direction) -> io::Result<bool> {
        let Some(core) = Core::current() else {
            return Ok(true);
        };
        enter(core)?;
        let entry = self.registrations.entry(&core.reactor);
        Ok(entry
            .is_none_or(|entry| entry.is_ready(direction) && entry.waiters(direction).is_empty()))
    }

    /// Whether a call on a file that blocks would do so.
    fn would_block(&self, direction: Direction) -> io::Result<bool> {
        Ok(self.kind() == Kind::Blocking && !outside::is_ready(self.get_ref().as_fd(), direction)?)
    }

    /// A call said that it would block: forgets the readiness. An error where no event will ever
    /// come.
    pub(super) fn consume(&self, direction: Direction) -> io::Result<()> {
        let Some(core) = Core::current() else {
            return Ok(());
        };
        match self.registrations.entry(&core.reactor) {
            Some(entry) if !entry.clear(direction) => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }

    /// Parks until it is this thread's turn and the source is ready.
    fn wait_turn(&self, direction: Direction, what: &'static str, first: bool) -> io::Result<()> {
        let fd = self.get_ref().as_fd();
        let Some(core) = Core::current() else {
            refuse_in_child();
            return outside::wait(fd, direction, None);
        };
        enter(core)?;
        let entry = entry_at(&self.registrations, core, fd)?;
        let wait = Wait {
            fd,
            direction,
            what,
            timeout: None,
            keeps_place: first,
        };
        wait.park_for_turn(core, entry)
    }

    /// Wakes who waits the longest, if the source is ready.
    fn hand_on(&self, direction: Direction) {
        if let Some(core) = Core::current()
            && let Some(entry) = self.registrations.entry(&core.reactor)
        {
            hand_on(core, entry, direction);
        }
    }
}

/// The turn of a thread that runs code of the user's. It ends when that code has returned or
/// unwound.
struct Turn<'a, T: AsFd> {
    source: &'a Source<T>,
    direction: Direction,
}

impl<T: AsFd> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.source.hand_on(self.direction);
    }
}

/// One wait for readiness.
struct Wait<'a> {
    fd: BorrowedFd<'a>,
    direction: Direction,
    what: &'static str,
    timeout: Option<Duration>,
    /// Whether it stands before those who wait already, since it has had its turn.
    keeps_place: bool,
}

impl Wait<'_> {
    /// Parks in the queue until it is this thread's turn, the source is ready and `attempt` does
    /// not say `WouldBlock`.
    fn park<R>(
        &self,
        core: &Core,
        entry: &Entry,
        attempt: &mut dyn FnMut() -> io::Result<R>,
    ) -> io::Result<io::Result<R>> {
        let mut result = None;
        let outcome = self.stand(core, entry, true, || {
            match retry_interrupted(&mut *attempt) {
                // Where no event will come, the caller gets the error: it asked a file to block.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && entry.clear(self.direction) =>
                {
                    false
                }
                other => {
                    result = Some(other);
                    true
                }
            }
        });
        match result {
            Some(result) => Ok(result),
            None => Err(end_of_wait(outcome)),
        }
    }

    /// Parks in the queue until it is this thread's turn and the source is ready. The turn is the
    /// caller's then, who hands it on.
    fn park_for_turn(&self, core: &Core, entry: &Entry) -> io::Result<()> {
        match self.stand(core, entry, false, || true) {
            Outcome::Woken => Ok(()),
            outcome => Err(end_of_wait(outcome)),
        }
    }

    /// Stands in the queue and parks; calls `act` whenever it is this thread's turn and the source
    /// is ready, until it returns true. `hands_on` says whether leaving after that wakes the next.
    fn stand(
        &self,
        core: &Core,
        entry: &Entry,
        hands_on: bool,
        mut act: impl FnMut() -> bool,
    ) -> Outcome {
        let node = WaitNode::new(core.running());
        let waiters = entry.waiters(self.direction);
        if self.keeps_place {
            // SAFETY: invariant 43: the node is pinned to this frame and unlinked by its drop; the
            // queue lies in an entry that stays with its source, which the caller borrows.
            unsafe { waiters.push_first(&node) };
        } else {
            // SAFETY: as above.
            unsafe { waiters.push(&node) };
        }
        let mut place = Place {
            core,
            entry,
            direction: self.direction,
            node: &node,
            hands_on: true,
        };
        core.reactor.waiting.set(core.reactor.waiting.get() + 1);

        let number = u64::try_from(self.fd.as_raw_fd()).unwrap_or(0);
        let reason = Reason::new(self.what)
            .on("fd ", number)
            .woken_by(Wakers::Event);
        let limit = self
            .timeout
            .map_or(Limit::None, |timeout| Limit::After(clock::length(timeout)));
        let outcome = core.park(&reason, limit, Mask::No, || {
            while waiters.is_first(&node) && entry.is_ready(self.direction) {
                if act() {
                    return true;
                }
            }
            false
        });
        place.hands_on = hands_on || outcome != Outcome::Woken;
        outcome
    }
}

/// A waiter's place in a queue.
struct Place<'a> {
    core: &'a Core,
    entry: &'a Entry,
    direction: Direction,
    node: &'a WaitNode,
    /// Whether who leaves it while the source is ready wakes the next.
    hands_on: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waiting = &self.core.reactor.waiting;
        waiting.set(waiting.get() - 1);
        self.node.unlink();
        if self.hands_on {
            hand_on(self.core, self.entry, self.direction);
        }
    }
}

fn hand_on(core: &Core, entry: &Entry, direction: Direction) {
    let next = entry.waiters(direction).first();
    if !next.is_null() && entry.is_ready(direction) {
        core.unpark(next);
    }
}

fn end_of_wait(outcome: Outcome) -> io::Error {
    match outcome {
        Outcome::Cancelled => cancelled(),
        Outcome::Woken | Outcome::TimedOut => io::Error::from_raw_os_error(libc::EAGAIN),
    }
}

#[inline]
pub(super) fn retry_interrupted<R>(
    attempt: &mut (impl FnMut() -> io::Result<R> + ?Sized),
) -> io::Result<R> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Looks for a cancel at the entry of a call that may find no need to wait (rule 19). A destructor's
/// call in a thread that unwinds goes on, and ends where it would have to wait: what is in a buffer
/// gets written if there is room for it (rule 20).
///
/// # Errors
///
/// Where the green thread is cancelled and cannot be unwound otherwise.
#[inline]
fn enter(core: &Core) -> io::Result<()> {
    match core.check_cancel() {
        Err(refused) if !refused.in_destructor => Err(cancelled()),
        _ => Ok(()),
    }
}

/// As `enter`, for calls that are made of others.
///
/// # Errors
///
/// The same.
pub(crate) fn enter_call() -> io::Result<()> {
    Core::current().map_or(Ok(()), enter)
}

/// Looks for a cancel at the entry of a call that has a way of its own to go on.
///
/// # Errors
///
/// Where the green thread is cancelled and cannot be unwound.
pub(crate) fn check_cancel() -> io::Result<()> {
    match Core::current() {
        Some(core) => core.check_cancel().map_err(|_| cancelled()),
        None => Ok(()),
    }
}

/// What I/O returns to a cancelled thread that cannot be unwound. Never `Interrupted`, which std's
/// loops retry for ever.
#[cold]
fn cancelled() -> io::Error {
    match Core::current().and_then(Core::cancelled) {
        Some(cancelled) => cancelled.into(),
        None => io::Error::other("the green thread is cancelled"),
    }
}
