//! Runs a program's statements: those that wait as futures, in a task or by `block_on`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Waker};
use std::time::Duration;

use greenlit::{cancel, future};

use super::context::{Context, JOIN};
use super::interpret::{Counted, Deferred, Inside, SEMAPHORE};
use super::interpret_threads::{Cancels, Registered};
use super::region::Region;
use super::statement::{Act, As, Body, Statement, Then, Time, Wakes};
use super::tasks::{Boxed, Ends, Foreign, Handle, Oops, Waits, Whole, launch};
use super::world::Victim;

impl Statement {
    /// Whether it waits as a future.
    pub(super) fn is_future(&self) -> bool {
        match self.act {
            Act::Race | Act::Both | Act::WaitGate(_) | Act::Foreign(..) | Act::Panic => true,
            Act::Yield | Act::Sleep(_) | Act::Timeout(_) => self.is_async,
            Act::Lock(_, time) | Act::Acquire(_, time) => self.is_async && time != Time::Try,
            Act::Send(_, time) | Act::Receive(_, time) => self.is_async && time != Time::Try,
            Act::Spawn(..) | Act::Catch | Act::Defer | Act::Repeat(_) => self.is_async,
            _ => false,
        }
    }
}

impl Context {
    /// As `launch`. Eager ones only where nothing of the caller's hides cancels from them.
    pub(super) fn launch(&self, runs: As, body: &Body) -> (Handle, Rc<Region>) {
        let is_plain =
            !self.may_fail() && !self.brief.get() && !self.shielded.get() && self.held.get() == 0;
        match runs {
            As::Eager if !is_plain => launch(&self.world, As::Task, body),
            runs => launch(&self.world, runs, body),
        }
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.world.point();
        self.look_around();
        let whole = Whole {
            ends: Ends::Call(Some(self.enter("block_on", None, Time::Never, true))),
            future: Box::pin(future),
        };
        let result = future::block_on(whole);
        self.world.point();
        result
    }

    pub(super) fn run_async<'a>(&'a self, body: &'a Body) -> Boxed<'a> {
        Box::pin(async {
            let _token = self.world.ledger.token();
            for statement in body.iter() {
                self.world.moved();
                match statement.is_future() {
                    true => self.wait_for(statement).await,
                    false => self.do_blocking(statement),
                }
            }
        })
    }

    /// Awaits `future`, perhaps not for long.
    async fn until<T>(
        &self,
        waits: Option<&Cell<usize>>,
        time: Time,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        self.world.point();
        let time = self.limit(time);
        let _waits = waits.filter(|_| self.concurrent.get() == 0).map(Waits::new);
        let _hidden = (self.concurrent.get() > 0).then(|| Waits::new(&self.world.hidden));
        let _timed = time.length().map(|_| Waits::new(&self.world.timed));
        let result = match time.length() {
            None => Some(future.await),
            Some(length) => future::timeout(length, future).await.ok(),
        };
        self.world.moved();
        self.world.point();
        result
    }

    pub(super) fn wait_for<'a>(&'a self, statement: &'a Statement) -> Boxed<'a> {
        let bodies = &statement.bodies[..];
        let world = &*self.world;
        match statement.act {
            Act::Yield => Box::pin(async {
                self.until(None, Time::Never, future::yield_now()).await;
            }),
            Act::Sleep(time) => Box::pin(async move {
                let length = self.limit(time).length();
                match length {
                    Some(length) => self.until(None, time, future::sleep(length)).await,
                    None => self.until(None, time, std::future::pending()).await,
                };
            }),
            Act::WaitGate(index) => Box::pin(async move {
                self.until(None, Time::Never, world.gates[index].wait())
                    .await;
            }),
            Act::Timeout(time) => Box::pin(async move {
                let length = time.length().unwrap_or(Duration::MAX);
                let _ = future::timeout(length, self.run_async(&bodies[0])).await;
            }),
            Act::Lock(index, time) => Box::pin(self.lock_async(index, time, &bodies[0])),
            Act::Acquire(count, time) => Box::pin(self.acquire_async(count, time, &bodies[0])),
            Act::Send(index, time) => Box::pin(async move {
                let shared = &world.channels[index];
                let item = world.ledger.item(None);
                let number = item.number();
                let send = shared.thing.send_async(item);
                match self.until(Some(&shared.waiting[0]), time, send).await {
                    Some(Ok(())) => world.ledger.sent(number),
                    Some(Err(item)) => {
                        item.came_back();
                        self.fault("an open channel gave an item back");
                    }
                    None => {}
                }
            }),
            Act::Receive(index, time) => Box::pin(async move {
                let shared = &world.channels[index];
                let receive = shared.thing.receive_async();
                match self.until(Some(&shared.waiting[1]), time, receive).await {
                    Some(Some(item)) => item.received(),
                    Some(None) => self.fault("an open channel is disconnected"),
                    None => {}
                }
            }),
            Act::Race | Act::Both => Box::pin(self.at_once(statement)),
            Act::Spawn(runs, then) => Box::pin(self.spawn_async(runs, then, bodies)),
            Act::Foreign(runs, wakes) => Box::pin(self.foreign(runs, wakes, &bodies[0])),
            Act::Catch => Box::pin(self.catch_async(&bodies[0])),
            Act::Defer => Box::pin(async {
                let deferred = Deferred(self, &bodies[0]);
                self.run_async(&bodies[1]).await;
                drop(deferred);
            }),
            Act::Repeat(times) => Box::pin(async move {
                for _ in 0..times {
                    self.run_async(&bodies[0]).await;
                }
            }),
            Act::Panic => Box::pin(async {
                // A lock would be poisoned, and a scope would hand it on.
                if self.held.get() == 0 && self.is_lone() {
                    self.panic();
                }
            }),
            _ => Box::pin(async { self.do_blocking(statement) }),
        }
    }

