//! Asymmetric coroutines: `resume` goes in, `suspend` comes back. corosensei switches, on our
//! stacks; this file keeps the states, and what dropping means.

use super::carried::Baggage;
use super::{
    Ground, LARGEST_CLOSURE_ON_STACK, State, UNWIND_ATTEMPTS, acquire, default_class, drop_quietly,
    may_unwind, misplaced, unwind,
};
use crate::arch::Nested;
use crate::stack::{SizeClass, Stack};
use corosensei::CoroutineResult;
use corosensei::stack::STACK_ALIGNMENT;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::error::Error;
use std::fmt;
use std::io;
use std::mem::{self, MaybeUninit};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};

/// A function with a stack of its own that gives values to whoever resumes it, and gets values
/// back.
///
/// Nothing runs before the first [`resume`](Coroutine::resume). Resuming is done through a shared
/// reference, so that a coroutine can be kept in an `Rc` and even be reached by its own body; one
/// that cannot be resumed says so, and is not harmed.
///
/// # Examples
///
/// ```
/// use greenlit::coroutine::{Coroutine, Resumed};
///
/// let adder = Coroutine::new(|co, mut number: i32| {
///     let mut sum = 0;
///     while number != 0 {
///         sum += number;
///         number = co.suspend(sum);
///     }
///     format!("{sum} in all")
/// });
/// assert_eq!(adder.resume(3)?, Resumed::Yielded(3));
/// assert_eq!(adder.resume(4)?, Resumed::Yielded(7));
/// assert_eq!(adder.resume(0)?, Resumed::Returned("7 in all".to_owned()));
/// # Ok::<(), greenlit::coroutine::ResumeError<i32>>(())
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn assert_send<T: Send>() {}
/// assert_send::<greenlit::coroutine::Coroutine<(), (), ()>>();
/// ```
///
/// ```compile_fail,E0277
/// fn assert_sync<T: Sync>() {}
/// assert_sync::<greenlit::coroutine::Coroutine<(), (), ()>>();
/// ```
#[must_use = "a coroutine does nothing until it is resumed"]
pub struct Coroutine<In, Yield, Return>
where
    In: 'static,
    Yield: 'static,
    Return: 'static,
{
    /// The coroutine with its stack, until its body has ended: then the stack is back in its pool.
    /// It is borrowed exclusively while it runs, which `progress` tells.
    inner: UnsafeCell<Option<Inner<In, Yield, Return>>>,
    /// Changes at the beginning and the end of each resume.
    progress: Cell<Progress>,
    /// Its stack; of no meaning once it is done.
    ground: Ground,
    /// Announces its switches to ThreadSanitizer.
    nested: Nested,
    /// What upper layers have on its stack, while it is suspended.
    baggage: Baggage,
}

/// What corosensei sees: the values that really pass.
type Inner<In, Yield, Return> =
    corosensei::Coroutine<Order<In>, MaybeUninit<Yield>, Finished<Return>, Stack>;

/// How far a coroutine is; `Coroutine::state` tells `Running` and `Normal` apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Suspended,
    Active,
    Done,
}

/// What goes in.
enum Order<In> {
    /// The value that the resumer passed.
    Go(In),
    /// The coroutine is dropped: unwind. If that is impossible, set the flag and suspend without a
    /// value.
    Unwind(*const Cell<bool>),
}

/// What comes out at the end: the body's value (`None` if it was told to unwind before it began),
/// or its panic.
type Finished<Return> = Result<Option<Return>, Box<dyn Any + Send>>;

/// What a [`Coroutine::resume`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resumed<Yield, Return> {
    /// The body has suspended itself with this value.
    Yielded(Yield),
    /// The body has returned this value, and is done.
    Returned(Return),
}

impl<Yield, Return> Resumed<Yield, Return> {
    /// The value with which the body suspended itself, if it did.
    pub fn yielded(self) -> Option<Yield> {
        match self {
            Self::Yielded(value) => Some(value),
            Self::Returned(_) => None,
        }
    }

    /// The value that the body returned, if it did.
    pub fn returned(self) -> Option<Return> {
        match self {
            Self::Yielded(_) => None,
            Self::Returned(value) => Some(value),
        }
    }
}

/// A coroutine was resumed that is not suspended. It goes on as if nobody had tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResumeError<In> {
    state: State,
    input: In,
}

impl<In> ResumeError<In> {
    /// What the coroutine was doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// Gives back the value that it was to be resumed with.
    pub fn into_input(self) -> In {
        self.input
    }
}

