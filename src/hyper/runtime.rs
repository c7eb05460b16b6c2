//! `Executor` and `Timer`: where hyper spawns, and how it sleeps.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant as StdInstant};

use ::hyper::rt;

use crate::clock::Instant;
use crate::future::{self, Sleep};

/// Spawns hyper's futures as tasks of the runtime that this OS thread runs. They need not be `Send`.
///
/// # Panics
///
/// Where hyper spawns outside a runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> rt::Executor<F> for Executor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        drop(future::spawn(future));
    }
}

/// Sleeps as [`future::sleep`] does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(future::sleep(duration))
    }

    fn sleep_until(&self, deadline: StdInstant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(future::sleep_until(deadline.into()))
    }

    fn now(&self) -> StdInstant {
        Instant::now().into()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, new_deadline: StdInstant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => sleep.get_mut().reset(new_deadline.into()),
            // Another timer made it.
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

impl rt::Sleep for Sleep {}
