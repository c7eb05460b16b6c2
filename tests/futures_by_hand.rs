//! The futures of `sync`, polled by hand: whatever the order in which one is made, queued, chosen,
//! polled and dropped, what it was to get goes to somebody, and once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use greenlit::sync::{
    Event, Mutex, MutexGuard, Permit, RwLock, RwLockWriteGuard, Semaphore, mpmc, mpsc, oneshot,
};

use crate::counted::{Boxed, Count, poll, poll_for, ready};

/// Something that one at a time has.
trait Single: Default {
    type Held<'a>
    where
        Self: 'a;

    fn try_take(&self) -> Option<Self::Held<'_>>;

    fn take(&self) -> Boxed<'_, Self::Held<'_>>;
}

impl Single for Mutex<()> {
    type Held<'a> = MutexGuard<'a, ()>;

    fn try_take(&self) -> Option<MutexGuard<'_, ()>> {
        self.try_lock().ok()
    }

    fn take(&self) -> Boxed<'_, MutexGuard<'_, ()>> {
        Box::pin(async { self.lock_async().await.unwrap() })
    }
}

impl Single for RwLock<()> {
    type Held<'a> = RwLockWriteGuard<'a, ()>;

    fn try_take(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.try_write().ok()
    }

    fn take(&self) -> Boxed<'_, RwLockWriteGuard<'_, ()>> {
        Box::pin(async { self.write_async().await.unwrap() })
    }
}

struct OnePermit(Semaphore);

impl Default for OnePermit {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl Single for OnePermit {
    type Held<'a> = Permit<'a>;

    fn try_take(&self) -> Option<Permit<'_>> {
        self.0.try_acquire()
    }

    fn take(&self) -> Boxed<'_, Permit<'_>> {
        Box::pin(self.0.acquire_async())
    }
}

/// A channel with one item: who has received it has it.
struct OneItem(mpmc::Sender<()>, mpmc::Receiver<()>);

impl Default for OneItem {
    fn default() -> Self {
        let (sender, receiver) = mpmc::channel();
        sender.send(()).unwrap();
        Self(sender, receiver)
    }
}

struct Item<'a>(&'a OneItem);

impl Drop for Item<'_> {
    fn drop(&mut self) {
        self.0.0.send(()).unwrap();
    }
}

impl Single for OneItem {
    type Held<'a> = Item<'a>;

    fn try_take(&self) -> Option<Item<'_>> {
        self.1.try_recv().ok().map(|()| Item(self))
    }

    fn take(&self) -> Boxed<'_, Item<'_>> {
        Box::pin(async {
            self.1.recv_async().await.unwrap();
            Item(self)
        })
    }
}

/// A channel with room for one item: who has sent has the room.
struct OneRoom(mpmc::Sender<()>, mpmc::Receiver<()>);

impl Default for OneRoom {
    fn default() -> Self {
        let (sender, receiver) = mpmc::sync_channel(1);
        Self(sender, receiver)
    }
}

struct Room<'a>(&'a OneRoom);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.1.try_recv().unwrap();
    }
}

impl Single for OneRoom {
    type Held<'a> = Room<'a>;

    fn try_take(&self) -> Option<Room<'_>> {
        self.0.try_send(()).ok().map(|()| Room(self))
    }

    fn take(&self) -> Boxed<'_, Room<'_>> {
        Box::pin(async {
            self.0.send_async(()).await.unwrap();
            Room(self)
        })
    }
}

/// Makes a test of each claim about each of those.
macro_rules! of_each {
    ($($claim:ident),+; $singles:tt) => {
        $(mod $claim {
            of_each!(@ $claim $singles);
        })+
    };
    (@ $claim:ident { $($name:ident: $single:ty),+ }) => {
        $(#[test]
        fn $name() {
            super::$claim::<$single>();
        })+
    };
}

of_each!(
    at_once_where_it_is_free,
    never_polled_it_takes_nothing,
    dropped_in_the_queue_it_is_skipped,
    in_the_order_of_the_first_polls,
    who_comes_later_does_not_overtake,
    the_last_waker_is_woken_once,
    after_the_end_a_poll_panics;
    {
        mutex: super::Mutex<()>, rwlock: super::RwLock<()>, permit: super::OnePermit,
        item: super::OneItem, room: super::OneRoom
    }
);

// Who was chosen to send has sent, and keeps the room.
of_each!(
    dropped_when_it_was_chosen_the_next_one_is,
    dropped_when_it_was_chosen_it_is_free_again;
    {
        mutex: super::Mutex<()>, rwlock: super::RwLock<()>, permit: super::OnePermit,
        item: super::OneItem
    }
);