impl<In> fmt::Debug for ResumeError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeError")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<In> fmt::Display for ResumeError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Suspended => "cannot resume the coroutine",
            State::Running => "cannot resume a coroutine from its own body",
            State::Normal => "cannot resume a coroutine that was resumed already",
            State::Done => "cannot resume a coroutine that is done",
        })
    }
}

impl<In> Error for ResumeError<In> {}

impl<In, Yield, Return> Coroutine<In, Yield, Return> {
    /// Makes a coroutine of a function. Its second parameter is the value of the first resume.
    ///
    /// Its stack has the size that green threads have by default.
    ///
    /// # Panics
    ///
    /// Where no stack can be made; [`Coroutine::with_stack_size`] returns an error instead.
    #[track_caller]
    pub fn new<F>(f: F) -> Self
    where
        F: FnOnce(&Suspender<In, Yield>, In) -> Return + 'static,
    {
        match Self::on_class(default_class(), Location::caller(), f) {
            Ok(coroutine) => coroutine,
            Err(error) => panic!("cannot make a coroutine: {error}"),
        }
    }

    /// The same with a stack of which `bytes` can be used, at least 16 KiB; rounded up.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a size that cannot be served; else what the system says where no stack
    /// can be made.
    #[track_caller]
    pub fn with_stack_size<F>(bytes: usize, f: F) -> io::Result<Self>
    where
        F: FnOnce(&Suspender<In, Yield>, In) -> Return + 'static,
    {
        Self::on_class(SizeClass::for_size(bytes)?, Location::caller(), f)
    }

    fn on_class<F>(class: SizeClass, place: &'static Location<'static>, f: F) -> io::Result<Self>
    where
        F: FnOnce(&Suspender<In, Yield>, In) -> Return + 'static,
    {
        let stack = acquire(class, place)?;
        if const { size_of::<F>() > LARGEST_CLOSURE_ON_STACK || align_of::<F>() > STACK_ALIGNMENT }
        {
            let f = Box::new(f);
            return Ok(Self::on_stack(stack, move |suspender: &_, input| {
                f(suspender, input)
            }));
        }
        Ok(Self::on_stack(stack, f))
    }

    fn on_stack<F>(stack: Stack, f: F) -> Self
    where
        F: FnOnce(&Suspender<In, Yield>, In) -> Return + 'static,
    {
        let ground = Ground::of(&stack);
        let inner = corosensei::Coroutine::with_stack(stack, move |yielder, order| {
            catch_unwind(AssertUnwindSafe(|| match order {
                Order::Go(input) => Some(f(&Suspender { yielder, ground }, input)),
                // It never began: on its own stack the closure, and a chain of coroutines that it
                // may hold, is dropped without using up the dropper's.
                Order::Unwind(_) => {
                    drop(f);
                    None
                }
            }))
        });
        Self {
            inner: UnsafeCell::new(Some(inner)),
            progress: Cell::new(Progress::Suspended),
            ground,
            nested: Nested::new(),
            baggage: Baggage::new(),
        }
    }

    /// Continues the body until it suspends itself or ends. Its last [`Suspender::suspend`] returns
    /// `input`; the first time the body gets it as its parameter.
    ///
    /// # Panics
    ///
    /// With the body's panic, if it panics; the coroutine is done then.
    ///
    /// # Errors
    ///
    /// A coroutine that is running, normal or done cannot be resumed. The error gives `input` back.
    ///
    /// # Cancellation
    ///
    /// It does not park by itself. If the body parks and is cancelled there, the body unwinds, and
    /// then the caller.
    #[inline]
    pub fn resume(&self, input: In) -> Result<Resumed<Yield, Return>, ResumeError<In>> {
        if self.progress.get() != Progress::Suspended {
            return Err(ResumeError {
                state: self.state(),
                input,
            });
        }
        // SAFETY: it is suspended.
        match unsafe { self.run(Order::Go(input)) } {
            // SAFETY: who was told to go suspends with a value.
            CoroutineResult::Yield(value) => Ok(Resumed::Yielded(unsafe { value.assume_init() })),
            CoroutineResult::Return(Ok(value)) => {
                // It was told to go, so it began.
                Ok(Resumed::Returned(
                    value.expect("a body that began returns a value"),
                ))
            }
            CoroutineResult::Return(Err(payload)) => resume_unwind(payload),
        }
    }

