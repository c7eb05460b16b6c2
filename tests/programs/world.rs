//! The things that a program's green threads share: locks, channels, streams; and what must hold for
//! them when nobody moves, and at the end.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use greenlit::cancel::Scope;
use greenlit::sync::{Condvar, Event, Mutex, RwLock, Semaphore};
use greenlit::thread;
use greenlit::time::{Instant, timeout};

use super::channel::Channel;
use super::context::SOON;
use super::generate::{CHANNELS, GATES, MUTEXES, PERMITS, SCOPES, STREAMS};
use super::ledger::{Ledger, Plan, Statistics};
use super::region::Stop;
use super::stream::Stream;
use super::tasks::{Gate, Handle};

/// What threads wait for, and how many do, of each of its two kinds of waiters.
pub(crate) struct Shared<T> {
    pub(crate) thing: T,
    pub(crate) waiting: [Cell<usize>; 2],
}

impl<T> Shared<T> {
    fn new(thing: T) -> Self {
        Self {
            thing,
            waiting: [const { Cell::new(0) }; 2],
        }
    }
}

pub(crate) struct World {
    pub(crate) ledger: Rc<Ledger>,
    pub(crate) statistics: Rc<RefCell<Statistics>>,
    /// Each with the number of its holder.
    pub(crate) mutexes: [Shared<Mutex<Option<usize>>>; MUTEXES],
    pub(crate) rwlock: Shared<RwLock<()>>,
    /// How many readers there are; -1 for a writer.
    pub(crate) sharing: Cell<isize>,
    pub(crate) semaphore: Semaphore,
    /// How many wait for one permit, for two, for three.
    pub(crate) wanted: [Cell<usize>; PERMITS],
    pub(crate) permits_in_use: Cell<isize>,
    /// How many things there are to take.
    pub(crate) store: Shared<Mutex<usize>>,
    pub(crate) filled: Condvar,
    pub(crate) event: Shared<Event>,
    pub(crate) channels: [Shared<Channel>; CHANNELS],
    streams: [OnceCell<Shared<Stream>>; STREAMS],
    pub(crate) gates: [Gate; GATES],
    /// Some of the wakers that were used.
    pub(crate) stale: RefCell<Vec<Waker>>,

    /// Those that several threads may be in.
    pub(crate) scopes: [(Scope, Rc<Stop>); SCOPES],

    pub(crate) plan: RefCell<Plan>,
    victims: RefCell<Vec<(usize, Victim, Rc<Stop>)>>,
    next_victim: Cell<usize>,
    /// At which point, whom, and how.
    pub(crate) cancels: RefCell<Vec<(usize, usize, usize)>>,
    /// How many suspension points have passed.
    pub(crate) points: Cell<usize>,
    /// Counts whatever somebody does.
    pub(crate) moves: Cell<usize>,
    /// Threads that have not ended.
    pub(crate) live: Cell<usize>,
    pub(crate) spawned: Cell<usize>,
    /// Futures that wait beside others of their task: they may not look when their turn has come.
    pub(crate) hidden: Cell<usize>,
    /// Threads in a wait with a limit.
    pub(crate) timed: Cell<usize>,
    /// Whether the run is over, and everything that is left is cancelled.
    pub(crate) ending: Cell<bool>,
}

/// Whom a cancel may hit.
#[derive(Clone)]
pub(crate) enum Victim {
    Spawned(Rc<Handle>),
    Scope(Scope),
}

