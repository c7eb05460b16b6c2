//! `sync::queue`: its orders, its bound, what is done and its end. What all waits have in common is in
//! sync_waits.rs.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use greenlit::future::block_on;
use greenlit::sync::queue::{LifoQueue, PriorityQueue, Queue, ShutDown, TryGetError, TryPutError};
use greenlit::thread;
use greenlit::time::{Instant, timeout};

/// Now and then a limit is long enough for machines on which a call alone takes the usual one.
fn longer(limit: Duration, tries: u32) -> Duration {
    match tries % 16 {
        15 => Duration::from_millis(20),
        _ => limit,
    }
}

fn drain<T, O: greenlit::sync::queue::Order<T>>(queue: &Queue<T, O>) -> Vec<T> {
    std::iter::from_fn(|| queue.try_get().ok()).collect()
}

#[test]
fn smoke() {
    greenlit::run(|| {
        let queue = Rc::new(Queue::new().with_bound(1));
        let consumer = thread::spawn({
            let queue = queue.clone();
            move || (0..3).map(|_| queue.get().unwrap()).collect::<Vec<_>>()
        });
        (1..=3).for_each(|n| queue.put(n).unwrap());
        assert_eq!(consumer.join().unwrap(), [1, 2, 3]);
        assert_eq!((queue.len(), queue.unfinished()), (0, 3));
    });
}

#[test]
fn each_order_is_kept() {
    let (fifo, lifo) = (Queue::new(), Queue::lifo());
    let priority: PriorityQueue<_, _> = Queue::priority();
    // More than fit into the first memory.
    for n in 0..100 {
        fifo.put(n).unwrap();
        lifo.put(n).unwrap();
        priority.put((Reverse(n / 10), n)).unwrap();
    }
    assert!(drain(&fifo).into_iter().eq(0..100));
    assert!(drain(&lifo).into_iter().eq((0..100).rev()));
    // Equal priorities: first in, first out.
    let tens = (0..10).rev().flat_map(|ten| ten * 10..(ten + 1) * 10);
    assert!(drain(&priority).into_iter().map(|(_, n)| n).eq(tens));
}

/// Behaviour 22; and what it gets is what is the next when it comes, as asyncio's getters do.
#[test]
fn who_waits_owns_an_item_and_takes_the_one_whose_turn_it_is() {
    greenlit::run(|| {
        let queue: Rc<PriorityQueue<u8, &str>> = Rc::new(Queue::priority());
        let getter = thread::spawn({
            let queue = queue.clone();
            move || queue.get().unwrap().1
        });
        thread::yield_now();
        queue.put((2, "late")).unwrap();
        assert_eq!(queue.try_get(), Err(TryGetError::Empty));
        queue.put((1, "urgent")).unwrap();
        assert_eq!(getter.join().unwrap(), "urgent");
        assert_eq!(queue.try_get(), Ok((2, "late")));
    });
}

/// Behaviour 22, for room.
#[test]
fn who_waits_owns_the_room() {
    greenlit::run(|| {
        let queue = Rc::new(Queue::new().with_bound(1));
        queue.put(1).unwrap();
        let putter = thread::spawn({
            let queue = queue.clone();
            move || queue.put(2)
        });
        thread::yield_now();
        assert!(queue.is_full());
        // Without a switch, which a blocking call might bring.
        assert_eq!(queue.try_get(), Ok(1));
        assert_eq!(queue.try_put(3), Err(TryPutError::Full(3)));
        assert!(!queue.is_full());
        putter.join().unwrap().unwrap();
        assert_eq!(drain(&queue), [2]);
    });
}

#[test]
fn join_waits_until_all_is_done() {
    greenlit::run(|| {
        let queue = Rc::new(Queue::new());
        queue.join();
        (0..3).for_each(|n| queue.put(n).unwrap());
        let joined = Rc::new(Cell::new(false));
        let joiner = thread::spawn({
            let (queue, joined) = (queue.clone(), joined.clone());
            move || {
                queue.join();
                joined.set(true);
            }
        });
        drain(&queue);
        for _ in 0..3 {
            thread::yield_now();
            assert!(!joined.get());
            queue.task_done();
        }
        // What is put in now is not what they waited for.
        queue.put(4).unwrap();
        joiner.join().unwrap();
        assert!(!queue.join_timeout(Duration::ZERO));
    });
}

