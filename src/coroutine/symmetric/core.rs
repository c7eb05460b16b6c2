//! A family from inside: its members, and the switch from one to another. Called by the `Family`
//! and the `Switcher` beside it.

use super::Switcher;
use super::transfer::{Member, Transfer, YieldError, YieldErrorKind};
use crate::arch::{self, Context};
use crate::coroutine::carried::{self, Baggage};
use crate::coroutine::{Ground, acquire, drop_quietly};
use crate::stack::{SizeClass, Stack};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::mem::{self, MaybeUninit};
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
    /// Whoever drives the family: running while nobody does, suspended while a member runs.
    pub(super) main: Record<T>,
    /// The members. It grows only, and is borrowed for single operations that call nobody.
    pub(super) records: RefCell<Vec<Rc<Record<T>>>>,
    /// The value that passes: put there before a switch that brings [`News::Value`], and taken
    /// right after it. It does not lie on the stack that is left: nothing may refer to that once it
    /// is over.
    mail: Cell<MaybeUninit<T>>,
    /// The payload that passes with [`News::Panic`].
    payload: Cell<Option<Box<dyn Any + Send>>>,
    /// The member that has just made its last switch; its stack goes back on arrival.
    ended: Cell<*const Record<T>>,
    /// Set while the family is dropped: how often the member that is unwound has caught that.
    pub(super) closing: Cell<Option<usize>>,
}

/// A member, or whoever drives the family.
pub(super) struct Record<T: 'static> {
    /// Where it waits while it is suspended.
    context: Context,
    /// Its family; null for main.
    pub(super) core: *const Core<T>,
    /// Where it was defined, for the report of an overflow.
    place: Cell<&'static Location<'static>>,
    pub(super) progress: Cell<Progress>,
    /// From its definition until it begins.
    pub(super) body: Cell<Option<Body<T>>>,
    /// From its beginning until its end; main has none of its own.
    stack: Cell<Option<Stack>>,
    /// What upper layers have on its stack, while it is suspended.
    baggage: Baggage,
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

/// What somebody brings who goes to another. It passes in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum News {
    /// A value, which is in the mail.
    Value = 0,
    /// To main only: a member's body has panicked, or was unwound; the payload lies ready.
    Panic = 1,
    /// To a suspended member only: the family is dropped.
    Unwind = 2,
    /// To main only: the member cannot be unwound.
    Stuck = 3,
}

/// Set beside the news by one who has made its last switch.
const ENDED: usize = 4;

impl<T> Core<T> {
    pub(super) fn new(class: SizeClass) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            class,
            main: Record::new(ptr::null(), Location::caller(), Progress::Running),
            records: RefCell::new(Vec::new()),
            mail: Cell::new(MaybeUninit::uninit()),
            payload: Cell::new(None),
            ended: Cell::new(ptr::null()),
            closing: Cell::new(None),
        }
    }

    /// Adds a member.
    pub(super) fn declare(self: &Rc<Self>, place: &'static Location<'static>) -> Member<T> {
        let record = Rc::new(Record::new(Rc::as_ptr(self), place, Progress::Undefined));
        let member = Member::new(self.id, Rc::as_ptr(&record));
        self.records.borrow_mut().push(record);
        member
    }

    /// One of this family, main included; `None` for others'.
    #[inline(always)]
    pub(super) fn record(&self, member: Member<T>) -> Option<&Record<T>> {
        // SAFETY: this family made the name (no other has the number), and it removes no record
        // before it goes.
        (member.family == self.id).then(|| unsafe { &*member.record })
    }

    /// One who can be gone to.
    ///
    /// # Errors
    ///
    /// Why it cannot. A member that has not begun gets its stack here.
    #[inline(always)]
    pub(super) fn target(&self, to: Member<T>) -> Result<&Record<T>, YieldErrorKind> {
        match self.record(to) {
            Some(record) if record.progress.get() == Progress::Suspended => Ok(record),
            other => self.begin(other),
        }
    }

    /// The rest of `target`: all but one who is suspended.
    #[cold]
    #[inline(never)]
    fn begin<'a>(&self, to: Option<&'a Record<T>>) -> Result<&'a Record<T>, YieldErrorKind> {
        let record = to.ok_or(YieldErrorKind::Foreign)?;
        match record.progress.get() {
            Progress::Ready => match record.begin(self.class) {
                Ok(()) => Ok(record),
                Err(error) => Err(YieldErrorKind::NoStack(error)),
            },
            Progress::Undefined => Err(YieldErrorKind::Undefined),
            Progress::Running => Err(YieldErrorKind::Running),
            Progress::Suspended | Progress::Done => Err(YieldErrorKind::Done),
        }
    }

    /// Goes to `to` with a value; returns what somebody brings back.
    ///
    /// # Safety
    ///
    /// As for `go`.
    #[inline(always)]
    pub(super) unsafe fn go_with(&self, value: T, from: &Record<T>, to: &Record<T>) -> News {
        self.mail.set(MaybeUninit::new(value));
        // SAFETY: the caller's duties are the callee's.
        unsafe { self.go(News::Value, from, to) }
    }

    /// Goes to `to`; returns what somebody brings back to `from`.
    ///
    /// # Safety
    ///
    /// `from` is the record of the execution that calls, and `to` is suspended; both are of this
    /// family. The news are true.
    #[inline(always)]
    pub(super) unsafe fn go(&self, news: News, from: &Record<T>, to: &Record<T>) -> News {
        from.progress.set(Progress::Suspended);
        to.progress.set(Progress::Running);
        // Whoever drives the family has its own where it is.
        if carried::is_any()
            && let Some(ground) = from.ground()
        {
            from.baggage.pack(ground);
        }
        to.baggage.unpack();
        let arg = ptr::without_provenance_mut(news as usize);
        // SAFETY: both executions belong to this OS thread (nothing of a family is `Send`), and the
        // caller says that one runs here and the other is suspended (invariant 53).
        let arg = unsafe { arch::switch(&from.context, &to.context, arg) };
        self.arrive(arg)
    }

    /// Reads what was brought.
    #[inline(always)]
    fn arrive(&self, arg: *mut ()) -> News {
        match arg.addr() {
            0 => News::Value,
            bits => self.arrive_slowly(bits),
        }
    }

    /// The rest of `arrive`: gives back the stack of the one who came, if it has ended.
    #[cold]
    #[inline(never)]
    fn arrive_slowly(&self, bits: usize) -> News {
        // SAFETY: `ended` is null, or a record, which lives as long as the core.
        if let Some(ended) = unsafe { self.ended.replace(ptr::null()).as_ref() } {
            // SAFETY: it has made its last switch, to here.
            unsafe { arch::release(&ended.context) };
            drop(ended.stack.take());
        }
        match bits & !ENDED {
            1 => News::Panic,
            2 => News::Unwind,
            3 => News::Stuck,
            _ => News::Value,
        }
    }

    /// Takes the value that was brought.
    ///
    /// # Safety
    ///
    /// The last news were `Value`, and this is the first call since.
    #[inline(always)]
    pub(super) unsafe fn take_value(&self) -> T {
        // SAFETY: who brings such news has put a value there.
        unsafe { self.mail.replace(MaybeUninit::uninit()).assume_init() }
    }

    /// Takes the payload that was brought with `News::Panic`.
    pub(super) fn take_payload(&self) -> Box<dyn Any + Send> {
        self.payload.take().expect("a panic has a payload")
    }

    /// Unwinds a suspended member, while the family is dropped.
    #[cold]
    pub(super) fn unwind(&self, record: &Record<T>) {
        self.closing.set(Some(0));
        // SAFETY: the member is suspended; the caller is whoever drops the family, so it is main.
        match unsafe { self.go(News::Unwind, &self.main, record) } {
            // SAFETY: the news are here.
            News::Value => drop_quietly(unsafe { self.take_value() }),
            // If it is not ours it is a panic of the body's own, and the hook has told it.
            News::Panic => drop_quietly(self.take_payload()),
            News::Unwind => unreachable!("members do not drop their family"),
            News::Stuck => {
                // Its frames, and with them all that may be borrowed from them, stay for ever.
                mem::forget(record.stack.take());
                record.progress.set(Progress::Done);
                // SAFETY: its execution is given up, and its stack was leaked just now.
                unsafe { arch::release(&record.context) };
            }
        }
    }
}

