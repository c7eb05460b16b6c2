//! Callbacks, as event loops have them: functions that the runner calls, by and by, between the polls
//! of tasks. Whoever has one can do without futures; most programs need neither.
//!
//! A callback is a task: it stands in the same queue, runs in its order, and may call what blocks, which
//! parks the runner; another one goes on. One that panics is reported, and harms no other. At the end of
//! the run those that have not run are cancelled.

mod calls;
mod ready;

pub use calls::{Callback, call_at, call_later, call_soon};
pub use ready::{ReadyCallback, add_reader, add_writer, remove_reader, remove_writer};
