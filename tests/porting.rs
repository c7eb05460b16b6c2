//! Keeps the tables of docs/PORTING.md true. What std has is what tests/mirror_*.rs import, and so
//! is seen to exist; what greenlit has in its place is what its sources export beside std's glob.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module that stands in for one of std's, and the file that says what it replaces.
const MODULES: &[(&str, &str)] = &[
    ("thread", "src/thread/mod.rs"),
    ("sync", "src/sync/mod.rs"),
    ("sync::mpsc", "src/sync/mpsc.rs"),
    ("net", "src/net/mod.rs"),
    ("io", "src/io/mod.rs"),
    ("fs", "src/fs/mod.rs"),
    ("process", "src/process/mod.rs"),
    ("time", "src/time/mod.rs"),
    ("os::unix::net", "src/os/unix/net.rs"),
    ("os::unix::fs", "src/os/unix/fs.rs"),
    ("os::unix::process", "src/os/unix/process.rs"),
    ("os::linux::net", "src/os/linux/net.rs"),
];

/// What a row says of its names.
const KINDS: &[&str] = &["same", "differs", "std's", "new", "missing"];

type Names = BTreeSet<String>;

#[test]
fn each_item_of_std_has_its_row_and_each_row_is_true() {
    let (tables, mirrored) = (tables(), mirrored());
    let mut faults = Vec::new();
    for (module, file) in MODULES {
        let rows = tables.get(*module).cloned().unwrap_or_default();
        let of_std = mirrored.get(*module).cloned().unwrap_or_default();
        assert!(!of_std.is_empty(), "no mirror test imports {module}");
        faults.extend(faults_of(module, &rows, &of_std, &exports(&read(file))));
    }
    let known: Names = MODULES.iter().map(|(module, _)| (*module).into()).collect();
    for module in tables.keys().filter(|module| !known.contains(*module)) {
        faults.push(format!("{module}: a table that nothing checks"));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The check is seen to fail: each of these tables says something that is not so.
#[test]
fn the_check_sees_what_is_wrong() {
    let names = |list: &[&str]| -> Names { list.iter().map(|&name| name.into()).collect() };
    let (of_std, own) = (names(&["Mutex", "Arc"]), names(&["Mutex", "Event"]));
    let rows = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|&(a, b)| (a.into(), b.into())).collect()
    };
    let right = [("Mutex", "same"), ("Arc", "std's"), ("Event", "new")];
    assert_eq!(faults_of("m", &rows(&right), &of_std, &own), [""; 0]);
    for wrong in [
        &right[1..],
        &right[..2],
        &[right[0], ("Arc", "same"), right[2]],
        &[("Mutex", "std's"), right[1], right[2]],
        &[("Mutex", "missing"), right[1], right[2]],
        &[right[0], right[1], ("Event", "same")],
        &[right[0], right[1], right[2], ("Nothing", "same")],
        &[right[0], right[1], right[2], right[0]],
        &[("Mutex", "sometimes"), right[1], right[2]],
    ] {
        let faults = faults_of("m", &rows(wrong), &of_std, &own);
        assert!(!faults.is_empty(), "{wrong:?} was let through");
    }
}

/// What the rows of one table get wrong.
fn faults_of(module: &str, rows: &[(String, String)], of_std: &Names, own: &Names) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = Names::new();
    for (name, kind) in rows {
        if !seen.insert(name.clone()) {
            faults.push(format!("{module}: {name} has two rows"));
        }
        let true_of = match (of_std.contains(name), own.contains(name)) {
            (true, true) => &["same", "differs"][..],
            (true, false) => &["std's"],
            (false, true) => &["new"],
            (false, false) => &["missing"],
        };
        if !KINDS.contains(&kind.as_str()) || !true_of.contains(&kind.as_str()) {
            faults.push(format!("{module}: {name} is {true_of:?}, not {kind}"));
        }
    }
    for name in of_std.union(own).filter(|name| !seen.contains(*name)) {
        faults.push(format!("{module}: {name} has no row"));
    }
    faults
}

