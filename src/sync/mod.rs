//! `std::sync`'s shape on green threads, and what std lacks. All of it is shared by green threads of
//! any runtime and by plain OS threads, which block as usual; where a green thread would have to
//! wait, it parks and lets the others run.
//!
//! What std has and this module does not replace (`Arc`, `atomic`, …) is std's.

mod spin_lock;
mod waiters;
mod standing;
mod poisoning;
#[cfg_attr(not(greenlit_planted_bug), path = "no_planted_bug.rs")]
mod planted_bug;
mod mutex;
mod rwlock;
mod condvar;
mod barrier;
mod once;
mod once_lock;
mod lazy_lock;
mod semaphore;
mod event;
mod wait_group;
mod channel;
pub mod mpsc;
pub mod mpmc;
pub mod oneshot;
pub mod queue;
pub mod broadcast;
pub mod watch;
pub mod select;
mod futures;

pub use std::sync::*;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
#[expect(deprecated, reason = "std has it too")]
pub use once::ONCE_INIT;
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedPermit, Permit, Semaphore};
pub use wait_group::{Member, WaitGroup};

pub(crate) use select::Operation;
pub(crate) use waiters::Wait;
