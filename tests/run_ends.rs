//! The end of a run whose green threads do not stop at once: it waits for them, says so once, and
//! leaks only what cannot stop. Reports are read in processes of their own.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use crate::alone::{again, alone, alone_as};
use crate::reports::{made_equal, stderr};
use greenlit::cancel::{Scope, shield};
use greenlit::sync::Mutex;
use greenlit::time::{Duration, timeout};
use greenlit::{Runtime, thread};

/// Calls its function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn runtime(patience: Duration) -> Runtime {
    let builder = Runtime::builder().stop_patience(patience);
    builder.build().expect("a runtime")
}

/// Starts `test` again where it leaks green threads, which LeakSanitizer would report.
fn leaking(test: &str) -> Command {
    let options = std::env::var("ASAN_OPTIONS").unwrap_or_default();
    let mut command = again(test);
    command.env("ASAN_OPTIONS", format!("{options}:detect_leaks=0"));
    command
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into())
}

/// Has this process's stderr come out of the pipe that is returned.
fn catch_stderr() -> BufReader<io::PipeReader> {
    let (reader, writer) = io::pipe().expect("a pipe");
    nix::unistd::dup2_stderr(writer).expect("stderr replaced");
    BufReader::new(reader)
}

/// The end of what a process writes to the pipe that stands in for its stderr: nothing is left over.
fn rest_of(mut stderr: BufReader<io::PipeReader>) -> String {
    let nowhere = std::fs::File::options().write(true).open("/dev/null");
    nix::unistd::dup2_stderr(nowhere.expect("/dev/null")).expect("stderr replaced");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("text");
    rest
}

/// Behaviour 53: an OS thread lets go of the lock once it has read the report, and not before.
#[test]
fn who_does_not_stop_is_reported_once_and_waited_for() {
    alone("who_does_not_stop_is_reported_once_and_waited_for", || {
        let stderr = catch_stderr();
        let lock = Arc::new(Mutex::new(0));
        let spinning = Arc::new(AtomicBool::new(true));
        let (locked, is_locked) = mpsc::channel();
        let reader = std::thread::spawn({
            let (lock, spinning) = (lock.clone(), spinning.clone());
            move || {
                let held = lock.lock().unwrap();
                locked.send(()).unwrap();
                let lines: Vec<_> = stderr.lines().take(3).map(Result::unwrap).collect();
                spinning.store(false, Ordering::Relaxed);
                drop(held);
                lines.join("\n")
            }
        });
        is_locked.recv().unwrap();
        let stopped = Rc::new(Cell::new(0));
        runtime(Duration::from_millis(1)).run(|| {
            let guard = || {
                let stopped = stopped.clone();
                OnDrop(move || stopped.set(stopped.get() + 1))
            };
            let (first, second) = (guard(), guard());
            let stopping = Rc::new(Cell::new(0));
            let [one, other] = [stopping.clone(), stopping.clone()];
            let locks = named("locks").spawn(move || {
                let _stopped = first;
                let _lock = OnDrop(|| {
                    one.set(one.get() + 1);
                    *lock.lock().unwrap() += 1;
                });
                thread::park();
            });
            let spins = named("spins").spawn(move || {
                let _stopped = second;
                let _spin = OnDrop(|| {
                    other.set(other.get() + 1);
                    while spinning.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                });
                thread::park();
            });
            thread::yield_now();
            // Both are in their destructors when the run ends, however slow the machine is.
            for handle in [locks, spins] {
                handle.unwrap().cancel("early");
            }
            while stopping.get() < 2 {
                thread::yield_now();
            }
        });
        assert_eq!(stopped.get(), 2);
        assert_eq!(
            made_equal(&reader.join().unwrap(), file!()),
            "greenlit: the run has ended, and 2 of its green threads have not stopped after 1ms; \
             it goes on waiting for them
  green thread \"locks\" (#N, spawned at tests/run_ends.rs:L:C): locking a mutex, held by thread #N
  green thread \"spins\" (#N, spawned at tests/run_ends.rs:L:C): ready to run"
        );
    });
}

/// The report comes once, however long it takes from then on.
#[test]
fn the_report_is_not_repeated() {
    alone("the_report_is_not_repeated", || {
        let mut stderr = catch_stderr();
        let lock = Arc::new(Mutex::new(()));
        let (locked, is_locked) = mpsc::channel();
        let reader = std::thread::spawn({
            let lock = lock.clone();
            move || {
                let held = lock.lock().unwrap();
                locked.send(()).unwrap();
                let mut report = String::new();
                for _ in 0..2 {
                    stderr.read_line(&mut report).unwrap();
                }
                // Room for a hundred more.
                std::thread::sleep(Duration::from_millis(100));
                drop(held);
                stderr
            }
        });
        is_locked.recv().unwrap();
        runtime(Duration::from_millis(1)).run(|| {
            drop(thread::spawn(move || {
                let _lock = OnDrop(|| drop(lock.lock()));
                thread::park();
            }));
            thread::yield_now();
        });
        assert_eq!(rest_of(reader.join().unwrap()), "");
    });
}

