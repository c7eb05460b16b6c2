//! Tasks of a program: their handles and results, what polls them, and what wakes them.

use std::cell::{Cell, Ref, RefCell};
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Wake, Waker};
use std::thread::{Result, panicking};
use std::time::Duration;

use greenlit::future;
use greenlit::thread::{self, JoinHandle};

use super::context::{Call, Context, SOON};
use super::interpret_threads::launch_thread;
use super::ledger::Token;
use super::random::Random;
use super::region::Region;
use super::statement::{As, Body, Wakes};
use super::world::World;

pub(super) type Boxed<'a, T = ()> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a program panics with.
pub(super) struct Oops;

/// The handle of what was spawned, which several use.
pub(crate) struct Handle {
    handle: RefCell<JoinHandle<Value>>,
    is_task: bool,
}

impl Handle {
    pub(super) fn new(handle: JoinHandle<Value>, is_task: bool) -> Self {
        let handle = RefCell::new(handle);
        Self { handle, is_task }
    }

    pub(super) fn borrow(&self) -> Ref<'_, JoinHandle<Value>> {
        self.handle.borrow()
    }

    pub(super) fn into_inner(self) -> JoinHandle<Value> {
        self.handle.into_inner()
    }

    pub(crate) fn is_task(&self) -> bool {
        self.is_task
    }

    pub(crate) fn cancel(&self) {
        self.borrow().cancel("by chance");
    }

    pub(crate) fn cancel_softly(&self, grace: Duration) {
        self.borrow().cancel_softly("by chance", grace);
    }

    pub(super) fn poll(&self, poller: &mut Poller<'_>) -> Poll<Result<Value>> {
        Pin::new(&mut *self.handle.borrow_mut()).poll(poller)
    }
}

/// What a green thread or a task leaves.
pub(crate) struct Value {
    _token: Token,
    /// What its destructor does.
    wakes: Cell<Wakes>,
}

impl Value {
    pub(super) fn new(world: &World) -> Self {
        let number = world.moves.get() as u64;
        let kinds = [Wakes::Plainly, Wakes::Plainly, Wakes::Yields, Wakes::Sleeps];
        Self {
            _token: world.ledger.token(),
            wakes: Cell::new(Random::new(number).pick(&kinds)),
        }
    }

    /// Somebody has it who is not to be disturbed by its end.
    pub(super) fn keep_still(self) {
        self.wakes.set(Wakes::Plainly);
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.wakes.get().run();
    }
}

impl Wakes {
    fn run(self) {
        match self {
            Self::Plainly => {}
            Self::Yields => thread::yield_now(),
            Self::Sleeps => thread::sleep(SOON),
            Self::Panics if panicking() => {}
            Self::Panics => resume_unwind(Box::new(Oops)),
        }
    }
}

/// What is opened again and again; who waits goes on when it is opened the next time.
#[derive(Default)]
pub(crate) struct Gate {
    opened: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.opened.set(self.opened.get() + 1);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }

    pub(super) fn wake(&self, world: &World, elsewhere: bool) {
        let mut stale = world.stale.borrow_mut();
        stale.extend(self.wakers.borrow().first().cloned());
        let gone = stale.len().saturating_sub(8);
        let gone: Vec<_> = stale.drain(..gone).collect();
        drop(stale);
        drop(gone);
        if !elsewhere {
            return self.open();
        }
        self.opened.set(self.opened.get() + 1);
        let wakers = self.wakers.take();
        let waking = std::thread::spawn(|| wakers.into_iter().for_each(Waker::wake));
        waking.join().expect("no panic");
    }

    pub(super) async fn wait(&self) {
        let before = self.opened.get();
        poll_fn(|poller| {
            if self.opened.get() != before {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(poller.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl World {
    pub(super) fn wake_stale(&self) {
        let stale = self.stale.borrow().clone();
        stale.iter().for_each(Waker::wake_by_ref);
    }
}

/// What a task polls, or a `block_on`.
pub(super) struct Whole<'a, T> {
    /// Before the future goes in the middle, its context learns of that.
    pub(super) ends: Ends<'a>,
    pub(super) future: Boxed<'a, T>,
}

pub(super) enum Ends<'a> {
    /// By an unwinding, which the call notes.
    Call(Option<Call<'a>>),
    Task {
        context: Rc<Context>,
        is_eager: bool,
        is_over: bool,
    },
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if let Self::Task {
            context, is_over, ..
        } = self
            && !*is_over
            && !context.is_unwinding()
        {
            context.loose.set(true);
            context.brief.set(true);
        }
    }
}

impl<T> Future for Whole<'_, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<T> {
        let this = self.get_mut();
        if let Ends::Task {
            context, is_eager, ..
        } = &this.ends
        {
            context.loose.set(*is_eager);
        }
        let result = this.future.as_mut().poll(poller);
        match &mut this.ends {
            Ends::Call(call) if result.is_ready() => {
                if let Some(mut call) = call.take() {
                    call.returned = true;
                }
            }
            Ends::Call(_) => {}
            Ends::Task {
                context,
                is_eager,
                is_over,
            } => {
                context.loose.set(false);
                *is_eager = false;
                *is_over = result.is_ready();
            }
        }
        result
    }
}

/// Spawns what runs on its own.
pub(crate) fn launch(world: &Rc<World>, runs: As, body: &Body) -> (Handle, Rc<Region>) {
    if runs == As::Thread {
        return launch_thread(world, body);
    }
    let is_eager = runs == As::Eager;
    let context = Rc::new(Context::new(world, None));
    context.is_task.set(true);
    let region = context.region();
    if is_eager {
        // A cancel of its spawner may end it.
        region.stop.doubtful.set(true);
    }
    let captured = world.ledger.token();
    let whole = Whole {
        ends: Ends::Task {
            context: context.clone(),
            is_eager,
            is_over: false,
        },
        future: Box::pin({
            let body = body.clone();
            async move {
                let _captured = captured;
                context.run_async(&body).await;
                Value::new(&context.world)
            }
        }),
    };
    let builder = future::Builder::new().eager(is_eager);
    let handle = builder.spawn(whole).expect("a runtime");
    (Handle::new(handle, true), region)
}

/// A waker of somebody else's, who wakes a task by way of another waker.
pub(super) struct Foreign {
    pub(super) waker: Waker,
    pub(super) wakes: Wakes,
}

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        self.waker.wake_by_ref();
        self.wakes.run();
    }
}

/// A number that is larger by one for a while.
pub(super) struct Waits<'a>(&'a Cell<usize>);

impl<'a> Waits<'a> {
    pub(super) fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
