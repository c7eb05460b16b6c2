//! The real sources.

#[path = "../../../../src/sync/mutex.rs"]
pub mod mutex;
#[path = "../../../../src/sync/futures/mutex.rs"]
mod mutex_future;
#[path = "../../../../src/sync/no_planted_bug.rs"]
mod planted_bug;
#[path = "../../../../src/sync/poisoning.rs"]
mod poisoning;
#[path = "../../../../src/sync/semaphore.rs"]
pub mod semaphore;
#[path = "../../../../src/sync/futures/semaphore.rs"]
mod semaphore_future;
#[path = "spin_lock.rs"]
mod spin_lock;
#[path = "../../../../src/sync/standing.rs"]
mod standing;
#[path = "../../../../src/sync/waiters.rs"]
mod waiters;
