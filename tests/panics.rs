//! What becomes of a panic: the hook that names the green thread, the joiner who gets the payload,
//! and the one report of what nobody joins.

use std::any::Any;
use std::os::unix::process::ExitStatusExt;
use std::panic::{catch_unwind, resume_unwind};

use crate::alone::{self, again, alone, alone_as};
use crate::reports::stderr;
use greenlit::cancel::{Cancelled, Scope};
use greenlit::coroutine::Coroutine;
use greenlit::{run, thread};

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into())
}

/// The name comes from the test harness, and the number from the system.
fn is_of_the_os_thread(line: &str) -> bool {
    line.starts_with("thread '") && line.contains(" panicked at ")
}

/// Behaviour 44.
#[test]
fn the_hook_names_the_green_thread() {
    let child = alone("the_hook_names_the_green_thread", || {
        thread::set_panic_hook();
        run(|| {
            let worker = named("worker").spawn(|| panic!("out of {}", "ideas"));
            assert!(worker.unwrap().join().is_err());
            assert!(thread::spawn(|| panic!("unnamed")).join().is_err());
            assert!(catch_unwind(|| panic!("in main")).is_err());
            assert!(catch_unwind(|| std::panic::panic_any(7)).is_err());
        });
    });
    let Some(child) = child else { return };
    assert_eq!(
        stderr(&child, file!()),
        "
green thread \"worker\" (#N, spawned at tests/panics.rs:L:C) panicked at tests/panics.rs:L:C:
out of ideas
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

green thread (#N, spawned at tests/panics.rs:L:C) panicked at tests/panics.rs:L:C:
unnamed

green thread \"main\" (#N, spawned at tests/panics.rs:L:C) panicked at tests/panics.rs:L:C:
in main

green thread \"main\" (#N, spawned at tests/panics.rs:L:C) panicked at tests/panics.rs:L:C:
a payload that is no string
"
    );
}

/// Places and numbers are the true ones.
#[test]
fn the_hook_tells_where_and_who() {
    const SPAWNED: u32 = line!() + 5;
    const PANICS: u32 = line!() + 7;
    let child = alone("the_hook_tells_where_and_who", || {
        thread::set_panic_hook();
        run(|| {
            let child = thread::spawn(|| {
                println!("who: {:?}", thread::current().id());
                // It is on the line that the test counts.
                panic!("here");
            });
            assert!(child.join().is_err());
        });
    });
    let Some(child) = child else { return };
    let out = String::from_utf8_lossy(&child.stdout);
    let (_, id) = out.split_once("who: ThreadId(").expect("its number");
    let (id, _) = id.split_once(')').expect("its number");
    let file = file!();
    let text = String::from_utf8_lossy(&child.stderr);
    let begin = format!("\ngreen thread (#{id}, spawned at {file}:{SPAWNED}:");
    assert!(text.starts_with(&begin), "{begin} in {text}");
    let place = format!(") panicked at {file}:{PANICS}:");
    assert!(text.contains(&place), "{place} in {text}");
}

/// A coroutine's body belongs to the green thread that drives it.
#[test]
fn the_hook_names_who_drives_a_coroutine() {
    let child = alone("the_hook_names_who_drives_a_coroutine", || {
        thread::set_panic_hook();
        run(|| {
            let driver = named("driver").spawn(|| {
                let coroutine: Coroutine<(), (), ()> = Coroutine::new(|_, ()| panic!("deep"));
                let _ = coroutine.resume(());
            });
            assert!(driver.unwrap().join().is_err());
        });
    });
    let Some(child) = child else { return };
    let begin = "\ngreen thread \"driver\" (#N, spawned at tests/panics.rs:L:C) panicked at ";
    assert!(
        stderr(&child, file!()).starts_with(begin),
        "{}",
        stderr(&child, file!())
    );
    assert!(
        stderr(&child, file!()).contains("\ndeep\n"),
        "{}",
        stderr(&child, file!())
    );
}

/// Outside a runtime the hook that was there before speaks, and so it does for what a green thread
/// runs outside its own.
#[test]
fn the_hook_leaves_os_threads_to_the_one_before() {
    let child = alone("the_hook_leaves_os_threads_to_the_one_before", || {
        thread::set_panic_hook();
        assert!(catch_unwind(|| panic!("before")).is_err());
        run(|| {
            assert!(std::thread::spawn(|| panic!("beside")).join().is_err());
            let outside = || thread::on_os_stack(|| panic!("outside"));
            assert!(thread::spawn(outside).join().is_err());
        });
        assert!(catch_unwind(|| panic!("after")).is_err());
    });
    let Some(child) = child else { return };
    let text = stderr(&child, file!());
    let heads: Vec<_> = text.lines().filter(|l| l.contains("panicked")).collect();
    assert_eq!(heads.len(), 4, "{text}");
    let all = heads.iter().all(|head| head.trim().starts_with("thread "));
    assert!(all, "{text}");
    assert!(is_of_the_os_thread(heads[0]), "{text}");
}

/// It may be set again, by somebody else and over another hook, and each panic is told once.
#[test]
fn the_hook_may_be_set_twice() {
    let child = alone("the_hook_may_be_set_twice", || {
        std::panic::set_hook(Box::new(|info| eprintln!("first of all: {info}")));
        thread::set_panic_hook();
        thread::set_panic_hook();
        assert!(catch_unwind(|| panic!("outside")).is_err());
        run(|| assert!(thread::spawn(|| panic!("inside")).join().is_err()));
    });
    let Some(child) = child else { return };
    assert_eq!(
        stderr(&child, file!()),
        "first of all: panicked at tests/panics.rs:L:C:
outside

green thread (#N, spawned at tests/panics.rs:L:C) panicked at tests/panics.rs:L:C:
inside
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"
    );
}

/// Neither a cancel nor a payload that goes on its way is a panic of its own.
#[test]
fn the_hook_is_silent_for_cancels() {
    let child = alone("the_hook_is_silent_for_cancels", || {
        thread::set_panic_hook();
        run(|| {
            let cancelled = thread::spawn(thread::park);
            thread::yield_now();
            cancelled.cancel("enough");
            assert!(cancelled.join().is_err());
            let resumed = thread::spawn(|| resume_unwind(Box::new(1)));
            assert!(resumed.join().is_err());
            drop(thread::spawn(thread::park));
            thread::yield_now();
        });
    });
    if let Some(child) = child {
        assert_eq!(stderr(&child, file!()), "");
    }
}

/// A function whose name the backtrace shows.
#[inline(never)]
fn a_frame_to_be_found() {
    panic!("far down");
}

fn panic_far_down() {
    thread::set_panic_hook();
    run(|| assert!(thread::spawn(a_frame_to_be_found).join().is_err()));
}

/// Behaviour 45.
#[test]
fn the_hook_writes_the_backtrace_that_is_asked_for() {
    let test = "the_hook_writes_the_backtrace_that_is_asked_for";
    let with = |backtrace: &str| {
        let mut command = again(test);
        let child = alone_as(command.env("RUST_BACKTRACE", backtrace), panic_far_down)?;
        Some(stderr(&child, file!()))
    };
    let Some(none) = with("0") else { return };
    assert!(!none.contains("stack backtrace"), "{none}");
    let [short, full] = ["1", "full"].map(|asked| with(asked).expect("a child's stderr"));
    for backtrace in [&short, &full] {
        assert!(
            backtrace.contains("\nfar down\nstack backtrace:\n   0: "),
            "{backtrace}"
        );
        assert!(backtrace.contains("a_frame_to_be_found"), "{backtrace}");
        assert!(!backtrace.contains("note: run with"), "{backtrace}");
    }
    // As with std the short one begins where the panic was made, and says that it is short.
    assert!(!short.contains("panic_hook"), "{short}");
    assert!(full.contains("panic_hook"), "{full}");
    let note =
        "note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.\n";
    assert!(short.ends_with(note), "{short}");
    assert!(!full.contains("note: "), "{full}");
}

/// A least stack has room for the hook.
#[test]
fn the_hook_fits_on_a_small_stack() {
    let child = alone("the_hook_fits_on_a_small_stack", || {
        thread::set_panic_hook();
        run(|| {
            let small = thread::Builder::new().stack_size(16 * 1024);
            let small = small.spawn(|| panic!("a tight {}", "place"));
            assert!(small.unwrap().join().is_err());
        });
    });
    if let Some(child) = child {
        assert!(
            stderr(&child, file!()).contains("\na tight place\n"),
            "{child:?}"
        );
    }
}

/// A closed stderr ends nobody.
#[test]
fn the_hook_passes_over_a_broken_stderr() {
    if alone::is_alone() {
        thread::set_panic_hook();
        return run(|| {
            let payload = thread::spawn(|| panic!("unheard")).join().unwrap_err();
            assert_eq!(message(&payload), "unheard");
        });
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = again("the_hook_passes_over_a_broken_stderr");
    let child = child.stdout(std::process::Stdio::null()).stderr(writer);
    let status = child.status().unwrap();
    assert!(status.success(), "{status}");
}

fn message(payload: &Box<dyn Any + Send>) -> &str {
    payload.downcast_ref::<&str>().copied().expect("words")
}

/// Unwinds on its own, without a message on stderr.
fn fail(what: &'static str) -> ! {
    resume_unwind(Box::new(what))
}

/// Behaviour 44: what was thrown is what the joiner gets, the very same.
#[test]
fn payloads_reach_the_joiner_unchanged() {
    run(|| {
        let thrown = std::sync::Arc::new(17);
        let payload: Box<dyn Any + Send> = Box::new(thrown.clone());
        let address = (&raw const *payload).addr();
        let child = thread::spawn(move || {
            thread::yield_now();
            resume_unwind(payload);
        });
        let payload = child.join().map(drop).unwrap_err();
        assert_eq!((&raw const *payload).addr(), address);
        let caught = payload.downcast::<std::sync::Arc<i32>>().unwrap();
        assert!(std::sync::Arc::ptr_eq(&caught, &thrown));
    });
}

/// Behaviour 44: once for each, whatever becomes of handles and results, with the thread's name.
#[test]
fn a_panic_that_nobody_joins_is_reported_once() {
    let child = alone("a_panic_that_nobody_joins_is_reported_once", || {
        // The scope's own panic has the hook's words.
        std::panic::set_hook(Box::new(|_| {}));
        let mut kept = None;
        run(|| {
            drop(named("detached").spawn(|| fail("one")));
            let dropped = named("dropped").spawn(|| fail("two")).unwrap();
            let shared = named("kept").spawn(|| fail("three")).unwrap();
            let joined = named("joined").spawn(|| fail("not told")).unwrap();
            thread::yield_now();
            drop(dropped);
            kept = Some(shared);
            assert!(joined.join().is_err());
            let scope =
                || thread::scope(|s| named("scoped").spawn_scoped(s, || fail("four")).map(drop));
            assert!(catch_unwind(scope).is_err());
            drop(named("odd").spawn(|| resume_unwind(Box::new(5))));
            let cancelled = named("cancelled").spawn(thread::park).unwrap();
            thread::yield_now();
            cancelled.cancel("no panic");
            drop(cancelled);
            drop(named("at the end").spawn(thread::park));
            drop(thread::spawn(|| fail("five")).cancel_on_drop());
        });
        // The handle outlives the run.
        drop(kept);
    });
    let Some(child) = child else { return };
    let report = |name: &str, what| {
        let place = "spawned at tests/panics.rs:L:C";
        format!(
            "greenlit: green thread \"{name}\" (#N, {place}) panicked and nobody joined it: {what}\n"
        )
    };
    let expected = [
        report("detached", "one"),
        report("dropped", "two"),
        report("scoped", "four"),
        report("odd", "a payload that is no string"),
        report("kept", "three"),
    ];
    assert_eq!(stderr(&child, file!()), expected.concat());
}

/// Who joins a cancelled thread can tell it from a panic; one that caught its cancel and then
/// panicked has panicked.
#[test]
fn a_joiner_tells_a_cancel_from_a_panic() {
    run(|| {
        let cancelled = thread::spawn(thread::park);
        let panicked = thread::spawn(|| {
            assert!(catch_unwind(thread::park).unwrap_err().is::<Cancelled>());
            fail("after all");
        });
        thread::yield_now();
        cancelled.cancel("enough");
        panicked.cancel("enough");
        let payload = cancelled.join().unwrap_err();
        assert_eq!(
            payload.downcast_ref::<Cancelled>().unwrap().reason(),
            "enough"
        );
        let payload = panicked.join().map(drop).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"after all"));
    });
}

/// Rule 24: a cancel that was caught and thrown on by hand is not the own of whom it ends.
#[test]
fn a_cancel_at_a_root_not_its_own_is_reported() {
    let child = alone("a_cancel_at_a_root_not_its_own_is_reported", || {
        let join_and_go_on = || {
            let child = thread::spawn(thread::park);
            thread::yield_now();
            child.cancel("meant for another");
            child
                .join()
                .unwrap_or_else(|payload| resume_unwind(payload));
        };
        run(|| {
            drop(named("thrower").spawn(join_and_go_on));
            (0..9).for_each(|_| thread::yield_now());
            let scope = Scope::new();
            scope.cancel("meant for a scope");
            drop(named("later").spawn(move || {
                let mut caught = None;
                let _ = scope.run(|| caught = catch_unwind(thread::park).err());
                resume_unwind(caught.expect("a cancel"));
            }));
            (0..9).for_each(|_| thread::yield_now());
        });
        let payload = catch_unwind(|| run(join_and_go_on)).unwrap_err();
        assert!(payload.is::<Cancelled>());
    });
    let Some(child) = child else { return };
    let who = |name: &str| {
        format!("greenlit: green thread \"{name}\" (#N, spawned at tests/panics.rs:L:C)")
    };
    let expected = [
        who("thrower")
            + " panicked and nobody joined it: a cancel that was not its own (meant for another)\n",
        who("later")
            + " panicked and nobody joined it: a cancel that was not its own (meant for a scope)\n",
        who("main")
            + " was unwound out of its run: a cancel that was not its own (meant for another)\n",
    ];
    assert_eq!(stderr(&child, file!()), expected.concat());
}

/// As in Rust at large: a destructor that panics while an unwinding runs it ends the process.
#[test]
fn a_destructor_that_panics_during_a_cancel_aborts() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            fail_loudly();
        }
    }
    fn fail_loudly() {
        panic!("in a destructor");
    }
    if alone::is_alone() {
        return run(|| {
            drop(thread::spawn(|| {
                let _bad = Bad;
                thread::park();
            }));
            thread::yield_now();
        });
    }
    let child = again("a_destructor_that_panics_during_a_cancel_aborts").output();
    let child = child.unwrap();
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{child:?}");
    let text = stderr(&child, file!());
    assert!(text.contains("in a destructor\n"), "{text}");
    assert!(
        text.contains("panic in a destructor during cleanup"),
        "{text}"
    );
}
