//! `Handle`: what other OS threads start in a runtime, in which order, and how they get its result.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread as os;

use greenlit::time::{Duration, Instant};
use greenlit::{Handle, RemoteHandle, Runtime, future, thread};

use crate::alone::alone;
use crate::futures::{Gate, elsewhere};

#[test]
fn smoke() {
    greenlit::run(|| {
        let here = os::current().id();
        let (there, sum) = elsewhere(|handle| {
            let remote = handle.spawn(|| (os::current().id(), 1 + 1));
            remote.join().unwrap()
        });
        assert_eq!((there, sum), (here, 2));
    });
}

#[test]
fn outside_a_runtime_there_is_no_current_handle() {
    assert!(Handle::try_current().is_none());
    greenlit::run(|| assert!(Handle::try_current().is_some()));
}

thread_local! {
    /// What the tests' callbacks wrote down, on the runtime's OS thread.
    static NOTES: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

fn note(number: u32) {
    NOTES.with_borrow_mut(|notes| notes.push(number));
}

/// Behaviour 5: in order, of whatever kind they are.
#[test]
fn what_one_os_thread_sends_begins_in_order() {
    greenlit::run(|| {
        elsewhere(|handle| {
            for number in 0..1000 {
                if number % 2 == 0 {
                    handle.call_soon(move || note(number));
                } else {
                    handle.spawn_future(move || async move { note(number) });
                }
            }
            handle.call_soon(|| ()).join().unwrap();
        });
        assert_eq!(NOTES.take(), (0..1000).collect::<Vec<_>>());

        elsewhere(|handle| {
            let all: Vec<_> = (0..1000).map(|n| handle.spawn(move || note(n))).collect();
            all.into_iter().for_each(|remote| remote.join().unwrap());
        });
        assert_eq!(NOTES.take(), (0..1000).collect::<Vec<_>>());
    });
}

/// Behaviour 5: each OS thread's own order holds where several send at once.
#[test]
fn cross_thread_several_send_at_once() {
    const EACH: u32 = 200;
    greenlit::run(|| {
        elsewhere(|handle| {
            let start = Arc::new(Barrier::new(4));
            let senders: Vec<_> = (0..4)
                .map(|sender| {
                    let (handle, start) = (handle.clone(), start.clone());
                    os::spawn(move || {
                        start.wait();
                        for number in 0..EACH {
                            handle.call_soon(move || note(sender * EACH + number));
                        }
                        handle.call_soon(|| ()).join().unwrap();
                    })
                })
                .collect();
            senders
                .into_iter()
                .for_each(|sender| sender.join().unwrap());
        });
        let notes = NOTES.take();
        assert_eq!(notes.len(), 4 * EACH as usize);
        for sender in 0..4 {
            let own: Vec<_> = notes
                .iter()
                .filter(|note| *note / EACH == sender)
                .map(|note| note % EACH)
                .collect();
            assert_eq!(own, (0..EACH).collect::<Vec<_>>());
        }
    });
}

/// How many writes the one eventfd of this process has had, which nobody reads.
fn eventfd_writes() -> u64 {
    let fds = std::fs::read_dir("/proc/self/fdinfo").unwrap();
    let infos = fds.filter_map(|fd| std::fs::read_to_string(fd.ok()?.path()).ok());
    let counts = infos.filter_map(|info| {
        let line = info
            .lines()
            .find(|line| line.starts_with("eventfd-count:"))?;
        u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()
    });
    counts.sum()
}

/// Behaviour 5: one eventfd write at most for a batch, and none from the runtime's own OS thread.
#[test]
fn a_batch_costs_one_write() {
    let _ = alone("a_batch_costs_one_write", || {
        greenlit::run(|| {
            let handle = Handle::current();
            let before = eventfd_writes();
            let sender = {
                let handle = handle.clone();
                os::spawn(move || (0..100).for_each(|n| drop(handle.call_soon(move || note(n)))))
            };
            // The OS thread is blocked meanwhile, and reads no letter.
            sender.join().unwrap();
            assert_eq!(eventfd_writes() - before, 1);

            let own: Vec<_> = (100..200)
                .map(|n| handle.call_soon(move || note(n)))
                .collect();
            own.into_iter().for_each(|remote| remote.join().unwrap());
            while NOTES.with_borrow(Vec::len) < 200 {
                thread::yield_now();
            }
            assert_eq!(eventfd_writes() - before, 1);
        });
    });
}

/// Behaviour 5: a runtime that sleeps in the kernel, with nothing of its own to wait for, is woken.
#[test]
fn cross_thread_a_sleeping_runtime_is_woken() {
    greenlit::run(|| {
        let (handle, main) = (Handle::current(), thread::current());
        let sender = os::spawn(move || {
            for _ in 0..100 {
                let woken = handle.spawn(thread::yield_now);
                woken.join().unwrap();
            }
            handle.call_soon(move || main.unpark());
        });
        thread::park();
        sender.join().unwrap();
    });
}

#[test]
fn the_own_os_thread_sends_in_order_too() {
    greenlit::run(|| {
        let handle = Handle::current();
        let all: Vec<_> = (0..10)
            .map(|n| match n % 2 {
                0 => handle.call_soon(move || note(n)),
                _ => handle.spawn_future(move || async move { note(n) }),
            })
            .collect();
        NOTES.with_borrow(|notes| assert!(notes.is_empty(), "called at once"));
        all.into_iter().for_each(|remote| remote.join().unwrap());
        assert_eq!(NOTES.take(), (0..10).collect::<Vec<_>>());
    });
}

/// The future need not be `Send`: it is made where it runs.
#[test]
fn a_future_is_made_on_the_runtimes_os_thread() {
    greenlit::run(|| {
        let value = elsewhere(|handle| {
            let remote = handle.spawn_future(|| {
                let shared = Rc::new(Cell::new(1));
                async move {
                    for _ in 0..3 {
                        shared.set(shared.get() * 2);
                        future::yield_now().await;
                    }
                    shared.get()
                }
            });
            remote.join().unwrap()
        });
        assert_eq!(value, 8);
    });
}

/// A callback may block: then it has a stack of a runner's, and others take over.
#[test]
fn a_callback_may_block() {
    greenlit::run(|| {
        elsewhere(|handle| {
            let (sender, receiver) = greenlit::sync::mpsc::channel();
            let first = handle.call_soon(move || receiver.recv().unwrap());
            let second = handle.call_soon(move || sender.send(7).unwrap());
            assert_eq!(first.join().unwrap(), 7);
            second.join().unwrap();
        });
    });
}

/// A remote handle is waited for by futures of other executors and runtimes, and by green threads,
/// while others run.
#[test]
fn a_remote_handle_is_a_future() {
    let (send, receive) = mpsc::channel();
    let server = os::spawn(move || {
        let (quit, gate) = (Gate::default(), Gate::default());
        let mut runtime = Runtime::builder().build().unwrap();
        send.send((runtime.handle(), quit.clone(), gate.clone()))
            .unwrap();
        runtime.run(|| future::block_on(quit));
    });
    let (handle, quit, gate) = receive.recv().unwrap();

    // An OS thread.
    let remote = handle.spawn(|| 1);
    assert_eq!(future::block_on(remote).unwrap(), 1);
    // A task of another runtime, which is woken from afar.
    let other = handle.clone();
    let sum = greenlit::run(|| {
        let task = future::spawn({
            let gate = gate.clone();
            async move { other.spawn(move || future::block_on(gate)).await.unwrap() }
        });
        thread::yield_now();
        assert!(!task.is_finished());
        gate.open();
        task.join().unwrap();
        // A green thread of it.
        let waiter = thread::spawn(move || handle.spawn(|| 2).join().unwrap());
        waiter.join().unwrap() + 1
    });
    assert_eq!(sum, 3);
    quit.open();
    server.join().unwrap();
}

#[test]
fn is_finished_tells_and_a_taken_result_stays_taken() {
    greenlit::run(|| {
        let mut remote = Handle::current().call_soon(|| 5);
        assert!(!remote.is_finished());
        assert_eq!(future::block_on(&mut remote).unwrap(), 5);
        assert!(remote.is_finished());
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            future::block_on(&mut remote)
        }));
        assert!(again.is_err());
    });
}

