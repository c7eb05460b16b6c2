//! Green threads: spawn, join, yield, park, sleep, and the end of a run.

#![expect(unsafe_code, reason = "fork")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use greenlit::thread::{self, YieldError};
use greenlit::time::{Duration, Instant};
use greenlit::{Runtime, run};

/// A log that several green threads write.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<u32>>>);

impl Log {
    fn push(&self, entry: u32) {
        self.0.borrow_mut().push(entry);
    }

    fn take(&self) -> Vec<u32> {
        self.0.take()
    }
}

#[test]
fn smoke() {
    assert_eq!(run(|| thread::spawn(|| 6 * 7).join().unwrap()), 42);
}

/// Behaviour 1.
#[test]
fn two_threads_interleave() {
    let log = Log::default();
    run(|| {
        for name in [1, 2] {
            let log = log.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    log.push(name);
                    thread::yield_now();
                }
            });
        }
        for _ in 0..4 {
            thread::yield_now();
        }
    });
    assert_eq!(log.take(), [1, 2, 1, 2, 1, 2]);
}

/// Behaviour 1.
#[test]
fn spawn_order_is_run_order() {
    let log = Log::default();
    run(|| {
        let handles: Vec<_> = (0..100)
            .map(|n| {
                let log = log.clone();
                thread::spawn(move || log.push(n))
            })
            .collect();
        for handle in handles.into_iter().rev() {
            handle.join().unwrap();
        }
    });
    assert_eq!(log.take(), (0..100).collect::<Vec<_>>());
}

/// Behaviour 2.
#[test]
fn a_yielding_loop_does_not_starve_a_timer() {
    run(|| {
        let woken = Rc::new(Cell::new(false));
        let sleeper = {
            let woken = woken.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(1));
                woken.set(true);
            })
        };
        // Ends only if the timer fires while two threads are always ready.
        let other = {
            let woken = woken.clone();
            thread::spawn(move || {
                while !woken.get() {
                    thread::yield_now();
                }
            })
        };
        while !woken.get() {
            thread::yield_now();
        }
        sleeper.join().unwrap();
        other.join().unwrap();
    });
}

/// Behaviour 4.
#[test]
fn a_hundred_thousand_spawns_all_run() {
    let count = if cfg!(debug_assertions) {
        20_000
    } else {
        100_000
    };
    let ran = Rc::new(Cell::new(0));
    Runtime::builder()
        .stack_size(16 * 1024)
        .build()
        .unwrap()
        .run(|| {
            let handles: Vec<_> = (0..count)
                .map(|_| {
                    let ran = ran.clone();
                    thread::spawn(move || ran.set(ran.get() + 1))
                })
                .collect();
            for handle in handles {
                handle.join().unwrap();
            }
        });
    assert_eq!(ran.get(), count);
}

/// Behaviour 5: the runtime has nothing to do and sleeps in the kernel.
#[test]
fn an_unpark_from_another_os_thread_wakes_the_runtime() {
    let unparked = Arc::new(AtomicUsize::new(0));
    run(|| {
        let handle = thread::current();
        let (to_other, from_here) = mpsc::channel::<()>();
        let other = {
            let unparked = unparked.clone();
            std::thread::spawn(move || {
                for round in 1..=100 {
                    from_here.recv().unwrap();
                    unparked.store(round, Ordering::SeqCst);
                    handle.unpark();
                }
            })
        };
        for round in 1..=100 {
            to_other.send(()).unwrap();
            while unparked.load(Ordering::SeqCst) != round {
                thread::park();
            }
        }
        other.join().unwrap();
    });
}

/// Behaviours 5 and 8: a handle whose runtime has gone.
#[test]
fn unparking_after_the_runtime_has_ended_does_nothing() {
    let (handle, joined) = run(|| {
        let child = thread::spawn(|| thread::current().id());
        (child.thread().clone(), child)
    });
    handle.unpark();
    assert!(joined.is_finished());
    let id = handle.id();
    std::thread::spawn(move || handle.unpark()).join().unwrap();
    drop(id);
}

