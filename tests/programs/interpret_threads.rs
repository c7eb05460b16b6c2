//! Runs a program's statements: those that spawn green threads, and wait for them.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::thread::Result;

use greenlit::cancel::Cancelled;
use greenlit::select;
use greenlit::thread::{self, JoinHandle};

use super::context::Context;
use super::ledger::Token;
use super::region::{Region, Stop};
use super::statement::{Body, Then, Time};
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
pub(crate) fn launch(world: &Rc<World>, body: &Body) -> (JoinHandle<Token>, Rc<Region>) {
    let context = Context::new(world, None);
    let region = context.region();
    let body = body.clone();
    let captured = world.ledger.token();
    let handle = thread::spawn(move || {
        let _captured = captured;
        context.run(&body);
        context.world.ledger.token()
    });
    (handle, region)
}

impl Context {
    /// Whether one more may be spawned.
    fn admits(&self) -> bool {
        self.world.spawned.get() < THREADS
    }

    pub(super) fn spawn(&self, then: Then, body: &Body) {
        if !self.admits() {
            return;
        }
        let (handle, region) = launch(&self.world, body);
        // Who waits for it must not be one whom nothing ends.
        if then == Then::Detach || self.brief.get() {
            return;
        }
        let handle = Rc::new(handle);
        let registered = Registered::new(&self.world, Victim::Thread(handle.clone()), &region.stop);
        let result = if then == Then::Select {
            let result = self.call("select (join)", None, Time::Never, || {
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
            // What has ended is not waited for.
            let time = match handle.is_finished() {
                true => Time::Try,
                false => Time::Never,
            };
            self.call("JoinHandle::join", None, time, || handle.join())
        };
        self.look_at_end(result, &region);
    }

    fn look_at_end<T>(&self, result: Result<T>, region: &Region) {
        let Err(payload) = result else { return };
        if !is_cancel(&*payload) {
            self.fault("a thread ended by what is no cancel");
        } else if !region.may_end(self.world.ending.get()) {
            self.fault("a thread was cancelled, and by nobody");
        }
    }

    pub(super) fn spawn_to_abort(&self, body: &Body, meanwhile: &Body) {
        if !self.admits() {
            return self.run(meanwhile);
        }
        let (handle, region) = launch(&self.world, body);
        let aborts = handle.cancel_on_drop();
        let _cancelled = Cancels(&region);
        self.run(meanwhile);
        drop(_cancelled);
        drop(aborts);
    }

    /// The last body is the scope's own, the others are its threads'.
    pub(super) fn threads(&self, bodies: &[Body], cancels: bool) {
        let Some((own, others)) = bodies.split_last() else {
            return;
        };
        // Both are borrowed by the threads: none may outlive them.
        let alive = Cell::new(0);
        let _gone = Gone(self, &alive);
        let mut stops = Vec::new();
        self.call_around("scope", || {
            thread::scope(|scope| {
                for body in others.iter().filter(|_| self.admits()) {
                    let context = Self::new(&self.world, Some(self));
                    stops.push(context.region().stop.clone());
                    let lives = Lives::new(&alive);
                    scope.spawn(move || {
                        let _lives = lives;
                        context.run(body);
                    });
                }
                self.run(own);
                if cancels {
                    stops.iter().for_each(|stop| stop.cancelled.set(true));
                    scope.cancel("its owner says so");
                }
            });
        });
    }
}

pub(super) fn is_cancel(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Cancelled>()
}

/// Notes that a thread is cancelled, right before it is.
struct Cancels<'a>(&'a Region);

impl Drop for Cancels<'_> {
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

struct Gone<'a>(&'a Context, &'a Cell<usize>);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if self.1.get() > 0 {
            self.0.fault("a scope has ended before its threads");
        }
    }
}
