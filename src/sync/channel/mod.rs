//! The one channel, of which `mpsc`, `mpmc` and `oneshot` are faces: items behind a spin lock, and
//! on either side a queue of those who wait. An item goes straight into the hands of a receiver that
//! waits, and comes straight from those of a sender.

mod items;
mod core;
mod ends;
mod arms;

pub use arms::{RecvArm, SendArm};

pub(super) use self::core::{Channel, Failure, Note, Queue, Rest, Slot};
pub(super) use ends::{Input, Output, channel};
