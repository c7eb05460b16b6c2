//! Coroutines, generators, and the stacks beneath them.

mod cancel_coroutine;
mod coroutine;
mod coroutine_drop;
mod generator;
mod os_stack;
mod regressions_coroutine;
mod stack;
mod symmetric;
