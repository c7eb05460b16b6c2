//! Numbers that name: green threads, OS threads and regions share one counter of the process, so that
//! a number names one thing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Core;

/// How many a runtime takes from the process's counter at once.
const AT_ONCE: u64 = 256;

/// Takes so many numbers from the process's counter, and returns the first.
pub(super) fn take_numbers(count: u64) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(count, Ordering::Relaxed)
}

impl Core {
    /// A number that nothing else of the process has; never 0.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        let (mut next, mut end) = self.numbers.get();
        if next == end {
            next = take_numbers(AT_ONCE);
            end = next + AT_ONCE;
        }
        self.numbers.set((next + 1, end));
        next
    }
}
