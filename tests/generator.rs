//! Generators: iterators whose function runs on a stack of its own.

use greenlit::coroutine::{Generator, Yielder};
use greenlit::thread;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// Yields `first` and the numbers after it, without end.
fn count_from(first: u32, g: &Yielder<u32>) {
    for number in first.. {
        g.yield_(number);
    }
}

/// Behaviour 51.
#[test]
fn smoke_a_generator_is_an_iterator() {
    let mut letters = Generator::new(|g| {
        for letter in ["a", "b", "c"] {
            g.yield_(letter);
        }
    });
    assert_eq!(letters.next(), Some("a"));
    assert_eq!(letters.by_ref().collect::<Vec<_>>(), ["b", "c"]);
}

/// Behaviour 51.
#[test]
fn it_is_fused_and_its_size_hint_is_honest() {
    let mut one = Generator::new(|g| g.yield_(1));
    assert_eq!(one.size_hint(), (0, None));
    assert_eq!(one.next(), Some(1));
    assert_eq!(one.size_hint(), (0, None));
    assert_eq!(one.next(), None);
    assert_eq!(one.size_hint(), (0, Some(0)));
    assert_eq!((one.next(), one.next()), (None, None));
}

#[test]
fn a_panic_reaches_whoever_asked_and_ends_it() {
    let mut broken = Generator::new(|g| {
        g.yield_(1);
        panic!("broken (this message is expected)");
    });
    assert_eq!(broken.next(), Some(1));
    let payload = catch_unwind(AssertUnwindSafe(|| broken.next())).unwrap_err();
    assert_eq!(
        *payload.downcast::<&str>().unwrap(),
        "broken (this message is expected)"
    );
    assert_eq!((broken.next(), broken.size_hint()), (None, (0, Some(0))));
}

#[test]
fn one_that_is_dropped_early_runs_its_destructors() {
    let alive = Rc::new(());
    let mut endless = Generator::new({
        let alive = alive.clone();
        move |g| {
            let _alive = alive;
            count_from(0, g);
        }
    });
    assert_eq!(endless.nth(10), Some(10));
    assert_eq!(Rc::strong_count(&alive), 2);
    drop(endless);
    assert_eq!(Rc::strong_count(&alive), 1);
}

/// Behaviour 51.
#[test]
fn its_body_parks_the_green_thread_that_asked() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    greenlit::run(|| {
        let ticks = Rc::new(Cell::new(0));
        let clock = thread::spawn({
            let ticks = ticks.clone();
            move || {
                for _ in 0..3 {
                    ticks.set(ticks.get() + 1);
                    thread::yield_now();
                }
            }
        });
        let counts = Generator::new(move |g| {
            for _ in 0..3 {
                thread::yield_now();
                g.yield_(ticks.get());
            }
        });
        for count in counts {
            seen.borrow_mut().push(count);
        }
        clock.join().unwrap();
    });
    assert_eq!(*seen.borrow(), [1, 2, 3]);
}

/// Behaviour 52.
#[test]
fn a_sieve_of_nested_generators_gives_the_first_hundred_primes() {
    fn sieve(mut numbers: Generator<u32>) -> Generator<u32> {
        Generator::new(move |g| {
            let Some(prime) = numbers.next() else { return };
            g.yield_(prime);
            let rest = Generator::new(move |g| {
                numbers.filter(|n| n % prime != 0).for_each(|n| g.yield_(n));
            });
            sieve(rest).for_each(|n| g.yield_(n));
        })
    }
    let primes: Vec<u32> = sieve(Generator::new(|g| count_from(2, g)))
        .take(100)
        .collect();
    assert_eq!(primes[..5], [2, 3, 5, 7, 11]);
    assert_eq!(primes[99], 541);
    assert!(primes.iter().all(|p| (2..*p).all(|d| p % d != 0)));
}
