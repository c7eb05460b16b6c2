//! `sync::Once`, `OnceLock`, `LazyLock`: initialisers that park, panic, recurse, are cancelled, and
//! are shared by runtimes and OS threads.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use greenlit::sync::{LazyLock, Once, OnceLock};
use greenlit::thread;

fn caught<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    let text = |payload: Box<dyn Any + Send>| match payload.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(_) => "a payload".to_owned(),
        },
    };
    catch_unwind(AssertUnwindSafe(f)).map_err(text)
}

#[test]
fn smoke() {
    static SUM: LazyLock<u32> = LazyLock::new(|| (1..=10).sum());
    static CELL: OnceLock<&str> = OnceLock::new();
    static ONCE: Once = Once::new();
    for _ in 0..2 {
        greenlit::run(|| {
            assert_eq!(*SUM, 55);
            assert_eq!(*CELL.get_or_init(|| "first"), "first");
            ONCE.call_once(|| ());
        });
    }
    assert!(ONCE.is_completed() && CELL.set("second") == Err("second"));
}

/// The others wait while an initialiser parks, go on in order, and run none of their own.
#[test]
fn an_initialiser_may_park_and_runs_once() {
    greenlit::run(|| {
        let cell = Rc::new(OnceLock::new());
        let log = Rc::new(RefCell::new(Vec::new()));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (cell, log) = (cell.clone(), log.clone());
                thread::spawn(move || {
                    let value = *cell.get_or_init(|| {
                        log.borrow_mut().push(100 + number);
                        thread::sleep(std::time::Duration::from_millis(1));
                        number
                    });
                    log.borrow_mut().push(number);
                    value
                })
            })
            .collect();
        thread::yield_now();
        assert!(cell.get().is_none());
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 0);
        }
        assert_eq!(*log.borrow(), [100, 0, 1, 2, 3]);
    });
}

/// The shield: an initialiser that is cancelled while it parks goes on, and its static has its value.
#[test]
fn an_initialiser_that_is_cancelled_goes_on() {
    static CELL: OnceLock<u32> = OnceLock::new();
    static LAZY: LazyLock<u32> = LazyLock::new(|| {
        thread::yield_now();
        thread::yield_now();
        8
    });
    static AFTER: AtomicU32 = AtomicU32::new(0);
    greenlit::run(|| {
        thread::spawn(|| {
            CELL.get_or_init(|| {
                thread::yield_now();
                // Nested, and the shield does not end with the inner one.
                assert_eq!(*LAZY, 8);
                thread::sleep(std::time::Duration::from_millis(1));
                7
            });
            AFTER.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            AFTER.fetch_add(10, Ordering::Relaxed);
        });
        // One that waits for it is cancelled, and one that comes later is not there any more.
        thread::spawn(|| {
            CELL.wait();
            AFTER.fetch_add(100, Ordering::Relaxed);
        });
        thread::yield_now();
        assert!(CELL.get().is_none());
    });
    assert_eq!((CELL.get(), LazyLock::get(&LAZY)), (Some(&7), Some(&8)));
    assert_eq!(AFTER.load(Ordering::Relaxed), 1, "the cancel came after it");
}

/// By a mutable reference, too.
#[test]
fn force_mut_is_shielded() {
    let forced = Arc::new(AtomicU32::new(0));
    greenlit::run(|| {
        let forced = forced.clone();
        thread::spawn(move || {
            let mut lazy = LazyLock::new(|| {
                thread::yield_now();
                5
            });
            forced.store(*LazyLock::force_mut(&mut lazy), Ordering::Relaxed);
        });
        thread::yield_now();
    });
    assert_eq!(forced.load(Ordering::Relaxed), 5);
}

/// A panic of the first initialiser makes one of those who wait run its own; the rest wait for that.
#[test]
fn after_a_panic_the_next_initialiser_runs() {
    greenlit::run(|| {
        let cell = Rc::new(OnceLock::new());
        let runs = Rc::new(Cell::new(0));
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let (cell, runs) = (cell.clone(), runs.clone());
                thread::spawn(move || {
                    *cell.get_or_init(|| {
                        runs.set(runs.get() + 1);
                        thread::yield_now();
                        if number == 0 {
                            std::panic::resume_unwind(Box::new(()));
                        }
                        number
                    })
                })
            })
            .collect();
        let results: Vec<_> = threads.into_iter().map(|t| t.join().ok()).collect();
        assert_eq!(results, [None, Some(1), Some(1)]);
        assert_eq!(runs.get(), 2);
    });
}

