//! The waits of `Once`, `OnceLock` and `LazyLock` as futures, and initialisers that are futures.

use std::future::poll_fn;
use std::pin::pin;

use crate::park;
use crate::sync::lazy_lock::LazyLock;
use crate::sync::once::{Completion, Once};
use crate::sync::once_lock::OnceLock;
use crate::sync::spin_lock::{Locked, SpinLock};
use crate::sync::standing::{Standing, Want};
use crate::sync::waiters::Waiters;

impl Once {
    /// As [`call_once`](Self::call_once), with an initialiser that is a future.
    ///
    /// # Panics
    ///
    /// With the initialiser's payload where it panics, and at every later call.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped in the middle of its initialiser leaves it undone: the next one who
    /// waits begins anew.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future::{self, block_on}, sync::Once};
    ///
    /// static START: Once = Once::new();
    ///
    /// block_on(START.call_once_async(future::yield_now));
    /// assert!(START.is_completed());
    /// ```
    pub async fn call_once_async<F, I>(&self, f: F)
    where
        F: FnOnce() -> I,
        I: Future<Output = ()>,
    {
        if let Some(turn) = self.begin_async(false, true).await {
            turn.run(f, |()| {}).await;
        }
    }

    /// As [`wait`](Self::wait), for futures: waits in the same queue, without a thread.
    ///
    /// # Panics
    ///
    /// If an initialiser panicked.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue.
    pub fn wait_async(&self) -> impl Future<Output = ()> {
        Standing::new(Completed {
            once: self,
            ignores_poison: false,
        })
    }

    /// As [`wait_async`](Self::wait_async), but goes on waiting where an initialiser panicked.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue.
    pub fn wait_force_async(&self) -> impl Future<Output = ()> {
        Standing::new(Completed {
            once: self,
            ignores_poison: true,
        })
    }

    /// The right to run the initialiser, which is a future or runs in one poll; `None` if another's
    /// has been completed.
    fn begin_async(
        &self,
        ignores_poison: bool,
        is_future: bool,
    ) -> impl Future<Output = Option<Completion<'_>>> {
        Standing::new(Begin {
            once: self,
            ignores_poison,
            is_future,
        })
    }
}

impl<T> OnceLock<T> {
    /// As [`wait`](Self::wait), for futures: waits in the same queue, without a thread.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future, sync::OnceLock, thread};
    ///
    /// static ANSWER: OnceLock<u32> = OnceLock::new();
    ///
    /// greenlit::run(|| {
    ///     let waiter = future::spawn(async { *ANSWER.wait_async().await });
    ///     thread::yield_now();
    ///     ANSWER.set(42).unwrap();
    ///     assert_eq!(waiter.join().unwrap(), 42);
    /// });
    /// ```
    pub async fn wait_async(&self) -> &T {
        if !self.once_ref().is_completed() {
            self.once_ref().wait_force_async().await;
        }
        self.get().expect("the wait has ended")
    }

