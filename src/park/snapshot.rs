//! What the green threads and tasks of a runtime do at one moment: for reports, and for who asks.
//! Runners are nobody here: the tasks that they poll are.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::task::polled;
use super::{Core, signal, task};
use crate::clock::{self, Instant};
use crate::scheduler::reason::{TASK, THREAD};
use crate::scheduler::record::{extra, flag};
use crate::scheduler::task::state;
use crate::scheduler::{Reason, Record, Task};

/// Waits that are shorter are not told of in a report: what is known of their beginning is not more
/// exact.
const LEAST_TOLD: Duration = Duration::from_millis(20);

/// By number, whom each awaits as a future: one entry for each waker of its that they hold.
pub(super) type Awaits = HashMap<u64, Vec<u64>>;

/// What one green thread or task did at the moment when this was taken.
///
/// `Display` gives the line that reports have:
///
/// ```text
/// green thread "worker" (#7, spawned at src/main.rs:10:5): joining green thread #8, for 1.2s
/// ```
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let waiter = thread::spawn(thread::park);
///     thread::yield_now();
///     let waiting = waiter.snapshot().unwrap();
///     assert_eq!(waiting.state(), thread::State::Parked);
///     assert_eq!(waiting.waits_for(), Some("parked"));
///     assert_eq!(waiting.parent(), Some(thread::current().id()));
///     waiter.thread().unpark();
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) number: u64,
    name: Option<Arc<str>>,
    kind: Kind,
    state: State,
    /// What it waits for, in words; `None` unless it is parked.
    waits_for: Option<String>,
    /// Whose end, or whose lock, it waits for.
    pub(crate) awaits: Vec<u64>,
    /// Nanoseconds since the epoch; `None` unless it is parked.
    since: Option<u64>,
    /// When this was taken, in nanoseconds since the epoch.
    taken: u64,
    spawned_at: &'static Location<'static>,
    /// The spawner's number; 0 for none.
    pub(crate) parent: u64,
}

/// What was spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A closure, with a stack of its own.
    GreenThread,
    /// A future, which has none.
    Task,
}

/// What a green thread or a task does at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It is the one that runs.
    Running,
    /// It can run, and waits for its turn.
    Ready,
    /// It waits for something.
    Parked,
}

impl Snapshot {
    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What was spawned.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it ran, could run, or was parked.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// What it waits for, in the words of reports, with the object and who holds it: `reading fd 7`,
    /// `locking a mutex, held by thread #3`. `None` unless it is parked.
    #[must_use]
    pub fn waits_for(&self) -> Option<&str> {
        self.waits_for.as_deref()
    }

    /// Since when it waits; `None` unless it is parked.
    ///
    /// A park reads no clock. It is dated by the reading before it, which the scheduler had made for
    /// its own purposes, so it is never too late. It is too early by as long as green threads have run
    /// since then, 100 µs or one slice, whichever is longer; and where the runtime had been idle
    /// without any timer, by up to a tick of the kernel's, 1 to 10 ms.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.since.and_then(Instant::from_nanos)
    }

    /// Where it was spawned; for the main green thread, where `run` was called.
    #[must_use]
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// With what it waits for, and since when, if it does.
    fn parked(self, waits_for: String, since: u64) -> Self {
        Self {
            state: State::Parked,
            waits_for: Some(waits_for),
            since: Some(since),
            ..self
        }
    }

    /// As `parked`, where `record`'s thread waits, in the middle of a task's poll perhaps. The main
    /// thread runs when it reports its own deadlock, and says what it waited for.
    pub(super) fn parked_as(mut self, record: &Record, reason: &Reason) -> Self {
        self.awaits.extend(reason.awaited());
        self.parked(reason.to_string(), record.since.get())
    }
}

/// A snapshot as reports show it, which speak of all waits at one moment: without their lengths.
pub(super) struct Line<'a>(pub(super) &'a Snapshot);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = self.0;
        f.write_str(match one.kind {
            Kind::GreenThread => "green thread ",
            Kind::Task => "future ",
        })?;
        if let Some(name) = &one.name {
            write!(f, "\"{name}\" ")?;
        }
        let (number, place) = (one.number, one.spawned_at);
        write!(f, "(#{number}, spawned at {place}): ")?;
        f.write_str(match (&one.waits_for, one.state) {
            (Some(what), _) => what,
            (None, State::Running) => "running",
            (None, _) => "ready to run",
        })
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Line(self).fmt(f)?;
        match self.since.map(|since| self.taken.saturating_sub(since)) {
            Some(length) if Duration::from_nanos(length) >= LEAST_TOLD => {
                write!(f, ", for {:.1?}", Duration::from_nanos(length))
            }
            _ => Ok(()),
        }
    }
}