/// The tables by module: the names of each row's first cell, with what its second says.
fn tables() -> BTreeMap<String, Vec<(String, String)>> {
    let mut tables = BTreeMap::<String, Vec<_>>::new();
    let mut module = None;
    for line in read("docs/PORTING.md").lines() {
        if let Some(title) = line.strip_prefix("### ") {
            let named = title
                .strip_prefix("`std::")
                .and_then(|t| t.strip_suffix('`'));
            module = named.map(str::to_owned);
        }
        let (Some(module), Some(row)) = (&module, line.strip_prefix("| `")) else {
            continue;
        };
        let row = format!("`{row}");
        let mut cells = row.split(" | ");
        let names = cells
            .next()
            .unwrap_or_default()
            .split('`')
            .skip(1)
            .step_by(2);
        let kind = cells.next().unwrap_or_default().trim();
        let rows = names.map(|name| (name.to_owned(), kind.to_owned()));
        tables.entry(module.clone()).or_default().extend(rows);
    }
    assert!(!tables.is_empty(), "docs/PORTING.md has no tables");
    tables
}

/// What the mirror tests import, by module.
fn mirrored() -> BTreeMap<String, Names> {
    let mut modules = BTreeMap::<String, Names>::new();
    for file in mirror_tests() {
        let text = fs::read_to_string(file).unwrap();
        for import in text.split("use greenlit::").skip(1) {
            let import = import.split(';').next().unwrap_or_default();
            let Some((module, names)) = import.rsplit_once("::") else {
                continue;
            };
            let (module, names) = match import.split_once("::{") {
                Some((module, names)) => (module, names),
                None => (module, names),
            };
            let names = names.trim_end_matches('}').split(',').map(str::trim);
            let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
            modules.entry(module.to_owned()).or_default().extend(names);
            // The module itself is an item of the one that it is in.
            if let Some((parent, child)) = module.rsplit_once("::") {
                let children = modules.entry(parent.to_owned()).or_default();
                children.insert(child.to_owned());
            }
        }
    }
    modules
}

fn mirror_tests() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let files: Vec<_> = files
        .filter(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("mirror_") && name.ends_with(".rs")
        })
        .collect();
    assert!(!files.is_empty());
    files
}

/// What a module file exports of this crate's own: its `pub use` lines that do not speak of std, and
/// its public items. Hidden ones do not count.
fn exports(source: &str) -> Names {
    let mut names = Names::new();
    let mut hidden = false;
    let mut rest = source.lines();
    while let Some(line) = rest.next() {
        if line.starts_with("#[doc(hidden)]") {
            hidden = true;
            continue;
        }
        let Some(item) = line.strip_prefix("pub ") else {
            hidden &= line.starts_with("#[");
            continue;
        };
        let mut item = item.to_owned();
        while item.starts_with("use ") && !item.ends_with(';') {
            item += rest.next().expect("an import ends").trim();
        }
        if !std::mem::take(&mut hidden) {
            names.extend(exported(&item));
        }
    }
    names
}

/// The names that one public item brings.
fn exported(item: &str) -> Vec<String> {
    let item = item.trim_end_matches(';');
    if let Some(path) = item.strip_prefix("use ") {
        if path.starts_with("std::") {
            return Vec::new();
        }
        let names = path.rsplit("::").next().unwrap_or_default();
        let list = match path.split_once("::{") {
            Some((_, list)) => list.trim_end_matches('}'),
            None => names,
        };
        return list
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
    }
    let item = ["unsafe ", "const "].iter().fold(item, |item, word| {
        let function = format!("{word}fn ");
        match item.starts_with(&function) {
            true => &item[word.len()..],
            false => item,
        }
    });
    let words = [
        "fn ", "struct ", "enum ", "trait ", "type ", "mod ", "const ",
    ];
    let named = words.iter().find_map(|word| item.strip_prefix(word));
    let name = named.map(|rest| {
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    });
    name.into_iter().collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
