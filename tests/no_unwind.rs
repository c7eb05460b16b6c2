//! Frames that cannot be unwound, behind a blocking call of a green thread that is cancelled: where
//! `cancel::no_unwind` declares them, calls do what they do in a program whose panics abort.

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::alone::{again, alone, is_alone};
use greenlit::cancel::{self, Cancelled, Scope};
use greenlit::sync::mpsc;
use greenlit::{run, thread};

#[path = "without_unwinding/mod.rs"]
mod without_unwinding;

/// Calls `f` as C code calls back: an unwinding that came here would abort the process.
#[expect(improper_ctypes_definitions, reason = "it is called from Rust")]
extern "C" fn foreign(f: &mut dyn FnMut()) {
    f();
}

fn through_foreign<R>(f: impl FnOnce() -> R) -> R {
    let (mut f, mut result) = (Some(f), None);
    foreign(&mut || result = f.take().map(|f| f()));
    result.expect("it was called")
}

/// What each check's calls run in.
fn around<R>(f: impl FnOnce() -> R) -> R {
    cancel::no_unwind(|| through_foreign(f))
}

/// Rule 23, behaviour 32: in a process of its own, since a failure aborts it.
#[test]
fn calls_in_declared_frames_do_not_unwind() {
    alone(
        "calls_in_declared_frames_do_not_unwind",
        without_unwinding::check,
    );
}

/// Rule 23: what is documented of frames that nobody declared.
#[test]
fn an_undeclared_foreign_frame_aborts() {
    if is_alone() {
        return run(|| {
            drop(thread::spawn(|| through_foreign(thread::park)));
            thread::yield_now();
        });
    }
    let child = again("an_undeclared_foreign_frame_aborts")
        .output()
        .unwrap();
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{child:?}");
    let text = String::from_utf8_lossy(&child.stderr);
    assert!(text.contains("cannot unwind"), "{text}");
}

/// The cancel that was put off unwinds from the first call behind the declared frames.
#[test]
fn the_cancel_comes_behind_the_declared_frames() {
    run(|| {
        let scope = Scope::new();
        let mut seen = Vec::new();
        let result = scope.run(|| {
            scope.cancel("enough");
            around(|| {
                thread::park();
                seen.push("early");
                // A region inside is left by no unwinding either.
                let inner = Scope::new();
                inner.cancel("inside");
                assert_eq!(inner.run(|| (thread::park(), "value").1).unwrap(), "value");
            });
            seen.push("behind");
            thread::yield_now();
            seen.push("never");
        });
        assert_eq!(result.unwrap_err().reason(), "enough");
        assert_eq!(seen, ["early", "behind"]);
    });
}

/// A panic is none of its business: it unwinds as far as it can, and the region ends.
#[test]
fn a_panic_leaves_the_declared_region() {
    run(|| {
        let scope = Scope::new();
        let result = scope.run(|| {
            let panic = || cancel::no_unwind(|| std::panic::resume_unwind(Box::new(7)));
            assert!(catch_unwind(AssertUnwindSafe(panic)).is_err());
            scope.cancel("now");
            thread::park();
        });
        assert!(result.is_err());
    });
}

/// Who waits in such a frame is told of a cancel that comes meanwhile; who waits for a lock is not.
#[test]
fn a_cancel_in_the_wait_of_a_declared_frame() {
    run(|| {
        let (sender, receiver) = mpsc::channel::<u8>();
        let worker = thread::spawn(move || {
            let received = around(|| receiver.recv());
            let behind = catch_unwind(thread::yield_now);
            (received, behind.unwrap_err().is::<Cancelled>())
        });
        thread::yield_now();
        worker.cancel("stop");
        assert_eq!(worker.join().unwrap(), (Err(mpsc::RecvError), true));
        drop(sender);
    });
}
