//! The cancel of a green thread by who holds its handle: at once, or when the handle goes.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::Result;
use std::time::Duration;

use super::join::{Claim, JoinHandle};
use crate::clock;
use crate::park::{Cause, Core};
use crate::scheduler::State;

impl<T> JoinHandle<T> {
    /// Cancels the green thread: the blocking call that it is in, or its next one, unwinds it. Of a
    /// task the future is dropped, at its next turn.
    ///
    /// Its destructors run, and whoever joins it gets [`Cancelled`](crate::cancel::Cancelled), with
    /// `reason` in it, in place of a panic's payload. A thread that has not begun drops its closure. A
    /// call that is complete returns its value all the same, and a thread that makes no blocking call
    /// any more ends as if nobody had asked. To cancel twice is to cancel once: the first reason
    /// stays. It does not wait; [`join`](Self::join) does. A handle stays on its OS thread: what others
    /// are to cancel runs in a [`cancel::Scope`](crate::cancel::Scope), whose handle they may have.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::cancel::Cancelled;
    /// use greenlit::{thread, time::Duration};
    ///
    /// greenlit::run(|| {
    ///     let ticker = thread::spawn(|| loop {
    ///         thread::sleep(Duration::from_secs(1));
    ///     });
    ///     ticker.cancel("the game is over");
    ///     assert!(ticker.join().unwrap_err().is::<Cancelled>());
    /// });
    /// ```
    pub fn cancel(&self, reason: impl Into<Cow<'static, str>>) {
        self.cancel_for(reason.into().into());
    }

    /// Asks the green thread to come to an end, and cancels it when `grace` has passed.
    ///
    /// Until then blocking calls go on as ever, but for those in
    /// [`until_requested`](crate::cancel::until_requested), which end at once, and the thread can ask
    /// [`requested`](crate::cancel::requested).
    pub fn cancel_softly(&self, reason: impl Into<Cow<'static, str>>, grace: Duration) {
        let end = clock::after(grace);
        self.request_for(reason.into().into(), end);
    }

    /// The same handle, whose drop cancels the thread instead of detaching it.
    pub fn cancel_on_drop(self) -> CancelOnDrop<T> {
        CancelOnDrop { handle: Some(self) }
    }
}

impl<T> Claim<T> {
    pub(super) fn cancel(&self, cause: Cause) {
        let record = self.record();
        match Core::of(record) {
            Some(core) => {
                core.cancel_thread(record, cause);
                // Those who wait in its scopes, for a request too, hear of it.
                core.wake_listeners();
            }
            None if record.state.get() == State::Done => {}
            // Its runtime does not run: nobody waits there.
            None => record.cancel(cause),
        }
    }

    /// Asks the thread to come to an end until `deadline`.
    pub(super) fn request(&self, cause: Cause, deadline: u64) {
        let record = self.record();
        match Core::of(record) {
            Some(core) => {
                core.request_thread(record, cause, deadline);
                core.wake_listeners();
            }
            None if record.state.get() == State::Done => {}
            None => record.request(cause, deadline),
        }
    }
}

/// A [`JoinHandle`] whose drop cancels its green thread: made by [`JoinHandle::cancel_on_drop`].
///
/// The drop does not wait for the thread, which unwinds when its turn comes. To wait, call
/// [`join`](Self::join), or use [`scope`](super::scope()).
///
/// # Examples
///
/// ```
/// use greenlit::thread;
///
/// greenlit::run(|| {
///     let helper = thread::spawn(thread::park).cancel_on_drop();
///     assert!(!helper.is_finished());
///     // It is cancelled here.
/// });
/// ```
#[must_use = "the green thread is cancelled when this is dropped"]
pub struct CancelOnDrop<T> {
    /// `None` once it was given away.
    handle: Option<JoinHandle<T>>,
}

/// Only `into_inner` takes it, which ends the wrapper.
const HAS_HANDLE: &str = "a wrapper has its handle";

impl<T> CancelOnDrop<T> {
    /// Waits for the green thread to end, as [`JoinHandle::join`] does, and in the same ways.
    ///
    /// # Panics
    ///
    /// As [`JoinHandle::join`].
    ///
    /// # Errors
    ///
    /// As [`JoinHandle::join`].
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread unwinds from here, and cancels the thread that it waited for.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.wait_for_end();
        // A value wins over a cancel that came meanwhile.
        self.into_inner().take_result()
    }

    /// The plain handle, whose drop detaches the thread.
    pub fn into_inner(mut self) -> JoinHandle<T> {
        self.handle.take().expect(HAS_HANDLE)
    }
}

impl<T> Deref for CancelOnDrop<T> {
    type Target = JoinHandle<T>;

    fn deref(&self) -> &JoinHandle<T> {
        self.handle.as_ref().expect(HAS_HANDLE)
    }
}

impl<T> Future for CancelOnDrop<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let handle = self.handle.as_mut().expect(HAS_HANDLE);
        Pin::new(handle).poll(context)
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.cancel("its handle, which was to cancel it, was dropped");
        }
    }
}

impl<T> fmt::Debug for CancelOnDrop<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelOnDrop").field(&self.handle).finish()
    }
}
