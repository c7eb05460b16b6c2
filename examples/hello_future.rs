//! A future written by hand: a state machine of three states, polled by hand, and then as a task.
//!
//! ```text
//! cargo run --example hello_future
//! ```

use greenlit::future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// What an `async` block with two `yield_now().await` would be compiled to.
struct Hello {
    state: State,
}

enum State {
    /// Prints `Hello, ` next.
    Hello,
    /// Prints `World!` next.
    World,
    /// Is ready.
    End,
}

impl Hello {
    fn new() -> Self {
        let state = State::Hello;
        Hello { state }
    }
}

impl Future for Hello {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.state = match self.state {
            State::Hello => {
                print!("Hello, ");
                State::World
            }
            State::World => {
                println!("World!");
                State::End
            }
            State::End => return Poll::Ready(()),
        };
        // Polled again soon: whoever runs it puts it at the end of the queue.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

pub(crate) fn main() {
    // By hand: there is nobody to wake, so we poll until it is ready.
    let mut hello = pin!(Hello::new());
    let mut context = Context::from_waker(Waker::noop());
    let polls: [_; 3] = std::array::from_fn(|_| hello.as_mut().poll(&mut context));
    assert_eq!(polls, [Poll::Pending, Poll::Pending, Poll::Ready(())]);

    // As tasks: each wakes itself, and comes again when the other has had its turn.
    greenlit::run(|| {
        let tasks = [future::spawn(Hello::new()), future::spawn(Hello::new())];
        for task in tasks {
            task.join().expect("it does not panic");
        }
    });

    // And awaited, by a green thread or by the OS thread itself.
    future::block_on(Hello::new());
}
