//! As a program's statements: those that spawn green threads, and wait for them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread::Result;

use greenlit::cancel::Cancelled;
use greenlit::select;
use greenlit::thread::{self, ScopeBuilder};

use super::context::{Context, JOIN};
use super::ledger::Token;
use super::region::{Kind, Region, Stop};
use super::statement::{As, Body, Policy, Then, Time};
use super::tasks::{Handle, Oops, Value};
use super::world::{Victim, World};

/// More green threads than this are not spawned by one program.
const THREADS: usize = 40;

/// A victim, until it goes.
pub(super) struct Registered<'a> {
    world: &'a World,
    number: usize,
}

impl<'a> Registered<'a> {
    pub(super) fn new(world: &'a World, victim: Victim, stop: &Rc<Stop>) -> Self {
        let number = world.register(victim, stop.clone());
        Self { world, number }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.world.deregister(self.number);
    }
}

/// Spawns a green thread of its own.
pub(super) fn launch_thread(world: &Rc<World>, body: &Body) -> (Handle, Rc<Region>) {
    let context = Context::new(world, None);
    let region = context.region();
    let body = body.clone();
    let captured = world.ledger.token();
    let handle = thread::spawn(move || {
        let _captured = captured;
        context.run(&body);
        Value::new(&context.world)
    });
    (Handle::new(handle, false), region)
}

impl Context {
    /// Whether one more may be spawned.
    pub(super) fn admits(&self) -> bool {
        self.world.spawned.get() < THREADS
    }

    pub(super) fn spawn(&self, runs: As, then: Then, body: &Body) {
        if !self.admits() {
            return;
        }
        let (handle, region) = self.launch(runs, body);
        // Who waits for it must not be one whom nothing ends.
        if then == Then::Detach || self.brief.get() {
            return;
        }
        let handle = Rc::new(handle);
        let registered =
            Registered::new(&self.world, Victim::Spawned(handle.clone()), &region.stop);
        let result = if then == Then::Select {
            let result = self.call("select (join)", None, Time::Never, || {
                let handle = handle.borrow();
                select! { join(handle) -> result => result }
            });
            drop(registered);
            result
        } else {
            self.call("yield_now", None, Time::Never, thread::yield_now);
            drop(registered);
            let Some(handle) = Rc::into_inner(handle) else {
                return self.fault("somebody has kept a handle");
            };
            self.call(JOIN, None, Time::Never, || handle.into_inner().join())
        };
        self.look_at_end(result, &region);
    }

    pub(super) fn look_at_end(&self, result: Result<Value>, region: &Region) {
        let payload = match result {
            Ok(value) => return value.keep_still(),
            Err(payload) => payload,
        };
        if payload.is::<Oops>() {
            return;
        }
        if !is_cancel(&*payload) {
            self.fault("a thread ended by what is no cancel");
        } else if !region.may_end(self.world.ending.get()) {
            self.fault("a thread was cancelled, and by nobody");
        }
    }

    pub(super) fn spawn_to_abort(&self, runs: As, body: &Body, meanwhile: &Body) {
        if !self.admits() {
            return self.run(meanwhile);
        }
        let (handle, region) = self.launch(runs, body);
        let aborts = handle.into_inner().cancel_on_drop();
        let _cancelled = Cancels(region);
        self.run(meanwhile);
        drop(_cancelled);
        drop(aborts);
    }

    /// The last body is the scope's own, the others are its threads'.
    pub(super) fn threads(&self, bodies: &[Body], policy: Policy) {
        let Some((own, others)) = bodies.split_last() else {
            return;
        };
        // Both are borrowed by the threads: none may outlive them.
        let family = Family {
            owner: self,
            alive: Cell::new(0),
            stops: RefCell::new(Vec::new()),
            succeeded: Cell::new(0),
        };
        match policy {
            Policy::AtMost(most) if !self.brief.get() => {
                self.scope_at_most(&family, most, own, others)
            }
            Policy::Join | Policy::Cancel | Policy::AtMost(_) => self.call_around("scope", || {
                thread::scope(|scope| {
                    for body in others.iter().filter(|_| self.admits()) {
                        let child = family.child(body);
                        scope.spawn(move || drop(child.run()));
                    }
                    self.run(own);
                    if policy == Policy::Cancel {
                        let stops = family.stops.borrow();
                        stops.iter().for_each(|stop| stop.cancelled.set(true));
                        scope.cancel("its owner says so");
                    }
                });
            }),
            Policy::Race => self.race(&family, own, others),
            Policy::Try => self.try_scope(&family, own, others),
        }
    }

