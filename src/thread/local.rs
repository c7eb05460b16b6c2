//! `thread_local!` and `LocalKey` for green threads: one value for each, made when it is first asked
//! for. Outside a runtime there is one for each OS thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, needs_drop};
use std::rc::Rc;
use std::result::Result;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::park::Core;
use crate::scheduler::Locals;
use crate::scheduler::locals::Slot;
use crate::scheduler::record::extra;

/// Declares keys of which each green thread has a value of its own, with the syntax of
/// [`std::thread_local!`]: attributes, visibility, any number of declarations, and `const { … }`.
///
/// # Examples
///
/// ```
/// use greenlit::{thread, thread_local};
/// use std::cell::{Cell, RefCell};
///
/// thread_local! {
///     static DEPTH: Cell<u32> = const { Cell::new(0) };
///     /// What this green thread has seen.
///     pub static SEEN: RefCell<Vec<String>> = RefCell::new(vec!["nothing".into()]);
/// }
///
/// greenlit::run(|| {
///     DEPTH.set(7);
///     thread::spawn(|| assert_eq!(DEPTH.get(), 0)).join().unwrap();
///     assert_eq!(DEPTH.get(), 7);
///     SEEN.with_borrow(|seen| assert_eq!(seen.len(), 1));
/// });
/// ```
#[macro_export]
macro_rules! thread_local {
    () => {};
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = const $init:block; $($rest:tt)*) => {
        $crate::thread_local!($(#[$attr])* $vis static $name: $t = const $init);
        $crate::thread_local!($($rest)*);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = const $init:block) => {
        $(#[$attr])*
        $vis const $name: $crate::thread::LocalKey<$t> = {
            static __GREENLIT_NUMBER: $crate::thread::LocalNumber<$t> =
                $crate::thread::LocalNumber::new();
            fn __greenlit_init() -> $t {
                const __GREENLIT_INIT: $t = $init;
                __GREENLIT_INIT
            }
            $crate::thread::LocalKey::new(&__GREENLIT_NUMBER, __greenlit_init)
        };
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = $init:expr; $($rest:tt)*) => {
        $crate::thread_local!($(#[$attr])* $vis static $name: $t = $init);
        $crate::thread_local!($($rest)*);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = $init:expr) => {
        $(#[$attr])*
        $vis const $name: $crate::thread::LocalKey<$t> = {
            static __GREENLIT_NUMBER: $crate::thread::LocalNumber<$t> =
                $crate::thread::LocalNumber::new();
            fn __greenlit_init() -> $t {
                $init
            }
            $crate::thread::LocalKey::new(&__GREENLIT_NUMBER, __greenlit_init)
        };
    };
}

/// A key under which each green thread has a value of its own; made by
/// [`thread_local!`](crate::thread_local).
///
/// The value is made when the green thread first asks for it, and dropped when that thread ends, on
/// its own stack: after its closure and its result, where nobody joins it, and before its joiner
/// goes on. The youngest is dropped first. A destructor may use other keys, park and spawn; where it
/// panics, that is reported on stderr and the rest goes on.
///
/// The main green thread is one like others: its values go when the closure of the run has ended,
/// before the green threads that remain are cancelled. It shares none with the OS thread, which has
/// values of its own outside of runs, in tracing subscribers, and in
/// [`on_os_stack`](super::on_os_stack).
///
/// Where a coroutine is suspended inside [`with`](Self::with), the value stays until it has left
/// it, also beyond the end of the green thread.
pub struct LocalKey<T: 'static> {
    number: &'static LocalNumber<T>,
    init: fn() -> T,
}

/// The number of a key, and what type its values have. For `thread_local!` only.
#[doc(hidden)]
pub struct LocalNumber<T: 'static> {
    /// No other key of the process has it; 0 until it is first asked for.
    number: AtomicU32,
    /// Neither a subtype nor a supertype will do.
    value: PhantomData<fn(T) -> T>,
}

/// The value has been destroyed, since its thread ends.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl<T: 'static> LocalNumber<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            number: AtomicU32::new(0),
            value: PhantomData,
        }
    }

    #[inline(always)]
    fn get(&self) -> u32 {
        match self.number.load(Ordering::Relaxed) {
            0 => self.assign(),
            number => number,
        }
    }

    #[cold]
    fn assign(&self) -> u32 {
        static LAST: AtomicU32 = AtomicU32::new(0);
        // A number that was given twice would give a value a type that it has not.
        let last = LAST
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                last.checked_add(1)
            })
            .expect("no more than 2^32 keys");
        let number = last + 1;
        let before = self
            .number
            .compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
        before.err().unwrap_or(number)
    }
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(number: &'static LocalNumber<T>, init: fn() -> T) -> Self {
        Self { number, init }
    }

    /// Lends the calling thread's value to `f`, and makes it first if there is none.
    ///
    /// # Panics
    ///
    /// Where the thread ends and has destroyed the value; [`try_with`](Self::try_with) returns an
    /// error there.
    #[track_caller]
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.hold(&mut None) {
            Ok(value) => f(&value),
            Err(error) => refuse(error),
        }
    }

    /// As [`with`](Self::with).
    ///
    /// # Errors
    ///
    /// The thread ends and has destroyed the value; `f` was not called.
    #[inline]
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        let value = self.hold(&mut None)?;
        Ok(f(&value))
    }

    /// The calling thread's value, counted. What is in `first` is used in place of the
    /// initialiser's.
    #[inline(always)]
    fn hold(&self, first: &mut Option<T>) -> Result<Rc<T>, AccessError> {
        match get(self.number.get()) {
            // SAFETY: invariant 67: values under this number are of this type.
            Slot::Value(value) => Ok(unsafe { typed(value) }),
            Slot::Empty => self.initialise(first),
            Slot::Destroyed => Err(AccessError),
        }
    }

    #[cold]
    fn initialise(&self, first: &mut Option<T>) -> Result<Rc<T>, AccessError> {
        let value = Rc::new(first.take().unwrap_or_else(self.init));
        // The initialiser may have asked for the value itself, parked, or suspended a coroutine
        // that another green thread has continued: all is looked at anew. As with std, the outer
        // value takes the place of an inner one.
        match put(self.number.get(), value.clone(), needs_drop::<T>()) {
            Ok(old) => drop(old),
            Err(_) => return Err(AccessError),
        }
        Ok(value)
    }

    #[track_caller]
    fn with_first<R>(&'static self, first: T, f: impl FnOnce(Option<T>, &T) -> R) -> R {
        let mut first = Some(first);
        match self.hold(&mut first) {
            Ok(value) => f(first, &value),
            Err(error) => refuse(error),
        }
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the calling thread's value; the initialiser does not run.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.with_first(Cell::new(value), |value, cell| {
            if let Some(value) = value {
                cell.set(value.into_inner());
            }
        });
    }

    /// A copy of the calling thread's value.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the calling thread's value, and leaves the default.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets the calling thread's value, and returns the one before.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Lends what is in the calling thread's value to `f`.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with), and where it is borrowed mutably.
    #[track_caller]
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Lends what is in the calling thread's value to `f`, to be changed.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with), and where it is borrowed.
    #[track_caller]
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets what is in the calling thread's value; the initialiser does not run.
    ///
    /// # Panics
    ///
    /// As [`with_borrow_mut`](Self::with_borrow_mut).
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.with_first(RefCell::new(value), |value, cell| {
            if let Some(value) = value {
                *cell.borrow_mut() = value.into_inner();
            }
        });
    }

    /// Takes what is in the calling thread's value, and leaves the default.
    ///
    /// # Panics
    ///
    /// As [`with_borrow_mut`](Self::with_borrow_mut).
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Sets what is in the calling thread's value, and returns what was there before.
    ///
    /// # Panics
    ///
    /// As [`with_borrow_mut`](Self::with_borrow_mut).
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

