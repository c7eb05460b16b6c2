//! What a program's run is held to: each destructor once, each item in one place, and the faults
//! that were found.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::thread::{self, ThreadId};

use super::random::Random;

pub(crate) struct Ledger {
    /// How often each token was dropped.
    tokens: RefCell<Vec<u32>>,
    items: RefCell<Vec<Place>>,
    faults: RefCell<Vec<String>>,
    /// The OS thread that all of it belongs to.
    home: ThreadId,
}

/// Where an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Its sender's call has not returned.
    Sending,
    /// It was dropped before it was received or sent: by a cancelled sender, or it is lost.
    Dropped,
    /// In a channel.
    Sent,
    Received,
    /// Its sender has it again.
    Back,
    /// It was received or given back, and then dropped.
    Gone,
    /// It was dropped with its channel.
    Closed,
}

/// Something whose destructor has to run once.
pub(crate) struct Token {
    ledger: Rc<Ledger>,
    number: usize,
}

/// Something that goes through a channel.
pub(crate) struct Item {
    ledger: Rc<Ledger>,
    number: usize,
    /// Whether the channel that it is in has gone, and everything in it.
    closed: Option<Rc<Cell<bool>>>,
}

impl Ledger {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            tokens: RefCell::new(Vec::new()),
            items: RefCell::new(Vec::new()),
            faults: RefCell::new(Vec::new()),
            home: thread::current().id(),
        })
    }

    pub(crate) fn fault(&self, what: impl Into<String>) {
        self.faults.borrow_mut().push(what.into());
    }

    pub(crate) fn take_faults(&self) -> Vec<String> {
        self.faults.take()
    }

    pub(crate) fn has_faults(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    pub(crate) fn token(self: &Rc<Self>) -> Token {
        let mut tokens = self.tokens.borrow_mut();
        tokens.push(0);
        Token {
            ledger: self.clone(),
            number: tokens.len() - 1,
        }
    }

    pub(crate) fn item(self: &Rc<Self>, closed: Option<Rc<Cell<bool>>>) -> Item {
        let mut items = self.items.borrow_mut();
        items.push(Place::Sending);
        Item {
            ledger: self.clone(),
            number: items.len() - 1,
            closed,
        }
    }

    /// The call that sent the item has returned.
    pub(crate) fn sent(&self, number: usize) {
        let place = self.items.borrow()[number];
        match place {
            Place::Sending => self.items.borrow_mut()[number] = Place::Sent,
            Place::Received | Place::Gone | Place::Closed => {}
            _ => self.fault(format!("item {number} was sent, and lost: {place:?}")),
        }
    }

    /// The call that was to send the item was cancelled.
    pub(crate) fn not_sent(&self, number: usize) {
        let place = self.items.borrow()[number];
        if !matches!(place, Place::Dropped | Place::Closed) {
            self.fault(format!(
                "a cancelled call has sent item {number}: {place:?}"
            ));
        }
    }

    /// Everything has ended: nothing is left, and nothing was left out.
    pub(crate) fn check_end(&self) {
        for (number, count) in self.tokens.borrow().iter().enumerate() {
            if *count != 1 {
                self.fault(format!(
                    "the destructor of token {number} ran {count} times"
                ));
            }
        }
        for (number, place) in self.items.borrow().iter().enumerate() {
            if !matches!(place, Place::Gone | Place::Dropped | Place::Closed) {
                self.fault(format!("item {number} was never dropped: {place:?}"));
            }
        }
    }
}

impl Item {
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    fn moves(&self, to: Place, from: &[Place]) {
        let place = self.ledger.items.borrow()[self.number];
        if !from.contains(&place) {
            let number = self.number;
            self.ledger
                .fault(format!("item {number} is {to:?} after {place:?}"));
        }
        self.ledger.items.borrow_mut()[self.number] = to;
    }

    /// It came out of a channel.
    pub(crate) fn received(self) {
        self.moves(Place::Received, &[Place::Sending, Place::Sent]);
    }

    /// Its sender has it back.
    pub(crate) fn came_back(self) {
        self.moves(Place::Back, &[Place::Sending]);
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let place = self.ledger.items.borrow()[self.number];
        let closed = self.closed.as_ref().is_some_and(|closed| closed.get());
        let to = match place {
            Place::Received | Place::Back => Place::Gone,
            Place::Sending | Place::Sent if closed => Place::Closed,
            Place::Sending => Place::Dropped,
            _ => {
                let number = self.number;
                self.ledger
                    .fault(format!("item {number} was dropped where it is {place:?}"));
                Place::Gone
            }
        };
        self.ledger.items.borrow_mut()[self.number] = to;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.ledger.tokens.borrow_mut()[self.number] += 1;
        if thread::current().id() != self.ledger.home {
            self.ledger.fault("a destructor ran on another OS thread");
        }
    }
}

/// What happened in all programs: shows that they do what they are for.
#[derive(Default)]
pub(crate) struct Statistics {
    /// By operation.
    pub(crate) calls: BTreeMap<&'static str, Calls>,
    pub(crate) programs: u64,
    pub(crate) threads: u64,
    pub(crate) cancels: u64,
    pub(crate) ended_early: u64,
    pub(crate) rescues: u64,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) made: u64,
    pub(crate) cancelled: u64,
    /// Those of the cancelled that began when their thread was cancelled already.
    pub(crate) at_entry: u64,
}

impl Statistics {
    pub(crate) fn print(&self) {
        println!(
            "{} programs: {} green threads, {} cancels, {} runs ended early, {} calls that nobody \
             else would have ended",
            self.programs, self.threads, self.cancels, self.ended_early, self.rescues
        );
        for (name, calls) in &self.calls {
            println!(
                "  {name:<24} {:>9} calls, {:>8} unwound by a cancel, of these {:>8} at the entry",
                calls.made, calls.cancelled, calls.at_entry
            );
        }
    }
}

/// When whom to cancel.
pub(crate) enum Plan {
    /// Nobody.
    Nothing,
    /// At each suspension point one chance in so many, and so the end of the run.
    Random { random: Random, one_in: usize },
    /// At this suspension point, the victim of this number.
    At { point: usize, victim: usize },
}