    /// Runs it until it suspends or ends, and keeps `progress`.
    ///
    /// # Safety
    ///
    /// It is suspended.
    #[inline]
    unsafe fn run(
        &self,
        order: Order<In>,
    ) -> CoroutineResult<MaybeUninit<Yield>, Finished<Return>> {
        self.progress.set(Progress::Active);
        // SAFETY: nothing else refers to what `inner` holds: only this function and the destructor
        // do, and while this one runs `progress` keeps others out (invariant 51).
        let slot = unsafe { &mut *self.inner.get() };
        // SAFETY: it is there until the body has ended, and then it is not suspended.
        let inner = unsafe { slot.as_mut().unwrap_unchecked() };

        self.baggage.unpack();
        let outer = self.nested.enter();
        let result = inner.resume(order);
        // SAFETY: `outer` comes from just above. The line before does not unwind, since the body's
        // panics are caught at its root.
        unsafe { self.nested.leave(outer) };

        if let CoroutineResult::Return(_) = result {
            // The stack goes back to its pool.
            *slot = None;
            self.progress.set(Progress::Done);
        } else {
            self.progress.set(Progress::Suspended);
            self.baggage.pack(self.ground);
        }
        result
    }

    /// What the coroutine is doing.
    pub fn state(&self) -> State {
        match self.progress.get() {
            Progress::Suspended => State::Suspended,
            Progress::Active if self.ground.is_under_caller() => State::Running,
            Progress::Active => State::Normal,
            Progress::Done => State::Done,
        }
    }

    /// Unwinds a suspended body; gives up on one that cannot be unwound.
    #[cold]
    fn force_unwind(&self) -> bool {
        for _ in 0..UNWIND_ATTEMPTS {
            let stuck = Cell::new(false);
            // SAFETY: it is suspended: the caller says so the first time, and below it was seen.
            match unsafe { self.run(Order::Unwind(&raw const stuck)) } {
                CoroutineResult::Yield(_) if stuck.get() => return false,
                // It caught the unwinding and suspended with a value: it is told again.
                // SAFETY: it is not stuck, so there is a value.
                CoroutineResult::Yield(value) => drop_quietly(unsafe { value.assume_init() }),
                CoroutineResult::Return(Ok(value)) => {
                    drop_quietly(value);
                    return true;
                }
                CoroutineResult::Return(Err(payload)) => {
                    // If it is not ours it is a panic of the body's own, and the hook has told it.
                    drop_quietly(payload);
                    return true;
                }
            }
        }
        false
    }
}

impl<In, Yield, Return> Drop for Coroutine<In, Yield, Return> {
    fn drop(&mut self) {
        let over = match self.progress.get() {
            Progress::Done => true,
            Progress::Suspended => self.force_unwind(),
            // The body runs and its resumer's borrow of the coroutine has been leaked.
            Progress::Active => false,
        };
        if !over {
            // Its frames, and with them all that may be borrowed from them, stay for ever.
            mem::forget(self.inner.get_mut().take());
        }
    }
}

impl<In, Yield, Return> fmt::Debug for Coroutine<In, Yield, Return> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coroutine")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// What a coroutine's body suspends itself with.
pub struct Suspender<In, Yield> {
    /// corosensei's part, which lies at the coroutine's base as long as the body runs.
    yielder: *const corosensei::Yielder<Order<In>, MaybeUninit<Yield>>,
    /// The coroutine's stack, on which the caller of `suspend` must be.
    ground: Ground,
}

impl<In, Yield> Suspender<In, Yield> {
    /// Goes back to whoever resumed the coroutine, with `value`; returns what the next
    /// [`Coroutine::resume`] brings.
    ///
    /// If the coroutine is dropped instead, it unwinds; see the [module](super).
    ///
    /// # Panics
    ///
    /// When it is called anywhere but in the coroutine's own body: in a coroutine that the body has
    /// resumed, or in another green thread.
    #[inline]
    #[track_caller]
    pub fn suspend(&self, value: Yield) -> In {
        if !self.ground.is_under_caller() {
            misplaced("suspend");
        }
        let mid_unwinding = std::thread::panicking();
        // SAFETY: the caller is on the coroutine's stack, so the body runs, and its root with it.
        let yielder = unsafe { &*self.yielder };
        match yielder.suspend(MaybeUninit::new(value)) {
            Order::Go(input) => input,
            Order::Unwind(_) if may_unwind(mid_unwinding) => unwind(),
            Order::Unwind(stuck) => self.give_up(stuck),
        }
    }

    /// The coroutine is being dropped, and cannot be unwound.
    #[cold]
    fn give_up(&self, stuck: *const Cell<bool>) -> ! {
        // SAFETY: the dropper waits in `force_unwind`, whose local it is.
        unsafe { &*stuck }.set(true);
        // SAFETY: as in `suspend`.
        let yielder = unsafe { &*self.yielder };
        yielder.suspend(MaybeUninit::uninit());
        unreachable!("a coroutine that was leaked runs on");
    }
}

impl<In, Yield> fmt::Debug for Suspender<In, Yield> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspender").finish_non_exhaustive()
    }
}