impl Core {
    /// The green threads and tasks that have not ended, in the order in which they were spawned.
    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        let mut awaits = self.awaits();
        let mut pollers: HashMap<u64, *const Record> = HashMap::new();
        let mut kinds: HashMap<u64, &'static str> = HashMap::new();
        self.arena.for_each_live(|record| {
            if let Some(task) = polled(record) {
                pollers.insert(task.number, record);
            }
            if !record.has(flag::RUNNER) {
                kinds.insert(record.id.get(), THREAD);
            }
        });
        self.tasks.for_each(|task| {
            kinds.insert(task.number, TASK);
        });
        let mut all = Vec::with_capacity(kinds.len());
        let taken = clock::now();
        self.arena.for_each_live(|record| {
            if !record.has(flag::RUNNER) {
                all.push(self.look_at(record, taken));
            }
        });
        self.tasks.for_each(|task| {
            let poller = pollers.get(&task.number).copied();
            let poller = poller.unwrap_or(task.runner.get());
            // SAFETY: invariant 101: who polls lives, and nobody has ended since it was looked up.
            all.push(self.look_at_task(task, unsafe { poller.as_ref() }, taken));
        });
        all.sort_unstable_by_key(|one| one.number);
        for one in &mut all {
            if one.state == State::Parked
                && let Some(awaited) = awaits.remove(&one.number)
            {
                one.await_all(awaited, &kinds);
            }
            one.awaits.retain(|number| kinds.contains_key(number));
        }
        all
    }

    /// Whom each task, and each thread in `block_on`, awaits by a handle.
    pub(super) fn awaits(&self) -> Awaits {
        let mut awaits = Awaits::new();
        self.arena.for_each_live(|record| {
            if record.has_extra(extra::AWAITED) {
                record.with_awaiter(|waker| note(&mut awaits, waker, record.id.get()));
            }
        });
        self.tasks
            .for_each(|task| task.with_awaiter(|waker| note(&mut awaits, waker, task.number)));
        awaits
    }

    /// What `record`'s thread does, which has not ended.
    pub(crate) fn snapshot_of(&self, record: &Record) -> Snapshot {
        self.look_at(record, clock::now())
    }

    /// What `task` does, which has not ended.
    pub(crate) fn snapshot_of_task(&self, task: &Task) -> Snapshot {
        let running = self
            .running_now()
            .filter(|running| polled(running).is_some_and(|polled| ptr::eq(polled, task)));
        // SAFETY: invariant 101: a runner lives while it polls.
        let poller = running.or(unsafe { task.runner.get().as_ref() });
        self.look_at_task(task, poller, clock::now())
    }

    /// The running thread; `None` in a turn.
    fn running_now(&self) -> Option<&Record> {
        // SAFETY: invariant 42: members of the ring live.
        unsafe { self.run_queue.head().as_ref() }
    }

    fn look_at(&self, record: &Record, taken: u64) -> Snapshot {
        let seen = Snapshot {
            number: record.id.get(),
            name: record.name(),
            kind: Kind::GreenThread,
            state: self.state_of(record),
            waits_for: None,
            awaits: Vec::new(),
            since: None,
            taken,
            spawned_at: record.spawned_at.get(),
            parent: record.parent.get(),
        };
        match record.reason() {
            Some(reason) => seen.parked_as(record, reason),
            None => seen,
        }
    }

    /// What `task` does, which `poller`'s thread polls, if any does.
    fn look_at_task(&self, task: &Task, poller: Option<&Record>, taken: u64) -> Snapshot {
        let seen = Snapshot {
            number: task.number,
            name: task.name(),
            kind: Kind::Task,
            state: poller.map_or(State::Ready, |poller| self.state_of(poller)),
            waits_for: None,
            awaits: Vec::new(),
            since: None,
            taken,
            spawned_at: task.spawned_at,
            parent: task.parent,
        };
        match poller.map(|poller| (poller, poller.reason())) {
            Some((poller, Some(reason))) => seen.parked_as(poller, reason),
            Some((_, None)) => seen,
            None if task.is(state::QUEUED) => seen,
            None => seen.parked("waiting to be woken".to_owned(), task.since.get()),
        }
    }

    /// What a thread does that is not parked.
    fn state_of(&self, record: &Record) -> State {
        match ptr::eq(record, self.run_queue.head()) {
            true => State::Running,
            false => State::Ready,
        }
    }

    /// Gives another name to what the code that runs is part of.
    pub(crate) fn name_current(&self, name: Arc<str>) {
        let record = self.running();
        match polled(record) {
            Some(task) => task.set_name(Some(name)),
            None => record.set_name(Some(name)),
        }
    }

    /// What the code that runs is part of: a task, or a green thread.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (record, taken) = (self.running(), clock::now());
        match polled(record) {
            Some(task) => self.look_at_task(task, Some(record), taken),
            None => self.look_at(record, taken),
        }
    }
}

impl Snapshot {
    /// Notes whom the parked one awaits as a future.
    fn await_all(&mut self, mut awaited: Vec<u64>, kinds: &HashMap<u64, &'static str>) {
        awaited.sort_unstable();
        let mut what = String::from("awaiting ");
        for (at, number) in awaited.iter().enumerate() {
            what.push_str(if at == 0 { "" } else { ", " });
            what.push_str(kinds.get(number).copied().unwrap_or(THREAD));
            what.push_str(&number.to_string());
        }
        self.waits_for = Some(what);
        self.awaits = awaited;
    }
}

/// Notes that whoever `waker` wakes awaits `awaited`, if the waker is one of ours.
fn note(awaits: &mut Awaits, waker: Option<&std::task::Waker>, awaited: u64) {
    if let Some(awaiter) = waker.and_then(|waker| task::woken(waker).or(signal::woken(waker))) {
        awaits.entry(awaiter).or_default().push(awaited);
    }
}
