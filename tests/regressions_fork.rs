//! Bugs that fork(2) once brought out: what a forked child has copied still belonged to its
//! parent's kernel objects.

#![expect(unsafe_code, reason = "fork")]

use std::any::Any;
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenlit::io::Source;
use greenlit::sync::mpsc;
use greenlit::{Runtime, future, thread};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

mod alone;
use alone::alone;

/// Whether CI runs this under an emulator, which has OS threads of its own in each process, and does not
/// tell what the program's wait for.
fn is_emulated() -> bool {
    std::env::consts::ARCH == "aarch64"
}

/// Forks. The child gets `None`.
fn forked() -> Option<Pid> {
    // SAFETY: the child calls nothing that another thread of its parent could have locked, but the
    // allocator, which glibc makes usable in a child.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => None,
        ForkResult::Parent { child } => Some(child),
    }
}

/// Ends a forked child; its parent learns whether all was well.
fn exit(well: bool) -> ! {
    // SAFETY: it ends the process at once, without running the exit of the test harness, which is
    // the parent's.
    unsafe { libc::_exit(i32::from(!well)) }
}

/// Waits for a forked child, in which all has to be well.
fn reap(child: Pid) {
    assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
}

/// Whether this is the panic of a run that is refused to a forked child.
fn is_refusal(payload: &(dyn Any + Send)) -> bool {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.is_some_and(|text| text.starts_with("run: this runtime was made before a fork"))
}

/// Whether the run is refused.
fn refuses(runtime: &mut Runtime) -> bool {
    let run = AssertUnwindSafe(|| runtime.run(|| ()));
    catch_unwind(run).is_err_and(|payload| is_refusal(&*payload))
}

/// Behaviour 55: a child that dropped its copy of a source took it out of the epoll instance that
/// it shares with its parent, where nobody who waited for it ever woke again.
#[test]
fn a_forked_child_that_drops_a_source_leaves_its_parents_registration() {
    alone(
        "a_forked_child_that_drops_a_source_leaves_its_parents_registration",
        || {
            greenlit::run(|| {
                let (near, far) = UnixStream::pair().unwrap();
                near.set_nonblocking(true).unwrap();
                let mut source = Source::new(near).unwrap();
                // It parks before the other end is written to, and is registered by that.
                let receive = |source: &mut Source<UnixStream>| {
                    let mut far = far.try_clone().unwrap();
                    let writer = thread::spawn(move || far.write_all(b"x").unwrap());
                    source.read_exact(&mut [0]).unwrap();
                    writer.join().unwrap();
                };
                receive(&mut source);
                let Some(child) = forked() else {
                    drop(source);
                    exit(true);
                };
                reap(child);
                receive(&mut source);
            });
        },
    );
}

/// Behaviour 55: a child that had returned from the run it was forked in could run the same runtime
/// again, with the green threads and the epoll instance of its parent.
#[test]
fn a_forked_child_that_left_its_run_may_not_run_the_runtime_again() {
    alone(
        "a_forked_child_that_left_its_run_may_not_run_the_runtime_again",
        || {
            let mut runtime = Runtime::builder().build().unwrap();
            let child = runtime.run(|| {
                drop(thread::spawn(|| {
                    loop {
                        thread::yield_now();
                    }
                }));
                thread::yield_now();
                forked()
            });
            let Some(child) = child else {
                let refused = refuses(&mut runtime);
                let new = greenlit::run(|| thread::spawn(|| 1).join().unwrap());
                exit(refused && new == 1);
            };
            reap(child);
            assert_eq!(runtime.run(|| thread::spawn(|| 2).join().unwrap()), 2);
        },
    );
}

/// Behaviour 55: parent and child could both run a runtime that was made before the fork, and each
/// took events and letters of the other's from the epoll instance that they shared.
#[test]
fn a_runtime_that_was_made_before_a_fork_stays_with_the_parent() {
    alone(
        "a_runtime_that_was_made_before_a_fork_stays_with_the_parent",
        || {
            let mut runtime = Runtime::builder().build().unwrap();
            let Some(child) = forked() else {
                exit(refuses(&mut runtime));
            };
            reap(child);
            assert_eq!(runtime.run(|| thread::spawn(|| 3).join().unwrap()), 3);
        },
    );
}

