//! The futures of those types of `sync` in which many wait for one thing, polled by hand: events,
//! groups, barriers, conditions, initialisers, broadcasts and watched values.

use std::cell::Cell;
use std::future::{pending, ready as now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use greenlit::future::{self, block_on};
use greenlit::sync::{
    Barrier, Condvar, Event, LazyLock, Mutex, Once, OnceLock, RwLock, WaitGroup, broadcast, watch,
};
use greenlit::thread;

use crate::counted::{Boxed, Count, poll, poll_for, ready};

/// Behaviour 17.
#[test]
fn an_event_that_is_set_and_cleared_releases_futures() {
    let event = Event::new();
    let mut futures: Vec<_> = (0..3).map(|_| Box::pin(event.wait_async())).collect();
    let (count, waker) = Count::new();
    for future in &mut futures[..2] {
        assert!(poll_for(future, &waker).is_pending());
    }
    event.set();
    event.clear();
    assert_eq!(count.get(), 2);
    ready(poll(&mut futures[0]));
    ready(poll(&mut futures[1]));
    assert!(poll(&mut futures[2]).is_pending(), "it came later");
    event.set();
    ready(poll(&mut futures[2]));
    ready(poll(&mut Box::pin(event.wait_async())));
}

/// Behaviour 15.
#[test]
fn a_dropped_wait_leaves_nothing_in_an_event() {
    let event = Event::new();
    let (count, waker) = Count::new();
    let mut future = Box::pin(event.wait_async());
    assert!(poll_for(&mut future, &waker).is_pending());
    drop(future);
    event.set();
    assert_eq!((count.get(), Arc::strong_count(&count)), (0, 2));
}

#[test]
fn the_end_of_a_group_releases_futures() {
    let group = WaitGroup::new();
    ready(poll(&mut Box::pin(group.wait_async())));
    let member = group.enter();
    let (count, waker) = Count::new();
    let (mut first, mut second) = (Box::pin(group.wait_async()), Box::pin(group.wait_async()));
    assert!(poll_for(&mut first, &waker).is_pending());
    assert!(poll_for(&mut second, &waker).is_pending());
    drop(first);
    drop(member);
    group.add(1);
    assert_eq!(count.get(), 1);
    ready(poll(&mut second));
}

/// Behaviour 18.
#[test]
fn a_barrier_counts_futures_that_have_come() {
    let barrier = Barrier::new(3);
    let arrive = || Box::pin(barrier.wait_async());
    let (mut first, mut second, mut third, mut last) = (arrive(), arrive(), arrive(), arrive());
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending());
    // It had come, and leaves; one that never came leaves nothing.
    drop(second);
    drop(arrive());
    assert!(poll(&mut third).is_pending());
    assert!(ready(poll(&mut last)).is_leader());
    assert!(!ready(poll(&mut first)).is_leader());
    // The barrier has opened: who is dropped now is not missed by the next ones.
    drop(third);
    let (mut first, mut second, mut last) = (arrive(), arrive(), arrive());
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending());
    assert!(ready(poll(&mut last)).is_leader());
}

/// A wait that looks at nothing but the notification.
fn notified<'a>(mutex: &'a Mutex<()>, condvar: &'a Condvar) -> Boxed<'a, ()> {
    Box::pin(async {
        let guard = mutex.lock_async().await.unwrap();
        drop(condvar.wait_async(guard).await.unwrap());
    })
}

/// Behaviour 16: the longest waiter is notified first, and has the lock when it goes on.
#[test]
fn a_condition_notifies_futures_in_order() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let mut futures = [(); 3].map(|()| notified(&mutex, &condvar));
    for future in &mut futures {
        assert!(poll(future).is_pending());
        assert!(mutex.try_lock().is_ok(), "it let go of the lock");
    }
    condvar.notify_one();
    assert!(poll(&mut futures[1]).is_pending());
    let held = mutex.lock().unwrap();
    assert!(
        poll(&mut futures[0]).is_pending(),
        "it wants the lock again"
    );
    drop(held);
    ready(poll(&mut futures[0]));
    condvar.notify_all();
    ready(poll(&mut futures[2]));
    ready(poll(&mut futures[1]));
    // A late waiter is not woken by an earlier notification.
    assert!(poll(&mut notified(&mutex, &condvar)).is_pending());
}

