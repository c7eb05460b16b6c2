//! The executor of the textbooks, on greenlit's types: a task is a future behind a mutex, its waker puts
//! it into the run queue, and the executor polls what it finds there. It is a green thread: others run
//! while it waits for a task to be woken.
//!
//! ```text
//! cargo run --example classic_executor
//! ```

use greenlit::sync::mpsc::{Receiver, SyncSender, sync_channel};
use greenlit::sync::{Arc, Mutex};
use greenlit::{future, thread, time::Duration};
use std::pin::Pin;
use std::task::{Context, Wake, Waker};

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    /// `None` when it has been ready.
    future: Mutex<Option<BoxFuture>>,
    run_queue: SyncSender<Arc<Task>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let run_queue = self.run_queue.clone();
        run_queue
            .send(self)
            .expect("the executor runs as long as there are tasks");
    }
}

struct Executor {
    run_queue: Receiver<Arc<Task>>,
}

impl Executor {
    /// Polls tasks until the last has ended, and nobody is left who could spawn another.
    fn run(&self) {
        while let Ok(task) = self.run_queue.recv() {
            let waker = Waker::from(task.clone());
            let mut slot = task
                .future
                .lock()
                .expect("a poll that panics ends the executor");
            let Some(mut future) = slot.take() else {
                continue;
            };
            let mut context = Context::from_waker(&waker);
            if future.as_mut().poll(&mut context).is_pending() {
                *slot = Some(future);
            }
        }
    }
}

struct Spawner {
    run_queue: SyncSender<Arc<Task>>,
}

impl Spawner {
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let task = Task {
            future: Mutex::new(Some(Box::pin(future))),
            run_queue: self.run_queue.clone(),
        };
        self.run_queue
            .send(Arc::new(task))
            .expect("the executor runs");
    }
}

pub(crate) fn main() {
    greenlit::run(|| {
        let (sender, run_queue) = sync_channel(1024);
        let executor = thread::spawn(move || Executor { run_queue }.run());
        let spawner = Spawner { run_queue: sender };
        for name in ["one", "two"] {
            spawner.spawn(async move {
                println!("{name}: howdy!");
                future::sleep(Duration::from_millis(10)).await;
                println!("{name}: done!");
            });
        }
        drop(spawner);
        executor.join().expect("it ends with its last task");
    });
}
