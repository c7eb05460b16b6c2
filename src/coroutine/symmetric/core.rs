//! A family from inside: its members, and the switch from one to another. Called by the `Family` and
//! the `Switcher` beside it.

use super::Switcher;
use super::transfer::{MAIN, Member, Transfer, YieldError, YieldErrorKind};
use crate::arch::{self, Context};
use crate::coroutine::{Ground, acquire, drop_quietly};
use crate::stack::{SizeClass, Stack};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A family's state. Bodies reach it by raw pointers; it stays where it is, in an `Rc`.
pub(super) struct Core<T: 'static> {
    /// A number that no other family of the process has or had.
    pub(super) id: u64,
    /// The size of its members' stacks.
    class: SizeClass,
    /// Where whoever drives the family waits.
    pub(super) main: Context,
    /// Grows only. It is borrowed for single operations, never across a switch.
    pub(super) records: RefCell<Vec<Rc<Record<T>>>>,
    /// The member that runs; `MAIN` while nobody drives the family.
    pub(super) running: Cell<usize>,
    /// What passes: put there before each switch, and taken by whoever arrives. It does not lie on the
    /// stack that is left, since nothing may refer to that after a member's last switch.
    mail: Cell<Option<Parcel<T>>>,
    /// The member that has just made its last switch; its stack goes back on arrival.
    ended: Cell<*const Record<T>>,
    /// Set while the family is dropped: how often the member that is unwound has caught that.
    pub(super) closing: Cell<Option<usize>>,
}

/// A member.
pub(super) struct Record<T: 'static> {
    /// Where it waits while it is suspended.
    pub(super) context: Context,
    pub(super) core: *const Core<T>,
    /// Where it was defined, for the report of an overflow.
    place: Cell<&'static Location<'static>>,
    index: usize,
    pub(super) progress: Cell<Progress>,
    /// From its definition until it begins.
    pub(super) body: Cell<Option<Body<T>>>,
    /// From its beginning until its end.
    pub(super) stack: Cell<Option<Stack>>,
    /// Whether a panic was unwinding on this OS thread when it suspended itself.
    pub(super) mid_unwinding: Cell<bool>,
}

pub(super) type Body<T> = Box<dyn FnOnce(&Switcher<T>, T) -> Transfer<T>>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Declared, and nothing else.
    Undefined,
    /// Defined; it has no stack yet.
    Ready,
    Suspended,
    Running,
    Done,
}

/// What passes at a switch.
pub(super) enum Parcel<T> {
    /// The value of a transfer.
    Value(T),
    /// To main only: a member's body has panicked, or was unwound.
    Panic(Box<dyn Any + Send>),
    /// To a suspended member only: the family is dropped.
    Unwind,
    /// To main only: the member cannot be unwound.
    Stuck,
}

/// One who can be switched to.
pub(super) struct Target<T: 'static> {
    context: *const Context,
    /// Null for main.
    record: *const Record<T>,
}

impl<T> Core<T> {
    pub(super) fn new(class: SizeClass) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            class,
            main: Context::new(),
            records: RefCell::new(Vec::new()),
            running: Cell::new(MAIN),
            mail: Cell::new(None),
            ended: Cell::new(ptr::null()),
            closing: Cell::new(None),
        }
    }

    /// Adds a member.
    pub(super) fn declare(self: &Rc<Self>, place: &'static Location<'static>) -> Member<T> {
        let mut records = self.records.borrow_mut();
        let index = records.len();
        records.push(Rc::new(Record {
            context: Context::new(),
            core: Rc::as_ptr(self),
            place: Cell::new(place),
            index,
            progress: Cell::new(Progress::Undefined),
            body: Cell::new(None),
            stack: Cell::new(None),
            mid_unwinding: Cell::new(false),
        }));
        Member::new(self.id, index)
    }

    /// A member of this family; `None` for main and for others'.
    pub(super) fn record(&self, member: Member<T>) -> Option<&Record<T>> {
        if member.family != self.id {
            return None;
        }
        let record = self.records.borrow().get(member.index).map(Rc::as_ptr)?;
        // SAFETY: records are never removed before the core goes.
        Some(unsafe { &*record })
    }

    /// The context to go to, after making a stack for one that has not begun.
    #[inline]
    pub(super) fn target(&self, to: Member<T>) -> Result<Target<T>, YieldErrorKind> {
        let Some(record) = self.record(to) else {
            return match (to.family == self.id, self.running.get()) {
                (false, _) => Err(YieldErrorKind::Foreign),
                (true, MAIN) => Err(YieldErrorKind::Running),
                (true, _) => Ok(Target {
                    context: &raw const self.main,
                    record: ptr::null(),
                }),
            };
        };
        match record.progress.get() {
            Progress::Suspended => {}
            Progress::Ready => record.begin(self.class).map_err(YieldErrorKind::NoStack)?,
            Progress::Undefined => return Err(YieldErrorKind::Undefined),
            Progress::Running => return Err(YieldErrorKind::Running),
            Progress::Done => return Err(YieldErrorKind::Done),
        }
        Ok(Target {
            context: &raw const record.context,
            record,
        })
    }

    /// Goes to `target`; returns what somebody brings back to `from`.
    ///
    /// # Safety
    ///
    /// `from` is the context of the execution that calls, and `target` is suspended.
    #[inline]
    pub(super) unsafe fn leave(
        &self,
        from: &Context,
        target: Target<T>,
        parcel: Parcel<T>,
    ) -> Parcel<T> {
        self.mail.set(Some(parcel));
        self.mark(&target);
        // SAFETY: both executions belong to this OS thread (nothing of a family is `Send`), and the
        // caller says that one runs here and the other is suspended (invariant 53).
        unsafe { arch::switch(from, target.context, ptr::null_mut()) };
        self.arrive()
    }

    /// Notes that `target` is the one that runs.
    #[inline]
    fn mark(&self, target: &Target<T>) {
        // SAFETY: records live as long as the core.
        match unsafe { target.record.as_ref() } {
            Some(record) => {
                record.progress.set(Progress::Running);
                self.running.set(record.index);
            }
            None => self.running.set(MAIN),
        }
    }

    /// Takes what was brought, and gives back the stack of the one who brought it if it has ended.
    #[inline]
    fn arrive(&self) -> Parcel<T> {
        let ended = self.ended.replace(ptr::null());
        // SAFETY: it is null, or a record, which lives as long as the core.
        if let Some(ended) = unsafe { ended.as_ref() } {
            // SAFETY: it has made its last switch, to here.
            unsafe { arch::release(&ended.context) };
            drop(ended.stack.take());
        }
        self.mail.take().expect("whoever switches brings something")
    }
}

