//! Why something was not spawned, with what it was: shaped as std's `TrySendError`.

use std::error::Error;
use std::fmt;
use std::io;

/// Why [`thread::try_spawn`](super::try_spawn) or [`future::try_spawn`](crate::future::try_spawn) did not
/// spawn, with the closure or the future.
pub enum TrySpawnError<F> {
    /// As many live already as the runtime admits.
    Full(F),
    /// No runtime runs on this OS thread.
    NoRuntime(F),
    /// No stack can be had; the error says why.
    Stack(F, io::Error),
}

impl<F> TrySpawnError<F> {
    /// What was to be spawned.
    pub fn into_inner(self) -> F {
        match self {
            Self::Full(f) | Self::NoRuntime(f) | Self::Stack(f, _) => f,
        }
    }

    /// Whether there may be room later.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// The name of the variant, as `Debug` shows it.
    const fn variant(&self) -> &'static str {
        match self {
            Self::Full(_) => "Full",
            Self::NoRuntime(_) => "NoRuntime",
            Self::Stack(..) => "Stack",
        }
    }
}

impl TrySpawnError<()> {
    /// The same, of what was to be spawned.
    pub(super) fn with<F>(self, f: F) -> TrySpawnError<F> {
        match self {
            Self::Full(()) => TrySpawnError::Full(f),
            Self::NoRuntime(()) => TrySpawnError::NoRuntime(f),
            Self::Stack((), error) => TrySpawnError::Stack(f, error),
        }
    }
}

/// What the error says, whether the closure or the future is still there or not.
const FULL: &str = "as many live already as the runtime's max_threads or max_tasks admits";
const NO_RUNTIME: &str = "no runtime runs on this OS thread; call it inside greenlit::run";

impl<F> fmt::Display for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str(FULL),
            Self::NoRuntime(_) => f.write_str(NO_RUNTIME),
            Self::Stack(_, error) => error.fmt(f),
        }
    }
}

impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple(self.variant());
        if let Self::Stack(_, error) = self {
            tuple.field(error);
        }
        tuple.finish_non_exhaustive()
    }
}

impl<F> Error for TrySpawnError<F> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Full(_) | Self::NoRuntime(_) => None,
            Self::Stack(_, error) => Some(error),
        }
    }
}

/// Drops the closure or the future.
impl<F> From<TrySpawnError<F>> for io::Error {
    #[cold]
    fn from(error: TrySpawnError<F>) -> Self {
        match error {
            TrySpawnError::Full(_) => Self::new(io::ErrorKind::WouldBlock, FULL),
            TrySpawnError::NoRuntime(_) => Self::new(io::ErrorKind::Unsupported, NO_RUNTIME),
            TrySpawnError::Stack(_, error) => error,
        }
    }
}
