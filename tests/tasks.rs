//! Futures: tasks, what threads wait for, and what becomes of them.

mod by_hand;
mod futures;

mod future;
mod future_ends;
mod future_many;
mod future_promise;
mod future_sleep;
mod future_snapshot;
mod future_timeout;
