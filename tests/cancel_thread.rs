//! The cancel of a green thread by who holds its handle.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use greenlit::cancel::{self, Cancelled};
use greenlit::thread;
use greenlit::time::timeout;

const LONG: Duration = Duration::from_secs(3600);

/// Counts its drops.
struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_thread_is_asked_and_later_cancelled() {
    greenlit::run(|| {
        let listens = thread::spawn(|| cancel::until_requested(thread::park).is_err());
        let sleeps = thread::spawn(|| thread::sleep(LONG));
        thread::yield_now();
        listens.cancel_softly("go home", LONG);
        sleeps.cancel_softly("go home", Duration::from_millis(1));
        assert!(listens.join().unwrap());
        let payload = sleeps.join().unwrap_err();
        assert_eq!(payload.downcast::<Cancelled>().unwrap().reason(), "go home");
    });
}

#[test]
fn a_handle_cancels_on_drop_unless_it_was_joined() {
    greenlit::run(|| {
        let ended = Rc::new(Cell::new(0));
        let waits = || {
            let ended = ended.clone();
            thread::spawn(move || {
                let _guard = Counted(ended);
                thread::park();
            })
        };
        drop(waits().cancel_on_drop());
        thread::yield_now();
        assert_eq!(ended.get(), 0, "it had not begun");
        let handle = waits().cancel_on_drop();
        thread::yield_now();
        drop(handle);
        thread::yield_now();
        assert_eq!(ended.get(), 1);
        let handle = waits().cancel_on_drop();
        handle.thread().unpark();
        handle.join().unwrap();
        assert_eq!(ended.get(), 2);
        // Who waits in its join is cancelled: it goes along.
        let handle = waits().cancel_on_drop();
        let result = timeout(Duration::ZERO, || handle.join());
        assert!(result.is_err());
        thread::yield_now();
        thread::yield_now();
        assert_eq!(ended.get(), 3);
        let detached = waits().cancel_on_drop().into_inner();
        thread::yield_now();
        assert!(!detached.is_finished());
    });
}