/// Behaviour 55: a child that was forked by the destructor of one of main's locals went on to end a
/// run that it has no part in, and cancelled green threads that are its parent's.
#[test]
fn a_child_that_is_forked_at_the_end_of_mains_locals_leaves_the_run() {
    struct Forks(Cell<bool>);
    impl Drop for Forks {
        fn drop(&mut self) {
            if self.0.get() {
                CHILD.set(forked());
            }
        }
    }
    struct Unwound;
    impl Drop for Unwound {
        fn drop(&mut self) {
            UNWOUND.set(true);
        }
    }
    thread_local! {
        static CHILD: Cell<Option<Pid>> = const { Cell::new(None) };
        static UNWOUND: Cell<bool> = const { Cell::new(false) };
    }
    greenlit::thread_local! {
        static FORKS: Forks = const { Forks(Cell::new(false)) };
    }
    alone(
        "a_child_that_is_forked_at_the_end_of_mains_locals_leaves_the_run",
        || {
            greenlit::run(|| {
                FORKS.with(|forks| forks.0.set(true));
                thread::spawn(|| {
                    let _unwound = Unwound;
                    thread::park();
                });
                thread::yield_now();
            });
            let Some(child) = CHILD.get() else {
                exit(!UNWOUND.get());
            };
            reap(child);
            assert!(UNWOUND.get());
        },
    );
}

/// Where another OS thread might have ended a wait, and ended itself instead, nobody looked for a
/// deadlock again. A forked child is the process that has one OS thread for certain.
#[test]
fn a_deadlock_is_found_when_the_last_other_os_thread_has_ended() {
    alone(
        "a_deadlock_is_found_when_the_last_other_os_thread_has_ended",
        || {
            let Some(child) = forked() else {
                nix::unistd::alarm::set(60);
                std::panic::set_hook(Box::new(|_| ()));
                let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
                // Under an emulator its own threads are there for ever.
                exit(threads > 1 || dies_of_deadlock());
            };
            reap(child);
        },
    );
}

/// Behaviour 54: the OS thread that looks for slow slices wakes nobody.
#[test]
fn a_watchdog_is_no_hope_in_a_deadlock() {
    if is_emulated() {
        return;
    }
    alone("a_watchdog_is_no_hope_in_a_deadlock", || {
        let Some(child) = forked() else {
            nix::unistd::alarm::set(60);
            std::panic::set_hook(Box::new(|_| ()));
            let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
            let runtime = Runtime::builder().slow_slice(Duration::from_secs(60));
            let mut runtime = runtime.build().expect("a runtime");
            let stuck = catch_unwind(AssertUnwindSafe(|| {
                runtime.run(|| {
                    let (_sender, receiver) = mpsc::channel::<()>();
                    receiver.recv()
                })
            }));
            exit(threads > 1 || is_deadlock(stuck.err()));
        };
        reap(child);
    });
}

/// Debug mode ends in a child with the runtime: the OS thread that looks on is the parent's.
#[test]
fn a_child_of_a_timed_runtime_leaves_its_run() {
    alone("a_child_of_a_timed_runtime_leaves_its_run", || {
        let runtime = Runtime::builder().slow_slice(Duration::from_secs(60));
        let mut runtime = runtime.build().expect("a runtime");
        let child = catch_unwind(AssertUnwindSafe(|| runtime.run(forked)));
        match child {
            Ok(Some(child)) => reap(child),
            Ok(None) => exit(true),
            // A panic that ended the child's only OS thread would end it well.
            Err(_) => exit(false),
        }
    });
}

fn dies_of_deadlock() -> bool {
    // The first look comes after 20 ms. Where this thread has ended by then the test shows nothing,
    // and does not fail.
    let other = std::thread::spawn(|| std::thread::sleep(Duration::from_millis(200)));
    let stuck = catch_unwind(|| {
        greenlit::run(|| {
            let (_sender, receiver) = mpsc::channel::<()>();
            receiver.recv()
        })
    });
    drop(other);
    is_deadlock(stuck.err())
}

fn is_deadlock(payload: Option<Box<dyn Any + Send>>) -> bool {
    let report = payload.and_then(|report| report.downcast::<String>().ok());
    report.is_some_and(|report| report.starts_with("deadlock: all 1 green threads"))
}

/// Whether the OS thread that wakes futures outside a runtime is there, and waits.
fn timer_thread_waits() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.filter_map(Result::ok).any(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat"));
        stat.is_ok_and(|stat| stat.contains("(greenlit-timer) S"))
    })
}

/// Rule 28: the OS thread that wakes futures outside a runtime stays with the parent; a child whose
/// future sleeps starts its own.
#[test]
fn a_future_sleeps_in_a_forked_child() {
    if is_emulated() {
        return;
    }
    alone("a_future_sleeps_in_a_forked_child", || {
        let sleep = || future::block_on(future::sleep(Duration::from_millis(1)));
        sleep();
        while !timer_thread_waits() {
            std::thread::yield_now();
        }
        match forked() {
            None => {
                nix::unistd::alarm::set(20);
                sleep();
                exit(true);
            }
            Some(child) => reap(child),
        }
    });
}
