//! `no_switch` and `assert_switches`.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use greenlit::sync::Mutex;
use greenlit::thread;

#[test]
fn no_switch_names_its_place() {
    greenlit::run(|| {
        let lock = Mutex::new(());
        let ready = thread::spawn(|| 1);
        let waits = thread::spawn(thread::park);
        thread::yield_now();
        thread::no_switch(|| {
            for _ in 0..1000 {
                drop(lock.lock().unwrap());
            }
            assert_eq!(ready.join().unwrap(), 1);
        });
        let others_ran = Rc::new(Cell::new(false));
        thread::spawn({
            let others_ran = others_ran.clone();
            move || others_ran.set(true)
        });
        type Call = Box<dyn FnOnce()>;
        let calls: [(Call, &str); 3] = [
            (Box::new(thread::yield_now), "a yield in the region"),
            (Box::new(thread::park), "would wait (parked)"),
            (
                Box::new(move || drop(waits.join())),
                "would wait (joining green thread #",
            ),
        ];
        for (call, said) in calls {
            let line = line!() + 1;
            let result = catch_unwind(AssertUnwindSafe(|| thread::no_switch(call)));
            let message = *result.unwrap_err().downcast::<String>().unwrap();
            assert!(message.contains(said), "{message}");
            assert!(
                message.contains(&format!("tests/switches.rs:{line}")),
                "{message}"
            );
        }
        assert!(!others_ran.get());
        thread::yield_now();
        assert!(others_ran.get());
    });
}

#[test]
fn assert_switches_tells_who_lets_others_run() {
    greenlit::run(|| {
        thread::assert_switches(thread::yield_now);
        thread::assert_switches(|| thread::sleep(Duration::from_nanos(1)));
        thread::assert_switches(|| {
            let _ = catch_unwind(|| thread::assert_switches(|| ()));
            thread::yield_now();
        });
        let lock = Mutex::new(());
        let result = catch_unwind(AssertUnwindSafe(|| {
            thread::assert_switches(|| drop(lock.lock()));
        }));
        assert!(result.is_err());
    });
    assert!(catch_unwind(|| thread::assert_switches(|| ())).is_err());
}