/// Behaviour 16: before it is polled, and while it waits for the lock.
#[test]
fn a_notification_of_a_dropped_future_wakes_another() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    for wants_the_lock in [false, true] {
        let mut futures = [(); 2].map(|()| notified(&mutex, &condvar));
        let (count, waker) = Count::new();
        for future in &mut futures {
            assert!(poll_for(future, &waker).is_pending());
        }
        let [mut first, mut second] = futures;
        condvar.notify_one();
        let held = mutex.lock().unwrap();
        if wants_the_lock {
            assert!(poll(&mut first).is_pending());
        }
        drop(first);
        assert_eq!(count.get(), 2);
        drop(held);
        ready(poll(&mut second));
    }
}

#[test]
fn a_wait_that_was_never_polled_lets_go_of_the_lock() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let wait = condvar.wait_async(mutex.lock().unwrap());
    assert!(mutex.try_lock().is_err());
    drop(wait);
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn a_condition_is_looked_at_until_it_holds() {
    greenlit::run(|| {
        let (mutex, condvar) = (Mutex::new(0), Condvar::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                let guard = block_on(mutex.lock_async()).unwrap();
                let mut guard = block_on(condvar.wait_while_async(guard, |n| *n < 3)).unwrap();
                *guard = 100;
            });
            for _ in 0..3 {
                thread::yield_now();
                *mutex.lock().unwrap() += 1;
                condvar.notify_one();
            }
        });
        assert_eq!(*mutex.lock().unwrap(), 100);
    });
}

/// Behaviour 19.
#[test]
fn futures_see_poison() {
    let (mutex, lock) = (Mutex::new(()), RwLock::new(()));
    let poison = AssertUnwindSafe(|| {
        let _guards = (mutex.lock(), lock.write());
        panic!("on purpose");
    });
    catch_unwind(poison).unwrap_err();
    assert!(ready(poll(&mut Box::pin(mutex.lock_async()))).is_err());
    assert!(ready(poll(&mut Box::pin(lock.read_async()))).is_err());
    assert!(ready(poll(&mut Box::pin(lock.write_async()))).is_err());
}

/// Behaviour 13.
#[test]
fn readers_come_in_together_and_behind_writers() {
    let lock = RwLock::new(());
    let held = lock.write().unwrap();
    let (mut first, mut second) = (Box::pin(lock.read_async()), Box::pin(lock.read_async()));
    let (mut writer, mut last) = (Box::pin(lock.write_async()), Box::pin(lock.read_async()));
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending());
    assert!(poll(&mut writer).is_pending());
    assert!(poll(&mut last).is_pending());
    drop(held);
    let both = (ready(poll(&mut second)), ready(poll(&mut first)));
    assert!(poll(&mut writer).is_pending());
    drop(both);
    assert!(poll(&mut last).is_pending());
    drop(ready(poll(&mut writer)));
    drop(ready(poll(&mut last)));
    assert!(lock.try_write().is_ok());
}

/// Behaviour 14.
#[test]
fn readers_behind_a_writer_that_leaves_come_in() {
    let lock = RwLock::new(());
    let reads = lock.read().unwrap();
    let mut writer = Box::pin(lock.write_async());
    let mut reader = Box::pin(lock.read_async());
    let (count, waker) = Count::new();
    assert!(poll(&mut writer).is_pending());
    assert!(poll_for(&mut reader, &waker).is_pending());
    drop(writer);
    assert_eq!(count.get(), 1);
    let guard = ready(poll(&mut reader));
    drop(reads);
    assert!(lock.try_write().is_err());
    drop(guard);
    assert!(lock.try_write().is_ok());
    // A reader that was let in, and goes before it knows.
    let writes = lock.write().unwrap();
    let mut reader = Box::pin(lock.read_async());
    assert!(poll(&mut reader).is_pending());
    drop(writes);
    drop(reader);
    assert!(lock.try_write().is_ok());
}

