//! Locks, channels and whatever else of `sync` is waited for.

mod alone;
mod awaited;
mod kept;
mod counted;

mod futures_by_hand;
mod futures_conditions;
mod futures_sync;
mod regressions_port;
mod regressions_sync;
mod sync_broadcast;
mod sync_cancels;
mod sync_condvar;
mod sync_like_std;
mod sync_mpmc;
mod sync_mpsc;
mod sync_mutex;
mod sync_once;
mod sync_oneshot;
mod sync_queue;
mod sync_rwlock;
mod sync_select;
mod sync_select_across;
mod sync_semaphore;
mod sync_threads;
mod sync_waits;
mod sync_watch;
