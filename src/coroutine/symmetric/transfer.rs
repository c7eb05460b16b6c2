//! What symmetric coroutines say to each other: who is next, with what, and why that cannot be.

use super::core::Record;
use std::error::Error;
use std::fmt;
use std::io;

/// Names a coroutine of a [`Family`](super::Family), or whoever drives the family.
///
/// It is a name only: it can be copied into the bodies of others before the coroutine has one, and
/// it may outlive the family.
pub struct Member<T: 'static = ()> {
    /// The family's number, which no other of this process has or had.
    pub(super) family: u64,
    /// Its record, which lives as long as the family. It also keeps names on their OS thread.
    pub(super) record: *const Record<T>,
}

impl<T> Member<T> {
    pub(super) fn new(family: u64, record: *const Record<T>) -> Self {
        Self { family, record }
    }

    /// A transfer to this member that brings it `value`.
    pub fn with(self, value: T) -> Transfer<T> {
        Transfer { to: self, value }
    }
}

impl<T> Clone for Member<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Member<T> {}

impl<T> PartialEq for Member<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.family, self.record) == (other.family, other.record)
    }
}

impl<T> Eq for Member<T> {}

impl<T> fmt::Debug for Member<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({:p} of family {})", self.record, self.family)
    }
}

/// Who is next, and what they get. Made by [`Member::with`]; where the value is `()` the member
/// alone will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a transfer takes place when it is given to yield_to or returned by a body"]
pub struct Transfer<T: 'static = ()> {
    pub(super) to: Member<T>,
    pub(super) value: T,
}

impl From<Member> for Transfer {
    fn from(to: Member) -> Self {
        to.with(())
    }
}

/// What the body of a symmetric coroutine may return: it names who is next.
///
/// - `()`: whoever drives the family, where values are `()`.
/// - a [`Transfer`]: the member that it names. `switcher.main().with(value)` is whoever drives.
/// - a [`Result`] of one of these: an error ends the body as a panic would.
pub trait Ending<T: 'static> {
    /// Who is next, where `main` is whoever drives the family.
    fn into_transfer(self, main: Member<T>) -> Transfer<T>;
}

impl Ending<()> for () {
    fn into_transfer(self, main: Member) -> Transfer {
        main.with(())
    }
}

impl<T> Ending<T> for Transfer<T> {
    fn into_transfer(self, _main: Member<T>) -> Transfer<T> {
        self
    }
}

impl<T: 'static, E: Ending<T>> Ending<T> for Result<E, YieldError<T>> {
    /// # Panics
    ///
    /// With the error, if it is one.
    fn into_transfer(self, main: Member<T>) -> Transfer<T> {
        match self {
            Ok(ending) => ending.into_transfer(main),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A `yield_to` did not take place. Nobody was disturbed, and the value is still here.
pub struct YieldError<T = ()> {
    kind: YieldErrorKind,
    value: T,
}

/// Why a `yield_to` did not take place.
#[derive(Debug)]
#[non_exhaustive]
pub enum YieldErrorKind {
    /// The target's body has ended.
    Done,
    /// The target is the caller itself.
    Running,
    /// The target was declared and has no body yet.
    Undefined,
    /// The target belongs to another family.
    Foreign,
    /// The family is being driven already: by another green thread, or by a caller of this one.
    Driven,
    /// The family is being dropped.
    Closing,
    /// The target has not begun, and there is no stack for it.
    NoStack(io::Error),
}

impl<T> YieldError<T> {
    pub(super) fn new(kind: YieldErrorKind, value: T) -> Self {
        Self { kind, value }
    }

    /// Why it did not take place.
    pub fn kind(&self) -> &YieldErrorKind {
        &self.kind
    }

    /// Gives back the value that the target was to get.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> fmt::Debug for YieldError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("YieldError")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for YieldError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot yield to a coroutine ")?;
        match &self.kind {
            YieldErrorKind::Done => f.write_str("that is done"),
            YieldErrorKind::Running => f.write_str("that is the running one"),
            YieldErrorKind::Undefined => f.write_str("that has no body"),
            YieldErrorKind::Foreign => f.write_str("of another family"),
            YieldErrorKind::Driven => f.write_str("of a family that is driven already"),
            YieldErrorKind::Closing => f.write_str("of a family that is being dropped"),
            YieldErrorKind::NoStack(error) => write!(f, "that has no stack: {error}"),
        }
    }
}

impl<T> Error for YieldError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            YieldErrorKind::NoStack(error) => Some(error),
            _ => None,
        }
    }
}
