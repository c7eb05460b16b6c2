//! Events and spans: what a subscriber sees of green threads, and what it may do.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use greenlit::io::Source;
use greenlit::time::Duration;
use greenlit::{run, thread};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

/// What was seen: an event's message and fields, or a message of the test's with the spans around
/// it.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.0 = format!("{value:?}{}", self.0),
            // Numbers and places differ from run to run.
            "id" | "spawned_at" => {}
            name => self.0 += &format!(" {name}={value:?}"),
        }
    }
}

impl<S> Layer<S> for Seen
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        if event.metadata().target() != "greenlit" {
            let spans = context
                .event_scope(event)
                .into_iter()
                .flat_map(|scope| scope.from_root());
            for span in spans {
                text.0 += &format!(" in {}", span.name());
            }
        }
        self.0.lock().unwrap().push(text.0);
    }

    fn on_enter(&self, _: &span::Id, _: Context<'_, S>) {
        // A subscriber finds itself outside the runtime: these block or pass, and switch to nobody.
        thread::yield_now();
        thread::sleep(Duration::from_nanos(1));
    }
}

impl Seen {
    /// Runs `f` in a runtime while this sees what it does.
    fn watch(&self, f: impl FnOnce()) -> Vec<String> {
        tracing::subscriber::with_default(Registry::default().with(self.clone()), || run(f));
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[test]
fn a_life_is_told_in_events() {
    let told = Seen::default().watch(|| {
        let child = thread::Builder::new()
            .name("child".into())
            .spawn(thread::park)
            .unwrap();
        thread::yield_now();
        child.thread().unpark();
        child.join().unwrap();
    });
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    assert_eq!(told[0], "spawn name=\"child\"");
    assert_eq!(told[1], "park reason=parked");
    assert_eq!(told[2], "unpark");
    assert!(
        told[3].starts_with("park reason=joining green thread #"),
        "{told:?}"
    );
    assert_eq!(told[4..], ["exit", "unpark"]);
}

#[test]
fn entered_spans_stay_with_their_green_thread() {
    let told = Seen::default().watch(|| {
        let outer = tracing::info_span!("outer");
        let _outer = outer.enter();
        let children: Vec<_> = ["first", "second"]
            .map(|name| {
                thread::spawn(move || {
                    let own = tracing::info_span!("own", name);
                    let _own = own.enter();
                    for step in 0..2 {
                        let inner = tracing::info_span!("inner");
                        let _inner = inner.enter();
                        thread::yield_now();
                        tracing::info!("{name} {step}");
                    }
                })
            })
            .into();
        thread::yield_now();
        tracing::info!("main");
        for child in children {
            child.join().unwrap();
        }
        tracing::info!("end");
    });
    let own: Vec<_> = told
        .iter()
        .filter(|line| line.contains(" in "))
        .map(String::as_str)
        .collect();
    assert_eq!(
        own,
        [
            "main in outer",
            "first 0 in own in inner",
            "second 0 in own in inner",
            "first 1 in own in inner",
            "second 1 in own in inner",
            "end in outer",
        ]
    );
}

/// Behaviour 10: sleeps of 10 ms down to 1 ns take at most 20 turns in all.
#[test]
fn sleeps_do_not_spin() {
    let told = Seen::default().watch(|| {
        for nanos in [10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1] {
            thread::sleep(Duration::from_nanos(nanos));
        }
    });
    let turns = told.iter().filter(|line| line.starts_with("turn ")).count();
    assert!((1..=20).contains(&turns), "{turns} turns: {told:?}");
}

/// A thread whose own event arrives in the turn that it takes goes on with no switch: one turn a
/// wait.
#[test]
fn one_echo_takes_one_turn() {
    let told = Seen::default().watch(|| {
        let (mut near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let mut far = Source::new(far).unwrap();
        let mut byte = [0];
        let other = std::thread::spawn(move || {
            for _ in 0..10 {
                near.write_all(b"x").unwrap();
                near.read_exact(&mut [0]).unwrap();
            }
        });
        for _ in 0..10 {
            far.read_exact(&mut byte).unwrap();
            far.write_all(&byte).unwrap();
        }
        other.join().unwrap();
    });
    let turns = told.iter().filter(|line| line.starts_with("turn ")).count();
    // A turn may find only that the socket became writable again, when its peer has read.
    assert!(turns <= 21, "{turns} turns: {told:?}");
}