    fn scope_at_most(&self, family: &Family<'_>, most: usize, own: &Body, others: &[Body]) {
        self.call_around("scope (at most)", || {
            ScopeBuilder::new().at_most(most).scope(|scope| {
                for body in others.iter().filter(|_| self.admits()) {
                    let child = family.child(body);
                    // It need not wait, and then looks for no cancel.
                    self.call("spawn (at most)", None, Time::Try, || {
                        scope.spawn(move || drop(child.run()));
                    });
                    if family.alive.get() > most {
                        self.fault("more threads run at once than may");
                    }
                }
                self.run(own);
            });
        });
    }

    /// Every second thread succeeds, if it comes to its end.
    fn race(&self, family: &Family<'_>, own: &Body, others: &[Body]) {
        let (stop, unwound) = (family.stop_of_body(), self.is_unwinding());
        let result = self.call_around("race", || {
            thread::race(|race| {
                for (index, body) in others.iter().enumerate().filter(|_| self.admits()) {
                    let child = family.child(body);
                    race.spawn(move || match index % 2 {
                        0 => Ok(child.run_to_end()),
                        _ => Err(child.run()),
                    });
                }
                self.inside(Kind::Scope, stop, || self.run(own));
            })
        });
        self.ends_scope("race", unwound);
        if result.is_ok() != (family.succeeded.get() > 0) {
            self.fault("a race has a winner where there is none, or none");
        }
    }

    /// Every second thread fails, if it comes to its end.
    fn try_scope(&self, family: &Family<'_>, own: &Body, others: &[Body]) {
        let (stop, unwound) = (family.stop_of_body(), self.is_unwinding());
        let result = self.call_around("try_scope", || {
            thread::try_scope(|scope| {
                for (index, body) in others.iter().enumerate().filter(|_| self.admits()) {
                    let child = family.child(body);
                    scope.spawn(move || match index % 2 {
                        0 => Err(child.run_to_end()),
                        _ => Ok(child.run()),
                    });
                }
                self.inside(Kind::Scope, stop, || self.run(own));
                Ok(())
            })
        });
        self.ends_scope("try_scope", unwound);
        if result.is_err() != (family.succeeded.get() > 0) {
            self.fault("a try_scope has an error where there is none, or none");
        }
    }

    /// A scope that may have ended its own body has returned; `unwound` says that the thread did so
    /// before.
    fn ends_scope(&self, name: &str, unwound: bool) {
        if self.is_unwinding() && !unwound {
            self.scope_catches(name);
        }
    }
}

/// The threads of a scope.
struct Family<'a> {
    owner: &'a Context,
    alive: Cell<usize>,
    /// What one that ends the scope cancels.
    stops: RefCell<Vec<Rc<Stop>>>,
    /// How many have ended the scope.
    succeeded: Cell<usize>,
}

/// One of them.
struct Child<'a> {
    family: &'a Family<'a>,
    context: Context,
    body: &'a Body,
    _lives: Lives<'a>,
}

impl<'a> Family<'a> {
    fn child(&'a self, body: &'a Body) -> Child<'a> {
        let context = Context::new(&self.owner.world, Some(self.owner));
        self.stops.borrow_mut().push(context.region().stop.clone());
        Child {
            family: self,
            context,
            body,
            _lives: Lives::new(&self.alive),
        }
    }

    fn stop_of_body(&self) -> Rc<Stop> {
        let stop = Stop::until(None);
        self.stops.borrow_mut().push(stop.clone());
        stop
    }
}

impl Child<'_> {
    fn run(self) -> Token {
        self.context.run(self.body);
        self.context.world.ledger.token()
    }

    /// As, and ends the scope.
    fn run_to_end(self) -> Token {
        let family = self.family;
        let token = self.run();
        family.succeeded.set(family.succeeded.get() + 1);
        // Cancels of all others follow.
        let stops = family.stops.borrow();
        stops.iter().for_each(|stop| stop.doubtful.set(true));
        token
    }
}

impl Drop for Family<'_> {
    fn drop(&mut self) {
        if self.alive.get() > 0 {
            self.owner.fault("a scope has ended before its threads");
        }
    }
}

pub(super) fn is_cancel(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Cancelled>()
}

/// Notes that a thread is cancelled, right before it is.
pub(super) struct Cancels(pub(super) Rc<Region>);

impl Drop for Cancels {
    fn drop(&mut self) {
        self.0.stop.cancelled.set(true);
    }
}

struct Lives<'a>(&'a Cell<usize>);

impl<'a> Lives<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Lives<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
