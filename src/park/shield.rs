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
/// carried the call elsewhere, so the thread may be another than the one that runs.
struct Shield {
    number: u64,
}

impl Drop for Shield {
    fn drop(&mut self) {
        let Some(core) = Core::here() else {
            return;
        };
        match Core::current() {
            Some(core) if core.running().id.get() == self.number => {
                core.running().clear(flag::SHIELDED);
            }
            _ => core.for_each_live(|record| {
                if record.id.get() == self.number {
                    record.clear(flag::SHIELDED);
                }
            }),
        }
    }
}
