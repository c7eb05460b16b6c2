//! A green thread of a program, and a call that it makes: what the test notes before and after it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use greenlit::cancel::{self, Scope};

use super::region::{Aim, Kind, Region, Stop};
use super::statement::Time;
use super::world::World;

/// A limit that is over soon. Nobody relies on how soon.
pub(crate) const SOON: Duration = Duration::from_micros(3);

/// The name of the call that owns a handle, and so drops a result where it unwinds.
pub(crate) const JOIN: &str = "JoinHandle::join";

pub(crate) struct Context {
    pub(crate) world: Rc<World>,
    pub(crate) number: usize,
    region: RefCell<Rc<Region>>,
    /// The scopes that it is in, innermost last.
    pub(crate) scopes: RefCell<Vec<(Scope, Rc<Stop>)>>,
    /// Which locks this thread holds.
    pub(crate) held: Cell<u32>,
    /// Whether those who wait for this thread hold any.
    owners_hold: bool,
    /// Whether no cancel from outside ends its waits: they must not be long.
    pub(crate) brief: Cell<bool>,
    /// Whether a shield hides it from every cancel that it knows of.
    pub(crate) shielded: Cell<bool>,
    /// Whether nothing unwinds it.
    pub(crate) rigid: Cell<bool>,
    /// Whether it unwinds.
    unwinding: Cell<bool>,
    /// Whether it is a task whose future goes, or that is polled by its spawner: then calls may end, and
    /// need not.
    pub(crate) loose: Cell<bool>,
    /// Whether it unwinds of a panic.
    pub(crate) panics: Cell<bool>,
    /// Whether it is a task.
    pub(crate) is_task: Cell<bool>,
    /// How many statements that block it is in.
    pub(crate) blocking: Cell<usize>,
    /// Whether it is one of several that one future runs at the same time.
    pub(crate) concurrent: Cell<usize>,
    /// At whom the last cancel that unwound it was aimed.
    aim: Cell<Option<Aim>>,
}

impl Context {
    /// A new thread; `owner` waits for its end, and it ends with it.
    pub(crate) fn new(world: &Rc<World>, owner: Option<&Self>) -> Self {
        let number = world.spawned.get();
        world.spawned.set(number + 1);
        world.live.set(world.live.get() + 1);
        let outer = owner.map(|owner| owner.region.borrow().clone());
        Self {
            world: world.clone(),
            number,
            region: RefCell::new(Region::new(Kind::Thread, outer, Rc::default())),
            scopes: RefCell::new(Vec::new()),
            held: Cell::new(0),
            owners_hold: owner.is_some_and(|owner| owner.owners_hold || owner.held.get() != 0),
            brief: Cell::new(false),
            shielded: Cell::new(false),
            rigid: Cell::new(false),
            unwinding: Cell::new(false),
            loose: Cell::new(owner.is_some_and(|owner| owner.loose.get())),
            panics: Cell::new(false),
            concurrent: Cell::new(0),
            is_task: Cell::new(false),
            blocking: Cell::new(0),
            aim: Cell::new(None),
        }
    }

    pub(crate) fn fault(&self, what: &str) {
        self.world
            .fault(format!("green thread {}: {what}", self.number));
    }

    /// How long a call may wait that nobody else may ever end.
    pub(crate) fn limit(&self, time: Time) -> Time {
        match time {
            Time::Never if self.brief.get() => Time::Soon,
            time => time,
        }
    }

    /// The same for a call that fails at once in a cancelled thread that unwinds.
    pub(crate) fn limit_of_channel(&self, time: Time) -> Time {
        let unwinds = self.unwinding.get() && !self.panics.get();
        let fails = !self.loose.get() && (unwinds || self.rigid.get());
        match fails && !self.shielded.get() {
            true => time,
            false => self.limit(time),
        }
    }

    /// The same for a lock, which its holder lets go of: not so where it may wait for this thread.
    pub(crate) fn limit_of_lock(&self, time: Time) -> Time {
        // Another of its bodies may have been given it, and wait for its turn.
        match self.owners_hold || self.held.get() != 0 || self.concurrent.get() > 0 {
            true => self.limit(time),
            false => time,
        }
    }

    pub(crate) fn region(&self) -> Rc<Region> {
        self.region.borrow().clone()
    }

