//! How an operation is timed: by divan for its tables, or by loops of our own for the lines of
//! `--json`. A case sets its stage up once and hands over a body that does the operation some
//! times.

use greenlit::time::Instant;
use std::fmt;
use std::time::Duration;

/// How many samples the median is taken of.
const SAMPLES: usize = 101;

/// A sample takes at least this long, so that reading the clock (25 ns) does not count.
const LEAST_SAMPLE: Duration = Duration::from_millis(1);

/// Something to measure: its name, and a function that sets it up and measures it.
pub(crate) struct Case(pub(crate) &'static str, pub(crate) fn(&mut dyn Measure));

impl Case {
    /// Names the case; the part before the slash is what it belongs to.
    pub(crate) fn name(&self) -> &'static str {
        self.0
    }

    /// Sets it up and measures it.
    pub(crate) fn run(&self, measure: &mut dyn Measure) {
        (self.1)(measure);
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Times a body, called once a case.
pub(crate) trait Measure {
    /// Calls `body` often; each call does the operation `operations` times.
    fn time(&mut self, operations: u64, body: &mut dyn FnMut());
}

/// Leaves it to divan.
pub(crate) struct Divan<'a, 'b>(Option<divan::Bencher<'a, 'b>>);

impl<'a, 'b> Divan<'a, 'b> {
    pub(crate) fn new(bencher: divan::Bencher<'a, 'b>) -> Self {
        Self(Some(bencher))
    }
}

impl Measure for Divan<'_, '_> {
    fn time(&mut self, operations: u64, body: &mut dyn FnMut()) {
        let bencher = self.0.take().expect("a case times one body");
        bencher
            .counter(divan::counter::ItemsCount::new(operations))
            .bench_local(body);
    }
}

/// Takes samples, and the median of them.
#[derive(Default)]
pub(crate) struct Median {
    /// The median of the nanoseconds for one operation; `None` until something was timed.
    per_operation: Option<f64>,
}

impl Median {
    /// Nanoseconds for one operation, unless the case cannot run here.
    pub(crate) fn per_operation(&self) -> Option<f64> {
        self.per_operation
    }
}

impl Measure for Median {
    fn time(&mut self, operations: u64, body: &mut dyn FnMut()) {
        // Warm up, and find how many calls make a sample.
        let mut calls = 1;
        while sample(calls, body) < LEAST_SAMPLE {
            calls *= 2;
        }
        let mut samples: Vec<Duration> = (0..SAMPLES).map(|_| sample(calls, body)).collect();
        samples.sort_unstable();
        let median = samples[SAMPLES / 2].as_nanos() as f64;
        self.per_operation = Some(median / (calls * operations) as f64);
    }
}

/// How long `calls` calls take.
fn sample(calls: u64, body: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        body();
    }
    start.elapsed()
}
