//! What greenlit's operations cost: `cargo bench` prints tables, `cargo bench -- --json` a line an
//! operation.
//!
//! ```text
//! cargo bench                         # tables, by divan
//! cargo bench -- yield_now            # only what has this in its name
//! cargo bench -- --json               # {"name": …, "ns_per_op": …}, the median of 101 samples
//! cargo bench -- --json switch/       # likewise
//! ```
//!
//! Either way the process stays on the CPU that it started on.

#[expect(unsafe_code, reason = "context switches are assembly")]
#[allow(
    dead_code,
    unused_imports,
    reason = "the switch alone is measured, and cargo compiles the tests without running them"
)]
#[path = "../../arch/mod.rs"]
mod arch;
#[expect(unsafe_code, reason = "it measures switches that nothing makes safe")]
mod switch;
#[expect(unsafe_code, reason = "context switches are assembly")]
mod floor;
mod cancel;
mod coroutine;
mod measure;
mod thread;
mod time;

use crate::measure::{Case, Divan, Measure, Median};
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use std::env;

/// All that is measured, in the order in which it is printed.
static CASES: &[Case] = &[
    Case("switch/hand-written floor", floor::switch),
    Case("switch/one way", switch::one_way),
    Case("switch/ring of 2", |m| switch::ring(m, 2)),
    Case("switch/ring of 100", |m| switch::ring(m, 100)),
    Case("switch/ring of 10000", |m| switch::ring(m, 10_000)),
    Case("switch/ring of 100000", |m| switch::ring(m, 100_000)),
    Case("coroutine/resume+suspend", coroutine::resume_and_suspend),
    Case(
        "coroutine/resume+suspend, corosensei",
        coroutine::resume_and_suspend_of_corosensei,
    ),
    Case("coroutine/yield_to", coroutine::yield_to),
    Case("yield_now/2 threads, one site", |m| {
        thread::yield_now_from_one_site(m, 2)
    }),
    Case("yield_now/2 threads, sites differ", |m| {
        thread::yield_now_from_differing_sites(m, 2)
    }),
    Case("yield_now/100 threads, one site", |m| {
        thread::yield_now_from_one_site(m, 100)
    }),
    Case("yield_now/100 threads, sites differ", |m| {
        thread::yield_now_from_differing_sites(m, 100)
    }),
    Case("yield_now/10000 threads, one site", |m| {
        thread::yield_now_from_one_site(m, 10_000)
    }),
    Case("yield_now/10000 threads, sites differ", |m| {
        thread::yield_now_from_differing_sites(m, 10_000)
    }),
    Case("yield_now/100000 threads, one site", |m| {
        thread::yield_now_from_one_site(m, 100_000)
    }),
    Case("yield_now/100000 threads, sites differ", |m| {
        thread::yield_now_from_differing_sites(m, 100_000)
    }),
    Case("thread/yield_to", thread::yield_to),
    Case("spawn+run+join/singly", thread::spawn_and_join),
    Case(
        "spawn+run+join/1000 at once",
        thread::spawn_and_join_at_once,
    ),
    Case("park+unpark", thread::park_and_unpark),
    Case("timer/set+cancel, with park+unpark", |m| {
        time::set_and_cancel(m, 0)
    }),
    Case(
        "timer/set+cancel, with park+unpark, 10000 others set",
        |m| time::set_and_cancel(m, 10_000),
    ),
    Case("ready/reading the clock", cancel::read_the_clock),
    Case("ready/lock+unlock", cancel::lock),
    Case(
        "ready/lock+unlock in a timeout",
        cancel::timeout_around_a_lock,
    ),
    Case("ready/lock+unlock in a scope", cancel::scope_around_a_lock),
    Case("ready/send+recv", cancel::recv),
    Case("ready/send+recv_timeout", cancel::recv_timeout),
];

fn main() {
    stay_on_this_cpu();
    if !env::args().any(|arg| arg == "--json") {
        divan::main();
        return;
    }
    // Cargo adds `--bench`; what is no option says what the name must contain.
    let filters: Vec<String> = env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    for case in CASES {
        if filters.is_empty() || filters.iter().any(|part| case.name().contains(part)) {
            let mut median = Median::default();
            case.run(&mut median);
            if let Some(nanoseconds) = median.per_operation() {
                println!(r#"{{"name": "{case}", "ns_per_op": {nanoseconds:.3}}}"#);
            }
        }
    }
}

/// The table of all cases.
#[divan::bench(name = "operations", args = CASES, sample_count = 101)]
fn table(bencher: divan::Bencher<'_, '_>, case: &Case) {
    case.run(&mut Divan::new(bencher));
}

/// Keeps this process on one CPU: moving costs more than most of what is measured here.
fn stay_on_this_cpu() {
    let mut cpus = CpuSet::new();
    let pinned = sched_getcpu()
        .and_then(|cpu| cpus.set(cpu))
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &cpus));
    if let Err(error) = pinned {
        eprintln!("cannot stay on one CPU ({error}): the figures will scatter");
    }
}
