//! Futures and green threads: [`block_on`] waits for any future in a green thread, [`spawn`] makes a
//! task of one, which has no stack of its own, and handles are futures themselves.
//!
//! A task is polled by a *runner*, a green thread that takes woken tasks from the task queue, first in,
//! first out. A poll may call what blocks: then the runner parks in the middle of it, another takes
//! over, and the other tasks go on. Tasks stay on their OS thread, so nothing has to be `Send`; their
//! wakers may be used by any OS thread, and after the task and its runtime have ended.
//!
//! Where a type's method blocks, async code calls that with `_async` at its end: `recv_async`,
//! `lock_async`, `accept_async`. What has no such twin may be called in a task all the same, and parks the
//! runner. Streams and files are [`AsyncRead`](crate::io::AsyncRead) and
//! [`AsyncWrite`](crate::io::AsyncWrite), the traits of the crate futures-io, so `read`, `write_all` or
//! `lines` are those of an extension trait of `futures-util` or `futures-lite`. As these bear the names
//! of std's, a module imports the one or the other.

mod block_on;
mod combinators;
mod completed;
mod coroutine;
mod outside;
mod promise;
mod readiness;
mod sleep;
mod spawn;
mod ticks;
mod timeout;
mod yield_now;

pub use crate::io::Readiness;
pub use block_on::block_on;
pub use combinators::{
    Waited, gather, map_bounded, race, select_ok, try_gather, wait, wait_timeout,
};
pub use completed::{AsCompleted, Completed, as_completed};
pub use coroutine::CoroutineFuture;
pub use futures_util::future::{
    Either, Join, JoinAll, Select, TryJoin, TryJoinAll, join, join_all, select, try_join,
    try_join_all,
};
pub use promise::{Awaited, Promise, PromiseError, Settled, SharedError};
pub use readiness::{readable, writable};
pub use sleep::{Sleep, sleep, sleep_until};
pub use spawn::{Builder, spawn, try_spawn};
pub use timeout::{Timeout, timeout, timeout_at};
pub use yield_now::{YieldNow, yield_now};