impl World {
    pub(crate) fn new(ledger: Rc<Ledger>, statistics: Rc<RefCell<Statistics>>, plan: Plan) -> Self {
        Self {
            ledger,
            statistics,
            mutexes: [const { None }; MUTEXES].map(|none| Shared::new(Mutex::new(none))),
            rwlock: Shared::new(RwLock::new(())),
            sharing: Cell::new(0),
            semaphore: Semaphore::new(PERMITS),
            wanted: [const { Cell::new(0) }; PERMITS],
            permits_in_use: Cell::new(0),
            store: Shared::new(Mutex::new(0)),
            filled: Condvar::new(),
            event: Shared::new(Event::new()),
            channels: Channel::all().map(Shared::new),
            streams: [const { OnceCell::new() }; STREAMS],
            gates: [(); GATES].map(|()| Gate::default()),
            stale: RefCell::new(Vec::new()),
            scopes: [(); SCOPES].map(|()| (Scope::new(), Rc::default())),
            plan: RefCell::new(plan),
            victims: RefCell::new(Vec::new()),
            next_victim: Cell::new(0),
            cancels: RefCell::new(Vec::new()),
            points: Cell::new(0),
            moves: Cell::new(0),
            live: Cell::new(0),
            spawned: Cell::new(0),
            hidden: Cell::new(0),
            timed: Cell::new(0),
            ending: Cell::new(false),
        }
    }

    pub(crate) fn fault(&self, what: impl Into<String>) {
        self.ledger.fault(what);
    }

    pub(crate) fn stream(&self, index: usize) -> &Shared<Stream> {
        self.streams[index].get_or_init(|| Shared::new(Stream::new(index)))
    }

    /// Makes known whom a cancel may hit; returns its number.
    pub(crate) fn register(&self, victim: Victim, stop: Rc<Stop>) -> usize {
        let number = self.next_victim.get();
        self.next_victim.set(number + 1);
        self.victims.borrow_mut().push((number, victim, stop));
        number
    }

    pub(crate) fn deregister(&self, number: usize) {
        let mut victims = self.victims.borrow_mut();
        let place = victims.iter().position(|(other, ..)| *other == number);
        let victim = place.map(|place| victims.remove(place));
        drop(victims);
        drop(victim);
    }

    pub(crate) fn forget_victims(&self) {
        let victims = self.victims.take();
        drop(victims);
    }

    pub(crate) fn moved(&self) {
        self.moves.set(self.moves.get() + 1);
    }

    /// A suspension point: here the plan may cancel somebody.
    pub(crate) fn point(&self) {
        let point = self.points.get();
        self.points.set(point + 1);
        let victim = match &mut *self.plan.borrow_mut() {
            Plan::Random { random, one_in } => {
                let hits = random.one_in(*one_in);
                hits.then(|| (random.number() as usize >> 1, random.below(12)))
            }
            Plan::At { point: at, victim } if point == *at => Some((*victim, 0)),
            _ => None,
        };
        if let Some((victim, how)) = victim {
            self.cancel(victim, how);
        }
    }

    /// Cancels one of those there are, in one of several ways.
    pub(crate) fn cancel(&self, victim: usize, how: usize) {
        let victims = self.victims.borrow();
        if victims.is_empty() {
            return;
        }
        let (number, victim, stop) = &victims[victim % victims.len()];
        self.cancels
            .borrow_mut()
            .push((self.points.get(), *number, how));
        let (victim, stop) = (victim.clone(), stop.clone());
        drop(victims);
        self.statistics.borrow_mut().cancels += 1;
        // A request gives no time, a little, or as much as one likes.
        let graces = [Duration::ZERO, SOON, Duration::from_secs(3600)];
        match (&victim, how) {
            (Victim::Spawned(handle), 0..=8) => {
                stop.cancelled.set(true);
                handle.cancel();
            }
            (Victim::Spawned(handle), _) => {
                let grace = graces[how % 3];
                handle.cancel_softly(grace);
                if handle.is_task() {
                    // A green thread cancels it then, when its turn comes.
                    stop.requested.set(true);
                    stop.doubtful.set(true);
                    return;
                }
                // When exactly it began, nobody can be asked.
                let end = Instant::now() + grace;
                let earlier = stop.deadline.get().filter(|earlier| *earlier < end);
                stop.request(Some(earlier.unwrap_or(end)));
                stop.doubtful.set(true);
            }
            (Victim::Scope(scope), 0..=5) => {
                stop.cancelled.set(true);
                scope.cancel("by chance");
            }
            (Victim::Scope(scope), 6..=8) => {
                let grace = graces[how % 3];
                scope.cancel_softly("by chance", grace);
                stop.request(scope.deadline());
            }
            (Victim::Scope(scope), 9 | 10) => {
                let moved = [None, Some(Instant::now())][how % 2];
                scope.set_deadline(moved);
                stop.move_deadline(moved);
            }
            // Word of it comes with a turn.
            (Victim::Scope(scope), _) => {
                stop.doubtful.set(true);
                scope.handle().cancel("from afar");
            }
        }
    }

