//! Ports tiny_http: copies its source from where cargo has put it, and replaces `std::` by
//! `greenlit::` before the modules that greenlit mirrors. Nothing else is changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The modules of std that tiny_http uses and greenlit has.
const MODULES: [&str; 7] = ["fs", "io", "net", "os", "sync", "thread", "time"];

/// The one `use` that names what greenlit has together with what it has not.
const MIXED: &str = "    path::PathBuf,\n};";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap()).join("tiny_http");
    port(&source(), &target);
}

/// The folder of tiny_http's source.
fn source() -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap());
    cargo.args(["metadata", "--format-version", "1", "--offline"]);
    cargo.args(["--filter-platform", &env::var("TARGET").unwrap()]);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    let metadata = String::from_utf8(output.stdout).expect("JSON is text");
    let manifest = metadata.find("/tiny_http-0.12.0/Cargo.toml");
    let before = &metadata[..manifest.expect("tiny_http is a dependency")];
    let (_, folder) = before.rsplit_once('"').expect("a path in quotes");
    Path::new(folder).join("tiny_http-0.12.0/src")
}

/// Copies the Rust files below `from`, ported, to `to`.
fn port(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder below OUT_DIR");
    for entry in fs::read_dir(from).expect("tiny_http's folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            port(&path, &to);
            continue;
        }
        let mut text = fs::read_to_string(&path).expect("a Rust file");
        for module in MODULES {
            text = text.replace(&format!("std::{module}"), &format!("greenlit::{module}"));
        }
        if text.contains(MIXED) {
            text = text.replace("use std::{\n    net::", "use greenlit::{\n    net::");
            text = text.replace(MIXED, "};\nuse std::path::PathBuf;");
        }
        // A file that is included has no documentation and no attributes of its crate's.
        let is_inner = |line: &str| line.starts_with("//!") || line.starts_with("#![");
        let lines: Vec<_> = text.lines().filter(|line| !is_inner(line)).collect();
        fs::write(to, lines.join("\n")).expect("a file below OUT_DIR");
    }
}
