//! What gdb makes of a green thread's stack.

use greenlit_real::{run, text};
use std::process::Command;

/// Behaviour 45.
#[test]
fn a_backtrace_ends_at_the_root_frame() {
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-ex", "set backtrace past-main on"]);
    gdb.args([
        "-ex",
        "break stopped::stop_here",
        "-ex",
        "run",
        "-ex",
        "backtrace",
    ]);
    let output = run(gdb.arg(env!("CARGO_BIN_EXE_stopped")));
    let said = text(&output);
    let frames: Vec<_> = said.lines().filter(|line| line.starts_with('#')).collect();
    assert!(said.contains("stopped::outer"), "{said}");
    assert!(!said.contains("Backtrace stopped"), "{said}");
    assert!(!said.contains("corrupt"), "{said}");
    // Nothing of the OS thread's stack, where `main` is, lies below the frame under the closure.
    let root = frames.last().expect("frames");
    assert!(root.contains("first_frame"), "{said}");
}
