//! Random programs. Each leaves out some kinds of statements, so that the others meet more often.

use std::rc::Rc;

use super::random::Random;
use super::statement::{Act, Arms, As, Body, Policy, Program, Statement, Then, Time, Wakes};

/// How many of each thing a program has; see `world`.
pub(crate) const MUTEXES: usize = 2;
pub(crate) const PERMITS: usize = 3;
pub(crate) const CHANNELS: usize = 5;
pub(crate) const STREAMS: usize = 2;
pub(crate) const SCOPES: usize = 2;
pub(crate) const GATES: usize = 2;

/// Bodies in bodies, at the most.
const DEPTH: usize = 5;

/// The kinds of statements that a program may have.
const KINDS: usize = 48;

struct Generator {
    random: Random,
    /// Which kinds are used.
    kinds: u64,
    /// Which channels are used.
    channels: Vec<usize>,
    /// How many statements of eight are futures.
    asyncs: usize,
    /// Whether there are panics.
    panics: bool,
}

/// The program that follows from `random`, of `size` statements at the most.
pub(crate) fn program(mut random: Random, size: usize) -> Program {
    // Each kind with three chances in four, or one; those that block together then meet often.
    let (some, others) = (random.number(), random.number());
    let kinds = match random.one_in(2) {
        true => some | others,
        false => some & others,
    };
    let channels = (0..1 + random.below(2)).map(|_| random.below(CHANNELS));
    let channels: Vec<_> = channels.collect();
    let asyncs = random.pick(&[0, 2, 4, 7]);
    let panics = random.one_in(16);
    let mut generator = Generator {
        random,
        kinds,
        channels,
        asyncs,
        panics,
    };
    // A program of one thread has little to tell.
    let threads = 2 + generator.random.below(3);
    let bodies = generator.bodies(1, threads, size);
    let mut all = vec![Statement {
        act: Act::Threads(Policy::Join),
        is_async: false,
        bodies,
    }];
    all.extend(generator.body(0, 3).iter().cloned());
    Program(Rc::new(all))
}

impl Generator {
    /// So many bodies, which share `size` statements.
    fn bodies(&mut self, depth: usize, count: usize, size: usize) -> Vec<Body> {
        let share = size.div_ceil(count.max(1));
        (0..count).map(|_| self.body(depth, share)).collect()
    }

    /// A body of `size` statements at the most, those inside others counted.
    fn body(&mut self, depth: usize, size: usize) -> Body {
        let mut body = Vec::new();
        let mut left = size;
        while left > 0 {
            let inner = self.random.below(left);
            let statement = self.statement(depth, inner);
            let used = match statement.bodies.is_empty() {
                true => 1,
                false => 1 + inner,
            };
            left -= used;
            body.push(statement);
        }
        Rc::new(body)
    }

    /// A statement, with `size` others inside it, if it can have any.
    fn statement(&mut self, depth: usize, size: usize) -> Statement {
        let mut kind = self.random.below(KINDS);
        // A kind that is left out becomes another one, most of the time.
        for _ in 0..8 {
            if self.kinds >> kind & 1 == 0 {
                kind = self.random.below(KINDS);
            }
        }
        let act = self.act(kind);
        let count = match act {
            Act::Lock(..) | Act::ReadLock(_) | Act::WriteLock(_) | Act::Acquire(..) => 1,
            Act::Catch | Act::Repeat(_) | Act::Ask(_) | Act::Foreign(..) => 1,
            Act::Spawn(_, Then::Abort) | Act::Defer | Act::Race | Act::Both => 2,
            Act::Spawn(..) => 1,
            Act::Scope(_) | Act::SharedScope(_) | Act::Timeout(_) => 1,
            Act::Shield | Act::NoUnwind | Act::UntilRequested => 1,
            Act::Threads(_) => 1 + 1 + self.random.below(3),
            _ => 0,
        };
        if count > 0 && depth >= DEPTH {
            return Statement {
                act: Act::Yield,
                is_async: self.random.below(8) < self.asyncs,
                bodies: Vec::new(),
            };
        }
        let bodies = self.bodies(depth + 1, count, size);
        Statement {
            act,
            is_async: self.random.below(8) < self.asyncs,
            bodies,
        }
    }

