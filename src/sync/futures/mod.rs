//! Each wait of `sync` as a future, under the name of the call that blocks and `_async`. Futures,
//! green threads and OS threads stand in one queue, and are served in one order.

mod mutex;
mod rwlock;
mod condvar;
mod conditions;
mod once;
mod semaphore;
mod channel;
mod broadcast;
mod watch;
