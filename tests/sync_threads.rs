//! Locks between green threads of two runtimes and plain OS threads: every count is checked, and each
//! test takes a few milliseconds, so that it can be repeated under load (behaviour 20).

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::kept;
use greenlit::sync::{Condvar, Event, Mutex, RwLock, Semaphore, WaitGroup};
use greenlit::thread;

/// Threads of each kind: in each of two runtimes, and without one.
const EACH: u32 = 2;
const THREADS: u32 = 3 * EACH;
const ROUNDS: u32 = 100;

/// Runs `f` in so many threads of every kind at once, with a number for each.
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

/// Lets green threads and OS threads run.
fn pause(number: u32) {
    thread::yield_now();
    if number.is_multiple_of(3) {
        std::thread::yield_now();
    }
}

#[test]
fn cross_thread_mutex_excludes() {
    let (mutex, inside) = (Mutex::new(0), AtomicU32::new(0));
    let gave_up = AtomicU32::new(0);
    everywhere(|number| {
        for round in 0..ROUNDS {
            // Some give up, at the moment in which they may be chosen.
            let mut count = match (round + number) % 4 {
                0 => match mutex.lock_timeout(Duration::from_micros(20)) {
                    Ok(count) => count,
                    Err(_) => {
                        gave_up.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                },
                _ => mutex.lock().unwrap(),
            };
            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
            pause(round);
            *count += 1;
            assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
        }
    });
    let gave_up = gave_up.into_inner();
    assert_eq!(mutex.into_inner().unwrap() + gave_up, THREADS * ROUNDS);
}

#[test]
fn cross_thread_rwlock_excludes_writers() {
    let lock = RwLock::new((0, 0));
    let (readers, writers) = (AtomicU32::new(0), AtomicU32::new(0));
    let gave_up = AtomicU32::new(0);
    everywhere(|number| {
        for round in 0..ROUNDS {
            match (round + number) % 4 {
                0 => {
                    let mut held = lock.write().unwrap();
                    assert_eq!(writers.fetch_add(1, Ordering::Relaxed), 0);
                    assert_eq!(readers.load(Ordering::Relaxed), 0);
                    held.0 += 1;
                    pause(round);
                    held.1 += 1;
                    assert_eq!(writers.fetch_sub(1, Ordering::Relaxed), 1);
                }
                1 => match lock.write_timeout(Duration::from_micros(20)) {
                    Ok(mut held) => {
                        held.0 += 1;
                        held.1 += 1;
                    }
                    Err(_) => drop(gave_up.fetch_add(1, Ordering::Relaxed)),
                },
                _ => {
                    let held = lock.read().unwrap();
                    readers.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(writers.load(Ordering::Relaxed), 0);
                    assert_eq!(held.0, held.1);
                    pause(round);
                    readers.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    });
    assert!(lock.try_write().is_ok(), "nobody is left inside");
    let (written, _) = lock.into_inner().unwrap();
    assert_eq!(written + gave_up.into_inner(), THREADS * ROUNDS / 2);
}

#[test]
fn cross_thread_semaphore_keeps_its_permits() {
    const PERMITS: usize = 3;
    let semaphore = Semaphore::new(PERMITS);
    let out = AtomicUsize::new(0);
    everywhere(|number| {
        for round in 0..ROUNDS {
            let count = 1 + (round + number) as usize % PERMITS;
            let permit = match round % 3 {
                0 => semaphore.acquire_many_timeout(count, Duration::from_micros(20)),
                _ => Some(semaphore.acquire_many(count)),
            };
            let Some(permit) = permit else { continue };
            assert!(out.fetch_add(count, Ordering::Relaxed) + count <= PERMITS);
            pause(round);
            out.fetch_sub(count, Ordering::Relaxed);
            drop(permit);
        }
    });
    assert_eq!(semaphore.available_permits(), PERMITS);
}

/// A queue of one place: each item comes out once.
#[test]
fn cross_thread_condvar_loses_no_notification() {
    let (place, changed) = (Mutex::new(None), Condvar::new());
    let (sum, taken) = (AtomicU32::new(0), AtomicU32::new(0));
    everywhere(|number| {
        for round in 0..ROUNDS {
            // Half of each kind put, and half take.
            if number % 2 == 0 {
                let full = changed.wait_while(place.lock().unwrap(), |place| place.is_some());
                *full.unwrap() = Some(number * ROUNDS + round);
                changed.notify_all();
                continue;
            }
            let empty = changed.wait_while(place.lock().unwrap(), |place| place.is_none());
            let item = empty.unwrap().take();
            sum.fetch_add(item.unwrap(), Ordering::Relaxed);
            taken.fetch_add(1, Ordering::Relaxed);
            changed.notify_all();
        }
    });
    let puts = (0..THREADS).step_by(2);
    let expected: u32 = puts
        .map(|number| {
            (0..ROUNDS)
                .map(|round| number * ROUNDS + round)
                .sum::<u32>()
        })
        .sum();
    assert_eq!(taken.into_inner(), THREADS / 2 * ROUNDS);
    assert_eq!(sum.into_inner(), expected);
}

/// A notification for one wakes one, wherever it waits.
#[test]
fn cross_thread_condvar_passes_a_baton() {
    let (turn, changed) = (Mutex::new(0_u32), Condvar::new());
    everywhere(|number| {
        for round in 0..ROUNDS / 4 {
            let mine = round * THREADS + number;
            let mut turn = turn.lock().unwrap();
            while *turn != mine {
                let waited = changed.wait_timeout(turn, Duration::from_micros(50));
                turn = waited.unwrap().0;
            }
            *turn += 1;
            drop(turn);
            changed.notify_one();
        }
    });
    assert_eq!(*turn.lock().unwrap(), ROUNDS / 4 * THREADS);
}

#[test]
fn cross_thread_events_and_groups_let_all_go() {
    for _ in 0..10 {
        let (start, group) = (Event::new(), WaitGroup::new());
        let (ready, gone) = (WaitGroup::new(), AtomicU32::new(0));
        ready.add(THREADS as usize);
        group.add(THREADS as usize);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ready.wait();
                start.set();
                start.clear();
                group.wait();
                assert_eq!(gone.load(Ordering::Relaxed), THREADS);
            });
            everywhere(|number| {
                // Whoever is not in the queue yet when it is cleared is let go by the next one.
                ready.done();
                while !start.wait_timeout(Duration::from_millis(1))
                    && group.count() == THREADS as usize
                {
                    pause(number);
                }
                gone.fetch_add(1, Ordering::Relaxed);
                group.done();
                start.set();
                group.wait();
            });
        });
        assert_eq!((group.count(), ready.count()), (0, 0));
    }
}

/// Runs that end, and with them waiters, while another OS thread hands the lock over.
#[test]
fn cross_thread_cancelled_waiters_lose_nothing() {
    let mutex: &'static Mutex<u32> = kept::kept(Mutex::new(0));
    let semaphore: &'static Semaphore = kept::kept(Semaphore::new(1));
    let other = std::thread::spawn(|| {
        for _ in 0..1_000 {
            *mutex.lock().unwrap() += 1;
            drop(semaphore.acquire());
        }
    });
    while !other.is_finished() {
        greenlit::run(|| {
            for _ in 0..3 {
                thread::spawn(|| drop(mutex.lock()));
                thread::spawn(|| drop(semaphore.acquire()));
            }
            thread::yield_now();
        });
    }
    other.join().unwrap();
    assert_eq!(*mutex.try_lock().unwrap(), 1_000);
    assert_eq!(semaphore.available_permits(), 1);
}
