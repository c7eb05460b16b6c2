//! `Handle` and the end of its runtime: what was sent and has not begun, and what is sent later.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread as os;

use greenlit::cancel::{Cancelled, Scope};
use greenlit::{Handle, RemoteHandle, Runtime, RuntimeEnded, future, thread};
use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::alone::alone;
use crate::futures::{Dropped, Gate};

fn reason<T: std::fmt::Debug>(remote: RemoteHandle<T>) -> String {
    let payload = remote.join().unwrap_err();
    let cancelled = payload.downcast::<Cancelled>().unwrap();
    cancelled.reason().to_owned()
}

/// Sends one of each kind, of which each holds a `Dropped`, and must not run.
fn send_each(handle: &Handle, send: &mpsc::Sender<os::ThreadId>) -> [RemoteHandle<()>; 3] {
    let body = || {
        let dropped = Dropped(send.clone());
        move || {
            let _dropped = dropped;
            unreachable!("it was sent too late");
        }
    };
    let (first, second, third) = (body(), body(), body());
    [
        handle.spawn(first),
        handle.spawn_future(move || async move { second() }),
        handle.call_soon(third),
    ]
}

/// Behaviour 5: after the end calls return an error, which gives the closure back.
#[test]
fn after_the_end_calls_say_so() {
    let handle = greenlit::run(Handle::current);
    assert!(handle.is_closed());
    let RuntimeEnded(f) = handle.try_spawn(|| 5).unwrap_err();
    let error = std::io::Error::from(RuntimeEnded(&f));
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
    assert_eq!(error.to_string(), "the runtime has ended");
    let f = RuntimeEnded(f).into_inner();
    assert_eq!(f(), 5);

    let (send, receive) = mpsc::channel();
    let remotes = send_each(&handle, &send);
    assert!(remotes.iter().all(RemoteHandle::is_finished));
    remotes.iter().for_each(|remote| remote.cancel("anyway"));
    for remote in remotes {
        assert_eq!(reason(remote), "the run has ended");
        assert_eq!(receive.recv().unwrap(), os::current().id());
    }
}

/// What was sent before the main closure returned is dropped at the end of the run, on the runtime's
/// OS thread; what had begun is cancelled like all the rest.
#[test]
fn what_has_not_begun_is_dropped_at_the_end_of_the_run() {
    let (send, receive) = mpsc::channel();
    let mut runtime = Runtime::builder().build().unwrap();
    let (begun, waiting) = runtime.run(|| {
        let handle = Handle::current();
        let begun = handle.spawn(thread::park);
        thread::yield_now();
        thread::yield_now();
        let waiting = os::spawn(move || send_each(&handle, &send));
        (begun, waiting.join().unwrap())
    });
    assert_eq!(reason(begun), "the run has ended");
    for remote in waiting {
        assert!(remote.is_finished());
        assert_eq!(reason(remote), "the run has ended");
        assert_eq!(receive.recv().unwrap(), os::current().id());
    }
}

/// A runtime can run again, and what was sent between two runs begins in the second, before its closure
/// gives the CPU away for the first time to anybody else.
#[test]
fn what_is_sent_between_runs_begins_in_the_next() {
    let mut runtime = Runtime::builder().build().unwrap();
    let handle = runtime.handle();
    let (send, receive) = mpsc::channel();
    for round in 0..3 {
        let remote = os::spawn({
            let (handle, send) = (handle.clone(), send.clone());
            move || handle.spawn(move || send.send(round).unwrap())
        })
        .join()
        .unwrap();
        assert!(!remote.is_finished());
        runtime.run(|| {
            let handle = handle.clone();
            let send = send.clone();
            // This is sent later, and is served later.
            let later = handle.spawn(move || send.send(round + 100).unwrap());
            later.join().unwrap();
        });
        remote.join().unwrap();
        assert_eq!(receive.try_iter().collect::<Vec<_>>(), [round, round + 100]);
    }
}

/// Where the runtime never runs again, it takes along what was sent, on its OS thread.
#[test]
fn a_runtime_that_is_dropped_drops_what_waits() {
    let (send, receive) = mpsc::channel();
    let runtime = Runtime::builder().build().unwrap();
    let handle = runtime.handle();
    let remotes = os::spawn(move || {
        // What it was sent may hold a handle of the runtime itself.
        let own = handle.clone();
        drop(handle.spawn(move || drop(own)));
        send_each(&handle, &send)
    });
    let remotes = remotes.join().unwrap();
    assert!(!remotes.iter().any(RemoteHandle::is_finished));
    let waiter = os::spawn(|| remotes.map(reason));
    drop(runtime);
    assert_eq!(waiter.join().unwrap(), ["the run has ended"; 3]);
    for _ in 0..3 {
        assert_eq!(receive.recv().unwrap(), os::current().id());
    }
}

