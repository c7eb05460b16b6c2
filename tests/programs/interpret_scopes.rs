//! Runs a program's statements: cancel scopes, deadlines, shields.

use std::rc::Rc;
use std::time::Duration;

use greenlit::cancel::{self, Cancelled, Scope};
use greenlit::time::{Instant, timeout, timeout_at};

use super::context::{Context, SOON};
use super::interpret::Resets;
use super::interpret_threads::Registered;
use super::region::{Kind, Stop};
use super::statement::{Body, Time};
use super::world::Victim;

impl Context {
    pub(super) fn scope(&self, time: Time, body: &Body) {
        let deadline = deadline(time);
        let scope = deadline.map_or_else(Scope::new, Scope::with_deadline);
        let stop = Stop::until(deadline);
        let _registered = Registered::new(&self.world, Victim::Scope(scope.clone()), &stop);
        self.run_in(&scope, &stop, body);
    }

    pub(super) fn shared_scope(&self, index: usize, body: &Body) {
        let (scope, stop) = &self.world.scopes[index];
        self.run_in(scope, stop, body);
    }

    fn run_in(&self, scope: &Scope, stop: &Rc<Stop>, body: &Body) {
        self.scopes.borrow_mut().push((scope.clone(), stop.clone()));
        let entered = LeavesScope(self);
        let result = self.inside(Kind::Scope, stop.clone(), || scope.run(|| self.run(body)));
        drop(entered);
        let Err(cancelled) = result else { return };
        self.scope_catches("Scope::run");
        self.look_at_cause(stop, &cancelled);
        if !scope.is_cancelled() && !stop.doubtful.get() {
            self.fault("a scope that has ended its body is not cancelled");
        }
    }

    /// What a scope says of why it ended is so.
    fn look_at_cause(&self, stop: &Stop, cancelled: &Cancelled) {
        let reason = cancelled.reason();
        let is_so = match reason {
            "by chance" | "its own body" => stop.cancelled.get() || stop.requested.get(),
            "from afar" => stop.doubtful.get(),
            _ => cancelled.is_deadline() && stop.may_be_late(),
        };
        if !is_so {
            self.fault(&format!("a scope was ended wrongly: {reason}"));
        }
    }

    pub(super) fn timeout(&self, time: Time, body: &Body) {
        let stop = Stop::until(deadline(time));
        let body = || self.run(body);
        let result = self.inside(Kind::Scope, stop.clone(), || match time {
            Time::Soon => timeout_at(stop.deadline.get().expect("a deadline"), body),
            Time::Zero | Time::Try => timeout(Duration::ZERO, body),
            Time::Never => timeout(Duration::MAX, body),
        });
        if result.is_ok() {
            return;
        }
        self.scope_catches("timeout");
        if !stop.may_be_late() {
            self.fault("a timeout has elapsed before its time");
        }
    }

    pub(super) fn shield(&self, body: &Body) {
        let _shielded = Resets(&self.shielded, self.shielded.replace(true));
        self.briefly(|| {
            self.inside(Kind::Shield, Rc::default(), || {
                cancel::shield(|| self.run(body));
            });
        });
    }

    pub(super) fn no_unwind(&self, body: &Body) {
        let _rigid = Resets(&self.rigid, self.rigid.replace(true));
        self.briefly(|| cancel::no_unwind(|| self.run(body)));
    }

    pub(super) fn until_requested(&self, body: &Body) {
        let result = self.inside(Kind::Listener, Rc::default(), || {
            cancel::until_requested(|| self.run(body))
        });
        if result.is_err() {
            self.scope_catches("until_requested");
        }
    }

    pub(super) fn move_deadline(&self, time: Time) {
        let innermost = self.scopes.borrow().last().cloned();
        if let Some((scope, stop)) = innermost {
            let deadline = deadline(time);
            scope.set_deadline(deadline);
            // Looked at later, it is late wherever the library found it so.
            stop.move_deadline(deadline);
        }
    }

    pub(super) fn cancel_scope(&self, place: usize) {
        let scope = self.scopes.borrow().iter().rev().nth(place).cloned();
        if let Some((scope, stop)) = scope {
            stop.cancelled.set(true);
            scope.cancel("its own body");
        }
    }
}

struct LeavesScope<'a>(&'a Context);

impl Drop for LeavesScope<'_> {
    fn drop(&mut self) {
        let scope = self.0.scopes.borrow_mut().pop();
        drop(scope);
    }
}

fn deadline(time: Time) -> Option<Instant> {
    match time {
        Time::Never => None,
        Time::Zero | Time::Try => Some(Instant::now() - Duration::from_millis(1)),
        Time::Soon => Some(Instant::now() + SOON),
    }
}