impl<T> Record<T> {
    /// Gives it what it will run.
    pub(super) fn define(&self, body: Body<T>, place: &'static Location<'static>) {
        self.body.set(Some(body));
        self.place.set(place);
        self.progress.set(Progress::Ready);
    }

    /// Its stack; `None` before it begins and after its end.
    pub(super) fn ground(&self) -> Option<Ground> {
        let stack = self.stack.take()?;
        let ground = Ground::of(&stack);
        self.stack.set(Some(stack));
        Some(ground)
    }

    /// Takes a stack, so that the first switch can come.
    #[cold]
    fn begin(&self, class: SizeClass) -> io::Result<()> {
        let stack = acquire(class, self.place.get())?;
        let (base, limit) = (stack.base(), stack.limit());
        let data = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the stack is new, and kept until the record's `release`. The context is blank; the
        // record is in an `Rc`, so it stays where it is, and outlives the execution.
        unsafe { arch::prepare(&self.context, base, limit, Self::enter, data) };
        self.stack.set(Some(stack));
        self.progress.set(Progress::Suspended);
        Ok(())
    }

    /// The first function on a member's stack.
    ///
    /// # Safety
    ///
    /// Called by the first switch to the member whose record is `data`.
    unsafe extern "C" fn enter(_arg: *mut (), data: *mut ()) -> ! {
        // SAFETY: `begin` passed the record, which outlives this execution.
        let record = unsafe { &*data.cast::<Self>() };
        // SAFETY: whoever drives the family waits, and keeps it while it does.
        let core = unsafe { &*record.core };
        let first = core.arrive();
        let (target, parcel) = match catch_unwind(AssertUnwindSafe(|| record.run(first))) {
            Ok((target, value)) => (target, Parcel::Value(value)),
            Err(payload) => (core.to_main(), Parcel::Panic(payload)),
        };

        // The body is gone with all it held, and from here on nothing is dropped.
        core.mail.set(Some(parcel));
        core.ended.set(record);
        core.mark(&target);
        record.progress.set(Progress::Done);
        // SAFETY: the target is suspended, nothing needs to be dropped, and this is the stack that
        // the record was prepared on.
        unsafe { arch::switch_last(&record.context, target.context, ptr::null_mut()) }
    }

    /// Runs the body, and finds out who is next.
    fn run(&self, first: Parcel<T>) -> (Target<T>, T) {
        // SAFETY: as in `enter`.
        let core = unsafe { &*self.core };
        let Parcel::Value(value) = first else {
            unreachable!("a member that has not begun has no stack to unwind");
        };
        let body = self.body.take().expect("a member begins once");
        let ground = self.ground().expect("a member that runs has a stack");
        let Transfer { to, value } = body(&Switcher::new(self, ground), value);
        if core.closing.get().is_some() {
            return (core.to_main(), value);
        }
        match core.target(to) {
            Ok(target) => (target, value),
            Err(kind) => panic!("a coroutine ended: {}", YieldError::new(kind, ())),
        }
    }
}

impl<T> Core<T> {
    /// Main as a target. The caller is a member, so main waits.
    pub(super) fn to_main(&self) -> Target<T> {
        Target {
            context: &raw const self.main,
            record: ptr::null(),
        }
    }

    /// Unwinds a suspended member, while the family is dropped.
    #[cold]
    pub(super) fn unwind(&self, record: &Record<T>) {
        self.closing.set(Some(0));
        let target = Target {
            context: &raw const record.context,
            record,
        };
        // SAFETY: the member is suspended; the caller is whoever drops the family, so it is main.
        match unsafe { self.leave(&self.main, target, Parcel::Unwind) } {
            Parcel::Value(value) => drop_quietly(value),
            // If it is not ours it is a panic of the body's own, and the hook has told it.
            Parcel::Panic(payload) => drop_quietly(payload),
            Parcel::Unwind => unreachable!("members do not drop their family"),
            Parcel::Stuck => {
                // Its frames, and with them all that may be borrowed from them, stay for ever.
                mem::forget(record.stack.take());
                record.progress.set(Progress::Done);
                // SAFETY: its execution is given up, and its stack was leaked just now.
                unsafe { arch::release(&record.context) };
            }
        }
    }
}
