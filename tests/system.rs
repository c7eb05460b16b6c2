//! Files, pipes, children, signals and the standard streams.

mod alone;

mod blocking;
mod fs;
mod pipe;
mod process;
mod signal;
mod signal_children;
mod stdio;
