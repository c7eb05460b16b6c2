//! `std::os::unix`: what has a twin here is greenlit's, the rest is std's.

pub use std::os::unix::*;

#[expect(unsafe_code, reason = "`pre_exec` is unsafe to call, as std's is")]
pub mod process;
pub mod fs;
pub mod net;
pub mod prelude;
