//! Comes to `stop_here` on a green thread's stack, a few frames deep: what `tests/gdb.rs` looks at.

use greenlit::thread;
use std::hint::black_box;

fn main() {
    greenlit::run(|| thread::spawn(|| outer(3)).join().expect("no panic"));
}

#[inline(never)]
fn outer(depth: u32) {
    if depth == 0 {
        // A switch away and back, so that the stack is one that was left and continued.
        thread::yield_now();
        stop_here();
    } else {
        outer(black_box(depth) - 1);
    }
    black_box(depth);
}

#[inline(never)]
fn stop_here() {
    println!("stopped");
}
