//! Futures, green threads and OS threads at one lock, semaphore or channel: they are served in one
//! order, and what one of them gives up the next one gets.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use greenlit::future::{self, block_on};
use greenlit::sync::{Condvar, Mutex, RwLock, Semaphore, mpmc};
use greenlit::thread;

/// Polls once, and lets others run before the future is dropped; what it has got goes with it.
fn try_for_a_while<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => Some(value),
        Poll::Pending => {
            thread::yield_now();
            std::thread::yield_now();
            None
        }
    }
}

/// Behaviours 13 and 22.
#[test]
fn futures_and_green_threads_are_served_in_turn() {
    // By the time the next begins, each stands in the queue, though it may have used up its budget.
    let stand = || (0..3).for_each(|_| thread::yield_now());
    greenlit::run(|| {
        let mutex = &Mutex::new(Vec::new());
        let semaphore = &Semaphore::new(0);
        let order = &Mutex::new(Vec::new());
        let (sender, receiver) = mpmc::channel();
        thread::scope(|scope| {
            let mut held = mutex.lock().unwrap();
            for number in 0..6 {
                scope.spawn(move || match number % 2 {
                    0 => block_on(async { mutex.lock_async().await.unwrap().push(number) }),
                    _ => mutex.lock().unwrap().push(number),
                });
                stand();
            }
            held.push(100);
            drop(held);
            for number in 0..6 {
                scope.spawn(move || {
                    match number % 2 {
                        0 => block_on(semaphore.acquire_async()).forget(),
                        _ => semaphore.acquire().forget(),
                    }
                    order.lock().unwrap().push(number);
                });
                stand();
            }
            semaphore.add_permits(6);
            for number in 0..6 {
                let receiver = receiver.clone();
                scope.spawn(move || match number % 2 {
                    0 => assert_eq!(block_on(receiver.recv_async()), Ok(number)),
                    _ => assert_eq!(receiver.recv(), Ok(number)),
                });
                stand();
            }
            (0..6).for_each(|number| sender.send(number).unwrap());
        });
        assert_eq!(*mutex.lock().unwrap(), [100, 0, 1, 2, 3, 4, 5]);
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    });
}

/// Two tasks are two holders, though one green thread polls both: the one that waits for the other, in
/// either way, is not taken for the holder.
#[test]
fn a_lock_tells_tasks_from_each_other() {
    static MUTEX: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    static LOCK: RwLock<Vec<u32>> = RwLock::new(Vec::new());
    greenlit::run(|| {
        let tasks = [0, 1, 2, 3].map(|number| {
            future::spawn(async move {
                let mut held = match number % 2 {
                    0 => MUTEX.lock_async().await.unwrap(),
                    _ => MUTEX.lock().unwrap(),
                };
                future::yield_now().await;
                held.push(number);
                drop(held);
                let mut held = match number % 2 {
                    0 => LOCK.write().unwrap(),
                    _ => LOCK.write_async().await.unwrap(),
                };
                future::yield_now().await;
                held.push(number);
            })
        });
        tasks.into_iter().for_each(|task| task.join().unwrap());
        // In what order they come is another matter.
        for came in [&mut *MUTEX.lock().unwrap(), &mut *LOCK.write().unwrap()] {
            came.sort_unstable();
            assert_eq!(*came, [0, 1, 2, 3]);
        }
    });
}

/// A task that asks for what it holds itself is told so where the call blocks.
#[test]
fn a_task_that_would_block_for_its_own_lock_panics() {
    static MUTEX: Mutex<()> = Mutex::new(());
    greenlit::run(|| {
        let task = future::spawn(async {
            let _held = MUTEX.lock_async().await.unwrap();
            future::yield_now().await;
            let _ = MUTEX.lock();
        });
        let payload = task.join().unwrap_err();
        let message = payload.downcast_ref::<&str>().copied();
        assert_eq!(message, Some("lock: this thread holds the mutex already"));
    });
}

