//! Futures: tasks, what threads wait for, and what becomes of them.

mod alone;
mod by_hand;
mod futures;

mod event_loop_calls;
mod event_loop_ready;
mod future;
mod future_admission;
mod future_ends;
mod future_send;
mod future_examples;
mod future_many;
mod future_promise;
mod future_sleep;
mod future_snapshot;
mod future_timeout;
mod handle;
mod handle_cancel;
mod handle_ends;
mod regressions_futures;
#[expect(unsafe_code, reason = "a waker made by hand")]
mod regressions_tasks;
