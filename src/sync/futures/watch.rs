//! The waits of `watch` as futures: for a change, and for a value that is borrowed.

use std::mem;
use std::sync::mpsc::{RecvError, SendError};

use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::waiters::Waiters;
use crate::sync::watch::version::State;
use crate::sync::watch::{Receiver, Ref, Sender};

impl<T> Receiver<T> {
    /// As [`changed`](Self::changed), for futures: waits in the same queue, without a thread.
    ///
    /// # Errors
    ///
    /// Where there is no value that was not seen, and the senders have gone.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue, and what was not seen stays so.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::watch, thread};
    ///
    /// greenlit::run(|| {
    ///     let (sender, mut receiver) = watch::channel("starting");
    ///     let watcher = future::spawn(async move {
    ///         receiver.changed_async().await.unwrap();
    ///         *receiver.borrow()
    ///     });
    ///     thread::yield_now();
    ///     sender.send("running").unwrap();
    ///     assert_eq!(watcher.join().unwrap(), "running");
    /// });
    /// ```
    pub fn changed_async(&mut self) -> impl Future<Output = Result<(), RecvError>> {
        Standing::new(Change(self))
    }

    /// As [`borrow`](Self::borrow), for futures, where a sender is changing the value.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue.
    pub async fn borrow_async(&self) -> Ref<'_, T> {
        let guard = self.shared.read_async().await;
        self.see(guard, false)
    }

    /// As [`borrow_and_update`](Self::borrow_and_update), for futures, where a sender is changing the
    /// value.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue, and what was not seen stays so.
    pub async fn borrow_and_update_async(&mut self) -> Ref<'_, T> {
        let guard = self.shared.read_async().await;
        self.see(guard, true)
    }
}

impl<T> Sender<T> {
    /// As [`send`](Self::send), for futures: waits without a thread while the value is borrowed.
    ///
    /// # Errors
    ///
    /// The new value, where there are no receivers; the old one stays.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before it has completed sends nothing.
    pub async fn send_async(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        self.send_replace_async(value).await;
        Ok(())
    }

    /// As [`send_replace`](Self::send_replace), for futures.
    ///
    /// # Cancellation
    ///
    /// As [`send_async`](Self::send_async).
    pub async fn send_replace_async(&self, mut value: T) -> T {
        self.send_modify_async(|current| mem::swap(current, &mut value))
            .await;
        value
    }

    /// As [`send_modify`](Self::send_modify), for futures.
    ///
    /// # Cancellation
    ///
    /// As [`send_async`](Self::send_async).
    pub async fn send_modify_async(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified_async(|value| {
            change(value);
            true
        })
        .await;
    }

    /// As [`send_if_modified`](Self::send_if_modified), for futures.
    ///
    /// # Cancellation
    ///
    /// As [`send_async`](Self::send_async).
    pub async fn send_if_modified_async(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let value = self.shared.write_async().await;
        self.change(value, change)
    }

    /// As [`borrow`](Self::borrow), for futures, where another sender is changing the value.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue.
    pub async fn borrow_async(&self) -> Ref<'_, T> {
        Ref::seen(self.shared.read_async().await)
    }
}

struct Change<'a, T>(&'a mut Receiver<T>);

impl<T> Want for Change<'_, T> {
    type State = State;
    type Note = u64;
    type Output = Result<(), RecvError>;

    fn lock(&self) -> &SpinLock<State> {
        &self.0.shared.versions.state
    }

    fn waiters(state: &State) -> &Waiters<u64> {
        &state.waiters
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, State>> {
        let state = self.lock().lock();
        match state.has_changed(self.0.seen.get()) {
            Ok(false) => Err(state),
            Ok(true) => {
                self.0.seen.set(state.latest);
                Ok(Ok(()))
            }
            Err(end) => Ok(Err(end)),
        }
    }

    fn note(&self, _: &mut State, _: u64) -> u64 {
        self.0.seen.get()
    }

    /// It was given nothing: it looks again.
    fn chosen(&self) -> Option<Self::Output> {
        None
    }
}
