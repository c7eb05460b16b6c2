//! Programs as trees of statements, which can be printed, and cut smaller.

use std::fmt;
use std::rc::Rc;

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// Until it can be done, or is cancelled.
    Never,
    /// Not at all: the `try_` form.
    Try,
    /// With a limit that has passed already.
    Zero,
    /// For a few microseconds.
    Soon,
}

/// What becomes of a green thread that was spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Its handle is dropped.
    Detach,
    /// It is joined.
    Join,
    /// It is waited for by a select, while others may cancel it.
    Select,
    /// Its handle is dropped, which cancels it, after the second body.
    Abort,
}

/// What runs what was spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// A green thread.
    Thread,
    /// A task.
    Task,
    /// A task whose first poll is its spawner's.
    Eager,
}

/// What ends a scope of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The ends of all.
    Join,
    /// The same; its own body cancels the threads when it is done.
    Cancel,
    /// The same, and so many run at once.
    AtMost(usize),
    /// The first that succeeds.
    Race,
    /// The ends of all, or the first that fails.
    Try,
}

/// What a waker of somebody else's does beside what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wakes {
    Plainly,
    Yields,
    Sleeps,
    Panics,
}

/// The arms of a select: which there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arms {
    pub(crate) first: usize,
    pub(crate) second: Option<usize>,
    pub(crate) send: Option<usize>,
    pub(crate) readable: Option<usize>,
    pub(crate) timer: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Yield,
    Sleep(Time),
    /// As the body with a mutex held.
    Lock(usize, Time),
    ReadLock(Time),
    WriteLock(Time),
    Acquire(usize, Time),
    /// Waits for the condition that there is something, and takes it.
    Take(Time),
    /// Adds something, and notifies one or all.
    Give(bool),
    SetEvent,
    ClearEvent,
    WaitEvent(Time),
    Send(usize, Time),
    Receive(usize, Time),
    Select(Arms, Time),
    /// Spawns a green thread that runs the body, then answers; waits for the answer.
    Ask(Time),
    /// One thread of a scope sends so many items to another, which takes so many.
    Flow {
        bound: Option<usize>,
        items: usize,
        wanted: usize,
    },
    WriteStream(usize),
    ReadStream(usize),
    Spawn(As, Then),
    /// A scope of threads: the last body is its own, the others are theirs.
    Threads(Policy),
    /// As the body, catches what unwinds it, and goes on.
    Catch,
    /// As the second body, and the first in a destructor after it.
    Defer,
    Repeat(usize),
    /// As the body in a cancel scope; the time says when its deadline is.
    Scope(Time),
    /// As the body in a scope that others may be in too.
    SharedScope(usize),
    Timeout(Time),
    Shield,
    NoUnwind,
    UntilRequested,
    Checkpoint,
    /// Sets another deadline for the innermost scope.
    MoveDeadline(Time),
    /// Cancels one of the scopes that it is in, counted from the innermost.
    CancelScope(usize),
    /// As the bodies at the same time, by one future; the others go when one has ended.
    Race,
    /// As the bodies at the same time, by one future, until all have ended.
    Both,
    /// Waits until a gate is opened once more.
    WaitGate(usize),
    /// Wakes who waits at a gate, perhaps on another OS thread; some wakers are kept.
    OpenGate(usize, bool),
    /// Uses the wakers that were kept.
    WakeStale,
    /// Spawns what runs the body, and awaits it by a waker of somebody else's.
    Foreign(As, Wakes),
    /// Panics, where nothing but a task takes notice.
    Panic,
}

pub(crate) type Body = Rc<Vec<Statement>>;

#[derive(Clone)]
pub(crate) struct Statement {
    pub(crate) act: Act,
    /// Whether it waits as a future where it can: awaited in a future, and else by `block_on`.
    pub(crate) is_async: bool,
    pub(crate) bodies: Vec<Body>,
}

/// A whole program: what its first green thread does.
#[derive(Clone)]
pub(crate) struct Program(pub(crate) Body);

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(&self.0, 1, f)
    }
}

fn print(body: &Body, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let margin = "  ".repeat(depth);
    for statement in body.iter() {
        let kind = if statement.is_async { "async " } else { "" };
        writeln!(f, "{margin}{kind}{:?}", statement.act)?;
        for (index, body) in statement.bodies.iter().enumerate() {
            if index > 0 {
                writeln!(f, "{margin}--")?;
            }
            print(body, depth + 1, f)?;
        }
    }
    Ok(())
}

impl Program {
    /// How many statements there are.
    pub(crate) fn len(&self) -> usize {
        count(&self.0)
    }

    /// The program without its statement number `place`, or, if `keep` says so, with the bodies of
    /// that statement in its place.
    pub(crate) fn without(&self, place: usize, keep: bool) -> Self {
        let mut left = place;
        Self(cut(&self.0, &mut left, keep))
    }
}

fn count(body: &Body) -> usize {
    let inner = |statement: &Statement| statement.bodies.iter().map(count).sum::<usize>();
    body.iter().map(|statement| 1 + inner(statement)).sum()
}

/// Counts `left` down over the statements, in the order in which they are printed.
fn cut(body: &Body, left: &mut usize, keep: bool) -> Body {
    let mut result = Vec::new();
    for statement in body.iter() {
        let here = *left == 0;
        *left = left.wrapping_sub(1);
        if here {
            let inner = statement.bodies.iter().flat_map(|body| body.iter());
            result.extend(inner.filter(|_| keep).cloned());
            // What follows is not counted any more.
            *left = usize::MAX;
            continue;
        }
        let bodies = statement.bodies.iter();
        result.push(Statement {
            act: statement.act,
            is_async: statement.is_async,
            bodies: bodies.map(|body| cut(body, left, keep)).collect(),
        });
    }
    Rc::new(result)
}
