//! A call during which cancels are put off: the initialisers of `sync` run so, since a cancel inside
//! one would leave a static without its value for ever.

use super::Core;
use crate::scheduler::record::flag;

/// Runs `f`; a cancel of the green thread comes at its first blocking call afterwards.
pub(crate) fn shielded<R>(f: impl FnOnce() -> R) -> R {
    let Some(core) = Core::current() else {
        return f();
    };
    let record = core.running();
    if record.has(flag::SHIELDED) {
        return f();
    }
    record.set(flag::SHIELDED);
    let _shield = Shield {
        number: record.id.get(),
    };
    f()
}

/// Ends the shield of the green thread `number`, however the call ends. A coroutine may have
/// carried the call elsewhere: then the thread keeps its shield.
struct Shield {
    number: u64,
}

impl Drop for Shield {
    fn drop(&mut self) {
        if let Some(core) = Core::current()
            && core.running().id.get() == self.number
        {
            core.running().clear(flag::SHIELDED);
        }
    }
}
