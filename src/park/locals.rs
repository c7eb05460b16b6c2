//! The end of a green thread's locals: their destructors run on its own stack, in the thread, before
//! it ends (rule 7).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Core, report_panic};
use crate::scheduler::Record;
use crate::scheduler::record::{extra, flag};

/// Destroys the locals of the running thread when it goes.
struct Ending<'a>(&'a Record);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        // The youngest first, as std does; what a destructor makes anew is destroyed next.
        while let Some(value) = self.0.locals.pop() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                report_panic(self.0, "panicked in the destructor of a local", payload);
            }
        }
        self.0.locals.clear();
    }
}

impl Core {
    /// Destroys the locals of the running thread, which ends.
    #[inline]
    pub(crate) fn end_locals(&self, record: &Record) {
        if record.has_extra(extra::LOCALS) {
            self.end_some_locals(record);
        }
    }

    #[cold]
    fn end_some_locals(&self, record: &Record) {
        let ending = Ending(record);
        if record.has(flag::CANCELLED) && !cfg!(panic = "abort") {
            // As the destructors of its frames, those of a cancelled thread's locals run in an
            // unwinding, so that blocking calls in them know that they must not start one.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let _ending = ending;
                self.unwind(record);
            }));
            return;
        }
        drop(ending);
    }
}
