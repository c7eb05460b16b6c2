//! Holds the house to its plan: imports point downwards, each file says what it is and stays short,
//! and what only one place may do is done in that place. It reads the sources as text and runs no
//! green thread. Beside it, in the same program, stand those who read the sources and the documents for
//! other promises.

mod cancellation_docs;
mod porting;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rows of the house, lowest first. A file imports only from rows above it in this list;
/// modules of one row may import each other only where [`MAY_MEET`] says so.
const ROWS: &[&[&str]] = &[
    &["arch", "clock"],
    &["stack"],
    &["coroutine"],
    &["scheduler"],
    &["reactor"],
    &["park"],
    &[
        "thread",
        "cancel",
        "time",
        "io",
        "sync",
        "future",
        "blocking",
        "event_loop",
    ],
    &["net", "fs", "process", "signal"],
    &["os", "select"],
    &["handle", "hyper"],
    &["runtime"],
    &["lib"],
];

/// The rows whose modules may import their neighbours, as long as no circle comes of it.
const MAY_MEET: &[&str] = &["thread", "net"];

/// What only an insider may touch: these modules do without it, so that an outside author could
/// have written them.
const INSIDE: &[&str] = &["arch", "stack", "coroutine", "scheduler", "reactor"];
const OUTSIDERS: &[&str] = &["net", "time", "sync"];

/// Names at the crate's root that are not modules, and the module each comes from.
const ROOT_NAMES: &[(&str, &str)] = &[
    ("run", "runtime"),
    ("Runtime", "runtime"),
    ("thread_local", "thread"),
];

/// The house's limit; a file that needs more is two files.
const LINES_AT_MOST: usize = 500;