    /// Nobody moves: nobody may wait for what is there.
    pub(crate) fn check_quiet(&self) {
        for (index, mutex) in self.mutexes.iter().enumerate() {
            if mutex.waiting[0].get() > 0 && mutex.thing.try_lock().is_ok() {
                self.fault(format!("mutex {index} is free, and waited for"));
            }
        }
        let [readers, writers] = &self.rwlock.waiting;
        if readers.get() + writers.get() > 0 && self.rwlock.thing.try_write().is_ok() {
            self.fault("the rwlock is free, and waited for");
        }
        if readers.get() > 0 && writers.get() == 0 && self.sharing.get() >= 0 {
            self.fault("a reader waits, and no writer is there or waits");
        }
        let mut wanted = self.wanted.iter().rev();
        let most = PERMITS - wanted.position(|count| count.get() > 0).unwrap_or(PERMITS);
        // One of those may stand in front of the others, and want more.
        if self.hidden.get() == 0 && most > 0 && self.semaphore.available_permits() >= most {
            self.fault("there are permits for all who wait");
        }
        let filled = self.store.thing.try_lock().is_ok_and(|store| *store > 0);
        if self.store.waiting[0].get() > 0 && filled {
            self.fault("there is something to take, and somebody waits for it");
        }
        if self.event.waiting[0].get() > 0 && self.event.thing.is_set() {
            self.fault("the event is set, and waited for");
        }
        for (index, channel) in self.channels.iter().enumerate() {
            let [senders, receivers] = &channel.waiting;
            if receivers.get() > 0 && senders.get() > 0 {
                self.fault(format!(
                    "channel {index} has senders and receivers that wait"
                ));
            }
            if senders.get() > 0 && channel.thing.has_room() {
                self.fault(format!("channel {index} has room, and a sender waits"));
            }
            if receivers.get() > 0
                && let Some(item) = channel.thing.try_receive()
            {
                item.received();
                self.fault(format!("channel {index} has an item, and a receiver waits"));
            }
        }
        for stream in self.streams.iter().filter_map(OnceCell::get) {
            let [writers, readers] = &stream.waiting;
            let left = stream.thing.left();
            if readers.get() > 0 && left > 0 || writers.get() > 0 && left == 0 {
                self.fault(format!(
                    "{left} bytes are in a stream, {} readers and {} writers wait",
                    readers.get(),
                    writers.get()
                ));
            }
        }
    }

    /// Gives those who wait what they wait for, as far as it can be made.
    pub(crate) fn feed(self: &Rc<Self>) {
        for (index, channel) in self.channels.iter().enumerate() {
            let [senders, receivers] = &channel.waiting;
            if receivers.get() > 0 {
                // A select that stands here may have been given another's by now.
                self.try_send(index);
            }
            if senders.get() > 0
                && let Some(item) = channel.thing.try_receive()
            {
                item.received();
            }
        }
        if self.event.waiting[0].get() > 0 {
            self.event.thing.set();
        }
        self.gates.iter().for_each(Gate::open);
        if self.store.waiting[0].get() > 0 && self.store.thing.try_lock().is_ok() {
            drop(Gives(self));
        }
        for stream in self.streams.iter().filter_map(OnceCell::get) {
            let [writers, readers] = &stream.waiting;
            // Others run meanwhile, and may have done it.
            let done = timeout(Duration::from_millis(1), || {
                if readers.get() > 0 {
                    stream.thing.write(&[1; 600])
                } else if writers.get() > 0 && stream.thing.left() > 0 {
                    stream.thing.read(&mut [0; 16 * 1024])
                } else {
                    Ok(0)
                }
            });
            if matches!(done, Ok(Err(_))) {
                self.fault("a stream fails");
            }
        }
    }