/// Behaviour 13.
fn at_once_where_it_is_free<S: Single>() {
    let single = S::default();
    let (count, waker) = Count::new();
    let held = ready(poll_for(&mut single.take(), &waker));
    assert!(single.try_take().is_none());
    drop(held);
    assert!(single.try_take().is_some());
    assert_eq!(count.get(), 0);
    assert_eq!(Arc::strong_count(&count), 2, "no waker is kept");
}

/// Behaviour 14.
fn never_polled_it_takes_nothing<S: Single>() {
    let single = S::default();
    let held = single.try_take();
    let future = single.take();
    drop(held);
    drop(future);
    assert!(single.try_take().is_some());
}

/// Behaviours 14, 15 and 21.
fn dropped_in_the_queue_it_is_skipped<S: Single>() {
    let single = S::default();
    let held = single.try_take();
    let (mut first, mut second) = (single.take(), single.take());
    let (count, waker) = Count::new();
    assert!(poll_for(&mut first, &waker).is_pending());
    assert!(poll(&mut second).is_pending());
    drop(first);
    assert_eq!((count.get(), Arc::strong_count(&count)), (0, 2));
    drop(held);
    let held = ready(poll(&mut second));
    drop(held);
    assert!(single.try_take().is_some());
}

/// Behaviours 14 and 21.
fn dropped_when_it_was_chosen_the_next_one_is<S: Single>() {
    let single = S::default();
    let held = single.try_take();
    let (mut first, mut second) = (single.take(), single.take());
    let (count, waker) = Count::new();
    assert!(poll(&mut first).is_pending());
    assert!(poll_for(&mut second, &waker).is_pending());
    drop(held);
    assert_eq!(count.get(), 0);
    drop(first);
    assert_eq!(count.get(), 1);
    let held = ready(poll(&mut second));
    assert!(single.try_take().is_none());
    drop(held);
    assert!(single.try_take().is_some());
}

/// Behaviours 14 and 21.
fn dropped_when_it_was_chosen_it_is_free_again<S: Single>() {
    let single = S::default();
    let held = single.try_take();
    let mut future = single.take();
    assert!(poll(&mut future).is_pending());
    drop(held);
    assert!(single.try_take().is_none(), "it belongs to the future");
    drop(future);
    assert!(single.try_take().is_some());
}

/// Behaviours 13 and 22: the order in which the futures were made, or are polled later, is none.
fn in_the_order_of_the_first_polls<S: Single>() {
    let single = S::default();
    let held = single.try_take();
    let mut futures: Vec<_> = (0..4).map(|_| single.take()).collect();
    for place in [2, 0, 3, 1] {
        assert!(poll(&mut futures[place]).is_pending());
    }
    for future in &mut futures {
        assert!(poll(future).is_pending());
    }
    drop(held);
    let mut order = vec![2, 0, 3, 1];
    while !order.is_empty() {
        let next = order.remove(0);
        for &later in &order {
            assert!(poll(&mut futures[later]).is_pending());
        }
        drop(ready(poll(&mut futures[next])));
    }
    assert!(single.try_take().is_some());
}

/// Behaviours 13 and 22.
fn who_comes_later_does_not_overtake<S: Single>() {
    let single = S::default();
    let held = single.try_take();
    let (mut first, mut later) = (single.take(), single.take());
    assert!(poll(&mut first).is_pending());
    drop(held);
    assert!(poll(&mut later).is_pending());
    assert!(single.try_take().is_none());
    drop(ready(poll(&mut first)));
    drop(ready(poll(&mut later)));
}

