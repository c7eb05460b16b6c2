//! What is around a scope of threads: its threads see what was asked of those who wait for them.

use super::region::has_listeners;
use super::{Cause, Core, Kind, Stop};
use crate::scheduler::Record;
use crate::scheduler::region::outwards;

/// Why the owner of the scope that `record`'s thread belongs to, or the owner of that one's, was told to
/// come to an end, softly or not: what is outermost, as far as no shield hides it.
#[cold]
pub(super) fn requested_around(record: &Record) -> Option<Cause> {
    let mut found = None;
    let mut scope = record.scope();
    // SAFETY: invariant 64: the scope waits for its threads, and this one runs, or is waited for by one
    // that does.
    while let Some(tally) = unsafe { scope.as_ref() } {
        // The first is the scope's own, which speaks of the closure.
        for region in outwards(tally.region()).skip(1) {
            if region.stop() != Stop::None {
                found = region.cause();
            }
            if region.kind() == Kind::Shield {
                return found;
            }
        }
        // SAFETY: invariant 90: a region is in the chain of a record that lives. It is in none while
        // the coroutine that the scope is in is suspended.
        let owner = unsafe { tally.region().record().as_ref() }?;
        found = owner.cause().or(found);
        scope = owner.scope();
    }
    found
}

impl Core {
    /// Has all look who end their waits when they are asked to: one of those around them was.
    pub(crate) fn wake_listeners(&self) {
        if !has_listeners() {
            return;
        }
        self.for_each_live(|record| {
            if record
                .regions()
                .any(|region| region.kind() == Kind::Listener)
            {
                self.have_looked(record);
            }
        });
    }
}
