//! The real sources.

#[path = "../../../../src/sync/mutex.rs"]
pub mod mutex;
#[path = "../../../../src/sync/no_planted_bug.rs"]
mod planted_bug;
#[path = "../../../../src/sync/poisoning.rs"]
mod poisoning;
#[path = "../../../../src/sync/semaphore.rs"]
pub mod semaphore;
#[path = "spin_lock.rs"]
mod spin_lock;
#[path = "../../../../src/sync/waiters.rs"]
mod waiters;
