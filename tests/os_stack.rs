//! `thread::on_os_stack`: a call that needs more stack than a green thread has.

use std::cell::Cell;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use greenlit::coroutine::{Coroutine, Resumed};
use greenlit::thread::{self, on_os_stack};
use greenlit::{Runtime, run};

/// Uses a KiB of stack or more for each level.
fn descend(levels: usize) -> usize {
    let frame = [1_u8; 1024];
    let here = black_box(&frame)[levels % 1024];
    match levels {
        1 => 1,
        _ => descend(levels - 1) + usize::from(here),
    }
}

/// More than a MiB, and within the two that the threads of a test have.
const DEEP: usize = 1100;

fn small<T: 'static>(f: impl FnOnce() -> T + 'static) -> std::thread::Result<T> {
    let small = thread::Builder::new().stack_size(64 * 1024);
    small.spawn(f).unwrap().join()
}

#[test]
fn smoke() {
    run(|| assert_eq!(small(|| on_os_stack(|| 7)).unwrap(), 7));
}

/// On a stack of 64 KiB, where the same recursion by itself ends the process.
#[test]
fn a_deep_recursion_fits() {
    run(|| assert_eq!(small(|| on_os_stack(|| descend(DEEP))).unwrap(), DEEP));
}

/// The frames of main stay as they are while others use the stack below them.
#[test]
fn mains_frames_are_left_alone() {
    run(|| {
        let mut word = [7_usize; 64];
        for round in 1..20 {
            let other = small(move || on_os_stack(|| descend(round * 50)));
            assert_eq!(other.unwrap(), round * 50);
            black_box(&mut word);
        }
        assert_eq!(word, [7; 64]);
    });
}

/// `f` may borrow what lies on the green thread's stack, and it is the same OS thread.
#[test]
fn it_may_borrow() {
    run(|| {
        let here = std::thread::current().id();
        let count = small(move || {
            let (mut count, shared) = (1, Rc::new(2));
            on_os_stack(|| {
                assert_eq!(std::thread::current().id(), here);
                count += *shared;
            });
            count
        });
        assert_eq!(count.unwrap(), 3);
    });
}

#[test]
fn a_panic_comes_back() {
    run(|| {
        let result = small(|| {
            let panics = || on_os_stack(|| -> u8 { std::panic::resume_unwind(Box::new("deep")) });
            let payload = catch_unwind(panics).unwrap_err();
            // Back in the runtime: this parks.
            thread::sleep(Duration::from_millis(1));
            payload.downcast_ref::<&str>().copied()
        });
        assert_eq!(result.unwrap(), Some("deep"));
        assert_eq!(small(|| on_os_stack(|| descend(DEEP))).unwrap(), DEEP);
    });
}

#[test]
fn a_call_inside_a_call_is_called_in_place() {
    run(|| {
        let depth = small(|| on_os_stack(|| on_os_stack(|| descend(DEEP)) + descend(DEEP)));
        assert_eq!(depth.unwrap(), 2 * DEEP);
    });
}

/// What blocks in there blocks the OS thread: nobody else runs before it has ended.
#[test]
fn what_blocks_blocks_the_os_thread() {
    run(|| {
        let ran = Rc::new(Cell::new(false));
        let caller = {
            let ran = ran.clone();
            move || {
                on_os_stack(|| {
                    thread::sleep(Duration::from_millis(1));
                    thread::yield_now();
                    let lock = Mutex::new(1);
                    assert_eq!(*lock.lock().unwrap(), 1);
                    assert!(thread::Builder::new().spawn(|| ()).is_err());
                    assert!(!ran.get());
                })
            }
        };
        let caller = thread::spawn(caller);
        let other = {
            let ran = ran.clone();
            thread::spawn(move || ran.set(true))
        };
        caller.join().unwrap();
        other.join().unwrap();
        assert!(ran.get());
    });
}

/// An unpark from there is not lost, and wakes a green thread afterwards.
#[test]
fn it_may_unpark_others() {
    run(|| {
        let sleeper = thread::spawn(thread::park);
        let handle = sleeper.thread().clone();
        thread::yield_now();
        small(move || on_os_stack(|| handle.unpark())).unwrap();
        sleeper.join().unwrap();
    });
}

/// Main and code outside a runtime stand on that stack already.
#[test]
fn on_that_stack_already_it_is_a_call() {
    assert_eq!(on_os_stack(|| descend(DEEP)), DEEP);
    run(|| {
        // A plain call: main parks inside it, and others use what is free below.
        let inner = on_os_stack(|| small(|| on_os_stack(|| descend(DEEP))));
        assert_eq!(inner.unwrap(), DEEP);
    });
}

/// A green thread's coroutine, and one that main is inside of; with and without a runtime.
#[test]
fn coroutines_may_call() {
    let deep = || Coroutine::<(), (), usize>::new(|_, ()| on_os_stack(|| descend(DEEP)));
    assert_eq!(deep().resume(()).unwrap(), Resumed::Returned(DEEP));
    run(|| {
        assert_eq!(deep().resume(()).unwrap(), Resumed::Returned(DEEP));
        let resumed = small(move || deep().resume(()).unwrap());
        assert_eq!(resumed.unwrap(), Resumed::Returned(DEEP));
        // Main waits inside a coroutine while another one calls.
        let co = Coroutine::<(), (), usize>::new(|_, ()| {
            small(|| on_os_stack(|| descend(DEEP))).unwrap()
        });
        assert_eq!(co.resume(()).unwrap(), Resumed::Returned(DEEP));
    });
}

/// The stack of the call is not the coroutine's, so its `suspend` refuses (rule 1).
#[test]
fn a_coroutine_cannot_suspend_from_there() {
    run(|| {
        let co = Coroutine::<(), (), bool>::new(|co, ()| {
            let suspends = std::panic::AssertUnwindSafe(|| on_os_stack(|| co.suspend(())));
            catch_unwind(suspends).is_err()
        });
        assert_eq!(co.resume(()).unwrap(), Resumed::Returned(true));
        let resumed = small(move || {
            let co = Coroutine::<(), (), bool>::new(|co, ()| {
                let suspends = std::panic::AssertUnwindSafe(|| on_os_stack(|| co.suspend(())));
                catch_unwind(suspends).is_err()
            });
            co.resume(()).unwrap()
        });
        assert_eq!(resumed.unwrap(), Resumed::Returned(true));
    });
}

/// In a runtime on an OS thread other than the first, whose stack is a mapping.
#[test]
fn on_any_os_thread() {
    let other = std::thread::Builder::new().stack_size(4 << 20);
    let deep = other.spawn(|| {
        let mut runtime = Runtime::builder().stack_size(32 * 1024).build().unwrap();
        let mut deep = || runtime.run(|| thread::spawn(|| on_os_stack(|| descend(DEEP))).join());
        (deep().unwrap(), deep().unwrap())
    });
    assert_eq!(deep.unwrap().join().unwrap(), (DEEP, DEEP));
}

/// A destructor of a cancelled green thread may call too.
#[test]
fn a_cancelled_thread_may_call() {
    struct Deep(Rc<Cell<usize>>);
    impl Drop for Deep {
        fn drop(&mut self) {
            self.0.set(on_os_stack(|| descend(DEEP)));
        }
    }
    let depth = Rc::new(Cell::new(0));
    run(|| {
        let deep = Deep(depth.clone());
        let small = thread::Builder::new().stack_size(64 * 1024);
        let parked = small.spawn(move || {
            let _deep = deep;
            thread::park();
        });
        thread::yield_now();
        drop(parked);
    });
    assert_eq!(depth.get(), DEEP);
}
