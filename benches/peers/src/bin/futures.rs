//! What futures cost on greenlit, beside tokio's current-thread runtime, smol's local executor and
//! futures' `LocalPool`.
//!
//! Each round runs every contender of a case once, turn about; printed are the medians of all rounds,
//! in nanoseconds an operation. Sleeping futures are measured in a process each: their memory is what
//! the process grew by. With `--json` it prints a line a figure instead.
//!
//!     taskset -c 1 cargo run --release --manifest-path benches/peers/Cargo.toml --bin futures

use std::cell::{Cell, RefCell};
use std::fs;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::process::Command;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use tokio::task::LocalSet;

const ROUNDS: usize = 15;

/// Futures that sleep at once.
const SLEEPERS: usize = 1_000_000;

/// Longer than anybody waits.
const LONG: Duration = Duration::from_secs(3600);

const NAMES: [&str; 4] = ["greenlit", "tokio", "smol", "LocalPool"];

/// Does an operation so many times, and says how long all of them took.
type Run = fn(u64) -> Duration;

/// A name, operations of one run, and the contenders in the order of `NAMES`.
const CASES: &[(&str, u64, [Run; 4])] = &[
    (
        "block_on of a ready future",
        200_000,
        [greenlit_ready, tokio_ready, smol_ready, futures_ready],
    ),
    (
        "spawn and await, one after the other",
        50_000,
        [greenlit_spawn, tokio_spawn, smol_spawn, futures_spawn],
    ),
    (
        "spawn 1,000, then await them",
        50_000,
        [greenlit_batch, tokio_batch, smol_batch, futures_batch],
    ),
    (
        "wake to run: two tasks in turn",
        100_000,
        [greenlit_turns, tokio_turns, smol_turns, futures_turns],
    ),
    (
        "yield among 100 tasks",
        100_000,
        [greenlit_yields, tokio_yields, smol_yields, futures_yields],
    ),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, name] = &arguments[..]
        && what == "--sleepers"
    {
        return sleepers(name);
    }
    let json = arguments.iter().any(|argument| argument == "--json");
    if !json {
        println!(
            "{:40}{}",
            "ns an operation",
            NAMES.map(|name| format!("{name:>12}")).concat()
        );
    }
    for (case, operations, runs) in CASES {
        let mut samples = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            for (run, samples) in runs.iter().zip(&mut samples) {
                samples.push(run(*operations).as_nanos() as f64 / *operations as f64);
            }
        }
        let medians = samples.map(|mut samples| {
            samples.sort_by(f64::total_cmp);
            samples[ROUNDS / 2]
        });
        if json {
            for (name, median) in NAMES.iter().zip(medians) {
                println!(r#"{{"case":"{case}","contender":"{name}","ns":{median:.1}}}"#);
            }
        } else {
            println!(
                "{case:40}{}",
                medians.map(|median| format!("{median:12.1}")).concat()
            );
        }
    }
    // LocalPool has no timers.
    for name in &NAMES[..3] {
        let program = std::env::current_exe().expect("it runs");
        let child = Command::new(program)
            .args(["--sleepers", name])
            .output()
            .expect("it runs again");
        let text = String::from_utf8(child.stdout).expect("figures");
        let [bytes, start, all] = text.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{name}: {text}");
        };
        match json {
            true => println!(
                r#"{{"case":"a million sleeping futures","contender":"{name}","bytes":{bytes},"start_ms":{start},"all_ms":{all}}}"#
            ),
            false => println!(
                "a million sleeping futures, {name}: {bytes} bytes each; {start} ms until all sleep, {all} ms with their end"
            ),
        }
    }
}

/// Has a million futures sleep, and prints bytes each, milliseconds until all sleep, and until all have
/// gone.
fn sleepers(name: &str) {
    let before = resident();
    let start = Instant::now();
    let sleeping = Cell::new((0, 0));
    let sleep = || {
        sleeping.set((
            (resident() - before) / SLEEPERS,
            start.elapsed().as_millis(),
        ))
    };
    match name {
        "greenlit" => greenlit::run(|| {
            for _ in 0..SLEEPERS {
                drop(greenlit::future::spawn(greenlit::future::sleep(LONG)));
            }
            greenlit::future::spawn(async {}).join().unwrap();
            sleep();
        }),
        "tokio" => {
            let tokio = tokio();
            tokio.block_on(async {
                for _ in 0..SLEEPERS {
                    tokio::spawn(tokio::time::sleep(LONG));
                }
                tokio::spawn(async {}).await.unwrap();
                sleep();
            });
        }
        "smol" => {
            let smol = smol::LocalExecutor::new();
            smol::block_on(smol.run(async {
                for _ in 0..SLEEPERS {
                    smol.spawn(smol::Timer::after(LONG)).detach();
                }
                smol.spawn(async {}).await;
                sleep();
            }));
        }
        _ => panic!("no such contender: {name}"),
    }
    let (bytes, started) = sleeping.get();
    println!("{bytes} {started} {}", start.elapsed().as_millis());
}

