//! Runs a program's statements: what goes through channels and file descriptors.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use greenlit::cancel::Cancelled;
use greenlit::sync::mpsc::{self, RecvTimeoutError};
use greenlit::sync::oneshot;
use greenlit::sync::select::{Arm, Select, after};
use greenlit::thread;

use super::context::Context;
use super::ledger::{Item, Ledger};
use super::statement::{Arms, Body, Time};
use super::world::Shared;

/// What a sending call does to its item, however it ends.
struct Sending<'a> {
    ledger: &'a Ledger,
    number: usize,
    returned: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.ledger.not_sent(self.number);
        }
    }
}

impl Context {
    /// Makes a call that sends `item`, which gives it back where it does not.
    fn sending(&self, item: Item, call: impl FnOnce(Item) -> Result<(), Item>) -> bool {
        let ledger = &self.world.ledger;
        let mut sending = Sending {
            ledger,
            number: item.number(),
            returned: false,
        };
        let result = call(item);
        sending.returned = true;
        match result {
            Ok(()) => {
                ledger.sent(sending.number);
                true
            }
            Err(item) => {
                item.came_back();
                false
            }
        }
    }

    pub(super) fn send(&self, index: usize, time: Time) {
        let Shared { thing, waiting } = &self.world.channels[index];
        let time = self.limit_of_channel(time);
        let item = self.world.ledger.item(None);
        let sent = self.sending(item, |item| {
            // Those without a time limit try instead.
            let time = match thing {
                super::channel::Channel::Mpmc(..) => time,
                _ if time == Time::Never => time,
                _ => Time::Try,
            };
            self.call("send", Some(&waiting[0]), time, || match time {
                Time::Never => thing.send(item),
                Time::Try => thing.try_send(item),
                Time::Zero | Time::Soon => {
                    thing.send_timeout(item, time.length().unwrap_or_default())
                }
            })
        });
        if !sent && time == Time::Never && !self.may_fail() {
            self.fault("an open channel gave an item back");
        }
    }

    pub(super) fn receive(&self, index: usize, time: Time) {
        let Shared { thing, waiting } = &self.world.channels[index];
        let time = self.limit_of_channel(time);
        let item = self.call("recv", Some(&waiting[1]), time, || match time {
            Time::Never => thing.receive().ok_or(RecvTimeoutError::Disconnected),
            Time::Try => thing.try_receive().ok_or(RecvTimeoutError::Timeout),
            Time::Zero | Time::Soon => thing.receive_timeout(time.length().unwrap_or_default()),
        });
        match item {
            Ok(item) => item.received(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                if !self.may_fail() {
                    self.fault("an open channel is disconnected");
                }
            }
        }
    }

    pub(super) fn select(&self, arms: Arms, time: Time) {
        let time = self.limit_of_channel(time);
        match arms.send {
            None => drop(self.select_among(arms, time, None)),
            Some(_) => {
                let item = self.world.ledger.item(None);
                self.sending(item, |item| self.select_among(arms, time, Some(item)));
            }
        }
    }

    /// Gives `item` back where it was not sent.
    fn select_among(&self, arms: Arms, time: Time, item: Option<Item>) -> Result<(), Item> {
        let channels = &self.world.channels;
        let mut first = channels[arms.first].thing.receive_arm();
        let mut second = arms.second.map(|index| channels[index].thing.receive_arm());
        let send = arms.send.zip(item);
        let mut send = send.map(|(index, item)| channels[index].thing.send_arm(item));
        let stream = arms.readable.map(|index| self.world.stream(index));
        let mut ready = stream.map(|stream| stream.thing.readable());
        let mut timer = arms
            .timer
            .then(|| after(Time::Soon.length().unwrap_or_default()));

        let mut all: Vec<&mut dyn Arm> = vec![&mut first];
        let mut kinds = vec!["first"];
        all.extend(second.as_mut().map(|arm| arm as &mut dyn Arm));
        kinds.extend(arms.second.map(|_| "second"));
        all.extend(send.as_mut().map(|arm| arm as &mut dyn Arm));
        kinds.extend(arms.send.map(|_| "send"));
        all.extend(ready.as_mut().map(|arm| arm as &mut dyn Arm));
        kinds.extend(arms.readable.map(|_| "readable"));
        all.extend(timer.as_mut().map(|arm| arm as &mut dyn Arm));
        kinds.extend(arms.timer.then_some("timer"));

        let _waits = self.waits_for(arms);
        let chosen = self.call("select", None, time, || {
            let select = Select::new(&mut all);
            match time {
                Time::Never => Some(select.wait()),
                Time::Try => select.try_wait(),
                Time::Zero | Time::Soon => select.wait_timeout(time.length().unwrap_or_default()),
            }
        });
        let chosen = chosen.map_or("none", |index| kinds[index]);
        let received = [
            ("first", Some(first.finish())),
            ("second", second.map(|arm| arm.finish())),
        ];
        for (name, result) in received {
            match result {
                Some(Ok(item)) => {
                    item.received();
                    if name != chosen {
                        self.fault("an arm that was not chosen has received");
                    }
                }
                Some(Err(_)) if name == chosen && !self.may_fail() => {
                    self.fault("a chosen arm has received nothing");
                }
                _ => {}
            }
        }
        match send.map(|arm| arm.finish()) {
            None => Ok(()),
            Some(result) => {
                if result.is_ok() != (chosen == "send") && !self.may_fail() {
                    self.fault("a send was done and not chosen, or chosen and not done");
                }
                result.map_err(|error| error.0)
            }
        }
    }

