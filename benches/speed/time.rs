//! Timers that are set and cancelled: the common fate of a timeout.

use crate::Measure;
use greenlit::thread::{self, JoinHandle};
use greenlit::time::Duration;
use std::cell::Cell;
use std::rc::Rc;

/// No benchmark runs for this long.
const LONG: Duration = Duration::from_secs(100_000);

/// Times a park with a timeout and the unpark that ends it, while `others` timers stay set.
pub(crate) fn set_and_cancel(measure: &mut dyn Measure, others: u64) {
    greenlit::run(|| {
        let going = Rc::new(Cell::new(true));
        let sleepers: Vec<JoinHandle<()>> = (0..others)
            .map(|number| {
                thread::spawn(move || thread::park_timeout(LONG - Duration::from_millis(number)))
            })
            .collect();
        let waiter = thread::spawn({
            let going = going.clone();
            move || {
                while going.get() {
                    thread::park_timeout(LONG);
                }
            }
        });
        measure.time(1000, &mut || {
            for _ in 0..1000 {
                waiter.thread().unpark();
                thread::yield_now();
            }
        });
        going.set(false);
        for thread in sleepers.into_iter().chain([waiter]) {
            thread.thread().unpark();
            thread.join().expect("the body does not panic");
        }
    });
}