#[test]
fn an_initialiser_that_is_dropped_is_begun_anew() {
    let cell = OnceLock::new();
    let mut first = Box::pin(cell.get_or_init_async(pending::<u32>));
    assert!(poll(&mut first).is_pending());
    let mut waiter = Box::pin(cell.wait_async());
    let (count, waker) = Count::new();
    let mut second = Box::pin(cell.get_or_init_async(|| now(2)));
    assert!(poll(&mut waiter).is_pending());
    assert!(poll_for(&mut second, &waker).is_pending());
    assert_eq!(cell.get(), None);
    drop(first);
    assert_eq!(count.get(), 1);
    assert!(poll(&mut waiter).is_pending(), "there is no value yet");
    assert_eq!(*ready(poll(&mut second)), 2);
    assert_eq!(*ready(poll(&mut waiter)), 2);
    assert_eq!(ready(poll(&mut Box::pin(cell.set_async(3)))), Err(3));

    let once = Once::new();
    let mut first = Box::pin(once.call_once_async(pending));
    assert!(poll(&mut first).is_pending());
    drop(first);
    ready(poll(&mut Box::pin(once.call_once_async(|| now(())))));
    assert!(once.is_completed());
}

#[test]
fn an_initialiser_that_panics_poisons_once_and_leaves_a_cell_empty() {
    let (once, cell) = (Once::new(), OnceLock::new());
    let fail = || async { panic!("on purpose") };
    let call = AssertUnwindSafe(|| poll(&mut Box::pin(once.call_once_async(fail))).is_ready());
    catch_unwind(call).unwrap_err();
    let mut waits = Box::pin(once.wait_async());
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut waits).is_ready())).is_err());
    assert!(poll(&mut Box::pin(once.wait_force_async())).is_pending());
    once.call_once_force(|state| assert!(state.is_poisoned()));
    ready(poll(&mut Box::pin(once.wait_force_async())));

    let fail = || async { panic!("on purpose") };
    let init = AssertUnwindSafe(|| poll(&mut Box::pin(cell.get_or_init_async(fail))).is_ready());
    catch_unwind(init).unwrap_err();
    assert_eq!(ready(poll(&mut Box::pin(cell.set_async(1)))), Ok(()));
    assert_eq!(cell.get(), Some(&1));
}

/// Both kinds of initialisers keep both kinds of callers waiting.
#[test]
fn initialisers_of_threads_and_of_tasks_exclude_each_other() {
    greenlit::run(|| {
        let cell = OnceLock::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                let init = || async {
                    future::yield_now().await;
                    1
                };
                assert_eq!(*block_on(cell.get_or_init_async(init)), 1);
            });
            thread::yield_now();
            assert_eq!(*cell.get_or_init(|| 2), 1);
        });
        let cell = OnceLock::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                let init = || {
                    thread::yield_now();
                    1
                };
                assert_eq!(*cell.get_or_init(init), 1);
            });
            thread::yield_now();
            assert_eq!(*block_on(cell.get_or_init_async(|| now(2))), 1);
        });
    });
}

#[test]
fn a_lazy_value_is_computed_once_and_waited_for() {
    greenlit::run(|| {
        let calls = Cell::new(0);
        let lazy = LazyLock::new(|| {
            thread::yield_now();
            calls.set(calls.get() + 1);
            calls.get()
        });
        let lazy = &lazy;
        thread::scope(|scope| {
            for number in 0..4 {
                scope.spawn(move || {
                    let value = match number % 2 {
                        0 => LazyLock::force(lazy),
                        _ => block_on(LazyLock::force_async(lazy)),
                    };
                    assert_eq!(*value, 1);
                });
            }
        });
        let twice: LazyLock<u32> = LazyLock::new(|| panic!("on purpose"));
        for _ in 0..2 {
            let force = AssertUnwindSafe(|| *block_on(LazyLock::force_async(&twice)));
            assert!(catch_unwind(force).is_err());
        }
    });
}

/// Behaviours 21 and 24.
#[test]
fn each_future_of_a_broadcast_gets_each_item() {
    let (sender, mut first) = broadcast::channel(2);
    let mut second = sender.subscribe();
    let (count, waker) = Count::new();
    let (mut one, mut other) = (Box::pin(first.recv_async()), Box::pin(second.recv_async()));
    assert!(poll_for(&mut one, &waker).is_pending());
    assert!(poll_for(&mut other, &waker).is_pending());
    assert_eq!(sender.send('a'), Ok(2));
    assert_eq!(count.get(), 2);
    assert_eq!(ready(poll(&mut one)), Ok('a'));
    // Dropped after it was woken: the item is the next one's of the same receiver.
    drop((one, other));
    assert_eq!(second.try_recv(), Ok('a'));
    for item in ['b', 'c', 'd'] {
        assert_eq!(sender.send(item), Ok(2));
    }
    let lagged = ready(poll(&mut Box::pin(first.recv_async())));
    assert_eq!(lagged, Err(broadcast::RecvError::Lagged(1)));
    assert_eq!(ready(poll(&mut Box::pin(first.recv_async()))), Ok('c'));
    drop((first, sender));
    assert_eq!(second.try_recv(), Err(broadcast::TryRecvError::Lagged(1)));
    assert_eq!(ready(poll(&mut Box::pin(second.recv_async()))), Ok('c'));
    assert_eq!(ready(poll(&mut Box::pin(second.recv_async()))), Ok('d'));
    let end = ready(poll(&mut Box::pin(second.recv_async())));
    assert_eq!(end, Err(broadcast::RecvError::Closed));
}

