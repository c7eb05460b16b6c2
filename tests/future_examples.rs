//! The examples of futures, which look at themselves at each step: each runs to its end.

#[path = "../examples/asyncio_tour.rs"]
mod asyncio_tour;
#[path = "../examples/classic_executor.rs"]
mod classic_executor;
#[path = "../examples/hello_future.rs"]
mod hello_future;

#[test]
fn hello_future_is_pending_twice_and_then_ready() {
    hello_future::main();
}

#[test]
fn the_classic_executor_ends_with_its_last_task() {
    classic_executor::main();
}

#[test]
fn the_tour_of_asyncio_ends() {
    asyncio_tour::main();
}