/// What std's say after panics, and ours.
#[test]
fn they_are_poisoned_as_std_s() {
    macro_rules! said {
        ($($sync:tt)+) => {{
            use $($sync)+::{LazyLock, Once, OnceLock, OnceState};
            let mut said = Vec::new();
            let once = Once::new();
            let boom = || std::panic::resume_unwind(Box::new(()));
            said.push(caught(|| once.call_once(boom)));
            said.push(caught(|| once.call_once(|| ())));
            said.push(caught(|| once.wait()));
            let again = |state: &OnceState| assert!(state.is_poisoned(), "{state:?}");
            said.push(caught(|| once.call_once_force(again)));
            said.push(caught(|| once.wait()));
            said.push(caught(|| once.call_once(boom)));
            let mut debug = format!("{once:?} {}", once.is_completed());
            Once::new().call_once_force(|state| debug += &format!("{state:?}"));

            let cell = OnceLock::<u32>::new();
            said.push(caught(|| assert_eq!(*cell.get_or_init(|| std::panic::resume_unwind(Box::new(()))), 0)));
            debug += &format!("{cell:?}");
            said.push(caught(|| assert_eq!(*cell.get_or_init(|| 3), 3)));
            debug += &format!("{cell:?} {:?}", cell.clone());

            let mut lazy = LazyLock::<u32, fn() -> u32>::new(|| panic!("an initialiser"));
            debug += &format!("{lazy:?}");
            said.push(caught(|| assert_eq!(*LazyLock::force(&lazy), 0)));
            said.push(caught(|| assert_eq!(*LazyLock::force(&lazy), 0)));
            said.push(caught(|| assert_eq!(*LazyLock::force_mut(&mut lazy), 0)));
            debug += &format!("{lazy:?} {:?}", LazyLock::get(&lazy));
            let mut lazy = LazyLock::<u32, fn() -> u32>::new(|| panic!("by force"));
            said.push(caught(|| assert_eq!(*LazyLock::force_mut(&mut lazy), 0)));
            said.push(caught(|| assert_eq!(*LazyLock::force_mut(&mut lazy), 0)));
            said.push(caught(|| assert_eq!(*LazyLock::force(&lazy), 0)));
            let mut lazy = LazyLock::<u32, fn() -> u32>::new(|| 4);
            *lazy += 1;
            debug += &format!("{:?}", LazyLock::get_mut(&mut lazy));
            debug += &format!("{lazy:?}");
            (said, debug)
        }};
    }
    let stds = said!(std::sync);
    assert_eq!(said!(greenlit::sync), stds);
    assert_eq!(greenlit::run(|| said!(greenlit::sync)), stds);
}

/// std's may hang or panic; ours panics, and the rest is left as after any panic.
#[test]
fn an_initialiser_that_uses_itself_panics() {
    greenlit::run(|| {
        let once = Once::new();
        assert!(caught(|| once.call_once(|| once.call_once(|| ()))).is_err());
        let cell = OnceLock::new();
        let inner = caught(|| *cell.get_or_init(|| *cell.get_or_init(|| 1)));
        assert_eq!(
            inner,
            Err("call_once: the initialiser called it again".to_owned())
        );
        assert_eq!(*cell.get_or_init(|| 2), 2);
    });
}

#[test]
fn cells_are_taken_dropped_and_compared_as_std_s() {
    struct Counts(Rc<Cell<u32>>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let drops = Rc::new(Cell::new(0));
    let mut cell = OnceLock::from(Counts(drops.clone()));
    assert!(cell.set(Counts(drops.clone())).is_err());
    assert_eq!(drops.get(), 1);
    drop(cell.take());
    assert!(drops.get() == 2 && cell.get().is_none() && cell.take().is_none());
    assert!(cell.set(Counts(drops.clone())).is_ok());
    drop(cell.into_inner());
    drop(OnceLock::<Counts>::new());
    drop(OnceLock::from(Counts(drops.clone())));
    drop(LazyLock::<Counts, _>::new(|| Counts(drops.clone())));
    assert_eq!(drops.get(), 4);
    let lazy = LazyLock::<Counts, _>::new(|| Counts(drops.clone()));
    LazyLock::force(&lazy);
    drop(lazy);
    assert_eq!(drops.get(), 5);
    assert!(OnceLock::from(1) == OnceLock::from(1) && OnceLock::from(1) != OnceLock::new());
    assert_eq!(*LazyLock::<u32>::default(), 0);
}

/// Behaviour 20: two runtimes and an OS thread use one static at once; one initialiser runs.
#[test]
fn cross_thread_one_initialiser_runs() {
    for _ in 0..20 {
        let cell = OnceLock::new();
        let runs = AtomicU32::new(0);
        let start = std::sync::Barrier::new(3);
        let init = |number: u32| {
            *cell.get_or_init(|| {
                runs.fetch_add(1, Ordering::Relaxed);
                thread_yield();
                number
            })
        };
        let values: Vec<u32> = std::thread::scope(|scope| {
            let os = scope.spawn(|| {
                start.wait();
                init(0)
            });
            let green = [10, 20].map(|first| {
                let (init, start) = (&init, &start);
                scope.spawn(move || {
                    greenlit::run(|| {
                        start.wait();
                        thread::scope(|scope| {
                            let threads = [0, 1, 2].map(|n| scope.spawn(move || init(first + n)));
                            let values = threads.map(|t| t.join().unwrap());
                            assert!(values.iter().all(|value| *value == values[0]));
                            values[0]
                        })
                    })
                })
            });
            let green = green.map(|thread| thread.join().unwrap());
            vec![os.join().unwrap(), green[0], green[1]]
        });
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert!(values.iter().all(|value| Some(value) == cell.get()));
    }
}

/// Lets others run, in a runtime and outside.
fn thread_yield() {
    thread::yield_now();
    std::thread::yield_now();
}