/// What is dropped unread may panic in its destructor: the rest is dropped all the same.
#[test]
fn a_destructor_that_panics_is_reported() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("bomb"));
        }
    }
    let runtime = Runtime::builder().build().unwrap();
    let (handle, bomb) = (runtime.handle(), Bomb);
    let first = handle.call_soon(move || drop(bomb));
    let second = handle.call_soon(|| ());
    drop(runtime);
    assert_eq!(reason(first), "the run has ended");
    assert_eq!(reason(second), "the run has ended");
}

/// Nothing is kept: not by letters that nobody reads, nor by handles that outlive what they started.
#[test]
fn nothing_leaks() {
    let token = Arc::new(());
    let give = || {
        let token = token.clone();
        move || drop(token)
    };
    let handle = greenlit::run(|| {
        let handle = Handle::current();
        handle.spawn(give()).join().unwrap();
        drop(handle.spawn(give()));
        let cancelled = handle.spawn(give());
        cancelled.cancel("at once");
        drop(cancelled);
        let other = handle.clone();
        let held = give();
        os::spawn(move || drop(other.call_soon(held)))
            .join()
            .unwrap();
        handle
    });
    drop(handle.call_soon(give()));
    assert_eq!(Arc::strong_count(&token), 1);
}

/// A result that nobody has taken is dropped with its handle, wherever that is.
#[test]
fn a_result_goes_with_its_handle() {
    let (send, receive) = mpsc::channel();
    let remote = greenlit::run(|| {
        let dropped = Dropped(send);
        let remote = Handle::current().call_soon(|| dropped);
        thread::yield_now();
        remote
    });
    assert!(remote.is_finished());
    let other = os::spawn(move || {
        drop(remote);
        os::current().id()
    });
    assert_eq!(receive.recv().unwrap(), other.join().unwrap());
}

/// Those that wait in an OS thread or a future hear of the end.
#[test]
fn who_waits_hears_of_the_end() {
    let (send, receive) = mpsc::channel();
    let runtime = os::spawn(move || {
        greenlit::run(|| {
            let gate = Gate::default();
            send.send((Handle::current(), gate.clone())).unwrap();
            future::block_on(gate);
        });
    });
    let (handle, gate) = receive.recv().unwrap();
    let (begin, begun) = mpsc::channel();
    let parked = handle.spawn(move || {
        begin.send(()).unwrap();
        thread::park();
    });
    begun.recv().unwrap();
    let pending = handle.spawn_future(|| async {
        let _local = Rc::new(());
        std::future::pending::<()>().await;
    });
    handle.call_soon(move || gate.open());
    assert_eq!(reason(parked), "the run has ended");
    let payload = future::block_on(pending).unwrap_err();
    assert!(payload.is::<Cancelled>());
    runtime.join().unwrap();
}

/// Tells of a possible deadlock.
struct Listener(mpsc::Sender<()>);

impl<S: tracing::Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct IsDeadlock(bool);
        impl Visit for IsDeadlock {
            fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
                self.0 |= format!("{value:?}").starts_with("possible deadlock");
            }
        }
        let mut found = IsDeadlock(false);
        event.record(&mut found);
        if found.0 {
            let _ = self.0.send(());
        }
    }
}

thread_local! {
    static SCOPE: Cell<Option<Scope>> = const { Cell::new(None) };
}

/// Behaviour 54: a live handle in another OS thread is not a deadlock; a dropped one is none any more.
#[test]
fn a_live_handle_is_no_deadlock() {
    let _ = alone("a_live_handle_is_no_deadlock", || {
        let (warn, warned) = mpsc::channel();
        let subscriber = tracing_subscriber::registry().with(Listener(warn));
        tracing::subscriber::set_global_default(subscriber).unwrap();
        let was_served = AtomicBool::new(false);
        let payload = std::panic::catch_unwind(|| {
            greenlit::run(|| {
                let scope = Scope::new();
                SCOPE.set(Some(scope.clone()));
                let handle = Handle::current();
                let other = os::spawn(move || {
                    // Every green thread is parked, and the runtime has looked for who could end that.
                    warned.recv().unwrap();
                    let sent = handle.call_soon(|| SCOPE.take().unwrap().cancel("go on"));
                    sent.join().unwrap();
                });
                let stuck = future::spawn(std::future::pending::<()>());
                let joined = scope.run(|| stuck.join().unwrap());
                assert_eq!(joined.unwrap_err().reason(), "go on");
                other.join().unwrap();
                was_served.store(true, Ordering::Relaxed);
                let stuck = future::spawn(std::future::pending::<()>());
                stuck.join().unwrap();
            });
        });
        let report = payload.unwrap_err().downcast::<String>().unwrap();
        assert!(report.starts_with("deadlock: all 1"), "{report}");
        assert!(was_served.load(Ordering::Relaxed), "{report}");
    });
}
