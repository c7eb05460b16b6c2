//! `std::os::unix::prelude`, with the traits that extend greenlit's types in the place of std's.

#[doc(no_inline)]
pub use std::os::unix::prelude::*;

#[doc(no_inline)]
pub use super::process::CommandExt;
