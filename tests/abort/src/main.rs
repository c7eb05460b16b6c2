//! A program whose panics abort: what blocking calls of cancelled green threads do in it, and how its
//! runs end. It prints what it has seen, and aborts where that is not as documented.

#[path = "../../without_unwinding/mod.rs"]
mod without_unwinding;

use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::{env, mem};

use greenlit::cancel::Cancelled;
use greenlit::coroutine::Coroutine;
use greenlit::net::TcpListener;
use greenlit::sync::Mutex;
use greenlit::time::{Duration, timeout};
use greenlit::{Runtime, run, thread};

const _: () = assert!(cfg!(panic = "abort"), "built with a profile that unwinds");

/// Set in the process that makes the checks.
const CHECKS: &str = "GREENLIT_ABORT_CHECKS";

/// Nothing can be unwound here, wherever it stands.
fn around<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Starts itself again, and looks at how that ends: normally, and without a word on stderr.
fn main() {
    if env::var_os(CHECKS).is_some() {
        without_unwinding::check();
        ends();
        return;
    }
    let mut again = Command::new(env::current_exe().expect("this program"));
    let output = again.env(CHECKS, "1").output().expect("a child process");
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
    assert!(output.stderr.is_empty(), "it said something on stderr");
    println!("all of it as documented, and a normal end");
}

/// Says when it is dropped.
struct Note(Rc<Cell<u32>>);

impl Drop for Note {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn ends() {
    let dropped = Rc::new(Cell::new(0));
    let note = || Note(dropped.clone());

    // A thread that is cancelled before it begins drops its closure.
    run(|| {
        let (own, ran) = (note(), Rc::new(Cell::new(false)));
        let begun = ran.clone();
        let worker = thread::spawn(move || {
            begun.set(true);
            drop(own);
        });
        worker.cancel("not needed");
        let payload = worker.join().expect_err("a cancel");
        let cancelled = payload.downcast_ref::<Cancelled>().expect("a cancel");
        assert_eq!(cancelled.reason(), "not needed");
        assert!(!ran.get());
    });
    assert_eq!(dropped.take(), 1);
    println!("a thread that is cancelled before it begins: dropped");

    // What ends by the error of its call ends well, however many they are.
    run(|| {
        for _ in 0..300 {
            let own = note();
            drop(thread::spawn(move || {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
                let error = listener.accept().expect_err("a cancel");
                (0..30).for_each(|_| thread::yield_now());
                drop((own, error));
            }));
        }
        thread::yield_now();
    });
    assert_eq!(dropped.take(), 300);
    println!("threads that return the error: ended");

    // What goes on is leaked, and what waits for what never comes; nobody has to wait for that.
    let with_patience = |patience| {
        let builder = Runtime::builder().stop_patience(patience);
        builder.build().expect("a runtime")
    };
    with_patience(Duration::MAX).run(|| {
        let [sleeps, accepts, locks, suspended] = [note(), note(), note(), note()];
        drop(thread::spawn(move || {
            let _own = sleeps;
            loop {
                thread::sleep(Duration::from_secs(3600));
            }
        }));
        drop(thread::spawn(move || {
            let _own = accepts;
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            for stream in listener.incoming() {
                assert!(stream.is_err());
            }
        }));
        let lock = Rc::new(Mutex::new(()));
        mem::forget(lock.lock());
        drop(thread::spawn(move || {
            let _own = locks;
            drop(lock.lock());
        }));
        drop(thread::spawn(move || {
            let coroutine: Coroutine<(), (), ()> = Coroutine::new(move |co, ()| {
                let _own = suspended;
                co.suspend(());
            });
            coroutine.resume(()).expect("it is suspended");
            loop {
                thread::park();
            }
        }));
        thread::yield_now();
    });
    assert_eq!(dropped.take(), 0);
    println!("threads that go on: leaked");

    // What only another OS thread could end is waited for as long as was asked.
    let (release, is_released) = mpsc::channel::<()>();
    let (locked, is_locked) = mpsc::channel();
    let lock = Arc::new(Mutex::new(()));
    let holder = std::thread::spawn({
        let lock = lock.clone();
        move || {
            let _guard = lock.lock().expect("no poison");
            locked.send(()).expect("main waits");
            let _ = is_released.recv();
        }
    });
    is_locked.recv().expect("the holder sends");
    with_patience(Duration::from_millis(2)).run(|| {
        let own = note();
        drop(thread::spawn(move || {
            let _own = own;
            drop(lock.lock());
        }));
        thread::yield_now();
    });
    drop(release);
    holder.join().expect("no panic");
    assert_eq!(dropped.take(), 0);
    println!("a thread that waits for another OS thread: leaked");

    // The value of a body that returns is its value, whatever its deadline says.
    let value = run(|| {
        timeout(Duration::from_millis(1), || {
            thread::sleep(Duration::from_secs(3600));
            "late"
        })
    });
    assert_eq!(value, Ok("late"));
    println!("timeout: the value of its body");
}