/// Behaviour 14: a cancel of the green thread, or of the task, drops the future.
#[test]
fn a_cancelled_waiter_is_skipped() {
    static MUTEX: Mutex<()> = Mutex::new(());
    greenlit::run(|| {
        for is_chosen in [false, true] {
            let held = MUTEX.lock().unwrap();
            let wait = || async { drop(MUTEX.lock_async().await.unwrap()) };
            let task = future::spawn(wait());
            let thread = thread::spawn(move || block_on(wait()));
            let last = future::spawn(wait());
            thread::yield_now();
            let mut held = Some(held);
            if is_chosen {
                drop(held.take());
            }
            task.cancel("it is not needed");
            thread.cancel("it is not needed");
            drop(held);
            assert!(task.join().is_err());
            // It may have had its turn before it saw the cancel: then that came too late.
            let _ = thread.join();
            last.join().unwrap();
            assert!(MUTEX.try_lock().is_ok());
        }
    });
}

const EACH: u32 = 2;
const ROUNDS: u32 = 200;

/// Runs `f` in green threads of two runtimes, and in OS threads, with a number for each.
fn everywhere(f: impl Fn(u32) + Sync) {
    let f = &f;
    std::thread::scope(|scope| {
        for number in 0..EACH {
            scope.spawn(move || f(number));
        }
        for runtime in 1..=2 {
            scope.spawn(move || {
                greenlit::run(|| {
                    thread::scope(|scope| {
                        for number in 0..EACH {
                            scope.spawn(move || f(runtime * EACH + number));
                        }
                    });
                });
            });
        }
    });
}