impl<T> Record<T> {
    fn new(core: *const Core<T>, place: &'static Location<'static>, progress: Progress) -> Self {
        Self {
            context: Context::new(),
            core,
            place: Cell::new(place),
            progress: Cell::new(progress),
            body: Cell::new(None),
            stack: Cell::new(None),
            baggage: Baggage::new(),
        }
    }

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
    fn begin(&self, class: SizeClass) -> io::Result<()> {
        let stack = acquire(class, self.place.get())?;
        let (base, limit) = (stack.base(), stack.limit());
        let data = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the stack is new, and kept until the record's `release`. The context is blank;
        // the record is in an `Rc`, so it stays where it is, and outlives the execution.
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
    unsafe extern "C" fn enter(arg: *mut (), data: *mut ()) -> ! {
        // SAFETY: `begin` passed the record, which outlives this execution.
        let record = unsafe { &*data.cast::<Self>() };
        // SAFETY: whoever drives the family waits, and keeps it while it does.
        let core = unsafe { &*record.core };
        let news = core.arrive(arg);
        assert!(
            news == News::Value,
            "one that has not begun has no stack to unwind"
        );
        // SAFETY: the news are here.
        let value = unsafe { core.take_value() };
        let (news, target) = match catch_unwind(AssertUnwindSafe(|| record.run(core, value))) {
            Ok(target) => (News::Value, target),
            Err(payload) => {
                core.payload.set(Some(payload));
                (News::Panic, &core.main)
            }
        };

        // The body is gone with all it held, and from here on nothing is dropped.
        core.ended.set(record);
        record.progress.set(Progress::Done);
        target.progress.set(Progress::Running);
        target.baggage.unpack();
        let arg = ptr::without_provenance_mut(news as usize | ENDED);
        // SAFETY: the target is suspended, nothing needs to be dropped, and this is the stack that
        // the record was prepared on.
        unsafe { arch::switch_last(&record.context, &target.context, arg) }
    }

    /// Runs the body, puts its last value into the mail, and says for whom it is.
    fn run<'a>(&self, core: &'a Core<T>, value: T) -> &'a Self {
        let body = self.body.take().expect("a member begins once");
        let ground = self.ground().expect("a member that runs has a stack");
        let Transfer { to, value } = body(&Switcher::new(self, ground), value);
        let target = if core.closing.get().is_some() {
            &core.main
        } else {
            match core.target(to) {
                Ok(target) => target,
                Err(kind) => panic!("a coroutine ended: {}", YieldError::new(kind, ())),
            }
        };
        core.mail.set(MaybeUninit::new(value));
        target
    }
}
