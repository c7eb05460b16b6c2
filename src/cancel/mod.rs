//! Cancel scopes, deadlines and shields: what ends a blocking call before it is done.

pub use crate::park::Cancelled;