fn the_last_waker_is_woken_once<S: Single>() {
    let single = S::default();
    let held = single.try_take();
    let mut future = single.take();
    let (first, first_waker) = Count::new();
    let (last, last_waker) = Count::new();
    for waker in [&first_waker, &first_waker, &last_waker, &last_waker] {
        assert!(poll_for(&mut future, waker).is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 2, "what was replaced is gone");
    drop(held);
    assert_eq!((first.get(), last.get()), (0, 1));
    assert_eq!(Arc::strong_count(&last), 2);
    drop(ready(poll_for(&mut future, &first_waker)));
    assert_eq!((first.get(), last.get()), (0, 1));
}

fn after_the_end_a_poll_panics<S: Single>() {
    let single = S::default();
    let mut future = single.take();
    drop(ready(poll(&mut future)));
    let again = AssertUnwindSafe(|| poll(&mut future).is_pending());
    assert!(catch_unwind(again).is_err());
    drop(future);
    assert!(single.try_take().is_some());
}

/// A future of one task may wait for what another of the same task holds: no misuse is seen in it.
#[test]
fn two_futures_of_one_task_wait_for_one_mutex() {
    greenlit::run(|| {
        let mutex = Mutex::new(0);
        let mut first = Box::pin(mutex.lock_async());
        let mut second = Box::pin(mutex.lock_async());
        let held = ready(poll(&mut first)).unwrap();
        assert!(poll(&mut second).is_pending());
        assert!(poll(&mut second).is_pending());
        drop(held);
        *ready(poll(&mut second)).unwrap() += 1;
    });
}

/// Whoever polled a future first, and gave it away, is not taken for the holder.
#[test]
fn a_lock_belongs_to_who_polled_to_the_end() {
    let mutex = Mutex::new(());
    let held = mutex.lock().unwrap();
    let mut future = Box::pin(mutex.lock_async());
    assert!(poll(&mut future).is_pending());
    drop(held);
    let (is_held, seen) = (Event::new(), Event::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _held = ready(poll(&mut future));
            is_held.set();
            seen.wait();
        });
        is_held.wait();
        let is_free = catch_unwind(AssertUnwindSafe(|| {
            mutex.lock_timeout(Duration::ZERO).is_ok()
        }));
        seen.set();
        assert!(!is_free.unwrap());
    });
}

/// Behaviour 24.
#[test]
fn the_end_of_a_channel_reaches_futures() {
    let (sender, receiver) = mpsc::sync_channel(0);
    let mut send = Box::pin(sender.send_async('a'));
    let (count, waker) = Count::new();
    assert!(poll_for(&mut send, &waker).is_pending());
    drop(receiver);
    assert_eq!(count.get(), 1);
    assert_eq!(ready(poll(&mut send)), Err(mpsc::SendError('a')));

    let (sender, receiver) = mpsc::channel::<char>();
    let mut recv = Box::pin(receiver.recv_async());
    assert!(poll_for(&mut recv, &waker).is_pending());
    drop(sender);
    assert_eq!(count.get(), 2);
    assert_eq!(ready(poll(&mut recv)), Err(mpsc::RecvError));

    let (sender, receiver) = oneshot::channel::<char>();
    let mut recv = Box::pin(receiver.recv_async());
    assert!(poll_for(&mut recv, &waker).is_pending());
    assert_eq!(sender.send('b'), Ok(()));
    drop(recv);
    assert_eq!(receiver.try_recv(), Ok('b'), "it came back");
}

/// Behaviour 21: a sender that has not been polled has not sent, and one that was dropped in the
/// queue drops its item.
#[test]
fn a_dropped_send_sends_nothing() {
    let item = Arc::new(());
    let (sender, receiver) = mpsc::sync_channel(0);
    drop(sender.send_async(item.clone()));
    let mut send = Box::pin(sender.send_async(item.clone()));
    assert!(poll(&mut send).is_pending());
    drop(send);
    assert_eq!(Arc::strong_count(&item), 1);
    assert!(receiver.try_recv().is_err());
}

/// Behaviour 14: one that asks for many stands in the way of others until it leaves.
#[test]
fn those_behind_a_large_request_that_leaves_are_served() {
    let semaphore = Arc::new(Semaphore::new(2));
    let one = semaphore.try_acquire();
    let mut many = Box::pin(semaphore.acquire_many_async(2));
    let mut few = Box::pin(semaphore.clone().acquire_owned_async());
    let (count, waker) = Count::new();
    assert!(poll(&mut many).is_pending());
    assert!(poll_for(&mut few, &waker).is_pending());
    drop(many);
    assert_eq!(count.get(), 1);
    let permit = ready(poll(&mut few));
    assert_eq!(semaphore.available_permits(), 0);
    drop((one, permit, few));
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn futures_go_to_other_os_threads_where_the_data_may() {
    fn assert_send_and_sync<T: Send + Sync>(_: T) {}
    let mutex = Mutex::new(String::new());
    assert_send_and_sync(mutex.lock_async());
    let semaphore = Arc::new(Semaphore::new(1));
    assert_send_and_sync(semaphore.acquire_async());
    assert_send_and_sync(semaphore.clone().acquire_owned_async());
    let (sender, receiver) = mpsc::sync_channel::<String>(1);
    assert_send_and_sync(receiver.recv_async());
    assert_send_and_sync(sender.send_async(String::new()));
    let (_sender, receiver) = oneshot::channel::<String>();
    assert_send_and_sync(receiver.recv_async());
}
