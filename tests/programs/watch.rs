//! Says which program it was when the process hangs or dies.

use std::cell::RefCell;
use std::io::{self, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// A program that takes longer hangs. Under valgrind the longest takes a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// The seed of the program that runs.
static SEED: AtomicU64 = AtomicU64::new(0);
/// How many programs have begun.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static RUNS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// What panicked while a program ran; `None` while none does.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Notes that a program begins.
pub(super) fn begin(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
    BEGUN.fetch_add(1, Ordering::Relaxed);
    RUNS.store(true, Ordering::Relaxed);
    PANICS.set(Some(Vec::new()));
}

/// A program has ended; returns what panicked in it.
pub(super) fn end() -> Vec<String> {
    RUNS.store(false, Ordering::Relaxed);
    PANICS.take().unwrap_or_default()
}

/// Has panics noted, and hangs and deaths told.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let inside = PANICS.with_borrow_mut(|panics| {
                panics.as_mut().map(|panics| panics.push(info.to_string()))
            });
            if inside.is_none() {
                usual(info);
            }
        }));
        for signal in [
            Signal::SIGABRT,
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGILL,
        ] {
            let flags = SaFlags::SA_ONSTACK | SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER;
            let action = SigAction::new(SigHandler::Handler(tell_death), flags, SigSet::empty());
            // SAFETY: the handler writes to stderr and raises, and touches atomics besides.
            let former = unsafe { sigaction(signal, &action) };
            former.expect("a handler of one's own");
        }
        std::thread::spawn(watch);
    });
}

/// Looks whether programs go on; never ends.
fn watch() {
    let mut seen = (0, Instant::now());
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let begun = BEGUN.load(Ordering::Relaxed);
        if begun != seen.0 {
            seen = (begun, Instant::now());
        } else if RUNS.load(Ordering::Relaxed) && seen.1.elapsed() > PATIENCE {
            std::process::abort();
        }
    }
}

extern "C" fn tell_death(signal: i32) {
    let mut text =
        *b"\nproperty: the process died in the program of GREENLIT_SEED=____________________\n";
    let mut place = text.len() - 2;
    let mut seed = SEED.load(Ordering::Relaxed);
    while text[place] == b'_' {
        text[place] = match seed {
            0 => b' ',
            _ => b'0' + (seed % 10) as u8,
        };
        seed /= 10;
        place -= 1;
    }
    let _ = io::stderr().write_all(&text);
    // The usual action is back.
    let _ = Signal::try_from(signal).map(nix::sys::signal::raise);
}