/// Threads that stop when they are told to are nothing to speak of, however short the patience.
#[test]
fn who_stops_is_not_reported() {
    let child = alone("who_stops_is_not_reported", || {
        for patience in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
            runtime(patience).run(|| {
                drop(thread::spawn(thread::park));
                drop(thread::spawn(|| thread::sleep(Duration::MAX)));
                thread::yield_now();
            });
            runtime(patience).run(|| ());
        }
    });
    if let Some(child) = child {
        assert_eq!(stderr(&child, file!()), "");
    }
}

/// The end of a run's own timer is no reason to wait for those who cannot stop: it would take a
/// year.
#[test]
fn who_cannot_stop_is_leaked_at_once() {
    let mut command = leaking("who_cannot_stop_is_leaked_at_once");
    let child = alone_as(&mut command, || {
        // Whoever could cancel something from another OS thread has nothing left to do.
        let _handle = Scope::new().handle();
        for patience in [Duration::from_secs(365 * 24 * 3600), Duration::MAX] {
            runtime(patience).run(|| {
                let lock = Rc::new(Mutex::new(()));
                std::mem::forget(lock.lock());
                let _ = named("waits").spawn(move || {
                    let _lock = OnDrop(|| drop(lock.lock()));
                    thread::park();
                });
                thread::yield_now();
            });
        }
    });
    let Some(child) = child else { return };
    let once = "greenlit: the run has ended, but 1 of its green threads would not stop
  green thread \"waits\" (#N, spawned at tests/run_ends.rs:L:C): locking a mutex, held by thread #N
";
    assert_eq!(stderr(&child, file!()), once.repeat(2));
}

/// A program of many green threads whose destructors let others run: each had its cancel before the
/// first had ended, and all of them were given up.
#[test]
fn many_threads_that_yield_in_their_destructors_all_stop() {
    const MANY: u32 = 12_000;
    let child = alone(
        "many_threads_that_yield_in_their_destructors_all_stop",
        || {
            let stopped = Rc::new(Cell::new(0));
            runtime(Duration::MAX).run(|| {
                for _ in 0..MANY {
                    let stopped = stopped.clone();
                    drop(thread::spawn(move || {
                        let _stopped = OnDrop(|| {
                            (0..3).for_each(|_| thread::yield_now());
                            stopped.set(stopped.get() + 1);
                        });
                        thread::park();
                    }));
                }
                thread::yield_now();
            });
            assert_eq!(stopped.get(), MANY);
        },
    );
    if let Some(child) = child {
        assert_eq!(stderr(&child, file!()), "");
    }
}

/// Timeouts that ended something long before the end of the run, or that a shielded thread needs to
/// come to its own, had threads given up.
#[test]
fn timeouts_are_not_counted_among_cancels_that_were_caught() {
    let test = "timeouts_are_not_counted_among_cancels_that_were_caught";
    let child = alone(test, || {
        let stopped = Rc::new(Cell::new(0));
        let many_timeouts = || {
            for _ in 0..10_100 {
                timeout(Duration::ZERO, thread::park).unwrap_err();
            }
        };
        runtime(Duration::MAX).run(|| {
            let [first, second] = [stopped.clone(), stopped.clone()];
            drop(thread::spawn(move || {
                let _stopped = OnDrop(|| first.set(first.get() + 1));
                thread::park();
            }));
            drop(thread::spawn(move || {
                shield(|| {
                    // The run has ended by then.
                    while second.get() == 0 {
                        thread::yield_now();
                    }
                    many_timeouts();
                });
                let _stopped = OnDrop(|| second.set(second.get() + 1));
                thread::park();
            }));
            many_timeouts();
        });
        assert_eq!(stopped.get(), 2);
    });
    if let Some(child) = child {
        assert_eq!(stderr(&child, file!()), "");
    }
}

/// A report of very many says how many more there are.
#[test]
fn the_report_of_thousands_names_a_hundred() {
    let mut command = leaking("the_report_of_thousands_names_a_hundred");
    let child = alone_as(&mut command, || {
        runtime(Duration::MAX).run(|| {
            let lock = Rc::new(Mutex::new(()));
            std::mem::forget(lock.lock());
            for _ in 0..1000 {
                let lock = lock.clone();
                drop(thread::spawn(move || {
                    let _lock = OnDrop(|| drop(lock.lock()));
                    thread::park();
                }));
            }
            thread::yield_now();
        });
    });
    let Some(child) = child else { return };
    let text = stderr(&child, file!());
    assert!(text.contains("1000 of its green threads"), "{text}");
    assert_eq!(text.matches("\n  green thread (").count(), 100, "{text}");
    assert!(text.ends_with("\n  and 900 more\n"), "{text}");
}
