//! Runs a program's statements: what waits on locks, conditions and time.

use std::cell::Cell;
use std::ops::DerefMut;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::TryLockError;

use greenlit::cancel::{Cancelled, checkpoint};
use greenlit::sync::{LockResult, MutexGuard, TryLockResult};
use greenlit::thread;

use super::context::Context;
use super::statement::{Act, Body, Statement, Then, Time};
use super::tasks::Waits;
use super::world::Shared;

/// The places of locks in `Context::held`.
pub(super) const RWLOCK: u32 = 1 << 8;
pub(super) const SEMAPHORE: u32 = 1 << 9;

impl Context {
    pub(crate) fn run(&self, body: &Body) {
        let _token = self.world.ledger.token();
        for statement in body.iter() {
            self.step(statement);
        }
    }

    fn step(&self, statement: &Statement) {
        self.world.moved();
        if statement.is_future() {
            return self.block_on(self.wait_for(statement));
        }
        self.do_blocking(statement);
    }

    pub(super) fn do_blocking(&self, statement: &Statement) {
        let bodies = &statement.bodies[..];
        let _blocking = Waits::new(&self.blocking);
        match statement.act {
            Act::Yield => self.call("yield_now", None, Time::Never, thread::yield_now),
            Act::Sleep(time) => self.sleep(time),
            Act::Lock(index, time) => self.lock(index, time, &bodies[0]),
            Act::ReadLock(time) => self.read_lock(time, &bodies[0]),
            Act::WriteLock(time) => self.write_lock(time, &bodies[0]),
            Act::Acquire(count, time) => self.acquire(count, time, &bodies[0]),
            Act::Take(time) => self.take(time),
            Act::Give(all) => self.give(all),
            Act::SetEvent => self.world.event.thing.set(),
            Act::ClearEvent => self.world.event.thing.clear(),
            Act::WaitEvent(time) => self.wait_event(time),
            Act::Send(index, time) => self.send(index, time),
            Act::Receive(index, time) => self.receive(index, time),
            Act::Select(arms, time) => self.select(arms, time),
            Act::Ask(time) => self.ask(time, &bodies[0]),
            Act::Flow {
                bound,
                items,
                wanted,
            } => self.flow(bound, items, wanted),
            Act::WriteStream(index) => self.write_stream(index),
            Act::ReadStream(index) => self.read_stream(index),
            Act::Spawn(runs, Then::Abort) => self.spawn_to_abort(runs, &bodies[0], &bodies[1]),
            Act::Spawn(runs, then) => self.spawn(runs, then, &bodies[0]),
            Act::Threads(policy) => self.threads(bodies, policy),
            Act::Catch => self.catch(&bodies[0]),
            Act::Defer => self.defer(&bodies[0], &bodies[1]),
            Act::Scope(time) => self.scope(time, &bodies[0]),
            Act::SharedScope(index) => self.shared_scope(index, &bodies[0]),
            Act::Timeout(time) => self.timeout(time, &bodies[0]),
            Act::Shield => self.shield(&bodies[0]),
            Act::NoUnwind => self.no_unwind(&bodies[0]),
            Act::UntilRequested => self.until_requested(&bodies[0]),
            Act::Checkpoint => self.call("checkpoint", None, Time::Never, checkpoint),
            Act::MoveDeadline(time) => self.move_deadline(time),
            Act::CancelScope(place) => self.cancel_scope(place),
            Act::Repeat(times) => (0..times).for_each(|_| self.run(&bodies[0])),
            Act::OpenGate(index, elsewhere) => self.world.gates[index].wake(&self.world, elsewhere),
            Act::WakeStale => self.world.wake_stale(),
            Act::Race | Act::Both | Act::WaitGate(_) | Act::Foreign(..) | Act::Panic => {}
        }
    }

    fn sleep(&self, time: Time) {
        match self.limit(time).length() {
            Some(length) => self.call("sleep", None, time, || thread::sleep(length)),
            // Nobody has its handle, so only a cancel ends it.
            None => self.call("park", None, time, thread::park),
        }
    }

    /// Runs `body` with `bits` held, which it was not before.
    fn with_held(&self, bits: u32, body: impl FnOnce()) {
        let _holds = self.hold(bits);
        body();
    }