#[test]
fn task_done_is_counted() {
    let queue = Queue::new();
    queue.put(()).unwrap();
    queue.task_done();
    let again = catch_unwind(AssertUnwindSafe(|| queue.task_done()));
    let message = again.unwrap_err();
    let message = message.downcast_ref::<&str>().unwrap();
    assert!(message.starts_with("task_done: "), "{message}");
    // The queue is as it was.
    assert_eq!((queue.unfinished(), queue.get()), (0, Ok(())));
}

#[test]
fn what_lies_in_a_queue_that_was_shut_down_can_be_got() {
    greenlit::run(|| {
        let queue = Queue::new().with_bound(2);
        queue.put(1).unwrap();
        queue.shutdown(false);
        assert!(queue.is_shutdown());
        assert_eq!(queue.put(2), Err(ShutDown(2)));
        assert_eq!(queue.try_put(2), Err(TryPutError::ShutDown(2)));
        let late = queue.put_timeout(2, Duration::MAX);
        assert_eq!(late.unwrap_err().into_inner(), 2);
        assert_eq!(queue.get(), Ok(1));
        assert_eq!(queue.get(), Err(ShutDown(())));
        assert_eq!(queue.try_get(), Err(TryGetError::ShutDown));
        assert_eq!(queue.unfinished(), 1);
        queue.task_done();
        queue.join();
    });
}

/// Behaviour 24: each hears of it, and a putter has its item back.
#[test]
fn shutdown_ends_the_waits() {
    greenlit::run(|| {
        let queue = Rc::new(Queue::new());
        let getters = [(); 2].map(|()| {
            let queue = queue.clone();
            thread::spawn(move || queue.get())
        });
        let full = Rc::new(Queue::new().with_bound(1));
        full.put(0).unwrap();
        let putters = [1, 2].map(|n| {
            let full = full.clone();
            thread::spawn(move || full.put(n))
        });
        thread::yield_now();
        queue.put(7).unwrap();
        queue.shutdown(false);
        full.shutdown(false);
        // The one whose item it was still gets it.
        let got = getters.map(|getter| getter.join().unwrap());
        assert_eq!(got, [Ok(7), Err(ShutDown(()))]);
        let put = putters.map(|putter| putter.join().unwrap());
        assert_eq!(put, [Err(ShutDown(1)), Err(ShutDown(2))]);
        assert_eq!(drain(&full), [0]);
    });
}

#[test]
fn an_immediate_shutdown_drops_what_lies_in_the_queue() {
    greenlit::run(|| {
        let item = Rc::new(());
        let queue = Rc::new(Queue::new());
        let spawn_getter = || {
            let queue = queue.clone();
            thread::spawn(move || queue.get())
        };
        let getter = spawn_getter();
        thread::yield_now();
        queue.put(item.clone()).unwrap();
        queue.put(item.clone()).unwrap();
        let joiner = thread::spawn({
            let queue = queue.clone();
            move || queue.join()
        });
        thread::yield_now();
        // The getter has taken one by now.
        assert_eq!((queue.len(), queue.unfinished()), (1, 2));
        let held = getter.join().unwrap().unwrap();
        queue.shutdown(true);
        assert_eq!((queue.len(), queue.unfinished()), (0, 1));
        assert_eq!(Rc::strong_count(&item), 2);
        queue.task_done();
        joiner.join().unwrap();
        drop(held);
        assert!(spawn_getter().join().unwrap().is_err());
    });
}

/// The item of a getter that was chosen goes too: it hears of the end.
#[test]
fn an_immediate_shutdown_comes_before_who_was_chosen() {
    greenlit::run(|| {
        let queue = Rc::new(Queue::new().with_bound(1));
        let getter = thread::spawn({
            let queue = queue.clone();
            move || queue.get()
        });
        thread::yield_now();
        queue.put(1).unwrap();
        let putter = thread::spawn({
            let queue = queue.clone();
            move || queue.put(2)
        });
        queue.shutdown(true);
        assert_eq!(getter.join().unwrap(), Err(ShutDown(())));
        assert_eq!(putter.join().unwrap(), Err(ShutDown(2)));
        assert_eq!((queue.len(), queue.unfinished()), (0, 0));
        assert_eq!(queue.try_get(), Err(TryGetError::ShutDown));
    });
}

