//! `RemoteHandle`: the handle of what was started in another OS thread's runtime.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::Result;

use super::delivery::{Delivery, Shared};
use crate::park::{Core, Mailbox, Outsider, Wakeup};

/// What a [`Handle`](super::Handle) has started: an owned permission to wait for its end, in any OS
/// thread, and take its result. It is a future too, for any executor.
///
/// Dropping it detaches what was started. A panic that nobody takes is reported.
///
/// # Examples
///
/// ```
/// use greenlit::Runtime;
///
/// let mut runtime = Runtime::builder().build()?;
/// let handle = runtime.handle();
/// let caller = std::thread::spawn(move || handle.spawn(|| 6 * 7).join().unwrap());
/// runtime.run(|| {
///     let answer = greenlit::blocking::unblock(|| caller.join().unwrap());
///     assert_eq!(answer, 42);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct RemoteHandle<T> {
    shared: Arc<Shared<T>>,
    mailbox: Arc<Mailbox>,
    /// Says that somebody may still cancel something: such waits are no deadlock.
    _counted: Outsider,
}

impl<T> RemoteHandle<T> {
    pub(super) fn new(delivery: &Delivery<T>, mailbox: Arc<Mailbox>, counted: Outsider) -> Self {
        Self {
            shared: delivery.shared(),
            mailbox,
            _counted: counted,
        }
    }

    /// Waits for the end, and returns the result. A green thread parks, of whatever runtime it is; an OS
    /// thread without one blocks.
    ///
    /// # Panics
    ///
    /// Where a green thread or a task joins itself.
    ///
    /// # Errors
    ///
    /// The payload of the panic that ended it; [`Cancelled`](crate::cancel::Cancelled) where it was
    /// cancelled, or its runtime has ended before it did; an [`io::Error`](std::io::Error) where its
    /// green thread could not be made.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and detaches what it waited for. Where it cannot be
    /// unwound, it waits.
    #[track_caller]
    pub fn join(mut self) -> Result<T> {
        assert!(
            !self.shared.is_the_caller(),
            "join: a green thread cannot join itself"
        );
        let mut wakeup = Wakeup::new();
        loop {
            if let Poll::Ready(result) = wakeup.poll(Pin::new(&mut self)) {
                return result;
            }
            wakeup.wait("joining what was sent to a runtime");
        }
    }

    /// Whether it has ended, so that `join` would not wait.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.is_over()
    }

    /// Cancels it, as [`JoinHandle::cancel`](crate::thread::JoinHandle::cancel) does: what has not
    /// begun is dropped in its runtime, and never begins. It does not wait; the first reason stays.
    pub fn cancel(&self, reason: impl Into<Cow<'static, str>>)
    where
        T: Send + 'static,
    {
        if !self.shared.note_cancel(reason.into().into()) {
            return;
        }
        match Core::here().filter(|core| Arc::ptr_eq(&core.mailbox, &self.mailbox)) {
            Some(_) => self.shared.cancel_here(),
            None => self.mailbox.send(self.shared.clone()),
        }
    }
}

/// Awaiting it is [`join`](RemoteHandle::join) for futures.
///
/// # Panics
///
/// When it is polled again after it was ready.
impl<T> Future for RemoteHandle<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        self.shared.poll(context)
    }
}

impl<T> Drop for RemoteHandle<T> {
    fn drop(&mut self) {
        self.shared.detach();
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<RemoteHandle<u32>>();
};
