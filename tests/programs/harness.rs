//! Makes programs, runs them, and makes those that fail smaller.

use std::cell::RefCell;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use greenlit::{Runtime, thread};

use super::generate;
use super::ledger::{Ledger, Plan, Statistics};
use super::random::Random;
use super::statement::{As, Program};
use super::tasks::launch;
use super::watch;
use super::world::{Victim, World};

/// One test at a time: they share the watch.
static TURN: Mutex<()> = Mutex::new(());

/// A runtime serves so many programs, then a new one is made.
const PROGRAMS_A_RUNTIME: u64 = 64;

/// How often those are helped who wait for each other; two times of three by what they wait for, and
/// then by a cancel. After that the run ends.
const RESCUES: usize = 30;

/// For so many turns somebody waits for a limit that has passed.
const TIMED: usize = 1000;

/// How long it is tried to make a failing program smaller.
const SHRINKING: Duration = Duration::from_secs(20);

/// So many are cancelled at each suspension point of a small program, one a run.
const VICTIMS: usize = 4;

/// How a program is run.
#[derive(Clone, Copy)]
enum Way {
    /// Cancels, and perhaps an early end, by chance.
    Random(u64),
    /// Without any.
    Calm,
    /// One cancel at this suspension point, of this victim.
    At(usize, usize),
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value}: not a number")),
    )
}

/// How many programs to run, and the seed of the first.
fn wanted(usual: u64) -> (u64, u64) {
    let seed = variable("GREENLIT_SEED");
    let programs = variable("GREENLIT_PROGRAMS");
    let usual = if seed.is_some() { 1 } else { usual };
    (programs.unwrap_or(usual), seed.unwrap_or(1))
}

/// Runs programs with cancels by chance.
pub(crate) fn random(usual: u64) {
    let (programs, first) = wanted(usual);
    let mut runs = Runs::new();
    for seed in first..first + programs {
        let program = generate::program(Random::new(seed), size(seed));
        if variable::<u64>("GREENLIT_SEED").is_some() && programs == 1 {
            println!("the program of seed {seed}:\n{program}");
        }
        runs.check(seed, &program, Way::Random(seed));
    }
    runs.finish("random programs");
}

/// Runs small programs as often as they have suspension points, and cancels at each somebody else.
pub(crate) fn every_point(usual: u64) {
    let (programs, first) = wanted(usual);
    let mut runs = Runs::new();
    let mut seed = first;
    while runs.statistics.borrow().programs < programs {
        let program = generate::program(Random::new(seed), 8);
        let points = runs.check(seed, &program, Way::Calm);
        for point in 0..points {
            // Whoever was registered last is likely to be where the point is.
            for victim in 0..VICTIMS {
                runs.check(seed, &program, Way::At(point, victim));
            }
        }
        seed += 1;
    }
    runs.finish("small programs, cancelled at every point");
}

fn size(seed: u64) -> usize {
    4 + Random::new(!seed).below(100)
}

struct Runs {
    _turn: std::sync::MutexGuard<'static, ()>,
    runtime: Runtime,
    statistics: Rc<RefCell<Statistics>>,
    began: Instant,
}

fn runtime() -> Runtime {
    Runtime::builder()
        .stop_patience(Duration::from_secs(10))
        .build()
        .expect("a runtime")
}