/// An item's destructor may use its queue: it runs when the lock has been let go.
#[test]
fn items_that_use_their_queue_are_dropped_outside_its_lock() {
    struct Looks(Rc<Queue<Looks>>, Rc<Cell<usize>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            self.1.set(self.1.get() + self.0.len() + 1);
        }
    }
    greenlit::run(|| {
        let (queue, drops) = (Rc::new(Queue::new()), Rc::new(Cell::new(0)));
        for _ in 0..3 {
            drop(queue.put(Looks(queue.clone(), drops.clone())));
        }
        queue.shutdown(true);
        drop(queue.put(Looks(queue.clone(), drops.clone())));
        assert_eq!(drops.get(), 4);
    });
}

#[test]
fn a_bound_of_0_is_refused() {
    let refused = catch_unwind(|| LifoQueue::<()>::lifo().with_bound(0));
    assert!(refused.is_err());
    assert_eq!(Queue::<()>::new().capacity(), None);
    assert_eq!(Queue::<()>::new().with_bound(3).capacity(), Some(3));
}

#[test]
fn it_is_send_and_sync_where_its_items_are_send() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Queue<Cell<u8>>>();
    assert_send_sync::<LifoQueue<Cell<u8>>>();
    assert_send_sync::<PriorityQueue<u8, Cell<u8>>>();
}

/// Behaviours 14, 20 and 21: green threads of two runtimes and OS threads, as producers and consumers,
/// who give up or are unwound at the moment in which they may be chosen; each item is got once, and
/// each is done.
#[test]
fn cross_thread_queue_hands_over() {
    const EACH: usize = 40;
    const MOMENT: Duration = Duration::from_micros(50);
    for bound in [1, usize::MAX] {
        let queue = Queue::<usize>::new().with_bound(bound);
        let (sum, count) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let produce = |first: usize, is_cancelled: bool| {
            for mut n in first..first + EACH {
                for tries in 0.. {
                    let put = match is_cancelled {
                        false => queue.put_timeout(n, MOMENT),
                        true => timeout(longer(MOMENT, tries), || {
                            queue.put(n).map_err(TryPutError::from)
                        })
                        .unwrap_or(Err(TryPutError::Full(n))),
                    };
                    match put {
                        Ok(()) => break,
                        Err(error) => n = error.into_inner(),
                    }
                    if queue.is_shutdown() {
                        return;
                    }
                }
            }
        };
        let consume = |is_cancelled: bool| {
            for tries in 0.. {
                let got = match is_cancelled {
                    false => queue.get_timeout(MOMENT),
                    true => timeout(longer(MOMENT, tries), || {
                        queue.get().map_err(TryGetError::from)
                    })
                    .unwrap_or(Err(TryGetError::Empty)),
                };
                match got {
                    Ok(n) => {
                        sum.fetch_add(n, Ordering::Relaxed);
                        count.fetch_add(1, Ordering::Relaxed);
                        queue.task_done();
                    }
                    Err(TryGetError::Empty) => {}
                    Err(TryGetError::ShutDown) => return,
                }
            }
        };
        std::thread::scope(|scope| {
            for first in [0, EACH] {
                scope.spawn(move || {
                    greenlit::run(|| {
                        thread::scope(|scope| {
                            scope.spawn(|| produce(first, true));
                            scope.spawn(|| consume(false));
                            scope.spawn(|| consume(true));
                        });
                    });
                });
            }
            scope.spawn(|| consume(false));
            scope.spawn(|| {
                produce(2 * EACH, false);
                // An item or a room that got lost keeps some from being got.
                let end = Instant::now() + Duration::from_secs(60);
                while count.load(Ordering::Relaxed) < 3 * EACH && Instant::now() < end {
                    std::thread::yield_now();
                }
                queue.shutdown(true);
            });
        });
        assert_eq!(count.into_inner(), 3 * EACH, "bound {bound}");
        assert_eq!(sum.into_inner(), (0..3 * EACH).sum::<usize>());
        assert_eq!((queue.len(), queue.unfinished()), (0, 0));
    }
}