/// Behaviours 14, 15 and 20.
#[test]
fn cross_thread_a_mutex_excludes_futures() {
    let (mutex, inside) = (Mutex::new(0), AtomicU32::new(0));
    let gave_up = AtomicU32::new(0);
    everywhere(|number| {
        for round in 0..ROUNDS {
            let held = match (round + number) % 3 {
                0 => Some(mutex.lock().unwrap()),
                1 => Some(block_on(mutex.lock_async()).unwrap()),
                _ => try_for_a_while(mutex.lock_async()).map(Result::unwrap),
            };
            let Some(mut count) = held else {
                gave_up.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
            *count += 1;
            if round % 4 == 0 {
                thread::yield_now();
            }
            assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
        }
    });
    let count = *mutex.lock().unwrap();
    assert_eq!(count + gave_up.into_inner(), 3 * EACH * ROUNDS);
}

/// Behaviours 14 and 20.
#[test]
fn cross_thread_an_rwlock_keeps_readers_and_writers_apart() {
    let (lock, readers, writers) = (RwLock::new(()), AtomicU32::new(0), AtomicU32::new(0));
    everywhere(|number| {
        for round in 0..ROUNDS {
            if (round + number) % 4 == 0 {
                let held = match round % 3 {
                    0 => Some(lock.write().unwrap()),
                    1 => Some(block_on(lock.write_async()).unwrap()),
                    _ => try_for_a_while(lock.write_async()).map(Result::unwrap),
                };
                if held.is_some() {
                    assert_eq!(writers.fetch_add(1, Ordering::Relaxed), 0);
                    assert_eq!(readers.load(Ordering::Relaxed), 0);
                    thread::yield_now();
                    writers.fetch_sub(1, Ordering::Relaxed);
                }
            } else {
                let held = match round % 3 {
                    0 => Some(lock.read().unwrap()),
                    1 => Some(block_on(lock.read_async()).unwrap()),
                    _ => try_for_a_while(lock.read_async()).map(Result::unwrap),
                };
                if held.is_some() {
                    readers.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(writers.load(Ordering::Relaxed), 0);
                    thread::yield_now();
                    readers.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    });
    assert!(lock.try_write().is_ok());
}

/// Behaviours 16 and 20: as many notifications as things to be had, and none is swallowed by a future
/// that goes.
#[test]
fn cross_thread_no_notification_is_lost() {
    let (things, notified) = (Mutex::new(0), Condvar::new());
    let ends = AtomicU32::new(0);
    everywhere(|number| {
        if number.is_multiple_of(2) {
            for _ in 0..ROUNDS {
                *things.lock().unwrap() += 1;
                notified.notify_one();
            }
            return;
        }
        for round in 0..ROUNDS {
            let guard = things.lock().unwrap();
            let mut guard = match round % 3 {
                0 => notified.wait_while(guard, |things| *things == 0),
                1 => block_on(notified.wait_while_async(guard, |things| *things == 0)),
                _ => {
                    drop(try_for_a_while(notified.wait_async(guard)));
                    let guard = things.lock().unwrap();
                    block_on(notified.wait_while_async(guard, |things| *things == 0))
                }
            }
            .unwrap();
            *guard -= 1;
        }
        ends.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(*things.lock().unwrap(), 0);
    assert_eq!(ends.into_inner(), 3 * EACH / 2);
}

/// Behaviours 14, 15 and 20.
#[test]
fn cross_thread_no_permit_is_lost() {
    let semaphore = Semaphore::new(2);
    everywhere(|number| {
        for round in 0..ROUNDS {
            let count = 1 + (round as usize & 1);
            let permit = match (round + number) % 3 {
                0 => Some(semaphore.acquire_many(count)),
                1 => Some(block_on(semaphore.acquire_many_async(count))),
                _ => try_for_a_while(semaphore.acquire_many_async(count)),
            };
            thread::yield_now();
            drop(permit);
        }
    });
    assert_eq!(semaphore.available_permits(), 2);
}

/// Behaviours 20, 21 and 24.
#[test]
fn cross_thread_each_item_arrives_once() {
    for bound in [0, 1, 3] {
        let (sender, receiver) = mpmc::sync_channel(bound);
        let (sent, received) = (AtomicU32::new(0), AtomicU32::new(0));
        let ends = std::sync::Mutex::new(vec![(sender, receiver); 3 * EACH as usize]);
        everywhere(|number| {
            let (sender, receiver) = ends.lock().unwrap().pop().unwrap();
            if number.is_multiple_of(2) {
                drop(receiver);
                for round in 1..=ROUNDS {
                    let was_sent = match round % 3 {
                        0 => sender.send(round).is_ok(),
                        1 => block_on(sender.send_async(round)).is_ok(),
                        _ => {
                            // Dropped in the queue, it is not known to the sender whether it was sent.
                            match try_for_a_while(sender.send_async(0)) {
                                Some(result) => result.is_ok(),
                                None => continue,
                            }
                        }
                    };
                    assert!(was_sent);
                    if round % 3 != 2 {
                        sent.fetch_add(round, Ordering::Relaxed);
                    }
                }
            } else {
                drop(sender);
                for round in 0.. {
                    let item = match round % 3 {
                        0 => receiver.recv().ok(),
                        1 => block_on(receiver.recv_async()).ok(),
                        _ => match try_for_a_while(receiver.recv_async()) {
                            Some(result) => result.ok(),
                            None => continue,
                        },
                    };
                    let Some(item) = item else {
                        break;
                    };
                    received.fetch_add(item, Ordering::Relaxed);
                }
            }
        });
        assert_eq!(sent.into_inner(), received.into_inner(), "bound {bound}");
    }
}

/// A future that is first polled in one OS thread may be polled to its end in another: the last
/// waker counts.
#[test]
fn cross_thread_a_future_moves_between_polls() {
    let semaphore = Semaphore::new(0);
    for _ in 0..ROUNDS {
        std::thread::scope(|scope| {
            let mut future = Box::pin(semaphore.acquire_async());
            let first = try_poll(&mut future);
            assert!(first.is_none());
            let waiter = scope.spawn(move || {
                greenlit::run(|| block_on(poll_fn(|cx| future.as_mut().poll(cx))).forget());
            });
            std::thread::yield_now();
            semaphore.add_permits(1);
            waiter.join().unwrap();
        });
        assert_eq!(semaphore.available_permits(), 0);
    }
}

fn try_poll<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
