//! Green threads with their own stacks, many on one OS thread.
//!
#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "greenlit supports Linux (x86_64 and aarch64 by its own switch, other CPUs by corosensei's); \
     its reactor needs epoll"
);

#[expect(unsafe_code, reason = "context switches are assembly")]
#[path = "../arch/mod.rs"]
mod arch;
#[expect(unsafe_code, reason = "stacks are mapped, guarded and trimmed by hand")]
mod stack;
#[expect(
    unsafe_code,
    reason = "coroutines are resumed through shared references, and switch"
)]
pub mod coroutine;
#[expect(
    unsafe_code,
    reason = "records and queues are intrusive lists of raw pointers"
)]
mod scheduler;
#[expect(
    unsafe_code,
    reason = "epoll_pwait2 has no safe wrapper, and entries are pointed into"
)]
mod reactor;
mod clock;
#[expect(unsafe_code, reason = "it drives the records, and switches")]
pub mod park;
#[expect(
    unsafe_code,
    reason = "closures and results are placed on stacks and in records by hand"
)]
pub mod thread;
#[expect(
    unsafe_code,
    reason = "a scope links those who are in it from their frames"
)]
pub mod cancel;
pub mod time;
#[expect(unsafe_code, reason = "wait nodes are linked from the waiter's frame")]
pub mod io;
#[expect(
    unsafe_code,
    reason = "a job that borrows reaches into the frame that waits for it"
)]
pub mod blocking;
#[expect(
    unsafe_code,
    reason = "wait nodes are linked from the waiter's frame, and data lie in cells"
)]
pub mod sync;
#[expect(
    unsafe_code,
    reason = "tasks are made of futures that are pinned by hand"
)]
pub mod future;
#[expect(
    unsafe_code,
    reason = "callbacks are tasks, which may borrow where they are made"
)]
pub mod event_loop;
pub mod net;
pub mod process;
pub mod fs;
pub mod signal;
pub mod os;
mod select;
mod handle;
#[cfg(feature = "hyper")]
#[expect(
    unsafe_code,
    reason = "what is read goes into memory that is not initialised"
)]
pub mod hyper;
#[expect(
    unsafe_code,
    reason = "a runtime that could not stop its threads is not freed"
)]
mod runtime;
// Compiles the programs of the guides, and runs those that end.
#[cfg(doctest)]
#[doc = include_str!("../docs/PORTING.md")]
mod porting {}
#[cfg(doctest)]
#[doc = include_str!("../docs/CANCELLATION.md")]
mod cancellation {}
#[cfg(doctest)]
#[doc = include_str!("../docs/ASYNCIO.md")]
mod asyncio {}

pub use handle::{Handle, RemoteHandle, RuntimeEnded};
pub use runtime::{Builder, Runtime, run};