    pub(super) fn hold(&self, bits: u32) -> Lets<'_> {
        self.held.set(self.held.get() | bits);
        Lets(&self.held, bits)
    }

    pub(super) fn holds(&self, bits: u32) -> bool {
        self.held.get() & bits != 0
    }

    fn lock(&self, index: usize, time: Time, body: &Body) {
        let shared = &self.world.mutexes[index];
        if self.holds(1 << index) {
            return self.run(body);
        }
        let time = match self.concurrent.get() {
            0 => self.limit_of_lock(time),
            // Another of its bodies may have been given it: to wait would be to wait for itself.
            _ => Time::Try,
        };
        let mutex = &shared.thing;
        let guard = self.call(
            "Mutex::lock",
            Some(&shared.waiting[0]),
            time,
            || match time {
                Time::Never => self.whole(mutex.lock()),
                Time::Try => self.perhaps(mutex.try_lock()),
                Time::Zero | Time::Soon => {
                    let length = time.length().unwrap_or_default();
                    self.perhaps(mutex.lock_timeout(length))
                }
            },
        );
        let Some(guard) = guard else { return };
        let inside = Inside::enter(self, guard);
        self.with_held(1 << index, || self.run(body));
        drop(inside);
    }

    pub(super) fn whole<G>(&self, result: LockResult<G>) -> Option<G> {
        if result.is_err() {
            self.fault("a lock is poisoned");
        }
        result.ok()
    }

    fn perhaps<G>(&self, result: TryLockResult<G>) -> Option<G> {
        if matches!(&result, Err(TryLockError::Poisoned(_))) {
            self.fault("a lock is poisoned");
        }
        result.ok()
    }

    fn read_lock(&self, time: Time, body: &Body) {
        if self.holds(RWLOCK) {
            return self.run(body);
        }
        let time = self.limit_of_lock(time);
        let Shared { thing, waiting } = &self.world.rwlock;
        let guard = self.call("RwLock::read", Some(&waiting[0]), time, || match time {
            Time::Never => self.whole(thing.read()),
            Time::Try => self.perhaps(thing.try_read()),
            Time::Zero | Time::Soon => {
                self.perhaps(thing.read_timeout(time.length().unwrap_or_default()))
            }
        });
        let Some(_guard) = guard else { return };
        let sharing = &self.world.sharing;
        if sharing.get() < 0 {
            self.fault("it reads beside a writer");
        }
        let inside = Counted::add(sharing, 1);
        self.with_held(RWLOCK, || self.run(body));
        drop(inside);
    }

    fn write_lock(&self, time: Time, body: &Body) {
        if self.holds(RWLOCK) {
            return self.run(body);
        }
        let time = self.limit_of_lock(time);
        let Shared { thing, waiting } = &self.world.rwlock;
        let guard = self.call("RwLock::write", Some(&waiting[1]), time, || match time {
            Time::Never => self.whole(thing.write()),
            Time::Try => self.perhaps(thing.try_write()),
            Time::Zero | Time::Soon => {
                self.perhaps(thing.write_timeout(time.length().unwrap_or_default()))
            }
        });
        let Some(_guard) = guard else { return };
        let sharing = &self.world.sharing;
        if sharing.get() != 0 {
            self.fault("it writes beside others");
        }
        let inside = Counted::add(sharing, -1);
        self.with_held(RWLOCK, || self.run(body));
        drop(inside);
    }

    fn acquire(&self, count: usize, time: Time, body: &Body) {
        if self.holds(SEMAPHORE) {
            return self.run(body);
        }
        let time = self.limit_of_lock(time);
        let thing = &self.world.semaphore;
        let waits = &self.world.wanted[count - 1];
        let permit = self.call("Semaphore::acquire", Some(waits), time, || match time {
            Time::Never => Some(thing.acquire_many(count)),
            Time::Try => thing.try_acquire_many(count),
            Time::Zero | Time::Soon => {
                thing.acquire_many_timeout(count, time.length().unwrap_or_default())
            }
        });
        let Some(_permit) = permit else { return };
        let in_use = &self.world.permits_in_use;
        let inside = Counted::add(in_use, count as isize);
        if in_use.get() > super::generate::PERMITS as isize {
            self.fault("more permits are in use than there are");
        }
        self.with_held(SEMAPHORE, || self.run(body));
        drop(inside);
    }

    fn take(&self, time: Time) {
        let Some(store) = self.lock_store() else {
            return;
        };
        let is_empty = |store: &mut usize| *store == 0;
        // Where there is something, nobody waits.
        let time = match *store {
            0 => self.limit(time),
            _ => Time::Try,
        };
        let (filled, waiting) = (&self.world.filled, &self.world.store.waiting[0]);
        let store = match time {
            Time::Try => Some(store),
            Time::Never => self.call("Condvar::wait_while", Some(waiting), time, || {
                self.whole(filled.wait_while(store, is_empty))
            }),
            Time::Zero | Time::Soon => {
                self.call("Condvar::wait_while", Some(waiting), time, || {
                    let length = time.length().unwrap_or_default();
                    let waited = filled.wait_timeout_while(store, length, is_empty);
                    self.whole(waited).map(|(store, _)| store)
                })
            }
        };
        if let Some(mut store) = store
            && *store > 0
        {
            *store -= 1;
        }
    }

    fn give(&self, all: bool) {
        let Some(mut store) = self.lock_store() else {
            return;
        };
        *store += 1;
        drop(store);
        match all {
            true => self.world.filled.notify_all(),
            false => self.world.filled.notify_one(),
        }
    }

    /// The store's lock, which nobody has for long.
    fn lock_store(&self) -> Option<MutexGuard<'_, usize>> {
        let store = &self.world.store.thing;
        let time = self.limit_of_lock(Time::Never);
        self.call("Mutex::lock", None, time, || match time {
            Time::Never => self.whole(store.lock()),
            _ => self.perhaps(store.lock_timeout(time.length().unwrap_or_default())),
        })
    }

    fn wait_event(&self, time: Time) {
        let time = self.limit(time);
        let Shared { thing, waiting } = &self.world.event;
        self.call("Event::wait", Some(&waiting[0]), time, || match time {
            Time::Never => thing.wait(),
            Time::Try => drop(thing.is_set()),
            Time::Zero | Time::Soon => {
                let _ = thing.wait_timeout(time.length().unwrap_or_default());
            }
        });
    }

    fn catch(&self, body: &Body) {
        let result = catch_unwind(AssertUnwindSafe(|| self.run(body)));
        let Err(payload) = result else { return };
        if !payload.is::<Cancelled>() && !self.panics.get() {
            self.fault("what unwinds is no cancel");
        }
        self.catches();
    }

    fn defer(&self, deferred: &Body, body: &Body) {
        let deferred = Deferred(self, deferred);
        self.run(body);
        drop(deferred);
    }

    /// Runs what must not wait for long.
    pub(super) fn briefly(&self, body: impl FnOnce()) {
        let _resets = Resets(&self.brief, self.brief.replace(true));
        body();
    }
}