    fn try_send(&self, index: usize) -> bool {
        let item = self.ledger.item(None);
        let number = item.number();
        match self.channels[index].thing.try_send(item) {
            Ok(()) => {
                self.ledger.sent(number);
                true
            }
            Err(item) => {
                item.came_back();
                false
            }
        }
    }

    /// After the run, in another one: everything is as new, and serves.
    pub(crate) fn check_use(self: &Rc<Self>) {
        for (index, mutex) in self.mutexes.iter().enumerate() {
            let Ok(held) = mutex.thing.try_lock() else {
                self.fault(format!("mutex {index} is not free at the end"));
                continue;
            };
            if let Some(holder) = *held {
                self.fault(format!("mutex {index} is free, but {holder} is inside"));
            }
            self.serves("a mutex", held, move |world| {
                drop(world.mutexes[index].thing.lock());
            });
        }
        match self.rwlock.thing.try_write() {
            Ok(held) => self.serves("the rwlock", held, |world| drop(world.rwlock.thing.read())),
            Err(_) => self.fault("the rwlock is not free at the end"),
        }
        match self.semaphore.try_acquire_many(PERMITS) {
            Some(held) => self.serves("the semaphore", held, |world| {
                drop(world.semaphore.acquire());
            }),
            None => self.fault("not all permits are there at the end"),
        }
        match self.store.thing.try_lock() {
            Ok(mut store) => *store = 0,
            // Who waits for the condition below would wait for ever.
            Err(_) => return self.fault("the store's mutex is not free at the end"),
        }
        self.serves("the condition", Gives(self), |world| {
            let store = world.store.thing.lock().expect("not poisoned");
            drop(world.filled.wait_while(store, |store| *store == 0));
        });
        self.event.thing.clear();
        self.serves("the event", Sets(self), |world| world.event.thing.wait());
        for (index, channel) in self.channels.iter().enumerate() {
            while let Some(item) = channel.thing.try_receive() {
                item.received();
            }
            self.serves("a channel", Sends(self, index), move |world| {
                match world.channels[index].thing.receive() {
                    Some(item) => item.received(),
                    None => world.fault("a channel that has both its ends is closed"),
                }
            });
            channel.thing.check_bound(&self.ledger);
        }
        for stream in self.streams.iter().filter_map(OnceCell::get) {
            stream.thing.check_rest(&self.ledger);
        }
    }

    /// A thread waits for something, which comes when `held` is dropped.
    fn serves<T>(self: &Rc<Self>, what: &str, held: T, waits: impl FnOnce(&Self) + 'static) {
        let world = self.clone();
        let waiter = thread::spawn(move || waits(&world));
        thread::yield_now();
        if waiter.is_finished() {
            self.fault(format!("{what} does not make anybody wait"));
        }
        drop(held);
        for _ in 0..4 {
            thread::yield_now();
        }
        if !waiter.is_finished() {
            self.fault(format!("{what} does not let the next one go"));
        }
    }
}

struct Gives<'a>(&'a World);
struct Sets<'a>(&'a World);
struct Sends<'a>(&'a World, usize);

impl Drop for Gives<'_> {
    fn drop(&mut self) {
        *self.0.store.thing.lock().expect("not poisoned") = 1;
        self.0.filled.notify_one();
    }
}

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.event.thing.set();
    }
}

impl Drop for Sends<'_> {
    fn drop(&mut self) {
        if !self.0.try_send(self.1) {
            self.0.fault("a channel takes no item for one who waits");
        }
    }
}
