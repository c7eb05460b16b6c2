//! Debug mode: slices that last too long. A slice is the time between two switches of a green thread,
//! or one poll of a task. Who is timed carries a flag that only the slow ways look at, so it costs
//! nothing where nobody asked. `watchdog.rs` tells of slices that do not end.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tracing::{Level, event};

use super::task::polled;
use super::watchdog::{Watchdog, Watched};
use super::{Core, on_os_stack};
use crate::arch;
use crate::clock;
use crate::scheduler::record::flag;
use crate::scheduler::{Reason, Record, Task};
use crate::stack;

/// What a backtrace takes of the stack that it is taken on; it is written on a larger one.
const BACKTRACE_BYTES: usize = 12 * 1024;

/// The most frames that a report shows.
const MOST_FRAMES: usize = 32;

/// What a runtime that times slices knows.
pub(super) struct Slices {
    /// Longer ones are told of, in nanoseconds.
    threshold: u64,
    /// When the one that is under way began, in nanoseconds since the epoch.
    began: Cell<u64>,
    /// What its thread did before.
    before: Cell<Before>,
    watched: Arc<Watched>,
    /// What tells of slices that do not end; `None` outside a run.
    watchdog: Cell<Option<Watchdog>>,
}

/// What came before a slice.
#[derive(Clone, Copy)]
enum Before {
    /// A yield, or another slice of the same thread.
    Yield,
    /// The thread began with it.
    Spawn,
    /// A wait, which has ended: what for, without what that pointed to.
    Wait(Reason),
}

/// How a slice ends.
#[derive(Clone, Copy)]
pub(super) enum SliceEnd<'a> {
    Yield,
    Wait(&'a Reason),
    /// The green thread ends.
    Exit,
    /// The poll is over.
    Poll,
}

/// Whose slice it is, as another OS thread may know it.
#[derive(Clone)]
pub(super) struct Who {
    kind: &'static str,
    pub(super) number: u64,
    pub(super) name: Option<Arc<str>>,
    pub(super) spawned_at: &'static Location<'static>,
}

impl Who {
    /// Who runs on `record`'s stack: a task that it polls, or its own green thread.
    fn runs(record: &Record) -> Self {
        match polled(record) {
            Some(task) => Self::task(task),
            None => Self {
                kind: match record.has(flag::RUNNER) {
                    true => "runner of futures",
                    false => "green thread",
                },
                number: record.id.get(),
                name: record.name(),
                spawned_at: record.spawned_at.get(),
            },
        }
    }

    fn task(task: &Task) -> Self {
        Self {
            kind: "future",
            number: task.number,
            name: task.name(),
            spawned_at: task.spawned_at,
        }
    }
}

/// As records and tasks show themselves.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(name) = &self.name {
            write!(f, "\"{name}\" ")?;
        }
        write!(f, "(#{}, spawned at {})", self.number, self.spawned_at)
    }
}

impl Slices {
    pub(super) fn new(threshold: Duration) -> Self {
        let threshold = clock::length(threshold);
        Self {
            threshold,
            began: Cell::new(0),
            before: Cell::new(Before::Yield),
            watched: Arc::new(Watched::new(threshold)),
            watchdog: Cell::new(None),
        }
    }

    /// A run begins: from now on slices that do not end are told of.
    pub(super) fn watch(&self) {
        self.watchdog.set(Some(Watchdog::new(self.watched.clone())));
    }

    /// The run is over.
    pub(super) fn unwatch(&self) {
        drop(self.watchdog.take());
    }

    /// The run ends in a forked child: the OS thread is the parent's.
    pub(super) fn leave_watchdog(&self) {
        std::mem::forget(self.watchdog.take());
    }

    fn begin(&self, who: Who, before: Before) {
        let now = clock::now();
        self.began.set(now);
        self.before.set(before);
        self.watched.begin(now, who);
    }
}

impl Core {
    /// Has slices timed from the next run on.
    pub(crate) fn time_slices(&self, threshold: Duration) {
        // It is set once, by whoever makes the runtime.
        let _ = self.slices.set(Slices::new(threshold));
    }

    /// Whether new green threads are timed: the flag that they begin with.
    pub(super) fn timed(&self) -> u32 {
        match self.slices.get() {
            Some(_) => flag::TIMED,
            None => 0,
        }
    }

    /// The running thread has been switched to.
    #[cold]
    pub(super) fn begin_slice(&self, record: &Record) {
        if let Some(slices) = self.slices.get() {
            slices.begin(Who::runs(record), Before::Yield);
        }
    }

    /// A thread that is timed, or is cancelled already, begins. Returns which.
    #[cold]
    pub(crate) fn begin_with_care(&self, record: &Record) -> bool {
        if record.has(flag::TIMED)
            && let Some(slices) = self.slices.get()
        {
            slices.begin(Who::runs(record), Before::Spawn);
        }
        record.has(flag::CANCELLED)
    }

    /// The running thread is about to let others run, and stays ready.
    #[cold]
    pub(super) fn before_others(&self, record: &Record) {
        if record.has(flag::TIMED) {
            self.end_slice(record, SliceEnd::Yield);
        }
        if record.has(flag::POLLING) {
            self.yields_in_poll(record);
        }
    }

