//! Futures, green threads and OS threads at one lock, semaphore or channel: they are served in one
//! order, and what one of them gives up the next one gets.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use greenlit::future::block_on;
use greenlit::sync::{Mutex, Semaphore, mpmc};
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
    greenlit::run(|| {
        let mutex = Mutex::new(Vec::new());
        let semaphore = Semaphore::new(0);
        let order = Mutex::new(Vec::new());
        let (sender, receiver) = mpmc::channel();
        thread::scope(|scope| {
            let mut held = mutex.lock().unwrap();
            for number in 0..6 {
                let (mutex, semaphore, order) = (&mutex, &semaphore, &order);
                let receiver = receiver.clone();
                scope.spawn(move || match number % 2 {
                    0 => {
                        block_on(async { mutex.lock_async().await.unwrap().push(number) });
                        block_on(semaphore.acquire_async()).forget();
                        order.lock().unwrap().push(number);
                        assert_eq!(block_on(receiver.recv_async()), Ok(number));
                    }
                    _ => {
                        mutex.lock().unwrap().push(number);
                        semaphore.acquire().forget();
                        order.lock().unwrap().push(number);
                        assert_eq!(receiver.recv(), Ok(number));
                    }
                });
            }
            thread::yield_now();
            held.push(100);
            drop(held);
            while mutex.lock().unwrap().len() < 7 {
                thread::yield_now();
            }
            semaphore.add_permits(6);
            while order.lock().unwrap().len() < 6 {
                thread::yield_now();
            }
            thread::yield_now();
            (0..6).for_each(|number| sender.send(number).unwrap());
        });
        assert_eq!(*mutex.lock().unwrap(), [100, 0, 1, 2, 3, 4, 5]);
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
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
