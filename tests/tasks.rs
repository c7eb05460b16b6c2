//! Futures: tasks, what threads wait for, and what becomes of them.

mod futures;

mod future;
mod future_ends;
