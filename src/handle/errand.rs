//! What a `Handle` sends: each becomes a task of the runtime, whose poll does the work.

use std::cell::Cell;
use std::future::{Future, IntoFuture, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread::Result;

use super::delivery::{Delivery, Target};
use crate::future::Sleep;
use crate::park::{Core, Errand};
use crate::thread;

/// A green thread that is to run `f`.
pub(super) struct SpawnThread<F, T> {
    pub(super) f: F,
    pub(super) delivery: Delivery<T>,
}

impl<F, T> Errand for SpawnThread<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn open(self: Box<Self>, core: &Core) {
        let Self { f, delivery } = *self;
        start(core, delivery, |delivery| async move {
            let (shared, spawned_at) = (delivery.shared(), delivery.spawned_at());
            // It goes with the green thread, or is still here where there is none.
            let delivery = Rc::new(Cell::new(Some(delivery)));
            let body = {
                let delivery = delivery.clone();
                move || {
                    let delivery = delivery.take();
                    let result = catch_unwind(AssertUnwindSafe(f));
                    if let Some(delivery) = delivery {
                        delivery.deliver(result);
                    }
                }
            };
            match thread::spawn_from(spawned_at, body) {
                Ok(thread) => shared.aim(Target::Thread(thread.thread().clone())),
                Err(error) => {
                    if let Some(delivery) = delivery.take() {
                        delivery.fail(error);
                    }
                }
            }
        });
    }
}

/// A task that is to run the future that `make` returns.
pub(super) struct SpawnFuture<F, T> {
    pub(super) make: F,
    pub(super) delivery: Delivery<T>,
}

impl<F, Fut> Errand for SpawnFuture<F, Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: IntoFuture + 'static,
    Fut::Output: Send + 'static,
{
    fn open(self: Box<Self>, core: &Core) {
        let Self { make, delivery } = *self;
        start(core, delivery, |delivery| async move {
            let result = caught(async move { make().await }).await;
            delivery.deliver(result);
        });
    }
}

/// A function that a runner is to call.
pub(super) struct Call<F, T> {
    /// When; `None` for at once.
    pub(super) sleep: Option<Sleep>,
    pub(super) f: F,
    pub(super) delivery: Delivery<T>,
}

impl<F, T> Errand for Call<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn open(self: Box<Self>, core: &Core) {
        let Self { sleep, f, delivery } = *self;
        start(core, delivery, |delivery| async move {
            if let Some(sleep) = sleep {
                sleep.await;
            }
            let result = catch_unwind(AssertUnwindSafe(f));
            delivery.deliver(result);
        });
    }
}

/// Makes a task of `body`'s future, and has a cancel find it.
fn start<T, Fut>(core: &Core, delivery: Delivery<T>, body: impl FnOnce(Delivery<T>) -> Fut)
where
    T: Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (shared, spawned_at) = (delivery.shared(), delivery.spawned_at());
    let task = core.start_task(body(delivery), spawned_at);
    shared.aim(Target::Task(task));
}

/// Polls `future`, and catches its panic.
async fn caught<F: Future>(future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(payload) => Poll::Ready(Err(payload)),
        },
    )
    .await
}
