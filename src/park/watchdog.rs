//! An OS thread that tells of slices that do not end: they can be told of by nobody else, for nobody
//! else runs. It knows whose slice it is, and not where that is: the code is in the middle of something.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{Level, event};

use super::slices::Who;
use crate::clock;

/// A slice is told of when it has lasted so many thresholds, and again so many times as long.
const FACTOR: u64 = 10;

/// How often it looks, at the most and at the least.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);
const LONGEST_PERIOD: Duration = Duration::from_millis(500);

/// Its name, by which it is told from OS threads that might wake somebody.
pub(super) const NAME: &str = "greenlit-slices";

/// What the runtime and its watchdog share.
pub(super) struct Watched {
    /// In nanoseconds.
    threshold: u64,
    state: Mutex<State>,
    /// Rung at the end of the run.
    over: Condvar,
}

#[derive(Default)]
struct State {
    /// The slice that is under way; `None` where nobody runs.
    slice: Option<Slice>,
    /// Whether the run is over.
    is_over: bool,
}

struct Slice {
    who: Who,
    /// When it began, in nanoseconds since the epoch.
    began: u64,
    /// How long it has to last to be told of, in nanoseconds.
    tell_at: u64,
}

impl Watched {
    pub(super) fn new(threshold: u64) -> Self {
        Self {
            threshold,
            state: Mutex::default(),
            over: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slice begins.
    pub(super) fn begin(&self, now: u64, who: Who) {
        self.state().slice = Some(Slice {
            who,
            began: now,
            tell_at: self.threshold.saturating_mul(FACTOR),
        });
    }

    /// The slice that was under way has ended.
    pub(super) fn end(&self) {
        self.state().slice = None;
    }

    fn period(&self) -> Duration {
        Duration::from_nanos(self.threshold).clamp(SHORTEST_PERIOD, LONGEST_PERIOD)
    }

    /// Looks until the run is over.
    fn look(&self) {
        let mut state = self.state();
        while !state.is_over {
            let long = state.slice.as_mut().and_then(|slice| {
                let lasted = clock::now().saturating_sub(slice.began);
                if lasted < slice.tell_at {
                    return None;
                }
                slice.tell_at = slice.tell_at.saturating_mul(FACTOR).max(lasted);
                Some((slice.who.clone(), Duration::from_nanos(lasted)))
            });
            if let Some((who, lasted)) = long {
                // A subscriber is code of the user's.
                drop(state);
                tell(&who, lasted);
                state = self.state();
                continue;
            }
            let waited = self.over.wait_timeout(state, self.period());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn tell(who: &Who, lasted: Duration) {
    // A closed stderr is no reason to end the process.
    let _ = writeln!(
        io::stderr(),
        "greenlit: {who} has run for {lasted:.1?} and goes on; nobody else of its runtime can run"
    );
    let ran_for = lasted.as_nanos() as u64;
    event!(target: "greenlit", Level::WARN, id = who.number, name = who.name.as_deref(),
        spawned_at = %who.spawned_at, ran_for, "a slice does not end");
}

/// The OS thread, for the length of a run.
pub(super) struct Watchdog {
    watched: Arc<Watched>,
    /// `None` where no OS thread could be made.
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(super) fn new(watched: Arc<Watched>) -> Self {
        watched.state().is_over = false;
        let thread = {
            let watched = watched.clone();
            let builder = thread::Builder::new().name(NAME.to_owned());
            builder.spawn(move || watched.look())
        };
        if let Err(error) = &thread {
            let _ = writeln!(
                io::stderr(),
                "greenlit: no OS thread can be made that looks for slices that do not end: {error}"
            );
        }
        Self {
            watched,
            thread: thread.ok(),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let mut state = self.watched.state();
        state.is_over = true;
        state.slice = None;
        drop(state);
        self.watched.over.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
