//! The claim of docs/PORTING.md, shown: tests/ported/program.rs, a program written against std, is
//! built with its `use std::` lines and with `use greenlit::` in their place, and says the same.

#[path = "ported/program.rs"]
mod program;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program on OS threads: std is all it needs, so that the compiler alone builds it.
fn report_of_std() -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ported/program.rs");
    let built = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ported_std");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiled = Command::new(compiler)
        .args(["--edition", "2024", "--cfg", "greenlit_ported_std", "-o"])
        .arg(&built)
        .arg(&source)
        .output()
        .expect("rustc runs where cargo does");
    let said = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success() && said.is_empty(), "{said}");
    let ran = Command::new(&built).output().unwrap();
    fs::remove_file(&built).unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn the_program_says_the_same_on_green_threads() {
    let on_std = report_of_std();
    let on_green_threads = greenlit::run(program::report).unwrap();
    assert_eq!(on_green_threads.trim_end(), on_std.trim_end());
}

/// What differs between the two builds is the imports: a cfg stands on them, and on nothing else.
#[test]
fn only_its_imports_differ() {
    let source = include_str!("ported/program.rs");
    assert!(source.lines().count() >= 200);
    let lines = source.lines().zip(source.lines().skip(1));
    let under_cfg: Vec<_> = lines
        .filter(|(line, _)| line.trim_start().starts_with("#[cfg"))
        .map(|(_, next)| next)
        .collect();
    assert_eq!(under_cfg, ["use std::{", "use greenlit::{"]);
    let (of_std, of_greenlit) = (imports(source, "std"), imports(source, "greenlit"));
    assert!(!of_std.is_empty());
    assert_eq!(of_std, of_greenlit);
}

/// The lines of the block of imports from `root`.
fn imports<'a>(source: &'a str, root: &str) -> Vec<&'a str> {
    let begins = format!("use {root}::{{");
    let block = source.lines().skip_while(move |line| *line != begins);
    block.skip(1).take_while(|line| *line != "};").collect()
}