impl Runs {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        watch::install();
        Self {
            _turn: turn,
            runtime: runtime(),
            statistics: Rc::default(),
            began: Instant::now(),
        }
    }

    fn finish(self, what: &str) {
        let statistics = self.statistics.borrow();
        let taken = self.began.elapsed();
        println!(
            "{what}: {:.1} s, {:.0} µs each",
            taken.as_secs_f64(),
            taken.as_secs_f64() * 1e6 / statistics.programs as f64
        );
        statistics.print();
    }

    /// Runs the program; returns how many suspension points it had.
    ///
    /// # Panics
    ///
    /// If it fails.
    fn check(&mut self, seed: u64, program: &Program, way: Way) -> usize {
        let programs = self.statistics.borrow().programs;
        if programs.is_multiple_of(PROGRAMS_A_RUNTIME) {
            self.runtime = runtime();
        }
        let (faults, points) = self.execute(seed, program, way);
        if faults.is_empty() {
            return points;
        }
        let name = match way {
            Way::Random(_) => "by chance".to_owned(),
            Way::Calm => "without cancels".to_owned(),
            Way::At(point, victim) => format!("with victim {victim} at point {point}"),
        };
        eprintln!(
            "GREENLIT_SEED={seed} fails ({name}):\n  {}\nthe program:\n{program}",
            faults.join("\n  ")
        );
        let (small, faults, times) = self.shrink(seed, program, way);
        eprintln!(
            "of 20 runs of it {times} fail; smaller:\n{small}\nfails with:\n  {}",
            faults.join("\n  ")
        );
        panic!("GREENLIT_SEED={seed} cargo test --test property fails ({name}): see above");
    }

    /// A smaller program that fails, what it fails with, and how many runs of 20 failed at first.
    fn shrink(&mut self, seed: u64, program: &Program, way: Way) -> (Program, Vec<String>, usize) {
        let until = Instant::now() + SHRINKING;
        let mut last = Vec::new();
        let mut times = 0;
        for _ in 0..20 {
            let (faults, _) = self.execute(seed, program, way);
            if !faults.is_empty() {
                last = faults;
                times += 1;
            }
        }
        let mut small = program.clone();
        let mut place = 0;
        while place < small.len() && times > 0 && Instant::now() < until {
            let cuts = [small.without(place, false), small.without(place, true)];
            let fails = cuts.into_iter().find_map(|cut| {
                // Other chances fit a smaller program.
                let ways = (0..8).map(|round| match way {
                    Way::Random(seed) if round > 0 => Way::Random(seed + round * 1_000_003),
                    other => other,
                });
                let mut found = ways.map(|way| self.execute(seed, &cut, way).0);
                let faults = found.find(|faults| !faults.is_empty())?;
                (cut.len() < small.len()).then_some((cut, faults))
            });
            match fails {
                Some((cut, faults)) => (small, last) = (cut, faults),
                None => place += 1,
            }
        }
        (small, last, times)
    }

    /// Runs the program once. Returns its faults, and how many suspension points it had.
    fn execute(&mut self, seed: u64, program: &Program, way: Way) -> (Vec<String>, usize) {
        watch::begin(seed);
        let ledger = Ledger::new();
        let (plan, leave_at) = plan(way);
        let world = Rc::new(World::new(ledger.clone(), self.statistics.clone(), plan));
        let mut run = |body: &dyn Fn()| {
            if catch_unwind(AssertUnwindSafe(|| self.runtime.run(body))).is_err() {
                ledger.fault("the run panicked");
            }
        };
        run(&|| supervise(&world, program, leave_at));
        world.forget_victims();
        if world.live.get() > 0 {
            ledger.fault(format!("{} threads outlive the run", world.live.get()));
        }
        // What follows from a fault is none.
        let mut faults = ledger.take_faults();
        if faults.is_empty() {
            run(&|| world.check_use());
            faults = ledger.take_faults();
        }
        let mut statistics = self.statistics.borrow_mut();
        statistics.programs += 1;
        statistics.threads += world.spawned.get() as u64;
        statistics.ended_early += u64::from(leave_at.is_some_and(|at| world.points.get() >= at));
        drop(statistics);
        let points = world.points.get();
        let cancels = world.cancels.take();
        if Rc::into_inner(world).is_none() {
            ledger.fault("something has kept what the threads share");
        }
        ledger.check_end();
        if faults.is_empty() {
            faults = ledger.take_faults();
        }
        faults.extend(watch::end());
        if !faults.is_empty() {
            faults.push(format!("cancels (at, whom, how): {cancels:?}"));
            // Whatever it is left with, the next one has a new one.
            std::mem::forget(std::mem::replace(&mut self.runtime, runtime()));
        }
        (faults, points)
    }
}

/// The cancels of a run, and at which suspension point its main closure returns, if it does early.
fn plan(way: Way) -> (Plan, Option<usize>) {
    match way {
        Way::Calm => (Plan::Nothing, None),
        Way::At(point, victim) => (Plan::At { point, victim }, None),
        Way::Random(seed) => {
            let mut random = Random::new(seed.rotate_left(32));
            let leave_at = random.one_in(3).then(|| random.below(150));
            let one_in = random.pick(&[4, 16, 64, 100_000]);
            (Plan::Random { random, one_in }, leave_at)
        }
    }
}

/// The main green thread: starts the program, and ends what nobody else would end.
fn supervise(world: &Rc<World>, program: &Program, leave_at: Option<usize>) {
    let runs = match program.len() % 3 {
        0 => As::Task,
        _ => As::Thread,
    };
    let (handle, region) = launch(world, runs, &program.0);
    world.register(Victim::Spawned(Rc::new(handle)), region.stop.clone());
    for (scope, stop) in &world.scopes {
        world.register(Victim::Scope(scope.clone()), stop.clone());
    }
    let (mut seen, mut idle, mut rescues, mut timed) = (0, 0, 0, 0);
    while world.live.get() > 0 && leave_at.is_none_or(|at| world.points.get() < at) {
        // A turn of the reactor each time.
        thread::sleep(Duration::ZERO);
        // A limit passes, unless what waits for it is polled by who waits for something else.
        timed += 1;
        if world.moves.get() != seen || world.timed.get() > 0 && timed < TIMED {
            if world.moves.get() != seen {
                timed = 0;
            }
            seen = world.moves.get();
            idle = 0;
            continue;
        }
        idle += 1;
        if idle < 4 {
            continue;
        }
        world.check_quiet();
        if rescues == RESCUES || world.ledger.has_faults() {
            break;
        }
        rescues += 1;
        idle = 0;
        if rescues % 3 == 0 {
            world.statistics.borrow_mut().rescues += 1;
            world.cancel(seen + rescues, 0);
        } else {
            world.feed();
        }
    }
    world.ending.set(true);
}
