//! No switch was written by hand for this CPU.

use super::{Left, Start};

/// There is none.
pub(in super::super) const START: Option<Start> = None;

/// Never called, since there is no `START`.
pub(in super::super) unsafe fn switch(to: Left) -> Left {
    to
}