/// Something is held for as long.
pub(super) struct Lets<'a>(&'a Cell<u32>, u32);

impl Drop for Lets<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() & !self.1);
    }
}

/// Sets a cell back.
pub(super) struct Resets<'a>(pub(super) &'a Cell<bool>, pub(super) bool);

impl Drop for Resets<'_> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Runs its body when it goes.
pub(super) struct Deferred<'a>(pub(super) &'a Context, pub(super) &'a Body);

impl Drop for Deferred<'_> {
    fn drop(&mut self) {
        let Self(context, body) = self;
        context.briefly(|| context.run(body));
    }
}

/// Whoever holds a mutex, while it does.
pub(super) struct Inside<'a>(MutexGuard<'a, Option<usize>>);

impl<'a> Inside<'a> {
    pub(super) fn enter(context: &Context, mut guard: MutexGuard<'a, Option<usize>>) -> Self {
        if let Some(other) = guard.replace(context.number) {
            context.fault(&format!("it holds a mutex that {other} holds"));
        }
        Self(guard)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.0.deref_mut() = None;
    }
}

/// A number that is larger for a while.
pub(super) struct Counted<'a>(&'a Cell<isize>, isize);

impl<'a> Counted<'a> {
    pub(super) fn add(cell: &'a Cell<isize>, more: isize) -> Self {
        cell.set(cell.get() + more);
        Self(cell, more)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}