/// Behaviour 6.
#[test]
fn run_inside_run_is_refused() {
    let message = run(|| {
        let refused = std::panic::catch_unwind(|| run(|| ())).unwrap_err();
        refused
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    });
    assert_eq!(
        message.as_deref(),
        Some("run: this OS thread is already running a runtime")
    );
}

/// Behaviour 6.
#[test]
fn a_runtime_runs_again_and_two_do_not_know_each_other() {
    let mut runtime = Runtime::builder().build().unwrap();
    for round in 0..10 {
        assert_eq!(
            runtime.run(|| thread::spawn(move || round).join().unwrap()),
            round
        );
    }
    let others: Vec<_> = (0..4)
        .map(|n| std::thread::spawn(move || run(|| thread::spawn(move || n).join().unwrap())))
        .collect();
    let results: Vec<_> = others
        .into_iter()
        .map(|other| other.join().unwrap())
        .collect();
    assert_eq!(results, [0, 1, 2, 3]);
}

/// Behaviour 7.
#[test]
fn joining_oneself_panics_and_hangs_nobody() {
    run(|| {
        let own: Rc<RefCell<Option<thread::JoinHandle<()>>>> = Rc::default();
        let child = {
            let own = own.clone();
            thread::spawn(move || {
                let handle = own.borrow_mut().take().unwrap();
                let _ = handle.join();
            })
        };
        let witness = child.thread().clone();
        *own.borrow_mut() = Some(child);
        while thread::yield_to(&witness).is_ok() {}
        assert_eq!(thread::yield_to(&witness), Err(YieldError::Finished));
    });
}

/// Behaviour 7.
#[test]
fn join_works_before_and_after_the_end_and_a_dropped_handle_detaches() {
    run(|| {
        let before = thread::spawn(|| {
            thread::yield_now();
            1
        });
        assert!(!before.is_finished());
        assert_eq!(before.join().unwrap(), 1);

        let after = thread::spawn(|| [7_u64; 32]);
        thread::yield_now();
        assert!(after.is_finished());
        assert_eq!(after.join().unwrap(), [7; 32]);

        let ran = Rc::new(Cell::new(false));
        drop(thread::spawn({
            let ran = ran.clone();
            move || ran.set(true)
        }));
        thread::yield_now();
        assert!(ran.get());
    });
}

/// Behaviour 8: every state of the target.
#[test]
fn unpark_in_every_state_is_defined() {
    run(|| {
        let log = Log::default();
        let child = thread::spawn({
            let log = log.clone();
            move || {
                thread::park(); // The token was there before it started.
                log.push(1);
                thread::current().unpark();
                thread::current().unpark();
                thread::park(); // Two unparks are one token.
                log.push(2);
                thread::park();
                log.push(3);
            }
        });
        child.thread().unpark(); // Not yet started.
        thread::yield_now();
        assert_eq!(log.take(), [1, 2]);
        child.thread().unpark(); // Parked.
        child.thread().unpark(); // Ready.
        let handle = child.thread().clone();
        child.join().unwrap();
        assert_eq!(log.take(), [3]);
        handle.unpark(); // Ended.

        // A stale handle never reaches a reused record.
        let next = thread::spawn(thread::park);
        thread::yield_now();
        handle.unpark();
        thread::yield_now();
        assert!(!next.is_finished());
        next.thread().unpark();
        next.join().unwrap();
    });
}

#[test]
fn yield_to_runs_its_target_next() {
    run(|| {
        let log = Log::default();
        let handles: Vec<_> = (0..3)
            .map(|n| {
                let log = log.clone();
                thread::spawn(move || log.push(n))
            })
            .collect();
        thread::yield_to(handles[2].thread()).unwrap();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(log.take(), [2, 0, 1]);
    });
}

#[test]
fn yield_to_refuses_what_cannot_run() {
    run(|| {
        assert_eq!(
            thread::yield_to(&thread::current()),
            Err(YieldError::Running)
        );
        let parked = thread::spawn(thread::park);
        thread::yield_now();
        assert_eq!(thread::yield_to(parked.thread()), Err(YieldError::Parked));
        let os = std::thread::spawn(thread::current).join().unwrap();
        assert_eq!(thread::yield_to(&os), Err(YieldError::Foreign));
        let foreign = std::thread::spawn(|| run(thread::current)).join().unwrap();
        assert_eq!(thread::yield_to(&foreign), Err(YieldError::Foreign));
    });
    assert_eq!(
        thread::yield_to(&thread::current()),
        Err(YieldError::Foreign)
    );
}

