//! Sleeps with nothing to run, then sleeps beside a green thread that always runs, with a mark on
//! stderr before each: what `tests/turns.rs` watches through strace.

use greenlit::thread;
use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

const NAP: Duration = Duration::from_millis(20);

fn main() {
    greenlit::run(|| {
        mark("idle");
        for _ in 0..5 {
            thread::sleep(NAP);
        }

        mark("busy");
        let awake = Rc::new(Cell::new(false));
        let sleeper = thread::spawn({
            let awake = Rc::clone(&awake);
            move || {
                thread::sleep(5 * NAP);
                awake.set(true);
            }
        });
        while !awake.get() {
            thread::yield_now();
        }
        sleeper.join().expect("no panic");
        mark("end");
    });
}

/// One `write(2)`, so that a mark is one line of the trace.
fn mark(phase: &str) {
    let line = format!("phase {phase}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr");
}