    fn act(&mut self, kind: usize) -> Act {
        match kind {
            0 | 1 => Act::Yield,
            2 => Act::Sleep(self.time(true)),
            3 | 4 => Act::Lock(self.random.below(MUTEXES), self.time(false)),
            5 => Act::ReadLock(self.time(false)),
            6 => Act::WriteLock(self.time(false)),
            7 => Act::Acquire(1 + self.random.below(PERMITS), self.time(false)),
            8 => Act::Take(self.time(false)),
            9 => Act::Give(self.random.one_in(2)),
            10 => self.random.pick(&[Act::SetEvent, Act::ClearEvent]),
            11 => Act::WaitEvent(self.time(false)),
            12 | 13 => Act::Send(self.channel(), self.time(false)),
            14 | 15 => Act::Receive(self.channel(), self.time(false)),
            16 => Act::Select(self.arms(), self.time(false)),
            17 => Act::Ask(self.time(false)),
            18 => Act::Flow {
                bound: self.random.pick(&[None, Some(0), Some(1), Some(3)]),
                items: self.random.below(6),
                wanted: self.random.below(6),
            },
            19 => Act::WriteStream(self.random.below(STREAMS)),
            20 => Act::ReadStream(self.random.below(STREAMS)),
            21 => {
                let then = [Then::Detach, Then::Join, Then::Select, Then::Abort];
                Act::Spawn(self.runs(), self.random.pick(&then))
            }
            22 => Act::Threads(self.random.pick(&[
                Policy::Join,
                Policy::Join,
                Policy::Cancel,
                Policy::AtMost(1),
                Policy::AtMost(2),
                Policy::Race,
                Policy::Try,
            ])),
            23 => Act::Catch,
            24 => Act::Defer,
            25 => Act::Repeat(2 + self.random.below(2)),
            26 | 27 => Act::Scope(self.time(true)),
            28 => Act::SharedScope(self.random.below(SCOPES)),
            29 | 30 => Act::Timeout(self.time(true)),
            31 => Act::Shield,
            32 => Act::NoUnwind,
            33 => Act::UntilRequested,
            34 => Act::Checkpoint,
            35 => Act::MoveDeadline(self.time(true)),
            36 => Act::CancelScope(self.random.below(2)),
            37 => Act::Race,
            38 => Act::Both,
            39 | 40 => Act::WaitGate(self.random.below(GATES)),
            41 | 42 => Act::OpenGate(self.random.below(GATES), self.random.one_in(16)),
            43 => Act::WakeStale,
            44 => {
                let kinds = [Wakes::Plainly, Wakes::Yields, Wakes::Sleeps, Wakes::Panics];
                let most = if self.panics { 4 } else { 3 };
                Act::Foreign(self.runs(), kinds[self.random.below(most)])
            }
            45 if self.panics => Act::Panic,
            _ => {
                let then = [Then::Detach, Then::Join, Then::Select, Then::Abort];
                Act::Spawn(self.runs(), self.random.pick(&then))
            }
        }
    }

    fn runs(&mut self) -> As {
        let of = [As::Thread, As::Task, As::Task, As::Eager];
        self.random.pick(&of)
    }

    fn channel(&mut self) -> usize {
        let index = self.random.below(self.channels.len());
        self.channels[index]
    }

    fn time(&mut self, short: bool) -> Time {
        match self.random.below(8) {
            0 => Time::Zero,
            1 if short => Time::Zero,
            1 => Time::Try,
            2 => Time::Soon,
            _ => Time::Never,
        }
    }

    fn arms(&mut self) -> Arms {
        Arms {
            first: self.channel(),
            second: self.random.one_in(2).then(|| self.channel()),
            send: self.random.one_in(2).then(|| self.channel()),
            readable: self.random.one_in(6).then(|| self.random.below(STREAMS)),
            timer: self.random.one_in(6),
        }
    }
}