/// Behaviour 44, across OS threads.
#[test]
fn a_panic_is_the_result() {
    fn payload<T: std::fmt::Debug>(remote: RemoteHandle<T>) -> &'static str {
        *remote.join().unwrap_err().downcast::<&str>().unwrap()
    }
    greenlit::run(|| {
        elsewhere(|handle| {
            let resume = |what: &'static str| std::panic::resume_unwind(Box::new(what));
            assert_eq!(payload(handle.spawn(move || resume("thread"))), "thread");
            assert_eq!(payload(handle.call_soon(move || resume("call"))), "call");
            let poll = handle.spawn_future(move || async move { resume("poll") });
            assert_eq!(payload(poll), "poll");
            let make = handle.spawn_future(move || {
                resume("make");
                async {}
            });
            assert_eq!(payload(make), "make");
            // The runtime goes on.
            assert_eq!(handle.spawn(|| 1).join().unwrap(), 1);
        });
    });
}

#[test]
fn a_panic_that_nobody_takes_is_reported_once() {
    let Some(child) = alone("a_panic_that_nobody_takes_is_reported_once", || {
        greenlit::run(|| {
            elsewhere(|handle| {
                let end = |what: &'static str| std::panic::resume_unwind(Box::new(what));
                drop(handle.spawn(move || end("before the end")));
                handle.call_soon(|| ()).join().unwrap();
                drop(handle.call_soon(move || end("a callback")));
                let remote = handle.spawn(move || end("after the end"));
                while !remote.is_finished() {
                    os::yield_now();
                }
                drop(remote);
            });
        });
        let mut narrow = Runtime::builder().max_threads(0).build().unwrap();
        narrow.run(|| {
            let remote = Handle::current().spawn(|| ());
            drop(Handle::current().spawn(|| ()));
            thread::yield_now();
            assert!(remote.is_finished());
        });
    }) else {
        return;
    };
    let text = String::from_utf8_lossy(&child.stderr);
    for what in ["before the end", "a callback", "after the end"] {
        let line = format!("panicked and nobody joined it: {what}\n");
        assert_eq!(text.matches(&line).count(), 1, "{text}");
    }
    let line = "could not begin and nobody joined it: as many live already";
    assert_eq!(text.matches(line).count(), 2, "{text}");
}