    /// Runs `body` in a region of `kind`.
    pub(crate) fn inside<R>(&self, kind: Kind, stop: Rc<Stop>, body: impl FnOnce() -> R) -> R {
        struct Leaves<'a>(&'a RefCell<Rc<Region>>, Rc<Region>);
        impl Drop for Leaves<'_> {
            fn drop(&mut self) {
                self.0.replace(self.1.clone());
            }
        }
        let outer = self.region();
        let inner = Region::new(kind, Some(outer.clone()), stop);
        self.region.replace(inner);
        let _leaves = Leaves(&self.region, outer);
        body()
    }

    /// Whether its calls may fail because nothing unwinds it, or it unwinds already.
    pub(crate) fn may_fail(&self) -> bool {
        self.unwinding.get() || self.rigid.get() || self.loose.get()
    }

    pub(crate) fn unwinds(&self) {
        self.unwinding.set(true);
    }

    pub(crate) fn is_unwinding(&self) -> bool {
        self.unwinding.get()
    }

    /// It has caught what unwound it.
    pub(crate) fn catches(&self) {
        self.panics.set(false);
        self.unwinding.set(false);
    }

    /// What unwound it was caught by the scope that it has just left, in the current region.
    pub(crate) fn scope_catches(&self, what: &str) {
        if self.loose.get() {
            return self.catches();
        }
        if !self.unwinding.get() {
            self.fault(&format!("{what} caught nothing"));
        }
        let depth = self.region().depth() + 1;
        if !self.aim.get().is_some_and(|aim| aim.hits(depth)) {
            self.fault(&format!(
                "{what} caught a cancel that was aimed at another: {:?}, and it is {depth}",
                self.aim.get()
            ));
        }
        self.catches();
    }

    pub(crate) fn may_end(&self) -> bool {
        let ending = self.world.ending.get();
        self.region().may_end(ending)
    }

    /// Makes a call that blocks, or could: a cancelled thread unwinds from it, others return.
    pub(crate) fn call<R>(
        &self,
        name: &'static str,
        waits: Option<&Cell<usize>>,
        time: Time,
        call: impl FnOnce() -> R,
    ) -> R {
        self.world.point();
        self.look_around();
        self.make(name, waits, time, false, call)
    }

    /// What the library says of cancels and deadlines is what the test knows of them.
    pub(crate) fn look_around(&self) {
        if self.loose.get() {
            return;
        }
        let (ending, region) = (self.world.ending.get(), self.region());
        let before = (region.must_end(ending), region.deadline(ending));
        let is_requested = region.is_requested(ending);
        let requested = cancel::requested().is_some();
        let said = (cancel::is_cancelled(), cancel::current_deadline());
        let after = (region.must_end(ending), region.deadline(ending));
        if before.0 && !said.0 {
            self.fault(&format!("is_cancelled: it says no, in {region}"));
        }
        if is_requested && !requested {
            self.fault("requested: it says no");
        }
        if !region.may_end(ending) {
            if said.0 {
                self.fault("is_cancelled: it says yes");
            }
            if requested && !region.is_requested(ending) {
                self.fault("requested: it says yes");
            }
            if before == after && said.1 != before.1 {
                self.fault("current_deadline: it is another one");
            }
        }
    }

    /// Makes a call that blocks after it has run statements.
    pub(crate) fn call_around<R>(&self, name: &'static str, call: impl FnOnce() -> R) -> R {
        self.make(name, None, Time::Try, true, call)
    }

    fn make<R>(
        &self,
        name: &'static str,
        waits: Option<&Cell<usize>>,
        time: Time,
        nests: bool,
        call: impl FnOnce() -> R,
    ) -> R {
        let mut entered = self.enter(name, waits, time, nests);
        let result = call();
        entered.returned = true;
        drop(entered);
        self.world.point();
        result
    }

    pub(crate) fn enter<'a>(
        &'a self,
        name: &'static str,
        waits: Option<&'a Cell<usize>>,
        time: Time,
        nests: bool,
    ) -> Call<'a> {
        let ending = self.world.ending.get();
        let must_end = time != Time::Try
            && !self.unwinding.get()
            && !self.rigid.get()
            && !self.loose.get()
            && self.region().must_end(ending);
        let entered = Call {
            context: self,
            name,
            waits,
            timed: matches!(time, Time::Zero | Time::Soon),
            must_end,
            nests,
            returned: false,
        };
        entered.begin();
        entered
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.world.moved();
        self.world.live.set(self.world.live.get() - 1);
    }
}

pub(crate) struct Call<'a> {
    context: &'a Context,
    name: &'static str,
    waits: Option<&'a Cell<usize>>,
    timed: bool,
    must_end: bool,
    /// Whether it runs statements, whose calls have noted already what unwinds them.
    nests: bool,
    pub(crate) returned: bool,
}

impl Call<'_> {
    fn begin(&self) {
        self.count(|waits| waits + 1);
    }

    fn count(&self, change: impl Fn(usize) -> usize) {
        if let Some(waits) = self.waits {
            waits.set(change(waits.get()));
        }
        if self.timed {
            let timed = &self.context.world.timed;
            timed.set(change(timed.get()));
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.count(|waits| waits - 1);
        let context = self.context;
        context.world.moved();
        let mut statistics = context.world.statistics.borrow_mut();
        let calls = statistics.calls.entry(self.name).or_default();
        calls.made += 1;
        if self.returned {
            if self.must_end && !context.loose.get() {
                context.fault(&format!("{} returned in a cancelled thread", self.name));
            }
            return;
        }
        if self.nests && context.unwinding.get() {
            return;
        }
        calls.cancelled += 1;
        calls.at_entry += u64::from(self.must_end);
        drop(statistics);
        if context.loose.get() {
            return context.unwinding.set(true);
        }
        if context.unwinding.get() {
            context.fault(&format!("{} unwound a second time", self.name));
        }
        if context.rigid.get() {
            context.fault(&format!("{} unwound where nothing may", self.name));
        }
        if !context.may_end() {
            context.fault(&format!("{} unwound without a cancel", self.name));
        }
        let mut aim = context.region().aim(context.world.ending.get());
        if self.nests || self.name == JOIN {
            // It was aimed before the scope waited for its threads, or the result's destructor yielded.
            aim.innermost = None;
        }
        context.aim.set(Some(aim));
        context.unwinding.set(true);
    }
}

impl Time {
    /// How long; `None` where there is no limit, or no wait.
    pub(crate) fn length(self) -> Option<Duration> {
        match self {
            Self::Never | Self::Try => None,
            Self::Zero => Some(Duration::ZERO),
            Self::Soon => Some(SOON),
        }
    }
}
