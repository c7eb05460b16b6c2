//! Introspection: what the calling green thread or task does, what all of them do, and all of them as a
//! tree by who spawned whom.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::ThreadId;
use crate::park::Core;
use crate::park::snapshot::Snapshot;

/// How deep a tree is drawn; what lies deeper stands under each other.
const DEEPEST: usize = 64;

impl Snapshot {
    /// The thread's number, as [`Thread::id`](super::Thread::id).
    #[must_use]
    pub fn id(&self) -> ThreadId {
        ThreadId::of_number(self.number)
    }

    /// Whom it waits for, as far as they are of the same runtime and have not ended: whose end it
    /// joins, who holds the lock, and of a task, or in `block_on`, all whose handles it has polled.
    /// These [`all`] knows; a snapshot of one alone does not.
    pub fn awaits(&self) -> impl Iterator<Item = ThreadId> {
        self.awaits.iter().copied().map(ThreadId::of_number)
    }

    /// Who spawned it, whether that has ended or not; `None` for the main green thread.
    #[must_use]
    pub fn parent(&self) -> Option<ThreadId> {
        (self.parent != 0).then(|| ThreadId::of_number(self.parent))
    }
}

/// What the caller is, a green thread or, inside a poll, a task: as one of [`all`]. `None` outside a
/// runtime.
#[must_use]
pub fn snapshot() -> Option<Snapshot> {
    Core::current().map(Core::snapshot)
}

/// Gives the calling green thread, or inside a poll the task, another name, which reports and [`all`]
/// show from now on; [`Thread::name`](super::Thread::name) shows the one that it had when its handle was
/// asked for first. Outside a runtime it does nothing.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     thread::set_name("serving request 17");
///     assert_eq!(thread::snapshot().unwrap().name(), Some("serving request 17"));
/// });
/// ```
pub fn set_name(name: impl Into<Arc<str>>) {
    // Before the scheduler is looked at: the conversion is the user's.
    let name = name.into();
    if let Some(core) = Core::current() {
        core.name_current(name);
    }
}

/// What each green thread and task of this OS thread's runtime that has not ended does now, in the order
/// in which they were spawned; nothing outside a runtime. The green threads that poll tasks are not
/// among them: the tasks are.
///
/// It looks at every one of them, and allocates. Only the runtime's own OS thread can look, for nothing
/// of a green thread is locked; others have it run this.
///
/// # Examples
///
/// ```
/// use greenlit::{future, thread};
///
/// greenlit::run(|| {
///     let named = thread::Builder::new().name("first".into());
///     let first = named.spawn(|| ())?;
///     let second = future::spawn(async {});
///     let all = thread::all();
///     assert_eq!(all[0].name(), Some("main"));
///     assert_eq!(all[0].state(), thread::State::Running);
///     assert_eq!(all[1].name(), Some("first"));
///     assert_eq!(all[1].state(), thread::State::Ready);
///     assert_eq!(all[2].kind(), thread::Kind::Task);
///     first.join().unwrap();
///     second.join().unwrap();
///     assert_eq!(thread::all().len(), 1);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn all() -> Vec<Snapshot> {
    Core::here().map(Core::snapshots).unwrap_or_default()
}

/// [`all`], to be printed as a tree: under each green thread and task those that it has spawned, and
/// with each who waits for it.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let named = thread::Builder::new().name("reader".into());
///     let reader = named.spawn(thread::park)?;
///     thread::yield_now();
///     let dump = thread::dump().to_string();
///     let mut lines = dump.lines();
///     assert!(lines.next().unwrap().starts_with("green thread \"main\" (#"));
///     assert!(lines.next().unwrap().starts_with("└─ green thread \"reader\" (#"));
///     reader.thread().unpark();
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn dump() -> Dump {
    Dump { all: all() }
}

/// What all green threads of a runtime did at one moment; see [`dump`].
///
/// ```text
/// green thread "main" (#1, spawned at src/main.rs:3:5): joining green thread #3
/// ├─ green thread "acceptor" (#2, spawned at src/main.rs:4:17): accepting fd 5
/// │  └─ green thread (#4, spawned at src/main.rs:9:9): reading fd 7, for 3.2s
/// └─ green thread "worker" (#3, spawned at src/main.rs:6:17): running; awaited by #1
/// ```
#[derive(Clone, Debug)]
pub struct Dump {
    all: Vec<Snapshot>,
}

impl Dump {
    /// Each of them, in the order in which they were spawned.
    #[must_use]
    pub fn threads(&self) -> &[Snapshot] {
        &self.all
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: HashSet<u64> = self.all.iter().map(|one| one.number).collect();
        let mut children: HashMap<u64, Vec<&Snapshot>> = HashMap::new();
        let mut awaited_by: HashMap<u64, Vec<u64>> = HashMap::new();
        // Backwards: what is pushed last onto the stack below is drawn first.
        for one in self.all.iter().rev() {
            let parent = Some(one.parent).filter(|parent| numbers.contains(parent));
            children.entry(parent.unwrap_or(0)).or_default().push(one);
        }
        for one in &self.all {
            for awaited in &one.awaits {
                awaited_by.entry(*awaited).or_default().push(one.number);
            }
        }
        // No recursion: threads that spawn each other in a row may be many, and stacks small.
        let mut left: Vec<Branch<'_>> = Vec::new();
        let mut indent = String::new();
        push_branches(&mut left, children.remove(&0), "", None);
        while let Some(branch) = left.pop() {
            indent.truncate(branch.indent);
            write!(f, "{indent}{}{}", branch.sign, branch.one)?;
            if let Some(waiters) = awaited_by.get(&branch.one.number) {
                f.write_str("; awaited by")?;
                for (at, waiter) in waiters.iter().enumerate() {
                    write!(f, "{} #{waiter}", if at == 0 { "" } else { "," })?;
                }
            }
            f.write_str("\n")?;
            if branch.depth < DEEPEST {
                indent.push_str(match branch.sign {
                    "" => "",
                    "└─ " => "   ",
                    _ => "│  ",
                });
            }
            let below = children.remove(&branch.one.number);
            push_branches(&mut left, below, &indent, Some(branch.depth + 1));
        }
        Ok(())
    }
}

/// One line of a tree that is still to be drawn.
struct Branch<'a> {
    one: &'a Snapshot,
    /// How many bytes of the indentation are its parent's.
    indent: usize,
    sign: &'static str,
    depth: usize,
}

/// Puts the children of one onto the stack, who come last one first; `depth` is `None` for those that
/// have no parent.
fn push_branches<'a>(
    left: &mut Vec<Branch<'a>>,
    children: Option<Vec<&'a Snapshot>>,
    indent: &str,
    depth: Option<usize>,
) {
    for (at, one) in children.into_iter().flatten().enumerate() {
        left.push(Branch {
            one,
            indent: indent.len(),
            sign: match (depth, at) {
                (None, _) => "",
                // The first of them is the last that is drawn.
                (Some(_), 0) => "└─ ",
                (Some(_), _) => "├─ ",
            },
            depth: depth.unwrap_or(0),
        });
    }
}
