//! A gate that opens when all have come: how a test shows that so many green threads of one OS
//! thread were in the middle of something at once, with no look at the clock.

use greenlit::sync::{Condvar, Mutex};
use greenlit::time::Duration;
use std::thread::ThreadId;

/// How long the first to come waits for the last, before the test is said to have failed. It decides
/// nothing else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets nobody through before as many as were asked for stand before it.
#[derive(Debug)]
pub struct Gate {
    wanted: usize,
    /// How many have come, and the OS thread of the first.
    came: Mutex<(usize, Option<ThreadId>)>,
    is_open: Condvar,
}

impl Gate {
    /// A gate that opens for `wanted`.
    pub fn new(wanted: usize) -> Self {
        Self {
            wanted,
            came: Mutex::new((0, None)),
            is_open: Condvar::new(),
        }
    }

    /// Waits until all have come.
    ///
    /// # Panics
    ///
    /// When one of them does not come, comes on another OS thread, or is one too many.
    pub fn pass(&self) {
        let mut came = self.came.lock().expect("no thread panics with it");
        came.0 += 1;
        let here = std::thread::current().id();
        let is_alone = *came.1.get_or_insert(here) == here;
        let count = came.0;
        if count == self.wanted {
            self.is_open.notify_all();
        }
        let wanted = self.wanted;
        let waited = self
            .is_open
            .wait_timeout_while(came, PATIENCE, |came| came.0 < wanted);
        let (came, waited) = waited.expect("no thread panics with it");
        let seen = came.0;
        drop(came);
        assert!(is_alone, "a second OS thread");
        assert!(count <= wanted, "{count} came, for {wanted}");
        assert!(!waited.timed_out(), "only {seen} of {wanted} at once");
    }

    /// Whether all have come.
    pub fn is_open(&self) -> bool {
        self.came.lock().expect("no thread panics with it").0 >= self.wanted
    }
}

/// Runs `body` on `count` green threads, each of which is given its number, and waits for all. What
/// one of them panics with goes on here.
pub fn together(count: usize, body: impl Fn(usize)) {
    greenlit::thread::scope(|scope| {
        for number in 0..count {
            let body = &body;
            scope.spawn(move || body(number));
        }
    });
}
