//! The one door to suspension. It joins the scheduler's queues, the reactor and the clock into the
//! `Core` of an OS thread, and offers the rest of the crate, and outside authors, a way to park on
//! a wait queue with a reason, and to unpark.

mod core;
mod exit;
mod numbers;
mod task;
mod runner;
mod signal;
mod door;
mod turn;
mod end;
mod stop;
mod locals;
mod unclaimed;
mod mailbox;
mod spans;
mod fork;
mod queue;
mod os_stack;
mod os_thread;
mod waiter;
mod unparker;
mod region;
mod around;
mod cancelled;
pub(crate) mod snapshot;
mod slices;
mod watchdog;

pub use crate::scheduler::reason::Reason;
pub use queue::WaitQueue;
pub use unparker::Unparker;
pub use waiter::Waiter;

pub(crate) use crate::scheduler::Cause;
pub(crate) use crate::scheduler::reason::{HOLDER_SHIFT, HOLDER_UNKNOWN};
pub(crate) use crate::scheduler::region::{Kind, Region, Stop};
pub(crate) use crate::scheduler::{Links, WaitNode};
pub use cancelled::Cancelled;
pub(crate) use core::{Core, Spawn};
pub(crate) use door::{Limit, Mask, Outcome, Refused};
pub(crate) use fork::refuse_in_child;
pub(crate) use mailbox::{Errand, Mailbox, Outsider, Parcel};
pub(crate) use os_stack::on_os_stack;
pub(crate) use region::{
    cancelled_thread, catches, go_on_unwinding, not_switched, not_unwound, shielded, watched,
    within,
};
pub(crate) use runner::{drop_unclaimed, proceed};
pub(crate) use signal::Wakeup;
pub(crate) use task::TaskRef;
pub(crate) use unclaimed::{is_panic, message, report, report_panic};
pub(crate) use waiter::Caller;
