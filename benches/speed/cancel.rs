//! What a deadline and a scope cost where nothing has to wait.

use crate::Measure;
use greenlit::cancel::Scope;
use greenlit::sync::{Mutex, mpsc};
use greenlit::time::{Duration, Instant, timeout};
use std::hint::black_box;

/// No benchmark runs for this long.
const LONG: Duration = Duration::from_secs(100_000);

/// Operations of one sample.
const AT_ONCE: u64 = 1000;

/// The floor of all that has a deadline.
pub(crate) fn read_the_clock(measure: &mut dyn Measure) {
    greenlit::run(|| {
        measure.time(AT_ONCE, &mut || {
            for _ in 0..AT_ONCE {
                black_box(Instant::now());
            }
        });
    });
}

/// The floor of the next two.
pub(crate) fn lock(measure: &mut dyn Measure) {
    greenlit::run(|| {
        let mutex = Mutex::new(0_u64);
        measure.time(AT_ONCE, &mut || {
            for _ in 0..AT_ONCE {
                *black_box(&mutex).lock().expect("nobody panics") += 1;
            }
        });
    });
}

pub(crate) fn timeout_around_a_lock(measure: &mut dyn Measure) {
    greenlit::run(|| {
        let mutex = Mutex::new(0_u64);
        measure.time(AT_ONCE, &mut || {
            for _ in 0..AT_ONCE {
                timeout(LONG, || {
                    *black_box(&mutex).lock().expect("nobody panics") += 1;
                })
                .expect("it takes no time");
            }
        });
    });
}

pub(crate) fn scope_around_a_lock(measure: &mut dyn Measure) {
    greenlit::run(|| {
        let mutex = Mutex::new(0_u64);
        let scope = Scope::new();
        measure.time(AT_ONCE, &mut || {
            for _ in 0..AT_ONCE {
                scope
                    .run(|| *black_box(&mutex).lock().expect("nobody panics") += 1)
                    .expect("nobody cancels it");
            }
        });
    });
}

/// Receives what is there already.
pub(crate) fn receive(measure: &mut dyn Measure, receive: fn(&mpsc::Receiver<u64>) -> Option<u64>) {
    greenlit::run(|| {
        let (sender, receiver) = mpsc::channel();
        measure.time(AT_ONCE, &mut || {
            for number in 0..AT_ONCE {
                sender.send(number).expect("the receiver is there");
                black_box(receive(&receiver));
            }
        });
    });
}

pub(crate) fn recv(measure: &mut dyn Measure) {
    receive(measure, |receiver| receiver.recv().ok());
}

pub(crate) fn recv_timeout(measure: &mut dyn Measure) {
    receive(measure, |receiver| receiver.recv_timeout(LONG).ok());
}
