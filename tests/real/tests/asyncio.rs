//! The same small programs on CPython's asyncio (../asyncio/programs.py) and on greenlit, by the order
//! of what they print. Here each is a future, spawned as a task, as `asyncio.run` makes a task of its
//! coroutine. Where greenlit differs on purpose, the program's name says so, and both are shown.

mod asyncio_programs;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::rc::Rc;
use std::sync::LazyLock;

use asyncio_programs::PROGRAMS;
use greenlit::future;

/// What a program prints.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn line(&self, line: String) {
        self.0.borrow_mut().push(line);
    }
}

/// What CPython printed, by the names of the programs.
static PYTHON: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/asyncio/programs.py");
    let output = Command::new("python3").arg(script).output();
    let output = output.expect("python3 is installed");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success() && said.is_empty(), "{said}");
    let printed = String::from_utf8(output.stdout).expect("text");
    let programs = printed.split("== ").skip(1).map(|section| {
        let mut lines = section.lines().map(str::to_owned);
        (lines.next().expect("a name"), lines.collect())
    });
    programs.collect()
});

/// What greenlit prints.
fn run(program: asyncio_programs::Program) -> Vec<String> {
    let log = Log::default();
    let main = program(log.clone());
    greenlit::run(|| future::spawn(main).join().expect("it does not panic"));
    log.0.take()
}

#[test]
fn greenlit_prints_what_cpython_prints() {
    let mut faults = Vec::new();
    for (name, program) in PROGRAMS {
        if name.starts_with("differs_") {
            continue;
        }
        let (python, greenlit) = (&PYTHON[*name], run(*program));
        println!("{name}: {} lines", python.len());
        if *python != greenlit {
            faults.push(format!(
                "{name}\n  CPython:  {python:?}\n  greenlit: {greenlit:?}"
            ));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    let same = PROGRAMS.len() - DIFFERING.len();
    assert!(same >= 30, "{same} programs");
}

/// The programs that differ, and what greenlit prints.
const DIFFERING: &[(&str, &[&str])] = &[
    ("differs_a_task_may_swallow_its_cancel", &["cancelled True"]),
    (
        "differs_a_barging_getter_may_take_a_woken_getters_item",
        &["main empty", "task 1"],
    ),
    (
        "differs_to_cancel_a_waiting_task_cancels_the_future",
        &["future cancelled False"],
    ),
    (
        "differs_who_comes_again_to_a_barrier_waits_until_it_has_drained",
        &[
            "a comes 0",
            "b comes 0",
            "c comes 0",
            "c comes 1",
            "a comes 1",
            "b comes 1",
            "b goes",
            "c goes",
            "a goes",
        ],
    ),
];

/// Each is told in docs/ASYNCIO.md.
#[test]
fn greenlit_differs_where_it_says_so() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ASYNCIO.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    for (name, program) in PROGRAMS {
        let Some(differing) = name.strip_prefix("differs_") else {
            continue;
        };
        let expected = DIFFERING.iter().find(|(known, _)| known == name);
        let (_, expected) = expected.expect("what it prints");
        assert_eq!(run(*program), *expected, "{name}");
        assert_ne!(PYTHON[*name], *expected, "{name}");
        assert!(guide.contains(differing), "{differing} is not told of");
    }
}

#[test]
fn each_program_has_its_twin() {
    let here: BTreeSet<_> = PROGRAMS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let there: BTreeSet<_> = PYTHON.keys().cloned().collect();
    assert_eq!(here, there);
}

/// All that the Python at hand offers has a row in the guide, whose own test knows the later versions.
#[test]
fn each_name_of_this_python_is_in_the_guide() {
    let names = "import asyncio; print(*asyncio.__all__, 'TaskGroup')";
    let output = Command::new("python3").args(["-c", names]).output();
    let names = String::from_utf8(output.expect("python3 is installed").stdout).expect("text");
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ASYNCIO.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let names: Vec<_> = names.split_whitespace().collect();
    assert!(names.len() > 80);
    for name in names {
        assert!(guide.contains(&format!("`{name}`")), "{name}");
    }
}