    /// The running thread goes on after a wait.
    #[cold]
    pub(super) fn begin_after(&self, reason: &Reason) {
        if let Some(slices) = self.slices.get() {
            slices.before.set(Before::Wait(reason.in_words()));
        }
    }

    /// Has `f` be a slice of `task`'s, which is not polled yet and may be gone afterwards. Returns
    /// what `f` does.
    #[cold]
    pub(super) fn time_poll<R>(&self, record: &Record, task: &Task, f: impl FnOnce() -> R) -> R {
        let who = Who::task(task);
        if let Some(slices) = self.slices.get() {
            slices.begin(who.clone(), Before::Yield);
        }
        let result = f();
        self.end(&who, SliceEnd::Poll);
        self.begin_slice(record);
        result
    }

    /// The slice of `record`'s thread ends: it is told of where it was long. Returns whether it was, and
    /// code of the user's has run.
    #[cold]
    pub(super) fn end_slice(&self, record: &Record, end: SliceEnd<'_>) -> bool {
        let told = self.end(&Who::runs(record), end);
        if matches!(end, SliceEnd::Yield) {
            // It runs on where nobody else can.
            self.begin_slice(record);
        }
        told
    }

    fn end(&self, who: &Who, end: SliceEnd<'_>) -> bool {
        let Some(slices) = self.slices.get() else {
            return false;
        };
        slices.watched.end();
        let began = slices.began.get();
        let length = clock::now().saturating_sub(began);
        let is_long = length > slices.threshold && began != 0;
        if is_long {
            self.tell_of_slice(slices, who, Duration::from_nanos(length), end);
        }
        is_long
    }

    #[inline(never)]
    fn tell_of_slice(&self, slices: &Slices, who: &Who, length: Duration, end: SliceEnd<'_>) {
        let from = match slices.before.get() {
            Before::Yield => String::new(),
            Before::Spawn => ", from its beginning".to_owned(),
            Before::Wait(reason) => format!(", after {reason}"),
        };
        let to = match end {
            SliceEnd::Yield => ", until it yielded".to_owned(),
            SliceEnd::Wait(reason) => format!(", until {}", reason.in_words()),
            SliceEnd::Exit => ", until it ended".to_owned(),
            SliceEnd::Poll => ", in one poll".to_owned(),
        };
        // Where it is now it called what ended the slice; at the end of a thread or a poll it is
        // nowhere any more.
        let has_place = matches!(end, SliceEnd::Yield | SliceEnd::Wait(_));
        let backtrace = match has_place && stack::room(arch::stack_pointer()) > BACKTRACE_BYTES {
            true => Some(Backtrace::force_capture()),
            false => None,
        };
        let tell = || {
            self.outside(|| {
                let mut text = format!(
                    "greenlit: {who} ran for {length:.1?} and let nobody else run{from}{to}\n"
                );
                if let Some(backtrace) = &backtrace {
                    // Writing to a string does not fail.
                    let _ = text.write_str(&of_the_user(&backtrace.to_string()));
                }
                // A closed stderr is no reason to end the process.
                let _ = io::stderr().write_all(text.as_bytes());
                let ran_for = length.as_nanos() as u64;
                event!(target: "greenlit", Level::WARN, id = who.number, name = who.name.as_deref(),
                    spawned_at = %who.spawned_at, ran_for, "slow slice{from}{to}");
            });
        };
        // Symbols and subscribers need more stack than a green thread has. Where none can be had
        // nothing is told.
        drop(catch_unwind(AssertUnwindSafe(|| on_os_stack(tell))));
    }
}

/// The frames of a backtrace without those of the scheduler at both ends.
fn of_the_user(text: &str) -> String {
    let mut frames: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        match symbol(line) {
            Some(_) => frames.push(vec![line]),
            None => match frames.last_mut() {
                Some(frame) => frame.push(line),
                None => return text.to_owned(),
            },
        }
    }
    let is = |frame: &Vec<&str>, of: &[&str]| {
        let symbol = symbol(frame[0]).unwrap_or_default();
        let symbol = symbol.trim_start_matches(['<', '&']);
        of.iter().any(|of| symbol.starts_with(of))
    };
    let first = frames
        .iter()
        .position(|frame| !is(frame, &["greenlit::park::", "std::backtrace"]))
        .unwrap_or(0);
    let ours = ["greenlit::thread::spawn::", "greenlit::park::"];
    let root = frames.iter().skip(first).position(|frame| is(frame, &ours));
    let mut last = root.map_or(frames.len(), |root| first + root);
    let glue = [
        "std::panic",
        "core::ops::function",
        "core::panic",
        "__rust_try",
    ];
    while last > first + 1 && is(&frames[last - 1], &glue) {
        last -= 1;
    }
    let mut shown = String::new();
    for line in frames[first..last].iter().take(MOST_FRAMES).flatten() {
        shown.push_str(line);
        shown.push('\n');
    }
    shown
}

/// What a line that begins a frame, `   7: name`, says after its number.
fn symbol(line: &str) -> Option<&str> {
    let (number, symbol) = line.split_once(": ")?;
    number.trim().parse::<usize>().ok()?;
    Some(symbol)
}