/// Behaviour 9.
#[test]
fn sleepers_wake_by_deadline_then_by_the_order_they_slept() {
    /// Long enough for five threads to fall asleep, under valgrind on a busy machine too.
    const MARGIN: Duration = Duration::from_millis(100);
    let log = Log::default();
    run(|| {
        let start = Instant::now() + MARGIN;
        let handles: Vec<_> = [3, 1, 2, 1, 3]
            .iter()
            .enumerate()
            .map(|(n, &millis)| {
                let log = log.clone();
                thread::spawn(move || {
                    thread::sleep_until(start + Duration::from_millis(millis));
                    log.push(n as u32);
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
    assert_eq!(log.take(), [1, 3, 2, 0, 4]);
}

/// Behaviour 9: a deadline that has passed lets the others run first.
#[test]
fn a_past_deadline_is_a_yield() {
    let log = Log::default();
    run(|| {
        let other = thread::spawn({
            let log = log.clone();
            move || log.push(1)
        });
        thread::sleep_until(Instant::now() - Duration::from_secs(1));
        log.push(2);
        other.join().unwrap();
    });
    assert_eq!(log.take(), [1, 2]);
}

/// Behaviour 10.
#[test]
fn a_sleep_is_never_early() {
    run(|| {
        for nanos in [1, 1_000, 50_000, 100_000, 1_000_000, 3_000_000] {
            let length = Duration::from_nanos(nanos);
            let start = Instant::now();
            thread::sleep(length);
            assert!(start.elapsed() >= length);
            let start = Instant::now();
            thread::park_timeout(length);
            assert!(start.elapsed() >= length);
        }
    });
}

/// Behaviour 12.
#[test]
fn endless_sleeps_do_not_overflow() {
    run(|| {
        let sleepers = [
            thread::spawn(|| thread::sleep(Duration::MAX)),
            thread::spawn(|| thread::park_timeout(Duration::MAX)),
            thread::spawn(|| thread::sleep(Duration::from_nanos(u64::MAX - 1))),
        ];
        thread::sleep(Duration::from_millis(1));
        for sleeper in &sleepers {
            assert!(!sleeper.is_finished());
        }
    });
}

/// Behaviour 44.
#[test]
fn a_panic_reaches_its_joiner_and_nobody_else() {
    struct OnDrop(Log, u32);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.push(self.1);
        }
    }
    let log = Log::default();
    run(|| {
        let child = thread::spawn({
            let log = log.clone();
            move || {
                let _first = OnDrop(log.clone(), 1);
                let _second = OnDrop(log, 2);
                thread::yield_now();
                std::panic::resume_unwind(Box::new(17_u32));
            }
        });
        let other = thread::spawn(|| {
            thread::yield_now();
            thread::yield_now();
            "unharmed"
        });
        let payload = child.join().unwrap_err();
        assert_eq!(payload.downcast_ref::<u32>(), Some(&17));
        assert_eq!(other.join().unwrap(), "unharmed");
    });
    assert_eq!(log.take(), [2, 1]);
}

/// Behaviour 53.
#[test]
fn what_remains_at_the_end_is_unwound_and_joined() {
    struct OnDrop(Rc<Cell<u32>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            // A destructor may yield, sleep and join while its thread unwinds.
            thread::yield_now();
            thread::sleep(Duration::from_micros(10));
            let child = thread::spawn(|| ());
            let _ = child.join();
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let guard = || OnDrop(dropped.clone());
    run(|| {
        let (a, b, c, d) = (guard(), guard(), guard(), guard());
        thread::spawn(move || {
            let _guard = a;
            thread::park();
        });
        thread::spawn(move || {
            let _guard = b;
            thread::sleep(Duration::MAX);
        });
        let forever = thread::spawn(move || {
            let _guard = c;
            loop {
                thread::yield_now();
            }
        });
        thread::spawn(move || {
            let _ = forever.join();
        });
        thread::yield_now();
        thread::spawn(move || {
            let _guard = d; // Never started.
        });
    });
    assert_eq!(dropped.get(), 4);
}

/// Rule 19: a loop that catches the cancel and tries again still ends, once it stops catching.
#[test]
fn a_cancel_is_told_at_every_blocking_call() {
    let told = Rc::new(Cell::new(0));
    run(|| {
        let told = told.clone();
        thread::spawn(move || {
            for _ in 0..5 {
                let call = std::panic::AssertUnwindSafe(thread::park);
                if std::panic::catch_unwind(call).is_err() {
                    told.set(told.get() + 1);
                }
            }
        });
        thread::yield_now();
    });
    assert_eq!(told.get(), 5);
}

#[test]
fn run_may_borrow_and_passes_panics_on() {
    let mut local = vec![1];
    run(|| local.push(2));
    assert_eq!(local, [1, 2]);
    let payload = std::panic::catch_unwind(|| {
        run(|| {
            thread::spawn(thread::park);
            thread::yield_now();
            std::panic::resume_unwind(Box::new("from main"));
        })
    });
    assert_eq!(
        payload.unwrap_err().downcast_ref::<&str>(),
        Some(&"from main")
    );
    assert_eq!(run(|| 1), 1);
}

#[test]
fn max_threads_bounds_what_lives_at_once() {
    Runtime::builder().max_threads(2).build().unwrap().run(|| {
        let first = thread::spawn(thread::park);
        let second = thread::spawn(|| ());
        let refused = thread::Builder::new().spawn(|| ()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
        second.join().unwrap();
        thread::spawn(|| ()).join().unwrap();
        first.thread().unpark();
        first.join().unwrap();
    });
}

/// Rule 27.
#[test]
fn outside_a_runtime_calls_are_std_s() {
    let error = thread::Builder::new().spawn(|| ()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(std::panic::catch_unwind(|| thread::spawn(|| ())).is_err());
    thread::yield_now();
    thread::sleep(Duration::from_micros(1));
    thread::current().unpark();
    thread::park();
    thread::park_timeout(Duration::from_micros(1));
    assert_eq!(thread::current().name(), std::thread::current().name());
}

#[test]
fn closures_and_results_of_any_size_and_alignment() {
    #[repr(align(128))]
    #[derive(Clone, Copy, PartialEq, Debug)]
    struct Aligned(u8);
    run(|| {
        let large = [3_u8; 100_000];
        let sum = thread::spawn(move || large.iter().map(|&byte| u64::from(byte)).sum::<u64>());
        assert_eq!(sum.join().unwrap(), 300_000);
        let aligned = Aligned(5);
        let back = thread::spawn(move || {
            assert_eq!((&raw const aligned).addr() % 128, 0);
            aligned
        });
        assert_eq!(back.join().unwrap(), Aligned(5));
        assert_eq!(
            thread::spawn(|| [9_u8; 10_000]).join().unwrap(),
            [9; 10_000]
        );
        thread::spawn(|| ()).join().unwrap();
    });
}

#[test]
fn names_and_numbers() {
    run(|| {
        assert_eq!(thread::current().name(), Some("main"));
        let named = thread::Builder::new()
            .name("worker".into())
            .spawn(thread::current)
            .unwrap();
        let id = named.thread().id();
        let inside = named.join().unwrap();
        assert_eq!((inside.name(), inside.id()), (Some("worker"), id));
        assert_ne!(id, thread::current().id());
    });
}

/// Rule 28 and behaviour 55: the child's runtime has ended; its first park says so.
#[test]
fn a_forked_child_does_not_run_its_parents_runtime() {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    run(|| {
        thread::spawn(thread::park);
        thread::yield_now();
        // SAFETY: the child calls nothing that another thread of its parent could have locked, but the
        // allocator, which glibc makes usable in a child.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                std::panic::set_hook(Box::new(|_| ()));
                let parked = std::panic::catch_unwind(|| thread::park());
                let runs = std::panic::catch_unwind(|| run(|| thread::spawn(|| 3).join().unwrap()));
                // SAFETY: ends the child at once, without running the test harness's exit.
                unsafe {
                    libc::_exit(i32::from(parked.is_ok()) + 2 * i32::from(runs.ok() != Some(3)))
                }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
    });
}
