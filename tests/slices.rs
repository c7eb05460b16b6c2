//! Debug mode: green threads and futures that let nobody else run for long are told of.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use crate::alone::alone;
use crate::reports;
use greenlit::time::{Duration, Instant};
use greenlit::{Runtime, future, thread};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Slices that are longer are told of.
const THRESHOLD: Duration = Duration::from_millis(200);

/// Keeps the CPU for so many thresholds.
#[inline(never)]
fn burn(thresholds: f64) {
    let start = Instant::now();
    while start.elapsed() < THRESHOLD.mul_f64(thresholds) {
        black_box(0);
    }
}

#[inline(never)]
fn burn_and_yield() {
    burn(1.1);
    thread::yield_now();
    black_box(());
}

fn run(f: impl FnOnce()) {
    let runtime = Runtime::builder().slow_slice(THRESHOLD).build();
    runtime.unwrap().run(f);
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

/// What the child says of slices that have ended, without their lengths; each followed by the names
/// of functions.
fn told(child: &Output) -> Vec<(String, String)> {
    let text = reports::stderr(child, file!());
    let mut told: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("greenlit: ") {
            Some(line) => {
                let (who, rest) = line.split_once(" ran for ").unwrap_or((line, ""));
                let (_, rest) = rest.split_once(" and ").unwrap_or(("", rest));
                told.push((format!("{who}: {rest}"), String::new()));
            }
            None => {
                if let Some((_, trace)) = told.last_mut() {
                    trace.push_str(line);
                    trace.push('\n');
                }
            }
        }
    }
    told
}

/// Whether those reports are there, in this order; a busy machine may make others slow.
#[track_caller]
fn assert_told(child: &Output, expected: &[&str]) {
    let told = told(child);
    let mut left = told.iter();
    for expected in expected {
        assert!(
            left.any(|(line, _)| line == expected),
            "{expected}\nis not in its place among {told:#?}"
        );
    }
}

#[test]
fn a_long_slice_is_told_of_with_what_it_did() {
    let child = alone("a_long_slice_is_told_of_with_what_it_did", || {
        run(|| {
            let worker = named("worker").spawn(|| {
                burn_and_yield();
                burn(1.1);
                thread::sleep(Duration::from_millis(50));
                burn(1.1);
            });
            worker.unwrap().join().unwrap();
            burn(1.1);
        });
    });
    let Some(child) = child else { return };
    let worker =
        "green thread \"worker\" (#N, spawned at tests/slices.rs:L:C): let nobody else run";
    let main = "green thread \"main\" (#N, spawned at tests/slices.rs:L:C): let nobody else run";
    assert_told(
        &child,
        &[
            &format!("{worker}, from its beginning, until it yielded"),
            &format!("{worker}, until sleeping"),
            &format!("{worker}, after sleeping, until it ended"),
            &format!("{main}, after joining green thread #N, until it ended"),
        ],
    );
}

#[test]
fn the_backtrace_is_the_user_s() {
    let child = alone("the_backtrace_is_the_user_s", || {
        run(|| thread::spawn(burn_and_yield).join().unwrap());
    });
    let Some(child) = child else { return };
    let told = told(&child);
    let (_, trace) = told
        .iter()
        .find(|(line, _)| line.ends_with(", until it yielded"))
        .unwrap_or_else(|| panic!("{told:?}"));
    assert!(trace.contains("slices::burn_and_yield"), "{trace}");
    assert!(!trace.contains("greenlit::park"), "{trace}");
    assert!(!trace.contains("greenlit::thread::spawn"), "{trace}");
}

/// The least stack has no room for a backtrace perhaps, and is not overrun.
#[test]
fn the_least_stack_is_enough_for_a_report() {
    let child = alone("the_least_stack_is_enough_for_a_report", || {
        run(|| {
            let small = named("small").stack_size(16 * 1024);
            small.spawn(burn_and_yield).unwrap().join().unwrap();
        });
    });
    let Some(child) = child else { return };
    let small = "green thread \"small\" (#N, spawned at tests/slices.rs:L:C): let nobody else run";
    assert_told(
        &child,
        &[&format!("{small}, from its beginning, until it yielded")],
    );
}

#[test]
fn polls_are_slices_of_their_futures() {
    let child = alone("polls_are_slices_of_their_futures", || {
        run(|| {
            let named = |name: &str| future::Builder::new().name(name.to_owned());
            let polled = named("polled").spawn(async {
                burn(1.1);
                future::yield_now().await;
                burn(1.1);
            });
            let parks = named("parks").spawn(async {
                burn(1.1);
                thread::sleep(Duration::from_millis(50));
                burn(1.1);
            });
            polled.unwrap().join().unwrap();
            parks.unwrap().join().unwrap();
        });
    });
    let Some(child) = child else { return };
    let line = |name: &str| {
        format!("future \"{name}\" (#N, spawned at tests/slices.rs:L:C): let nobody else run")
    };
    let (polled, parks) = (line("polled"), line("parks"));
    assert_told(
        &child,
        &[
            &format!("{polled}, in one poll"),
            &format!("{parks}, until sleeping"),
            &format!("{parks}, after sleeping, in one poll"),
        ],
    );
    let twice = told(&child);
    let twice = twice
        .iter()
        .filter(|(line, _)| *line == format!("{polled}, in one poll"));
    assert_eq!(twice.count(), 2);
}

