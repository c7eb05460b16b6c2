//! tiny_http, a blocking HTTP server that was written for std's threads, sockets, locks and channels.
//! Its source is the published one; `build.rs` has replaced `std::` by `greenlit::` in the paths of
//! the modules that greenlit mirrors.

#![allow(
    warnings,
    clippy::all,
    reason = "its authors' choices are not this project's"
)]

include!(concat!(env!("OUT_DIR"), "/tiny_http/lib.rs"));
