//! What the tests of futures share: a log, a gate that somebody opens, and what goes on elsewhere.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread as os;

use greenlit::Handle;
use greenlit::blocking::unblock;

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    pub fn add(&self, what: &'static str) {
        self.0.borrow_mut().push(what);
    }

    pub fn all(&self) -> Vec<&'static str> {
        self.0.borrow().clone()
    }
}

/// Ready when somebody has opened it; many may wait.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub fn open(&self) {
        let wakers = {
            let mut gate = self.0.lock().unwrap();
            gate.0 = true;
            std::mem::take(&mut gate.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        if gate.0 {
            return Poll::Ready(());
        }
        gate.1.push(context.waker().clone());
        Poll::Pending
    }
}

/// Runs `f` on another OS thread, with a handle of this runtime, and waits for it; green threads run
/// meanwhile.
pub fn elsewhere<T: Send + 'static>(f: impl FnOnce(Handle) -> T + Send + 'static) -> T {
    let handle = Handle::current();
    unblock(move || f(handle))
}

/// Sends the number of the OS thread that drops it.
pub struct Dropped(pub mpsc::Sender<os::ThreadId>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(os::current().id());
    }
}