/// The process's memory, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .expect("it is there");
    let kilobytes = line.split_whitespace().nth(1).expect("a number");
    kilobytes.parse::<usize>().expect("a number") * 1024
}

fn tokio() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder
        .enable_time()
        .build()
        .expect("there are file descriptors")
}

fn timed(f: impl FnOnce()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

async fn timed_async(f: impl AsyncFnOnce()) -> Duration {
    let start = Instant::now();
    f().await;
    start.elapsed()
}

fn greenlit_ready(n: u64) -> Duration {
    greenlit::run(|| {
        timed(|| {
            (0..n).for_each(|i| {
                black_box(greenlit::future::block_on(async { black_box(i) }));
            })
        })
    })
}

fn tokio_ready(n: u64) -> Duration {
    let tokio = tokio();
    timed(|| {
        (0..n).for_each(|i| {
            black_box(tokio.block_on(async { black_box(i) }));
        })
    })
}

fn smol_ready(n: u64) -> Duration {
    timed(|| {
        (0..n).for_each(|i| {
            black_box(smol::block_on(async { black_box(i) }));
        })
    })
}

fn futures_ready(n: u64) -> Duration {
    timed(|| {
        (0..n).for_each(|i| {
            black_box(futures::executor::block_on(async { black_box(i) }));
        })
    })
}

/// The same text for each contender: `$spawn` makes an awaitable handle of a future.
macro_rules! spawn_one_after_the_other {
    ($n:expr, $spawn:expr) => {
        timed_async(async || {
            for i in 0..$n {
                let _ = black_box($spawn(async move { black_box(i) }).await);
            }
        })
    };
}

macro_rules! spawn_a_batch {
    ($n:expr, $spawn:expr) => {
        timed_async(async || {
            for _ in 0..$n / 1000 {
                let handles: Vec<_> = (0..1000)
                    .map(|i| $spawn(async move { black_box(i) }))
                    .collect();
                for handle in handles {
                    let _ = black_box(handle.await);
                }
            }
        })
    };
}

macro_rules! take_turns {
    ($n:expr, $spawn:expr) => {
        timed_async(async || {
            let (one, two) = (Flag::default(), Flag::default());
            let first = $spawn(turns($n / 2, one.clone(), two.clone()));
            let second = $spawn(turns($n / 2, two, one));
            let _ = black_box(first.await);
            let _ = black_box(second.await);
        })
    };
}

macro_rules! yield_among_many {
    ($n:expr, $spawn:expr) => {
        timed_async(async || {
            let handles: Vec<_> = (0..100).map(|_| $spawn(yields($n / 100))).collect();
            for handle in handles {
                let _ = black_box(handle.await);
            }
        })
    };
}

/// The four runs of one of the texts above. The driver is a task too, as a program's main future is on
/// the other runtimes.
macro_rules! contenders {
    ($text:ident: $greenlit:ident $tokio:ident $smol:ident $futures:ident) => {
        fn $greenlit(n: u64) -> Duration {
            greenlit::run(|| greenlit::future::block_on($text!(n, greenlit::future::spawn)))
        }

        fn $tokio(n: u64) -> Duration {
            LocalSet::new().block_on(&tokio(), $text!(n, tokio::task::spawn_local))
        }

        fn $smol(n: u64) -> Duration {
            let smol = smol::LocalExecutor::new();
            smol::block_on(smol.run($text!(n, |future| smol.spawn(future))))
        }

        fn $futures(n: u64) -> Duration {
            let mut pool = LocalPool::new();
            let spawner = pool.spawner();
            pool.run_until($text!(n, |future| {
                spawner
                    .spawn_local_with_handle(future)
                    .expect("the pool is there")
            }))
        }
    };
}

contenders!(spawn_one_after_the_other: greenlit_spawn tokio_spawn smol_spawn futures_spawn);
contenders!(spawn_a_batch: greenlit_batch tokio_batch smol_batch futures_batch);
contenders!(take_turns: greenlit_turns tokio_turns smol_turns futures_turns);
contenders!(yield_among_many: greenlit_yields tokio_yields smol_yields futures_yields);

/// One task sets it, another waits for it.
#[derive(Clone, Default)]
struct Flag(Rc<(Cell<bool>, RefCell<Option<Waker>>)>);

impl Flag {
    fn set(&self) {
        self.0.0.set(true);
        if let Some(waker) = &*self.0.1.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Future for Flag {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0.0.replace(false) {
            return Poll::Ready(());
        }
        let mut waker = self.0.1.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

async fn turns(n: u64, mine: Flag, other: Flag) {
    for _ in 0..n {
        other.set();
        mine.clone().await;
    }
    other.set();
}

async fn yields(n: u64) {
    for _ in 0..n {
        smol::future::yield_now().await;
    }
}