    /// Counts a select among those who wait for its channels; not where it waits for itself.
    fn waits_for(&self, arms: Arms) -> [Option<Waits<'_>>; 3] {
        let meets_itself = [Some(arms.first), arms.second].contains(&arms.send);
        let wait = |index: Option<usize>, kind: usize| {
            let index = index.filter(|_| !meets_itself || arms.send.is_none())?;
            Some(Waits::new(&self.world.channels[index].waiting[kind]))
        };
        [
            wait(Some(arms.first), 1),
            wait(arms.second, 1),
            wait(arms.send, 0),
        ]
    }

    pub(super) fn ask(&self, time: Time, body: &Body) {
        let closed = Rc::new(Cell::new(false));
        let (answers, answer) = oneshot::channel();
        let answer = Closes(answer, closed.clone());
        let context = Self::new(&self.world, None);
        let body = body.clone();
        thread::spawn(move || {
            context.run(&body);
            let item = context.world.ledger.item(Some(closed));
            context.sending(item, |item| answers.send(item));
        });
        let time = self.limit_of_channel(time);
        let item = self.call("oneshot recv", None, time, || match time {
            Time::Never => answer.0.recv().ok(),
            Time::Try => answer.0.try_recv().ok(),
            Time::Zero | Time::Soon => {
                let length = time.length().unwrap_or_default();
                answer.0.recv_timeout(length).ok()
            }
        });
        if let Some(item) = item {
            item.received();
        }
    }

    /// One sends to another over a channel of their own: all arrive, in order.
    pub(super) fn flow(&self, bound: Option<usize>, items: usize, wanted: usize) {
        let closed = Rc::new(Cell::new(false));
        let ledger = &self.world.ledger;
        let (next, taken) = (Cell::new(None), Cell::new(0));
        let send_all = |send: &dyn Fn(Item) -> Result<(), Item>, context: &Self| {
            for _ in 0..items {
                let item = ledger.item(Some(closed.clone()));
                let sent = context.sending(item, |item| {
                    context.call("send", None, Time::Never, || send(item))
                });
                if !sent && !context.may_fail() && !closed.get() {
                    context.fault("an open channel gave an item back");
                }
            }
        };
        let (unbound, bounded, receiver) = match bound {
            None => {
                let (sender, receiver) = mpsc::channel();
                (Some(sender), None, receiver)
            }
            Some(bound) => {
                let (sender, receiver) = mpsc::sync_channel(bound);
                (None, Some(sender), receiver)
            }
        };
        let producer = Self::new(&self.world, Some(self));
        self.call_around("scope (flow)", || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let (context, unbound, bounded) = (producer, unbound, bounded);
                    if let Some(sender) = unbound {
                        send_all(&|item| sender.send(item).map_err(|e| e.0), &context);
                    } else if let Some(sender) = bounded {
                        send_all(&|item| sender.send(item).map_err(|e| e.0), &context);
                    }
                });
                let receiver = Closes(receiver, closed.clone());
                while taken.get() < wanted {
                    let item = self.call("recv", None, Time::Never, || receiver.0.recv());
                    let Ok(item) = item else { break };
                    if next.replace(Some(item.number())) > Some(item.number()) {
                        self.fault("items come out of order");
                    }
                    item.received();
                    taken.set(taken.get() + 1);
                }
            });
        });
    }

    pub(super) fn write_stream(&self, index: usize) {
        if self.limit_of_channel(Time::Never) != Time::Never {
            return;
        }
        let Shared { thing, waiting } = self.world.stream(index);
        let bytes = vec![index as u8 + 7; 16 * 1024];
        let result = self.call("write", Some(&waiting[0]), Time::Never, || {
            thing.write(&bytes)
        });
        self.look_at(result);
    }

    pub(super) fn read_stream(&self, index: usize) {
        if self.limit_of_channel(Time::Never) != Time::Never {
            return;
        }
        let Shared { thing, waiting } = self.world.stream(index);
        let mut bytes = [0; 512];
        let result = self.call("read", Some(&waiting[1]), Time::Never, || {
            thing.read(&mut bytes)
        });
        self.look_at(result);
    }

    fn look_at(&self, result: io::Result<usize>) {
        match result {
            Ok(0) => self.fault("an open stream is at its end"),
            Ok(_) => {}
            Err(error) if self.may_fail() && is_cancel(&error) => {}
            Err(error) => self.fault(&format!("a stream says {error:?}")),
        }
    }
}

/// Whether an error says that a cancel ended the call, and not as one after which std tries again.
fn is_cancel(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| inner.is::<Cancelled>()) && error.kind() != io::ErrorKind::Interrupted
}

struct Waits<'a>(&'a Cell<usize>);

impl<'a> Waits<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A receiver, after which what lies in its channel is dropped.
struct Closes<R>(R, Rc<Cell<bool>>);

impl<R> Drop for Closes<R> {
    fn drop(&mut self) {
        self.1.set(true);
    }
}
