//! `LazyLock`: a value that its first user computes.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::once::Progress;
use super::once_lock::OnceLock;
use crate::park;

/// A value that is computed when it is first used, as [`std::sync::LazyLock`], between green threads
/// of any runtime and plain OS threads. The initialiser may park: others that come meanwhile park
/// too.
///
/// # Examples
///
/// ```
/// use greenlit::sync::LazyLock;
///
/// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| (0..10).map(|n| n * n).collect());
///
/// greenlit::run(|| assert_eq!(SQUARES[3], 9));
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    cell: OnceLock<T>,
    /// The initialiser until it runs; touched inside the cell's initialisation only.
    init: UnsafeCell<Option<F>>,
}

// SAFETY: the value is shared once it is there; the initialiser is taken out by one thread, which
// need not be the one that brought it.
unsafe impl<T: Send + Sync, F: Send> Sync for LazyLock<T, F> {}

impl<T: std::panic::UnwindSafe, F: std::panic::UnwindSafe> std::panic::UnwindSafe
    for LazyLock<T, F>
{
}
impl<T, F> std::panic::RefUnwindSafe for LazyLock<T, F>
where
    T: std::panic::RefUnwindSafe + std::panic::UnwindSafe,
    F: std::panic::UnwindSafe,
{
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `f` will compute.
    #[inline]
    pub const fn new(f: F) -> Self {
        Self {
            cell: OnceLock::new(),
            init: UnsafeCell::new(Some(f)),
        }
    }

    /// The value, computed if it has not been; the same as a dereference.
    ///
    /// # Panics
    ///
    /// With the initialiser's payload where it panics, and at every later use. If the initialiser
    /// uses the value.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here if the value has not been computed, and from a
    /// wait for another's initialiser. An initialiser that has begun is shielded: a cancel comes
    /// after it.
    #[inline]
    #[track_caller]
    pub fn force(this: &Self) -> &T {
        this.cell.get_or_init(|| {
            // SAFETY: invariant 74: this runs inside the one initialisation that is under way.
            unsafe { this.run_init() }
        })
    }

    /// Runs the initialiser.
    ///
    /// # Safety
    ///
    /// The caller is in the one initialisation of the cell that is under way.
    #[inline]
    pub(super) unsafe fn run_init(&self) -> T {
        // SAFETY: nobody else touches it; the reference ends with the statement.
        match unsafe { (*self.init.get()).take() } {
            Some(f) => f(),
            None => poisoned(),
        }
    }

    pub(super) fn cell(&self) -> &OnceLock<T> {
        &self.cell
    }

    /// As [`force`](Self::force), by a mutable reference.
    ///
    /// # Panics
    ///
    /// As [`force`](Self::force).
    pub fn force_mut(this: &mut Self) -> &mut T {
        if this.cell.once().progress() == Progress::Incomplete {
            // A panic leaves it poisoned.
            this.cell.once().poison();
            if let Some(f) = this.init.get_mut().take() {
                this.cell.put(park::shielded(f));
            }
        }
        match this.cell.get_mut() {
            Some(value) => value,
            None => poisoned(),
        }
    }
}

#[cold]
#[track_caller]
fn poisoned() -> ! {
    panic!("LazyLock instance has previously been poisoned");
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it has been computed.
    #[inline]
    pub fn get(this: &Self) -> Option<&T> {
        this.cell.get()
    }

    /// The value to be changed, if it has been computed.
    #[inline]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        this.cell.get_mut()
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        Self::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_tuple("LazyLock");
        match Self::get(self) {
            Some(value) => d.field(value),
            None => d.field(&format_args!("<uninit>")),
        };
        d.finish()
    }
}
