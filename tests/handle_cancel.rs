//! `Handle`: what was started from afar is cancelled from afar.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread as os;

use greenlit::cancel::Cancelled;
use greenlit::{Handle, future};

use crate::futures::{Dropped, Gate, elsewhere};

/// A cancel from afar ends what waits, in each of its forms, and it is dropped where it ran.
#[test]
fn cross_thread_what_runs_is_cancelled() {
    greenlit::run(|| {
        let here = os::current().id();
        elsewhere(move |handle| {
            let gate = Gate::default();
            let (send, receive) = mpsc::channel();
            let (begin, begun) = mpsc::channel();
            let tools = || (gate.clone(), Dropped(send.clone()), begin.clone());
            let remotes = [
                handle.spawn({
                    let (gate, _dropped, begin) = tools();
                    move || {
                        let _dropped = _dropped;
                        begin.send(()).unwrap();
                        future::block_on(gate);
                    }
                }),
                handle.spawn_future({
                    let (gate, _dropped, begin) = tools();
                    move || async move {
                        let _dropped = _dropped;
                        begin.send(()).unwrap();
                        gate.await;
                    }
                }),
                handle.call_soon({
                    let (gate, _dropped, begin) = tools();
                    move || {
                        let _dropped = _dropped;
                        begin.send(()).unwrap();
                        future::block_on(gate);
                    }
                }),
            ];
            for remote in remotes {
                begun.recv().unwrap();
                remote.cancel("enough");
                remote.cancel("once more");
                let payload = remote.join().unwrap_err();
                let cancelled = payload.downcast::<Cancelled>().unwrap();
                assert_eq!(cancelled.reason(), "enough");
                assert_eq!(receive.recv().unwrap(), here);
            }
        });
    });
}

/// What has not begun never begins, and is dropped where it would have run.
#[test]
fn what_has_not_begun_is_cancelled_from_afar() {
    greenlit::run(|| {
        let here = os::current().id();
        let handle = Handle::current();
        let (send, receive) = mpsc::channel();
        let has_begun = Arc::new(AtomicBool::new(false));
        let begin = {
            let has_begun = has_begun.clone();
            move |dropped: Dropped| {
                has_begun.store(true, Ordering::Relaxed);
                drop(dropped);
            }
        };
        // The runtime's OS thread is blocked meanwhile.
        let remotes = os::spawn(move || {
            let tools = || (begin.clone(), Dropped(send.clone()));
            let (first, second, third) = (tools(), tools(), tools());
            let remotes = [
                handle.spawn(move || (first.0)(first.1)),
                handle.spawn_future(move || async move { (second.0)(second.1) }),
                handle.call_soon(move || (third.0)(third.1)),
            ];
            for remote in &remotes {
                remote.cancel("not wanted");
            }
            remotes
        });
        for remote in remotes.join().unwrap() {
            let payload = remote.join().unwrap_err();
            assert_eq!(
                payload.downcast::<Cancelled>().unwrap().reason(),
                "not wanted"
            );
            assert_eq!(receive.recv().unwrap(), here);
        }
        assert!(!has_begun.load(Ordering::Relaxed));
    });
}

/// A value wins over a cancel, as ever.
#[test]
fn a_cancel_that_comes_too_late_changes_nothing() {
    greenlit::run(|| {
        elsewhere(|handle| {
            let remote = handle.spawn(|| 3);
            while !remote.is_finished() {
                os::yield_now();
            }
            remote.cancel("too late");
            assert_eq!(remote.join().unwrap(), 3);
        });
    });
}