#[test]
fn a_green_thread_that_cannot_be_made_is_an_error() {
    let mut runtime = Runtime::builder().max_threads(1).build().unwrap();
    runtime.run(|| {
        let error = elsewhere(|handle| {
            let gate = Gate::default();
            let first = handle.spawn({
                let gate = gate.clone();
                move || future::block_on(gate)
            });
            let error = handle.spawn(|| ()).join().unwrap_err();
            gate.open();
            first.join().unwrap();
            error
        });
        let error = error.downcast::<std::io::Error>().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    });
}

/// Behaviour 7, of remote handles.
#[test]
fn who_joins_himself_is_told() {
    greenlit::run(|| {
        elsewhere(|handle| {
            let body = |own: Arc<Mutex<Option<RemoteHandle<()>>>>, gate: Gate| {
                move || {
                    future::block_on(gate);
                    let itself = own.lock().unwrap().take().unwrap();
                    let joined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        let _ = itself.join();
                    }));
                    let text = *joined.unwrap_err().downcast::<&str>().unwrap();
                    assert_eq!(text, "join: a green thread cannot join itself");
                }
            };
            let (send, receive) = mpsc::channel();
            for start in [0, 1] {
                let own = Arc::new(Mutex::new(None::<RemoteHandle<()>>));
                let gate = Gate::default();
                let (send, body) = (send.clone(), body(own.clone(), gate.clone()));
                let body = move || {
                    body();
                    send.send(()).unwrap();
                };
                let remote = match start {
                    0 => handle.spawn(body),
                    _ => handle.call_soon(body),
                };
                *own.lock().unwrap() = Some(remote);
                gate.open();
                receive.recv().unwrap();
            }
        });
    });
}

/// Behaviour 9, from afar: by their deadlines, equal ones in the order in which they were sent.
#[test]
fn delayed_calls_come_in_the_order_of_their_deadlines() {
    greenlit::run(|| {
        elsewhere(|handle| {
            let mut wait = Duration::from_millis(5);
            loop {
                let at = Instant::now() + wait;
                let all = [
                    handle.call_at(at + wait, || (note(3), Instant::now())),
                    handle.call_at(at, || (note(1), Instant::now())),
                    handle.call_at(at, || (note(2), Instant::now())),
                    handle.call_later(Duration::ZERO, || (note(0), Instant::now())),
                ];
                handle.call_soon(|| ()).join().unwrap();
                let were_set_in_time = Instant::now() < at;
                let times = all.map(|remote| remote.join().unwrap().1);
                assert!(times[0] >= at + wait && times[1] >= at && times[2] >= at);
                if were_set_in_time {
                    break;
                }
                // The machine is slow: once more, with more time.
                handle.call_soon(|| NOTES.take()).join().unwrap();
                wait *= 2;
            }
            let never = handle.call_later(Duration::MAX, || note(9));
            handle.call_soon(|| ()).join().unwrap();
            assert!(!never.is_finished());
        });
        assert_eq!(NOTES.take(), [0, 1, 2, 3]);
    });
}

/// A handle of a runtime serves its green threads as well, without a letter.
#[test]
fn a_green_thread_joins_what_its_own_runtime_runs() {
    greenlit::run(|| {
        let remote = Handle::current().spawn(|| {
            thread::yield_now();
            9
        });
        assert_eq!(remote.join().unwrap(), 9);
        fn is_future<F: Future>(_: F) {}
        is_future(Handle::current().call_soon(|| ()));
    });
}
