//! Generators: coroutines that only give values out, as iterators.

use super::State;
use super::asymmetric::{Coroutine, Resumed, Suspender};
use std::fmt;
use std::io;
use std::iter::FusedIterator;

/// An iterator over what a function yields.
///
/// The function runs on a stack of its own and begins with the first [`next`](Iterator::next).
/// Inside a green thread it may call whatever parks: then the green thread that asked for the value
/// parks.
///
/// # Cancellation
///
/// To ask for a value does not park by itself. If the function parks and is cancelled there, it
/// unwinds, and then the caller.
///
/// # Examples
///
/// ```
/// use greenlit::coroutine::Generator;
///
/// let squares = Generator::new(|g| {
///     for n in 1.. {
///         g.yield_(n * n);
///     }
/// });
/// assert_eq!(squares.take(4).collect::<Vec<u64>>(), [1, 4, 9, 16]);
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn assert_send<T: Send>() {}
/// assert_send::<greenlit::coroutine::Generator<()>>();
/// ```
#[must_use = "a generator yields nothing until it is asked for a value"]
pub struct Generator<T: 'static> {
    coroutine: Coroutine<(), T, ()>,
}

impl<T> Generator<T> {
    /// Makes a generator of a function.
    ///
    /// # Panics
    ///
    /// Where no stack can be made; [`Generator::with_stack_size`] returns an error instead.
    #[track_caller]
    pub fn new<F>(f: F) -> Self
    where
        F: FnOnce(&Yielder<T>) + 'static,
    {
        Self {
            coroutine: Coroutine::new(Self::body(f)),
        }
    }

    /// The same with a stack of which `bytes` can be used, at least 16 KiB; rounded up.
    ///
    /// # Errors
    ///
    /// As [`Coroutine::with_stack_size`].
    #[track_caller]
    pub fn with_stack_size<F>(bytes: usize, f: F) -> io::Result<Self>
    where
        F: FnOnce(&Yielder<T>) + 'static,
    {
        Ok(Self {
            coroutine: Coroutine::with_stack_size(bytes, Self::body(f))?,
        })
    }

    fn body<F>(f: F) -> impl FnOnce(&Suspender<(), T>, ()) + 'static
    where
        F: FnOnce(&Yielder<T>) + 'static,
    {
        |suspender, ()| f(Yielder::over(suspender))
    }
}

impl<T> Iterator for Generator<T> {
    type Item = T;

    /// Runs the function to its next [`Yielder::yield_`].
    ///
    /// # Panics
    ///
    /// With the function's panic, if it panics; from then on there are no more values.
    #[inline]
    fn next(&mut self) -> Option<T> {
        match self.coroutine.resume(()) {
            Ok(Resumed::Yielded(value)) => Some(value),
            // It has ended, now or before: an exclusive borrow keeps it from being asked while it
            // runs.
            Ok(Resumed::Returned(())) | Err(_) => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self.coroutine.state() {
            State::Done => (0, Some(0)),
            _ => (0, None),
        }
    }
}

impl<T> FusedIterator for Generator<T> {}

impl<T> fmt::Debug for Generator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator")
            .field("state", &self.coroutine.state())
            .finish_non_exhaustive()
    }
}

/// What a generator's function yields its values with.
#[repr(transparent)]
pub struct Yielder<T>(Suspender<(), T>);

impl<T> Yielder<T> {
    fn over(suspender: &Suspender<(), T>) -> &Self {
        // SAFETY: a `Yielder` is a `Suspender` and nothing else, says `repr(transparent)`.
        unsafe { &*std::ptr::from_ref(suspender).cast() }
    }

    /// Gives a value to whoever asked for it, and returns when the next one is asked for.
    ///
    /// If the generator is dropped instead, it unwinds; see the [module](super).
    ///
    /// # Panics
    ///
    /// When it is called anywhere but in the generator's own function: in a generator that the
    /// function has made, or in another green thread.
    #[inline]
    #[track_caller]
    pub fn yield_(&self, value: T) {
        self.0.suspend(value);
    }
}

impl<T> fmt::Debug for Yielder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}
