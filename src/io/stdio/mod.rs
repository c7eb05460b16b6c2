//! `stdin`, `stdout`, `stderr`: std's, over file descriptors that others share and whose mode is
//! theirs. A green thread that has to wait for one, or for its lock, parks.

mod raw;
mod turn;
mod polled;
mod input;
mod output;
mod terminal;
mod print;

pub use input::{Stdin, StdinLock, stdin};
pub use output::{Stderr, StderrLock, Stdout, StdoutLock, stderr, stdout};
pub use print::{_eprint, _print};
pub use terminal::IsTerminal;