    /// Whether it is a task, of which nothing but its handle hears.
    fn is_lone(&self) -> bool {
        self.scopes.borrow().is_empty()
            && self.region().depth() == 0
            && !self.may_fail()
            && !self.brief.get()
            && self.is_task.get()
            && self.blocking.get() == 0
    }

    fn panic(&self) {
        self.panics.set(true);
        self.unwinds();
        resume_unwind(Box::new(Oops));
    }

    async fn lock_async(&self, index: usize, time: Time, body: &Body) {
        if self.holds(1 << index) {
            return self.run_async(body).await;
        }
        let shared = &self.world.mutexes[index];
        let time = self.limit_of_lock(time);
        let lock = shared.thing.lock_async();
        let guard = self.until(Some(&shared.waiting[0]), time, lock).await;
        let Some(guard) = guard.and_then(|guard| self.whole(guard)) else {
            return;
        };
        if self.holds(1 << index) {
            self.fault("two of one task hold a mutex");
        }
        let inside = Inside::enter(self, guard);
        let holds = self.hold(1 << index);
        self.run_async(body).await;
        drop(holds);
        drop(inside);
    }

    async fn acquire_async(&self, count: usize, time: Time, body: &Body) {
        if self.holds(SEMAPHORE) {
            return self.run_async(body).await;
        }
        let semaphore = &self.world.semaphore;
        let time = self.limit_of_lock(time);
        let waits = &self.world.wanted[count - 1];
        let acquire = semaphore.acquire_many_async(count);
        let Some(_permit) = self.until(Some(waits), time, acquire).await else {
            return;
        };
        let in_use = &self.world.permits_in_use;
        let inside = Counted::add(in_use, count as isize);
        if in_use.get() > super::generate::PERMITS as isize {
            self.fault("more permits are in use than there are");
        }
        let holds = self.hold(SEMAPHORE);
        self.run_async(body).await;
        drop(holds);
        drop(inside);
    }

    /// All bodies by one future.
    async fn at_once(&self, statement: &Statement) {
        let _concurrent = Waits::new(&self.concurrent);
        let bodies = statement.bodies.iter();
        let mut left: Vec<_> = bodies.map(|body| self.run_async(body)).collect();
        poll_fn(|poller| {
            let before = left.len();
            left.retain_mut(|body| body.as_mut().poll(poller).is_pending());
            let ended = match statement.act {
                Act::Race => left.len() < before || left.is_empty(),
                _ => left.is_empty(),
            };
            if ended {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    async fn spawn_async(&self, runs: As, then: Then, bodies: &[Body]) {
        if !self.admits() {
            return;
        }
        let (handle, region) = self.launch(runs, &bodies[0]);
        match then {
            Then::Detach => return,
            Then::Abort => {
                let aborts = handle.into_inner().cancel_on_drop();
                let cancelled = Cancels(region);
                self.run_async(&bodies[1]).await;
                drop(cancelled);
                return drop(aborts);
            }
            // Who waits for it must not be one whom nothing ends.
            _ if self.brief.get() => return,
            _ => {}
        }
        let handle = Rc::new(handle);
        let victim = Victim::Spawned(handle.clone());
        let registered = Registered::new(&self.world, victim, &region.stop);
        let end = poll_fn(|poller| handle.poll(poller));
        let time = match then {
            Then::Select => Time::Soon,
            _ => Time::Never,
        };
        let result = self.until(None, time, end).await;
        drop(registered);
        match result {
            Some(result) => self.look_at_end(result, &region),
            // Now it is waited for by the thread itself, which the future has left as it was.
            None => {
                let Some(handle) = Rc::into_inner(handle) else {
                    return self.fault("somebody has kept a handle");
                };
                let result = self.call(JOIN, None, Time::Never, || handle.into_inner().join());
                self.look_at_end(result, &region);
            }
        }
    }

    async fn foreign(&self, runs: As, wakes: Wakes, body: &Body) {
        if !self.admits() {
            return;
        }
        let (handle, region) = self.launch(runs, body);
        if self.brief.get() {
            return;
        }
        let end = poll_fn(|poller| {
            let waker = poller.waker().clone();
            let waker = Waker::from(Arc::new(Foreign { waker, wakes }));
            handle.poll(&mut Poller::from_waker(&waker))
        });
        if let Some(result) = self.until(None, Time::Never, end).await {
            self.look_at_end(result, &region);
        }
    }

    async fn catch_async(&self, body: &Body) {
        let mut body = self.run_async(body);
        let result = poll_fn(|poller| {
            let polled = catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(poller)));
            match polled {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
                Err(payload) => Poll::Ready(Err(payload)),
            }
        })
        .await;
        let Err(payload) = result else { return };
        if !payload.is::<cancel::Cancelled>() && !payload.is::<Oops>() {
            self.fault("what unwinds is no cancel");
        }
        drop(payload);
        self.catches();
    }
}
