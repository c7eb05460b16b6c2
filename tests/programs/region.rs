//! What may end a call, as the test sees it: a chain of regions, innermost first, beside the one that
//! the library has.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use greenlit::time::Instant;

/// By how much a deadline has passed that ends calls for certain: the library's clock and that of users
/// agree to within a reading, which takes longest under valgrind.
const MARGIN: Duration = Duration::from_micros(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole green thread. What is outside it belongs to the owner of its scope.
    Thread,
    /// What a cancel ends.
    Scope,
    /// What a request to those around it ends.
    Listener,
    /// What no cancel from outside ends.
    Shield,
}

/// How far something was told to stop.
#[derive(Default)]
pub(crate) struct Stop {
    pub(crate) requested: Cell<bool>,
    pub(crate) cancelled: Cell<bool>,
    pub(crate) deadline: Cell<Option<Instant>>,
    /// Whether it may count as cancelled: word of it is under way, or its deadline was moved when
    /// it had passed.
    pub(crate) doubtful: Cell<bool>,
}

pub(crate) struct Region {
    kind: Kind,
    outer: Option<Rc<Region>>,
    /// How many regions of its thread are around it.
    depth: usize,
    pub(crate) stop: Rc<Stop>,
}

/// Which region a cancel is aimed at, by its depth: no further out than the one, no further in than
/// the other, if it is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    outermost: usize,
    pub(crate) innermost: Option<usize>,
}

impl Stop {
    pub(crate) fn until(deadline: Option<Instant>) -> Rc<Self> {
        let stop = Self::default();
        stop.deadline.set(deadline);
        Rc::new(stop)
    }

    /// Whether its deadline has passed, by so much.
    fn is_late_by(&self, much: Duration) -> bool {
        self.deadline
            .get()
            .is_some_and(|deadline| deadline + much <= Instant::now())
    }

    fn is_over(&self) -> bool {
        self.cancelled.get() || self.is_late_by(MARGIN)
    }

    /// The same, in doubt too.
    pub(crate) fn may_be_over(&self) -> bool {
        self.cancelled.get() || self.may_be_late()
    }

    /// Whether a deadline may have ended it.
    pub(crate) fn may_be_late(&self) -> bool {
        self.doubtful.get() || self.is_late_by(Duration::ZERO)
    }

    pub(crate) fn move_deadline(&self, deadline: Option<Instant>) {
        if self.is_late_by(Duration::ZERO) {
            self.doubtful.set(true);
        }
        self.deadline.set(deadline);
    }

    /// It was asked to stop, until `deadline` at the latest.
    pub(crate) fn request(&self, deadline: Option<Instant>) {
        self.requested.set(true);
        self.deadline.set(deadline);
    }
}

impl Region {
    pub(crate) fn new(kind: Kind, outer: Option<Rc<Region>>, stop: Rc<Stop>) -> Rc<Self> {
        let depth = match (&outer, kind) {
            (Some(outer), Kind::Scope | Kind::Listener | Kind::Shield) => outer.depth + 1,
            _ => 0,
        };
        Rc::new(Self {
            kind,
            outer,
            depth,
            stop,
        })
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Those that no shield hides: up to the thread's own, innermost first.
    fn visible(&self) -> impl Iterator<Item = &Self> {
        let first = (self.kind != Kind::Shield).then_some(self);
        std::iter::successors(first, |region| match region.kind {
            Kind::Thread => None,
            _ => region
                .outer
                .as_deref()
                .filter(|outer| outer.kind != Kind::Shield),
        })
    }

    fn ends_by(&self, ending: bool, over: &dyn Fn(&Stop) -> bool) -> bool {
        match self.kind {
            Kind::Thread => ending || over(&self.stop),
            Kind::Scope => over(&self.stop),
            Kind::Listener => {
                let mut around = self.visible().skip(1);
                around.any(|outer| outer.ends_by(ending, over)) || self.was_asked()
            }
            Kind::Shield => false,
        }
    }

    /// Whether a call here has to end by a cancel that its own thread knows of.
    pub(crate) fn must_end(&self, ending: bool) -> bool {
        self.visible()
            .any(|region| region.ends_by(ending, &Stop::is_over))
    }

    /// Whether a call here may end by a cancel. `ending` says that all threads are cancelled.
    pub(crate) fn may_end(&self, ending: bool) -> bool {
        let here = self
            .visible()
            .any(|region| region.ends_by(ending, &Stop::may_be_over));
        here || self.owner_may_end()
    }

    /// The region that the owner of its thread's scope is in; `None` where a shield hides it.
    fn owner(&self) -> Option<&Rc<Self>> {
        let thread = self.visible().find(|region| region.kind == Kind::Thread)?;
        thread.outer.as_ref()
    }

    /// Whether its thread's owner may have been cancelled, and the thread with it.
    fn owner_may_end(&self) -> bool {
        self.owner().is_some_and(|owner| owner.may_end(false))
    }

    /// Whether those around here, or those who wait for them, were asked to stop.
    fn was_asked(&self) -> bool {
        self.visible().any(|region| region.stop.requested.get())
            || self.owner().is_some_and(|owner| owner.was_asked())
    }

    /// The same, or cancelled.
    fn is_told(&self) -> bool {
        let mut stops = self.visible().map(|region| &region.stop);
        stops.any(|stop| stop.requested.get() || stop.cancelled.get())
            || self.owner().is_some_and(|owner| owner.is_told())
    }

    /// Whether somebody has asked what runs here to stop, softly or not.
    pub(crate) fn is_requested(&self, ending: bool) -> bool {
        self.must_end(ending) || self.is_told()
    }

    /// The earliest deadline of those around here that are not over.
    pub(crate) fn deadline(&self, ending: bool) -> Option<Instant> {
        let live = self
            .visible()
            .filter(|region| !region.ends_by(ending, &Stop::may_be_over));
        live.filter_map(|region| region.stop.deadline.get()).min()
    }

    /// Whom a cancel that unwinds from here is aimed at: the outermost of those that are over.
    pub(crate) fn aim(&self, ending: bool) -> Aim {
        let outermost = |over: &dyn Fn(&Stop) -> bool| {
            let over = self
                .visible()
                .filter(|region| region.ends_by(ending, over))
                .last();
            over.map(|region| region.depth)
        };
        let owner = self.owner_may_end();
        let may_be = outermost(&Stop::may_be_over);
        Aim {
            outermost: may_be.filter(|_| !owner).unwrap_or(0),
            innermost: outermost(&|stop| stop.cancelled.get()),
        }
    }
}

/// The chain, innermost first, with what each was told.
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stop = &self.stop;
        write!(f, "{:?}", self.kind)?;
        for (name, is) in [
            ("requested", stop.requested.get()),
            ("cancelled", stop.cancelled.get()),
            ("late", stop.is_late_by(Duration::ZERO)),
            ("doubtful", stop.doubtful.get()),
        ] {
            write!(
                f,
                "{}{}",
                if is { " " } else { "" },
                if is { name } else { "" }
            )?;
        }
        match &self.outer {
            Some(outer) => write!(f, " < {outer}"),
            None => Ok(()),
        }
    }
}

impl Aim {
    pub(crate) fn hits(self, depth: usize) -> bool {
        depth >= self.outermost && self.innermost.is_none_or(|innermost| depth <= innermost)
    }
}