/// Who yields has let the others run, though nobody wanted to: what follows is another slice. A wait
/// is no slice.
#[test]
fn slices_do_not_add_up() {
    let child = alone("slices_do_not_add_up", || {
        let runtime = Runtime::builder().slow_slice(THRESHOLD * 10);
        runtime.build().unwrap().run(|| {
            burn(6.0);
            thread::yield_now();
            burn(6.0);
            thread::sleep(THRESHOLD * 11);
            future::block_on(async {
                let mut sleep = pin!(future::sleep(THRESHOLD * 11));
                std::future::poll_fn(|context| {
                    let sleep = sleep.as_mut().poll(context);
                    sleep.map(|_| ())
                })
                .await;
            });
        });
    });
    let Some(child) = child else { return };
    assert!(told(&child).is_empty(), "{child:?}");
}

/// Counts the events of slices that do not end, and of those that have.
static ENDLESS: AtomicU32 = AtomicU32::new(0);
static ENDED: AtomicU32 = AtomicU32::new(0);

/// What an event says.
#[derive(Default)]
struct Told {
    message: String,
    name: String,
}

impl Told {
    fn by(event: &tracing::Event<'_>) -> Self {
        let mut told = Self::default();
        event.record(&mut told);
        told
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "name" => self.name = format!("{value:?}"),
            _ => {}
        }
    }
}

struct Slow;

impl<S: tracing::Subscriber> Layer<S> for Slow {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let told = Told::by(event);
        if told.name != "\"spins\"" || *event.metadata().level() != tracing::Level::WARN {
            return;
        }
        if told.message == "a slice does not end" {
            ENDLESS.fetch_add(1, Ordering::Relaxed);
        } else if told.message.starts_with("slow slice") {
            // It may ask who runs, and finds nobody.
            assert!(thread::snapshot().is_none());
            ENDED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The loop lasts until it has been told of twice: it ends no slice before.
#[test]
fn a_loop_that_never_yields_is_told_of_while_it_lasts() {
    let child = alone("a_loop_that_never_yields_is_told_of_while_it_lasts", || {
        tracing_subscriber::registry().with(Slow).init();
        let runtime = Runtime::builder().slow_slice(Duration::from_millis(2));
        runtime.build().unwrap().run(|| {
            let spins = named("spins").spawn(|| {
                while ENDLESS.load(Ordering::Relaxed) < 2 {
                    std::hint::spin_loop();
                }
                assert_eq!(ENDED.load(Ordering::Relaxed), 0);
            });
            spins.unwrap().join().unwrap();
            assert_eq!(ENDED.load(Ordering::Relaxed), 1);
        });
    });
    let Some(child) = child else { return };
    let text = reports::stderr(&child, file!());
    let spins =
        "greenlit: green thread \"spins\" (#N, spawned at tests/slices.rs:L:C) has run for ";
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with(spins))
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    let end = " and goes on; nobody else of its runtime can run";
    assert!(lines.iter().all(|line| line.ends_with(end)), "{text}");
}

/// Nobody runs while all wait.
#[test]
fn an_idle_runtime_is_not_told_of() {
    let child = alone("an_idle_runtime_is_not_told_of", || {
        let runtime = Runtime::builder().slow_slice(Duration::from_millis(20));
        runtime.build().unwrap().run(|| {
            let other = thread::spawn(|| thread::sleep(Duration::from_millis(600)));
            other.join().unwrap();
        });
    });
    let Some(child) = child else { return };
    let text = reports::stderr(&child, file!());
    assert!(!text.contains(" and goes on"), "{text}");
}

/// What a subscriber unparks in the middle of a park is not lost.
#[test]
fn an_unpark_from_a_report_is_not_lost() {
    struct Unparks(thread::Thread);
    impl<S: tracing::Subscriber> Layer<S> for Unparks {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            if Told::by(event).message.starts_with("slow slice") {
                self.0.unpark();
            }
        }
    }
    alone("an_unpark_from_a_report_is_not_lost", || {
        run(|| {
            let unparks = Unparks(thread::current());
            tracing_subscriber::registry().with(unparks).init();
            // Nobody else would.
            burn(1.1);
            thread::park();
        });
    });
}

/// A future that is polled by a thread's own `block_on` is no task.
#[test]
fn a_poll_by_block_on_is_the_thread_s() {
    let child = alone("a_poll_by_block_on_is_the_thread_s", || {
        run(|| {
            let mut first = true;
            future::block_on(std::future::poll_fn(|context| {
                if std::mem::take(&mut first) {
                    burn(1.1);
                    let waker = context.waker().clone();
                    drop(thread::spawn(move || waker.wake()));
                    return Poll::Pending;
                }
                Poll::Ready(())
            }));
        });
    });
    let Some(child) = child else { return };
    let main = "green thread \"main\" (#N, spawned at tests/slices.rs:L:C): let nobody else run";
    assert_told(
        &child,
        &[&format!(
            "{main}, from its beginning, until waiting for a future"
        )],
    );
}
