//! A green thread of a program, and a call that it makes: what the test notes before and after it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::region::{Kind, Region};
use super::statement::Time;
use super::world::World;

/// A limit that is over soon. Nobody relies on how soon.
const SOON: Duration = Duration::from_micros(3);

pub(crate) struct Context {
    pub(crate) world: Rc<World>,
    pub(crate) number: usize,
    pub(crate) region: RefCell<Rc<Region>>,
    /// Which locks this thread holds.
    pub(crate) held: Cell<u32>,
    /// Whether those who wait for this thread hold any.
    owners_hold: bool,
    /// Whether no cancel from outside ends its waits: they must not be long.
    pub(crate) brief: Cell<bool>,
    /// Whether a shield hides it from every cancel that it knows of.
    pub(crate) shielded: Cell<bool>,
    /// Whether it unwinds.
    unwinding: Cell<bool>,
    /// Whether it has caught an unwinding by itself.
    pub(crate) caught: Cell<bool>,
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
            region: RefCell::new(Region::new(Kind::Thread, outer)),
            held: Cell::new(0),
            owners_hold: owner.is_some_and(|owner| owner.owners_hold || owner.held.get() != 0),
            brief: Cell::new(false),
            shielded: Cell::new(false),
            unwinding: Cell::new(false),
            caught: Cell::new(false),
        }
    }

    pub(crate) fn fault(&self, what: &str) {
        self.world
            .fault(format!("green thread {}: {what}", self.number));
    }

    /// How long a call may wait that nobody else may ever end.
    pub(crate) fn limit(&self, time: Time) -> Time {
        match time {
            Time::Never if self.brief.get() || self.in_doubt() => Time::Soon,
            time => time,
        }
    }

    /// The same for a call that fails at once in a cancelled thread that unwinds.
    pub(crate) fn limit_of_channel(&self, time: Time) -> Time {
        match self.unwinding.get() && !self.shielded.get() {
            true => time,
            false => self.limit(time),
        }
    }

    /// The same for a lock, which its holder lets go of: not so where it may wait for this thread.
    pub(crate) fn limit_of_lock(&self, time: Time) -> Time {
        match self.owners_hold || self.held.get() != 0 {
            true => self.limit(time),
            false => time,
        }
    }

    /// Whether its calls may fail because it unwinds. One that has caught an unwinding may count as
    /// one that unwinds, while another one does.
    pub(crate) fn may_fail(&self) -> bool {
        self.unwinding.get() || self.caught.get()
    }

    /// Whether it counts as one that unwinds although it may have caught that: another one unwinds.
    fn in_doubt(&self) -> bool {
        self.caught.get() && self.world.unwinding.get() > 0
    }

    fn set_unwinding(&self, unwinding: bool) {
        if self.unwinding.replace(unwinding) != unwinding {
            let count = self.world.unwinding.get();
            self.world.unwinding.set(match unwinding {
                true => count + 1,
                false => count - 1,
            });
        }
    }

    /// It has caught what unwound it.
    pub(crate) fn catches(&self) {
        self.set_unwinding(false);
    }

    pub(crate) fn may_end(&self) -> bool {
        let ending = self.world.ending.get();
        self.region.borrow().may_end(ending)
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
        self.make(name, waits, time, false, call)
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
        let ending = self.world.ending.get();
        let must_end = time != Time::Try
            && !self.unwinding.get()
            && !self.in_doubt()
            && self.region.borrow().must_end(ending);
        let mut entered = Call {
            context: self,
            name,
            waits,
            timed: matches!(time, Time::Zero | Time::Soon),
            must_end,
            nests,
            returned: false,
        };
        entered.begin();
        let result = call();
        entered.returned = true;
        drop(entered);
        self.world.point();
        result
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.set_unwinding(false);
        self.world.live.set(self.world.live.get() - 1);
    }
}

struct Call<'a> {
    context: &'a Context,
    name: &'static str,
    waits: Option<&'a Cell<usize>>,
    timed: bool,
    must_end: bool,
    /// Whether it runs statements, whose calls have noted already what unwinds them.
    nests: bool,
    returned: bool,
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
        let mut statistics = context.world.statistics.borrow_mut();
        let calls = statistics.calls.entry(self.name).or_default();
        calls.made += 1;
        if self.returned {
            if self.must_end {
                context.fault(&format!("{} returned in a cancelled thread", self.name));
            }
            return;
        }
        if self.nests && context.unwinding.get() {
            return;
        }
        calls.cancelled += 1;
        calls.at_entry += u64::from(self.must_end);
        if context.unwinding.get() {
            context.fault(&format!("{} unwound a second time", self.name));
        }
        if !context.may_end() {
            context.fault(&format!("{} unwound without a cancel", self.name));
        }
        context.set_unwinding(true);
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
