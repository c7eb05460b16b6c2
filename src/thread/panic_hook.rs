//! The panic hook that names the green thread where std's names the OS thread. It asks who runs and
//! writes one text; it neither parks nor touches the scheduler.

use std::backtrace::Backtrace;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, ffi::OsString};

use crate::park::{Core, message};
use crate::scheduler::Record;

/// Has panics of green threads name the green thread: its name, its number and where it was
/// spawned, where std's own hook speaks of the OS thread that they all share.
///
/// ```text
/// green thread "worker" (#7, spawned at src/main.rs:10:30) panicked at src/main.rs:11:9:
/// out of ideas
/// note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
/// ```
///
/// Whether there is a backtrace, and how long it is, `RUST_BACKTRACE` says, as with std. For a
/// panic outside a runtime the hook that was there before is called: std's own, or one that was set
/// by [`std::panic::set_hook`], whose name and whose rules this function follows. Nothing is printed
/// for a cancel, which runs no hook. What a green thread runs outside its runtime, a `tracing`
/// subscriber or [`on_os_stack`](super::on_os_stack), counts as outside here too.
///
/// It concerns all OS threads of the process; call it first thing in `main`. To call it again does
/// no harm. The text goes to stderr in one piece, also in tests whose output the harness captures.
///
/// # Panics
///
/// In a thread that panics, as [`std::panic::take_hook`] does.
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// thread::set_panic_hook();
/// greenlit::run(|| {
///     let worker = thread::Builder::new().name("worker".into());
///     let worker = worker.spawn(|| panic!("out of ideas"))?;
///     assert!(worker.join().is_err());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_panic_hook() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| match Core::who_runs() {
        Some(record) => report(record, info),
        None => before(info),
    }));
}

/// Writes what std's hook writes, in its form.
fn report(record: &Record, info: &PanicHookInfo<'_>) {
    let mut text = format!("\n{record} panicked");
    // Writing to a string does not fail.
    let _ = match info.location() {
        Some(place) => writeln!(text, " at {place}:"),
        None => writeln!(text, ":"),
    };
    text += message(info.payload()).unwrap_or("a payload that is no string");
    text.push('\n');
    text += &backtrace(env::var_os("RUST_BACKTRACE"));
    // A panic in a hook would abort the process, so a closed stderr is passed over.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// What `RUST_BACKTRACE` asks for, or, once in the process, how to ask.
fn backtrace(asked: Option<OsString>) -> String {
    static IS_FIRST: AtomicBool = AtomicBool::new(true);
    match asked.as_deref().map(|value| value.as_encoded_bytes()) {
        None | Some(b"0") => match IS_FIRST.swap(false, Ordering::Relaxed) {
            true => "note: run with `RUST_BACKTRACE=1` environment variable to display a \
                     backtrace\n"
                .to_owned(),
            false => String::new(),
        },
        Some(b"full") => format!("stack backtrace:\n{:#}", Backtrace::force_capture()),
        Some(_) => format!(
            "stack backtrace:\n{}note: Some details are omitted, run with `RUST_BACKTRACE=full` \
             for a verbose backtrace.\n",
            between_marks(&Backtrace::force_capture().to_string())
        ),
    }
}

/// What std's hook shows of a backtrace: the frames between the two by which std marks the ends of
/// its own, numbered from 0. All of them where there are no marks, in a program without symbols.
fn between_marks(backtrace: &str) -> String {
    let mut shown = String::new();
    let mut number = 0;
    let mut is_inside = !backtrace.contains("__rust_end_short_backtrace");
    let mut is_shown = is_inside;
    for line in backtrace.lines() {
        let frame = line.split_once(": ");
        let frame = frame.filter(|(number, _)| number.trim().parse::<u32>().is_ok());
        // Other lines say where the code of the frame before them stands.
        let Some((_, name)) = frame else {
            if is_shown {
                let _ = writeln!(shown, "{line}");
            }
            continue;
        };
        if is_inside && name.contains("__rust_begin_short_backtrace") {
            break;
        }
        is_shown = is_inside;
        is_inside |= name.contains("__rust_end_short_backtrace");
        if is_shown {
            let _ = writeln!(shown, "{number:>4}: {name}");
            number += 1;
        }
    }
    shown
}