#[test]
fn a_change_is_seen_by_futures() {
    let (sender, mut receiver) = watch::channel(1);
    let (count, waker) = Count::new();
    let mut changed = Box::pin(receiver.changed_async());
    assert!(poll_for(&mut changed, &waker).is_pending());
    assert_eq!(ready(poll(&mut Box::pin(sender.send_replace_async(2)))), 1);
    assert_eq!(count.get(), 1);
    // Dropped after it was woken: the change has not been seen.
    drop(changed);
    assert_eq!(ready(poll(&mut Box::pin(receiver.changed_async()))), Ok(()));
    assert_eq!(
        *ready(poll(&mut Box::pin(receiver.borrow_and_update_async()))),
        2
    );
    assert_eq!(receiver.has_changed(), Ok(false));

    // Who sends waits for who borrows.
    let value = ready(poll(&mut Box::pin(sender.borrow_async())));
    let mut send = Box::pin(sender.send_async(3));
    assert!(poll_for(&mut send, &waker).is_pending());
    drop(value);
    assert_eq!(count.get(), 2);
    assert_eq!(ready(poll(&mut send)), Ok(()));
    assert_eq!(*ready(poll(&mut Box::pin(receiver.borrow_async()))), 3);
    assert_eq!(ready(poll(&mut Box::pin(receiver.changed_async()))), Ok(()));
    drop(send);
    drop(sender);
    assert!(ready(poll(&mut Box::pin(receiver.changed_async()))).is_err());
}

/// A waker of the user's that panics does not keep others from being woken.
#[test]
fn a_waker_that_panics_wakes_the_next_one() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let event = Event::new();
    let (mut first, mut second) = (Box::pin(event.wait_async()), Box::pin(event.wait_async()));
    let (count, waker) = Count::new();
    assert!(poll_for(&mut first, &Arc::new(Panics).into()).is_pending());
    assert!(poll_for(&mut second, &waker).is_pending());
    event.set();
    assert_eq!(count.get(), 1);
    ready(poll(&mut first));
    ready(poll(&mut second));
}

/// Inside a runtime a waker that is not ours is woken by a runner: it may do what it likes.
#[test]
fn a_waker_may_block() {
    struct Locks(&'static Mutex<u32>);
    impl std::task::Wake for Locks {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }
    static MUTEX: Mutex<u32> = Mutex::new(0);
    greenlit::run(|| {
        let mut held = MUTEX.lock().unwrap();
        let mut future = Box::pin(MUTEX.lock_async());
        assert!(poll_for(&mut future, &Arc::new(Locks(&MUTEX)).into()).is_pending());
        *held += 1;
        drop(held);
        thread::yield_now();
        drop(ready(poll(&mut future)));
        thread::yield_now();
        assert_eq!(*MUTEX.lock().unwrap(), 2);
    });
}

#[test]
fn waits_for_one_thing_go_to_other_os_threads() {
    fn assert_send<T: Send>(_: T) {}
    assert_send(Event::new().wait_async());
    assert_send(WaitGroup::new().wait_async());
    assert_send(Barrier::new(1).wait_async());
    assert_send(Once::new().wait_async());
    assert_send(OnceLock::<u32>::new().wait_async());
    assert_send(OnceLock::new().get_or_init_async(|| now(1)));
    assert_send(RwLock::new(1).read_async());
    assert_send(RwLock::new(1).write_async());
    let (sender, mut receiver) = broadcast::channel::<u32>(1);
    assert_send(receiver.recv_async());
    drop(sender);
    let (sender, mut receiver) = watch::channel(1);
    assert_send(receiver.changed_async());
    assert_send(sender.send_async(2));
}
