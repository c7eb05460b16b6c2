//! Green threads: how they start, run, wait, are cancelled and end.

mod alone;
mod cancelling;
mod reports;
mod scene;

mod admission;
mod cancel_io;
mod cancel_thread;
mod interval;
mod locals;
mod no_unwind;
mod panics;
mod regressions;
mod regressions_cancel;
mod regressions_unwinding;
mod run;
mod run_ends;
mod slices;
mod snapshot;
mod switches;
mod thread;
mod timeout;
