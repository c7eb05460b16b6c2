//! What futures allocate: this binary's allocator counts, for each OS thread by itself.

#![expect(unsafe_code, reason = "a global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::array;
use std::cell::Cell;
use std::future::{poll_fn, ready};
use std::hint::black_box;
use std::task::{Context, Poll, Waker};

use greenlit::future::{self, block_on};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's, which counts.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: it does what the system's allocator does.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's duty is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty is the same.
        unsafe { System.dealloc(memory, layout) };
    }
}

/// How often this OS thread allocates in `f`.
fn allocations<T>(f: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.get();
    // An allocation that nobody sees may be left out where the optimizer runs.
    let result = black_box(f());
    let after = ALLOCATIONS.get();
    drop(result);
    after - before
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| Box::new(1)), 1);
    assert_eq!(allocations(|| 1), 0);
}

#[test]
fn a_ready_future_costs_block_on_nothing() {
    // An OS thread's first wait makes what it is woken by, for all that come.
    block_on(ready(1));
    assert_eq!(allocations(|| block_on(ready(1))), 0);
    greenlit::run(|| assert_eq!(allocations(|| block_on(ready(1))), 0));
}

/// How often ten clones of the caller's waker allocate, when there is one already.
fn of_clones(context: &Context<'_>) -> Poll<usize> {
    let _first = context.waker().clone();
    Poll::Ready(allocations(|| -> [Waker; 10] {
        array::from_fn(|_| context.waker().clone())
    }))
}

#[test]
fn clones_of_wakers_cost_nothing() {
    assert_eq!(block_on(poll_fn(|context| of_clones(context))), 0);
    greenlit::run(|| {
        assert_eq!(block_on(poll_fn(|context| of_clones(context))), 0);
        let task = future::spawn(poll_fn(|context| {
            // Of a task not even the first.
            let first = allocations(|| context.waker().clone());
            of_clones(context).map(|others| first + others)
        }));
        assert_eq!(task.join().unwrap(), 0);
    });
}

#[test]
fn a_task_is_one_allocation() {
    greenlit::run(|| {
        // The runner is made for the first.
        future::spawn(async {}).join().unwrap();
        let spawn = || future::spawn(future::yield_now());
        assert_eq!(allocations(|| array::from_fn::<_, 10, _>(|_| spawn())), 10);
    });
}
