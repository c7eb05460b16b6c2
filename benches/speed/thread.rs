//! Green threads: yields, spawns, parks. The main green thread is one of those that are counted.

use crate::Measure;
use greenlit::thread::{self, JoinHandle};
use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;

/// Times `yield_now` among `threads` green threads that all call it from the same place in the
/// program.
pub(crate) fn yield_now_from_one_site(measure: &mut dyn Measure, threads: u64) {
    greenlit::run(|| {
        let going = Rc::new(Cell::new(u64::MAX));
        let others = (1..threads).map(|_| {
            let going = going.clone();
            thread::spawn(move || yield_while::<0>(&going))
        });
        let others: Vec<JoinHandle<()>> = others.collect();
        // A round of all threads is `threads` operations.
        let rounds = (1000 / threads).max(1);
        measure.time(rounds * threads, &mut || {
            yield_while::<0>(&Cell::new(rounds))
        });
        going.set(0);
        join(others);
    });
}

/// Times `yield_now` among `threads` green threads that call it from eight places in turn.
pub(crate) fn yield_now_from_differing_sites(measure: &mut dyn Measure, threads: u64) {
    greenlit::run(|| {
        let going = Rc::new(Cell::new(u64::MAX));
        let others = (1..threads).map(|number| {
            let going = going.clone();
            let body = SITES[number as usize % SITES.len()];
            thread::spawn(move || body(&going))
        });
        let others: Vec<JoinHandle<()>> = others.collect();
        let rounds = (1000 / threads).max(1);
        measure.time(rounds * threads, &mut || {
            yield_while::<0>(&Cell::new(rounds))
        });
        going.set(0);
        join(others);
    });
}

/// Copies of one function, each with a call of `yield_now` of its own.
const SITES: [fn(&Cell<u64>); 8] = [
    yield_while::<0>,
    yield_while::<1>,
    yield_while::<2>,
    yield_while::<3>,
    yield_while::<4>,
    yield_while::<5>,
    yield_while::<6>,
    yield_while::<7>,
];

/// Yields until `left` is zero, and takes one off it each time unless it is `u64::MAX`.
#[inline(never)]
fn yield_while<const SITE: u64>(left: &Cell<u64>) {
    // Without this the copies would be merged.
    black_box(SITE);
    while left.get() != 0 {
        if left.get() != u64::MAX {
            left.set(left.get() - 1);
        }
        thread::yield_now();
    }
}

/// Times `yield_to` between two green threads.
pub(crate) fn yield_to(measure: &mut dyn Measure) {
    greenlit::run(|| {
        let main = thread::current();
        let going = Rc::new(Cell::new(true));
        let other = thread::spawn({
            let going = going.clone();
            move || {
                while going.get() {
                    thread::yield_to(&main).expect("main can run");
                }
            }
        });
        measure.time(1000, &mut || {
            for _ in 0..500 {
                thread::yield_to(other.thread()).expect("the other can run");
            }
        });
        going.set(false);
        join([other]);
    });
}

/// Times spawning a green thread that does nothing, which runs while it is joined.
pub(crate) fn spawn_and_join(measure: &mut dyn Measure) {
    greenlit::run(|| {
        measure.time(1000, &mut || {
            for number in 0..1000 {
                let handle = thread::spawn(move || number);
                black_box(handle.join().expect("the body does not panic"));
            }
        });
    });
}

/// Times the same, for each of 1,000 that are spawned before the first is joined.
pub(crate) fn spawn_and_join_at_once(measure: &mut dyn Measure) {
    greenlit::run(|| {
        let mut handles = Vec::with_capacity(1000);
        measure.time(1000, &mut || {
            handles.extend((0..1000).map(|number| thread::spawn(move || number)));
            for handle in handles.drain(..) {
                black_box(handle.join().expect("the body does not panic"));
            }
        });
    });
}

/// Times unparking another green thread and parking oneself, in turns.
pub(crate) fn park_and_unpark(measure: &mut dyn Measure) {
    greenlit::run(|| {
        let main = thread::current();
        let going = Rc::new(Cell::new(true));
        let other = thread::spawn({
            let going = going.clone();
            move || {
                while going.get() {
                    thread::park();
                    main.unpark();
                }
            }
        });
        measure.time(1000, &mut || {
            for _ in 0..500 {
                other.thread().unpark();
                thread::park();
            }
        });
        going.set(false);
        other.thread().unpark();
        join([other]);
    });
}

/// Waits for green threads to end.
fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("the body does not panic");
    }
}
