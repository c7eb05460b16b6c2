//! A scheduler of asymmetric coroutines in thirty lines: each task runs until it suspends itself,
//! then it is the next one's turn.
//!
//! ```text
//! cargo run --example round_robin
//! ```
//!
//! It needs no runtime. `greenlit::run` is what this grows into with files, timers and joins.

use greenlit::coroutine::{Coroutine, ResumeError, Resumed, Suspender};
use std::collections::VecDeque;

/// Tasks that wait for their turn, and who is next.
#[derive(Default)]
struct RoundRobin {
    ready: VecDeque<Coroutine<(), (), String>>,
}

impl RoundRobin {
    /// Adds a task at the end of the queue.
    fn spawn(&mut self, task: impl FnOnce(&Suspender<(), ()>) -> String + 'static) {
        self.ready.push_back(Coroutine::new(|co, ()| task(co)));
    }

    /// Gives each task its turn, over and over, until all have returned.
    fn run(&mut self) -> Result<(), ResumeError<()>> {
        while let Some(task) = self.ready.pop_front() {
            match task.resume(())? {
                Resumed::Yielded(()) => self.ready.push_back(task),
                Resumed::Returned(result) => println!("{result}"),
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), ResumeError<()>> {
    let mut tasks = RoundRobin::default();
    for (name, steps) in [("red", 1), ("green", 3), ("blue", 2)] {
        tasks.spawn(move |co| {
            for step in 1..=steps {
                println!("{name} takes step {step} of {steps}");
                co.suspend(());
            }
            format!("{name} is done")
        });
    }
    tasks.run()
}