    /// As [`set`](Self::set), for futures, where another's initialiser is under way.
    ///
    /// # Errors
    ///
    /// `value` itself, if there is one already.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before it has completed puts nothing in.
    pub async fn set_async(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        let take = || value.take().expect("an initialiser is called once");
        self.get_or_init_in_a_poll(take).await;
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// As [`get_or_init`](Self::get_or_init), with an initialiser that is a future. Of several calls
    /// at once, of both kinds, one runs its `f`, and the others wait for it.
    ///
    /// # Panics
    ///
    /// With the initialiser's payload where it panics: then the cell stays empty.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped in the middle of its initialiser leaves the cell empty: the next one
    /// who waits runs its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future::block_on, sync::OnceLock};
    ///
    /// static ANSWER: OnceLock<u32> = OnceLock::new();
    ///
    /// block_on(async {
    ///     assert_eq!(*ANSWER.get_or_init_async(|| async { 42 }).await, 42);
    ///     assert_eq!(*ANSWER.get_or_init_async(|| async { 0 }).await, 42);
    /// });
    /// ```
    pub async fn get_or_init_async<F, I>(&self, f: F) -> &T
    where
        F: FnOnce() -> I,
        I: Future<Output = T>,
    {
        if let Some(value) = self.get() {
            return value;
        }
        if let Some(turn) = self.once_ref().begin_async(true, true).await {
            // SAFETY: invariant 74: this runs inside the one call of `once` that is under way.
            let put = |value| unsafe { self.write(value) };
            turn.run(f, put).await;
        }
        self.get().expect("an initialiser has been completed")
    }

    /// The same with an initialiser that is none: it waits for those of others only.
    async fn get_or_init_in_a_poll(&self, f: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        if let Some(turn) = self.once_ref().begin_async(true, false).await {
            let value = park::shielded(f);
            // SAFETY: invariant 74: this runs inside the one call of `once` that is under way.
            unsafe { self.write(value) };
            turn.complete();
        }
        self.get().expect("an initialiser has been completed")
    }
}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// As [`force`](Self::force), for futures: waits for another's initialiser without a thread. The
    /// initialiser itself runs in a poll, as it would in a thread, and may block.
    ///
    /// # Panics
    ///
    /// As [`force`](Self::force).
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenlit::{future::block_on, sync::LazyLock};
    ///
    /// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| (0..10).map(|n| n * n).collect());
    ///
    /// block_on(async { assert_eq!(LazyLock::force_async(&SQUARES).await[3], 9) });
    /// ```
    pub async fn force_async(this: &Self) -> &T {
        // SAFETY: invariant 74: this runs inside the one initialisation that is under way.
        let init = || unsafe { this.run_init() };
        this.cell().get_or_init_in_a_poll(init).await
    }
}

impl Completion<'_> {
    /// Runs an initialiser to its end, and has `put` keep what it made. Dropped in the middle of it,
    /// it leaves all as it was.
    async fn run<I: Future>(mut self, f: impl FnOnce() -> I, put: impl FnOnce(I::Output)) {
        let mut future = pin!(f());
        let output = poll_fn(|cx| {
            self.becomes = Completion::POISONED;
            let poll = future.as_mut().poll(cx);
            if poll.is_pending() {
                self.becomes = Completion::UNDONE;
            }
            poll
        })
        .await;
        put(output);
        self.complete();
    }
}

struct Completed<'a> {
    once: &'a Once,
    ignores_poison: bool,
}

impl Want for Completed<'_> {
    type State = Waiters<()>;
    type Note = ();
    type Output = ();

    fn lock(&self) -> &SpinLock<Waiters<()>> {
        self.once.queue()
    }

    fn waiters(queue: &Waiters<()>) -> &Waiters<()> {
        queue
    }

    fn enter(&self) -> Result<(), Locked<'_, Waiters<()>>> {
        self.once.look(self.ignores_poison)
    }

    fn note(&self, _: &mut Waiters<()>, _: u64) {}

    /// An initialiser has ended in some way.
    fn chosen(&self) -> Option<()> {
        None
    }
}

struct Begin<'a> {
    once: &'a Once,
    ignores_poison: bool,
    /// Whether the initialiser is a future: then nobody is its holder.
    is_future: bool,
}

impl<'a> Want for Begin<'a> {
    type State = Waiters<()>;
    type Note = ();
    type Output = Option<Completion<'a>>;

    fn lock(&self) -> &SpinLock<Waiters<()>> {
        self.once.queue()
    }

    fn waiters(queue: &Waiters<()>) -> &Waiters<()> {
        queue
    }

    fn enter(&self) -> Result<Self::Output, Locked<'_, Waiters<()>>> {
        self.once.begin(self.ignores_poison, self.is_future)
    }

    fn note(&self, _: &mut Waiters<()>, _: u64) {}

    /// As above.
    fn chosen(&self) -> Option<Self::Output> {
        None
    }
}