std::thread_local! {
    /// The values of an OS thread, where no runtime runs. It has no destructor, so that it can be
    /// used while the OS thread ends.
    static OUTSIDE: ManuallyDrop<Locals> = const { ManuallyDrop::new(Locals::new()) };
    /// Whether they have been destroyed.
    static ENDED: Cell<bool> = const { Cell::new(false) };
    /// Destroys them at the end of the OS thread.
    static END: End = const { End };
}

struct End;

impl Drop for End {
    fn drop(&mut self) {
        while let Some(value) = OUTSIDE.with(|locals| locals.pop()) {
            drop(value);
        }
        ENDED.set(true);
        OUTSIDE.with(|locals| locals.free());
    }
}

/// What the calling thread, green or not, has under a number.
#[inline(always)]
fn get(number: u32) -> Slot {
    match Core::current() {
        Some(core) => core.running().locals.get(number),
        None if ENDED.get() => Slot::Destroyed,
        None => OUTSIDE.with(|locals| locals.get(number)),
    }
}

/// Puts a value under a number for the calling thread, and returns what was there; gives it back
/// where the thread has destroyed that one.
fn put(number: u32, value: Rc<dyn Any>, has_destructor: bool) -> Result<Slot, Rc<dyn Any>> {
    match Core::current() {
        Some(core) => {
            let record = core.running();
            record.add_extra(extra::LOCALS);
            record.locals.put(number, value, has_destructor)
        }
        None if ENDED.get() => Err(value),
        None => {
            // Where `END` is being dropped already, it drops this one too.
            let _ = END.try_with(|_| ());
            OUTSIDE.with(|locals| locals.put(number, value, has_destructor))
        }
    }
}

/// # Safety
///
/// The value is a `T`.
#[inline(always)]
unsafe fn typed<T>(value: Rc<dyn Any>) -> Rc<T> {
    let value: *const T = Rc::into_raw(value).cast();
    // SAFETY: the pointer comes from an `Rc` of a value of this type.
    unsafe { Rc::from_raw(value) }
}

#[cold]
#[track_caller]
fn refuse(error: AccessError) -> ! {
    panic!("cannot access a green thread's local during or after destruction: {error:?}")
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

impl<T: 'static> fmt::Debug for LocalNumber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalNumber").field(&self.number).finish()
    }
}

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessError").finish()
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt("already destroyed", f)
    }
}

impl Error for AccessError {}
