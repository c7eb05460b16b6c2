//! Files, pipes, children, signals and the standard streams.

mod alone;
mod polling;

mod blocking;
mod fs;
mod pipe;
mod polled_fs;
mod polled_stdio;
mod polled_system;
mod process;
mod signal;
mod signal_children;
mod stdio;