/// Behaviour 14: who is chosen by another OS thread while a cancel unwinds it leaves what it was to
/// have to the next, which here is itself, coming back.
#[test]
fn cross_thread_who_is_unwound_leaves_it_to_the_next() {
    const ROUNDS: usize = 60;
    let (items, rooms) = (Queue::new(), Queue::new().with_bound(1));
    rooms.put(()).unwrap();
    let done = AtomicUsize::new(0);
    let end = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            greenlit::run(|| {
                let mut tries = 0;
                while done.load(Ordering::Acquire) < 2 * ROUNDS && Instant::now() < end {
                    // A slow machine needs the longer ones.
                    let moment = Duration::from_micros(1 << (tries % 12));
                    tries += 1;
                    if timeout(moment, || items.get()).is_ok() {
                        done.fetch_add(1, Ordering::Release);
                    }
                    if timeout(moment, || rooms.put(())).is_ok() {
                        done.fetch_add(1, Ordering::Release);
                    }
                }
            });
        });
        for round in 0..ROUNDS {
            items.put(()).unwrap();
            for _ in 0..round {
                std::hint::spin_loop();
            }
            rooms.get_deadline(end).unwrap();
            while done.load(Ordering::Acquire) < 2 * (round + 1) && Instant::now() < end {
                std::thread::yield_now();
            }
        }
    });
    assert_eq!(done.into_inner(), 2 * ROUNDS);
    assert_eq!((items.len(), rooms.len()), (0, 1));
}

/// Behaviours 13 and 22, of futures among threads.
#[test]
fn futures_and_threads_stand_in_one_queue() {
    greenlit::run(|| {
        let items = Rc::new(Queue::new());
        let log = Rc::new(RefCell::new(Vec::new()));
        let takers: Vec<_> = (0..4)
            .map(|number| {
                let (items, log) = (items.clone(), log.clone());
                let taker = thread::spawn(move || {
                    let item = match number % 2 {
                        0 => items.get(),
                        _ => block_on(items.get_async()),
                    };
                    log.borrow_mut().push(number);
                    item.unwrap()
                });
                // The next one comes when this one stands there.
                thread::yield_now();
                thread::yield_now();
                taker
            })
            .collect();
        (0..4).for_each(|n| items.try_put(n).unwrap());
        let got: Vec<_> = takers.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!((&*log.borrow(), got), (&vec![0, 1, 2, 3], vec![0, 1, 2, 3]));
    });
}

/// Behaviours 14 and 21, of futures: one that was chosen and is dropped passes it on.
#[test]
fn a_future_that_is_dropped_leaves_item_and_room_to_the_next() {
    fn stands(future: Pin<&mut impl Future>) -> bool {
        // The fairness budget may ask for a second poll.
        let mut context = Context::from_waker(Waker::noop());
        let mut future = future;
        (0..2).all(|_| future.as_mut().poll(&mut context).is_pending())
    }
    let queue = Queue::new().with_bound(1);
    let (mut first, mut second) = (Box::pin(queue.get_async()), Box::pin(queue.get_async()));
    assert!(stands(first.as_mut()) && stands(second.as_mut()));
    queue.try_put(1).unwrap();
    assert_eq!(queue.try_get(), Err(TryGetError::Empty));
    drop(first);
    assert_eq!(queue.try_get(), Err(TryGetError::Empty));
    assert_eq!(block_on(second), Ok(1));

    queue.try_put(2).unwrap();
    let (mut first, mut second) = (Box::pin(queue.put_async(3)), Box::pin(queue.put_async(4)));
    assert!(stands(first.as_mut()) && stands(second.as_mut()));
    assert_eq!(queue.try_get(), Ok(2));
    drop(first);
    assert_eq!(queue.try_put(5), Err(TryPutError::Full(5)));
    assert_eq!(block_on(second), Ok(()));
    assert_eq!(drain(&queue), [4]);

    let mut join = Box::pin(queue.join_async());
    assert!(stands(join.as_mut()));
    (0..3).for_each(|_| queue.task_done());
    block_on(join);
    let (mut get, put) = (Box::pin(queue.get_async()), queue.put_async(6));
    assert!(stands(get.as_mut()));
    queue.shutdown(false);
    assert_eq!(block_on(get), Err(ShutDown(())));
    assert_eq!(block_on(put), Err(ShutDown(6)));
}
