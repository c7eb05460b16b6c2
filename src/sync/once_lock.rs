//! `OnceLock`: a cell that is written once, by whoever comes first.

use std::cell::UnsafeCell;
use std::fmt;

use super::once::{Once, Progress};

/// A cell that can be written once, as [`std::sync::OnceLock`], between green threads of any runtime
/// and plain OS threads. Initialisers may park.
///
/// # Examples
///
/// ```
/// use greenlit::{sync::OnceLock, thread};
///
/// static ANSWER: OnceLock<u32> = OnceLock::new();
///
/// greenlit::run(|| {
///     let slow = thread::spawn(|| *ANSWER.get_or_init(|| { thread::yield_now(); 42 }));
///     thread::yield_now();
///     // The other's initialiser is under way: this waits for it.
///     assert_eq!(*ANSWER.get_or_init(|| 0), 42);
///     assert_eq!(slow.join().unwrap(), 42);
/// });
/// ```
pub struct OnceLock<T> {
    once: Once,
    /// `Some` once `once` is complete, and while it is. An `Option` and no bare memory, so that
    /// the cell has no destructor of its own, and may refer to what goes before it, as std's may.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: it owns its value.
unsafe impl<T: Send> Send for OnceLock<T> {}
// SAFETY: all threads share the value, which one of them brought.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

impl<T: std::panic::UnwindSafe> std::panic::UnwindSafe for OnceLock<T> {}
impl<T: std::panic::RefUnwindSafe + std::panic::UnwindSafe> std::panic::RefUnwindSafe
    for OnceLock<T>
{
}

impl<T> OnceLock<T> {
    /// An empty cell.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            once: Once::new(),
            value: UnsafeCell::new(None),
        }
    }

    /// The value, if there is one. It does not park.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: invariant 74: nobody writes into a complete cell through a shared reference.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// The value to be changed, if there is one.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        match self.once.progress() {
            Progress::Complete => self.value.get_mut().as_mut(),
            Progress::Incomplete | Progress::Poisoned => None,
        }
    }

    /// Waits until there is a value.
    ///
    /// # Panics
    ///
    /// In the main green thread, at a deadlock.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here; if it unwinds already, it waits.
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.get().expect("the wait has ended")
    }

    /// Puts `value` in.
    ///
    /// # Errors
    ///
    /// `value` itself, if there is one already. Where an initialiser is under way, it is waited for.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait), if there is no value yet; `value` is dropped.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("an initialiser is called once"));
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// The value; without one, that of `f` becomes it. Of several calls at once one runs its `f`, and
    /// the others wait for it.
    ///
    /// # Panics
    ///
    /// With `f`'s payload where it panics: then the cell stays empty. If `f` calls this again.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Self::wait), if there is no value yet. Once `f` has begun, it is shielded: a cancel
    /// comes after it.
    #[inline]
    #[track_caller]
    pub fn get_or_init<F>(&self, f: F) -> &T
    where
        F: FnOnce() -> T,
    {
        if let Some(value) = self.get() {
            return value;
        }
        self.once.call_once_force(|_| {
            let value = f();
            // SAFETY: invariant 74: this runs inside the one call of `once` that is under way.
            unsafe { self.write(value) };
        });
        self.get().expect("an initialiser has been completed")
    }

    /// Puts `value` in.
    ///
    /// # Safety
    ///
    /// The caller is in the one call of `once` that is under way, which has not been completed.
    #[inline]
    pub(super) unsafe fn write(&self, value: T) {
        // SAFETY: nobody looks at the value before the call has been completed; there was none.
        unsafe { self.value.get().write(Some(value)) };
    }

    pub(super) fn once_ref(&self) -> &Once {
        &self.once
    }

    /// Puts `value` in without a look at who else might.
    pub(super) fn put(&mut self, value: T) {
        *self.value.get_mut() = Some(value);
        self.once.complete();
    }

    /// Takes the value out, and leaves the cell as new.
    pub fn take(&mut self) -> Option<T> {
        match self.once.progress() {
            Progress::Complete => {
                self.once.reset();
                self.value.get_mut().take()
            }
            Progress::Incomplete | Progress::Poisoned => None,
        }
    }

    /// Takes the value out.
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    pub(super) fn once(&mut self) -> &mut Once {
        &mut self.once
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => d.field(value),
            None => d.field(&format_args!("<uninit>")),
        };
        d.finish()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let mut cell = Self::new();
        cell.put(value);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(Self::new, Self::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
