//! The scheduler's records and queues: pure data that knows no clock, no file descriptor and no
//! thread-local. `park` drives it; the rules of its raw pointers are invariants 40 to 43 of
//! docs/SAFETY.md.

pub(crate) mod locals;
pub(crate) mod reason;
pub(crate) mod record;
pub(crate) mod arena;
pub(crate) mod run_queue;
pub(crate) mod wait_queue;
pub(crate) mod timers;
pub(crate) mod cause;
pub(crate) mod tally;
pub(crate) mod region;
pub(crate) mod task;

pub(crate) use arena::Arena;
pub(crate) use cause::Cause;
pub(crate) use locals::Locals;
pub(crate) use reason::{Reason, Wakers};
pub(crate) use record::{Record, State};
pub(crate) use region::Region;
pub(crate) use run_queue::RunQueue;
pub(crate) use tally::{Kept, Policy, Tally};
pub(crate) use task::{Task, Tasks};
pub(crate) use timers::{Fired, TimerNode, Timers};
pub(crate) use wait_queue::{Links, WaitNode};