#[test]
fn imports_point_downwards() {
    let mut faults = Vec::new();
    for file in sources(&["src", "arch"]) {
        let home = module_path(&file);
        for target in imports(&read(&file), &home) {
            if let Err(fault) = check_import(&home[0], &target) {
                faults.push(format!("{}: {fault}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_circle_among_neighbours() {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in sources(&["src", "arch"]) {
        let home = module_path(&file);
        let targets = imports(&read(&file), &home);
        edges.entry(home[0].clone()).or_default().extend(targets);
    }
    assert_eq!(circle(&edges), None);
}

#[test]
fn each_file_says_what_it_is() {
    let silent: Vec<_> = all_sources()
        .into_iter()
        .filter(|file| !read(file).starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "no //! on the first line: {silent:?}");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = all_sources()
        .into_iter()
        .map(|file| (read(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > LINES_AT_MOST)
        .collect();
    assert!(long.is_empty(), "over {LINES_AT_MOST} lines: {long:?}");
}

#[test]
fn the_cpu_is_named_only_in_arch() {
    let elsewhere = lines_with(&["target_arch"], |file| !file.ends_with("arch/mod.rs"));
    assert!(elsewhere.is_empty(), "\n{}", elsewhere.join("\n"));
}

#[test]
fn only_clock_reads_the_time() {
    let clocks = ["std::time::Instant", "SystemTime::now", "clock_gettime"];
    let elsewhere = lines_with(&clocks, |file| !is_below(file, "src/clock"));
    assert!(elsewhere.is_empty(), "\n{}", elsewhere.join("\n"));
}

#[test]
fn records_and_queues_are_pure_data() {
    let impure = [
        "thread_local!",
        "clock::",
        "nix::",
        "libc::",
        "os::fd",
        "std::io",
    ];
    let found = lines_with(&impure, |file| is_below(file, "src/scheduler"));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn what_is_built_on_the_rest_opens_no_unsafe() {
    let opened = lines_with(&["unsafe "], |file| {
        ["src/net", "src/time", "src/fs", "src/process", "src/signal"]
            .iter()
            .any(|dir| is_below(file, dir))
    });
    assert!(opened.is_empty(), "\n{}", opened.join("\n"));
}

#[test]
fn unsafe_is_opened_on_mod_lines_only() {
    let mut faults = Vec::new();
    for file in sources(&["src", "arch"]) {
        let text = without_comments(&read(&file));
        let mut rest = text.as_str();
        while let Some(at) = rest.find("expect(unsafe_code") {
            rest = &rest[at..];
            if !opens_a_module(rest) {
                faults.push(format!("{}: unsafe opened on no mod line", file.display()));
            }
            rest = &rest["expect".len()..];
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn cfg_stands_on_mod_lines_only() {
    let mut faults = Vec::new();
    for file in sources(&["src", "arch"]) {
        let text = without_comments(&read(&file));
        let mut rest = text.as_str();
        while let Some(at) = rest.find("#[cfg(") {
            rest = &rest[at..];
            // The one `compile_error!` names the systems that are supported.
            if !opens_a_module(rest) && !after_attributes(rest).starts_with("compile_error!") {
                let line = rest.lines().next().unwrap_or_default();
                faults.push(format!("{}: {line}", file.display()));
            }
            rest = &rest["#[cfg(".len()..];
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A file that no program has as a module would be compiled by nobody, and its tests would not run.
#[test]
fn each_file_of_tests_belongs_to_a_program() {
    let programs = test_programs();
    let modules: Vec<String> = programs
        .iter()
        .flat_map(|program| modules_of(&read(Path::new(&format!("tests/{program}.rs")))))
        .collect();
    let mut faults = Vec::new();
    for file in sources(&["tests"]) {
        if file.parent() != Some(Path::new("tests")) {
            continue;
        }
        let name = identifier(&file.file_name().unwrap_or_default().to_string_lossy());
        let times = programs.iter().chain(&modules).filter(|n| **n == name);
        match times.count() {
            1 => {}
            0 => faults.push(format!("{name}: no `mod` line in any program's root")),
            _ => faults.push(format!("{name}: in two programs")),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The names of the `[[test]]` sections of Cargo.toml.
fn test_programs() -> Vec<String> {
    let manifest = read(Path::new("Cargo.toml"));
    let sections = manifest.split("[[test]]\nname = \"").skip(1);
    sections.map(identifier).collect()
}

/// What the `mod` lines of a program's root name.
fn modules_of(root: &str) -> Vec<String> {
    let named = root.lines().filter_map(|line| line.strip_prefix("mod "));
    named
        .filter(|rest| rest.ends_with(';'))
        .map(identifier)
        .collect()
}

/// The check itself is seen to fail: each of these lines breaks the plan.
#[test]
fn the_check_sees_what_is_wrong() {
    let wrong = [
        ("arch", "use crate::stack::Stack;"),
        ("scheduler", "use crate::{arch, reactor::Reactor};"),
        ("reactor", "fn f() { crate::park::park(); }"),
        ("net", "use crate::{io::{self, Source}, scheduler::Record};"),
        ("park", "pub(crate) use super::thread::current;"),
        ("time", "use crate::nowhere::at_all;"),
    ];
    for (home, source) in wrong {
        let targets = imports(source, &[home.to_owned()]);
        assert!(
            targets.iter().any(|t| check_import(home, t).is_err()),
            "{home} was allowed `{source}`"
        );
    }
    let right = [
        ("net", "use crate::{io::{self, Source}, time::Duration};"),
        (
            "scheduler",
            "use crate::arch::{self, Context}; use super::stack::Pool;",
        ),
        (
            "arch",
            "// crate::thread is above\n/// [`crate::thread`]\nuse std::ptr;",
        ),
        ("runtime", "let c = $crate::park::Reason::new();"),
    ];
    for (home, source) in right {
        for target in imports(source, &[home.to_owned()]) {
            assert_eq!(check_import(home, &target), Ok(()), "{source}");
        }
    }
    // `super` inside a submodule is the module itself, and no import.
    let nested = ["scheduler".to_owned(), "run_queue".to_owned()];
    assert!(imports("use super::record::Record;", &nested).is_empty());
    let climbing = imports("use super::super::thread::Thread;", &nested);
    assert_eq!(climbing, BTreeSet::from(["thread".to_owned()]));
    let inline = "mod tests { use super::super::record::Record; }";
    assert!(imports(inline, &nested).is_empty());
}

/// Whether a file of `home` may import from the top-level module `target`.
fn check_import(home: &str, target: &str) -> Result<(), String> {
    let row_of = |name: &str| ROWS.iter().position(|row| row.contains(&name));
    let upper = row_of(home).ok_or_else(|| format!("`{home}` has no row in ROWS"))?;
    let lower = row_of(target).ok_or_else(|| format!("`{target}` has no row in ROWS"))?;
    if OUTSIDERS.contains(&home) && INSIDE.contains(&target) {
        return Err(format!("`{home}` must do without `{target}`"));
    }
    let neighbours = upper == lower && MAY_MEET.contains(&ROWS[upper][0]);
    if home == target || lower < upper || neighbours {
        return Ok(());
    }
    Err(format!("`{home}` imports upwards from `{target}`"))
}

/// The top-level modules that `source` names, its own left out. `home` is the module's path.
fn imports(source: &str, home: &[String]) -> BTreeSet<String> {
    let text = without_comments(source);
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        found.extend(first_names(&text[at + "crate::".len()..]));
    }
    // A run of `super::` as long as the path reaches the crate's root; a file's inline tests, which
    // come last, stand one deeper.
    let (code, tests) = text.split_once("mod tests {").unwrap_or((&text, ""));
    for (part, depth) in [(code, home.len()), (tests, home.len() + 1)] {
        let climb = "super::".repeat(depth);
        for (at, _) in part.match_indices(&climb) {
            if !part[..at].ends_with("super::") {
                found.extend(first_names(&part[at + climb.len()..]));
            }
        }
    }
    found
        .into_iter()
        .map(|name| match ROOT_NAMES.iter().find(|(n, _)| *n == name) {
            Some((_, module)) => (*module).to_owned(),
            None => name,
        })
        .filter(|name| *name != home[0])
        .collect()
}

/// The first name of a path, or of each path of a `{…}` group.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![identifier(path)];
    };
    let mut names = vec![identifier(group.trim_start())];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(identifier(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    // A comma before the closing brace is followed by no name.
    names.retain(|name| !name.is_empty());
    names
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// One circle of modules, if there is any.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        at: &str,
        path: &mut Vec<String>,
        edges: &BTreeMap<String, BTreeSet<String>>,
    ) -> Option<Vec<String>> {
        if let Some(start) = path.iter().position(|name| name == at) {
            return Some(path[start..].to_vec());
        }
        path.push(at.to_owned());
        let found = edges
            .get(at)
            .into_iter()
            .flatten()
            .find_map(|next| walk(next, path, edges));
        path.pop();
        found
    }
    edges
        .keys()
        .find_map(|start| walk(start, &mut Vec::new(), edges))
}

/// Whether the item behind the attributes that `text` begins with is a module.
fn opens_a_module(text: &str) -> bool {
    let item = after_attributes(text);
    ["mod ", "pub mod ", "pub(crate) mod ", "pub(super) mod "]
        .iter()
        .any(|opening| item.starts_with(opening))
}

/// `text` from the first line that is no attribute; it begins inside an attribute.
fn after_attributes(text: &str) -> &str {
    let mut rest = text;
    loop {
        let end = rest.find("]\n").map_or(rest.len(), |at| at + 2);
        rest = rest[end..].trim_start();
        if !rest.starts_with("#[") {
            return rest;
        }
    }
}

/// Lines of code under `src` and `arch` that hold one of `words`, in files for which `counts`.
fn lines_with(words: &[&str], counts: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(&["src", "arch"]).iter().filter(|f| counts(f)) {
        for line in without_comments(&read(file)).lines() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}: {}", file.display(), line.trim()));
            }
        }
    }
    found
}

/// The code without `//` comments. A `//` inside a string ends the line too, which hides no import.
fn without_comments(source: &str) -> String {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
    source.lines().map(code).collect()
}

/// `src/net/tcp.rs` is `["net", "tcp"]`; `arch/x86_64.rs` is `["arch", "x86_64"]`.
fn module_path(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix("src").unwrap_or(file);
    let mut path: Vec<String> = inside
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if path.last().is_some_and(|name| name == "mod") {
        path.pop();
    }
    path
}

fn is_below(file: &Path, dir: &str) -> bool {
    file.starts_with(dir) || file == Path::new(&format!("{dir}.rs"))
}

fn all_sources() -> Vec<PathBuf> {
    sources(&["src", "arch", "examples", "tests", "benches"])
}

/// Every Rust file below `dirs`, by its path from the project's root; builds are left out.
fn sources(dirs: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<PathBuf> = dirs.iter().map(|dir| root.join(dir)).collect();
    let mut files = Vec::new();
    while let Some(dir) = left.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            if path.is_dir() && !path.ends_with("target") {
                left.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let inside = path.strip_prefix(root).expect("a path below the root");
                files.push(inside.to_owned());
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "no sources below {dirs:?}");
    files
}

fn read(file: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
