//! Random programs, and what runs them and holds them to their duties.

mod channel;
mod context;
mod generate;
mod harness;
mod interpret;
mod interpret_channels;
mod interpret_futures;
mod interpret_scopes;
mod interpret_threads;
mod ledger;
mod random;
mod region;
mod statement;
mod stream;
mod tasks;
mod watch;
mod world;

pub(crate) use harness::{every_point, random};
