//! Green threads: spawn, join, yield, park and sleep. `tests/run.rs` has the runs they live in.

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
    std::thread::spawn(move || handle.unpark()).join().unwrap();
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
