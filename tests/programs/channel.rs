//! The channels of a program: one of each kind.

use std::rc::Rc;
use std::time::Duration;

use greenlit::sync::mpmc::SendTimeoutError;
use greenlit::sync::mpsc::{RecvTimeoutError, SendError, TrySendError};
use greenlit::sync::select::{RecvArm, SendArm};
use greenlit::sync::{mpmc, mpsc};

use super::generate::CHANNELS;
use super::ledger::{Item, Ledger};

pub(crate) enum Channel {
    Mpsc(mpsc::Sender<Item>, mpsc::Receiver<Item>),
    Bounded(mpsc::SyncSender<Item>, mpsc::Receiver<Item>),
    Mpmc(mpmc::Sender<Item>, mpmc::Receiver<Item>),
}

impl Channel {
    pub(crate) fn all() -> [Self; CHANNELS] {
        let (mpsc, from_mpsc) = mpsc::channel();
        let (bounded, from_bounded) = mpsc::sync_channel(1);
        let (rendezvous, from_rendezvous) = mpmc::sync_channel(0);
        let (mpmc, from_mpmc) = mpmc::channel();
        let (two, from_two) = mpmc::sync_channel(2);
        [
            Self::Mpsc(mpsc, from_mpsc),
            Self::Bounded(bounded, from_bounded),
            Self::Mpmc(rendezvous, from_rendezvous),
            Self::Mpmc(mpmc, from_mpmc),
            Self::Mpmc(two, from_two),
        ]
    }

    pub(crate) fn send(&self, item: Item) -> Result<(), Item> {
        match self {
            Self::Mpsc(sender, _) => sender.send(item),
            Self::Bounded(sender, _) => sender.send(item),
            Self::Mpmc(sender, _) => sender.send(item),
        }
        .map_err(|SendError(item)| item)
    }

    pub(crate) async fn send_async(&self, item: Item) -> Result<(), Item> {
        let result = match self {
            Self::Mpsc(sender, _) => sender.send_async(item).await,
            Self::Bounded(sender, _) => sender.send_async(item).await,
            Self::Mpmc(sender, _) => sender.send_async(item).await,
        };
        result.map_err(|SendError(item)| item)
    }

    pub(crate) async fn receive_async(&self) -> Option<Item> {
        match self {
            Self::Mpsc(_, receiver) | Self::Bounded(_, receiver) => {
                receiver.recv_async().await.ok()
            }
            Self::Mpmc(_, receiver) => receiver.recv_async().await.ok(),
        }
    }

    pub(crate) fn try_send(&self, item: Item) -> Result<(), Item> {
        let result = match self {
            Self::Mpsc(..) => return self.send(item),
            Self::Bounded(sender, _) => sender.try_send(item),
            Self::Mpmc(sender, _) => sender.try_send(item),
        };
        result.map_err(|error| match error {
            TrySendError::Full(item) | TrySendError::Disconnected(item) => item,
        })
    }

    pub(crate) fn send_timeout(&self, item: Item, timeout: Duration) -> Result<(), Item> {
        match self {
            Self::Mpsc(..) | Self::Bounded(..) => self.try_send(item),
            Self::Mpmc(sender, _) => sender.send_timeout(item, timeout).map_err(|e| match e {
                SendTimeoutError::Timeout(item) | SendTimeoutError::Disconnected(item) => item,
            }),
        }
    }

    pub(crate) fn receive(&self) -> Option<Item> {
        match self {
            Self::Mpsc(_, receiver) | Self::Bounded(_, receiver) => receiver.recv().ok(),
            Self::Mpmc(_, receiver) => receiver.recv().ok(),
        }
    }

    pub(crate) fn try_receive(&self) -> Option<Item> {
        match self {
            Self::Mpsc(_, receiver) | Self::Bounded(_, receiver) => receiver.try_recv().ok(),
            Self::Mpmc(_, receiver) => receiver.try_recv().ok(),
        }
    }

    pub(crate) fn receive_timeout(&self, timeout: Duration) -> Result<Item, RecvTimeoutError> {
        match self {
            Self::Mpsc(_, receiver) | Self::Bounded(_, receiver) => receiver.recv_timeout(timeout),
            Self::Mpmc(_, receiver) => receiver.recv_timeout(timeout),
        }
    }

    pub(crate) fn send_arm(&self, item: Item) -> SendArm<'_, Item> {
        match self {
            Self::Mpsc(sender, _) => sender.send_arm(item),
            Self::Bounded(sender, _) => sender.send_arm(item),
            Self::Mpmc(sender, _) => sender.send_arm(item),
        }
    }

    pub(crate) fn receive_arm(&self) -> RecvArm<'_, Item> {
        match self {
            Self::Mpsc(_, receiver) | Self::Bounded(_, receiver) => receiver.recv_arm(),
            Self::Mpmc(_, receiver) => receiver.recv_arm(),
        }
    }

    fn bound(&self) -> Option<usize> {
        match self {
            Self::Mpsc(..) => None,
            Self::Bounded(..) => Some(1),
            Self::Mpmc(sender, _) => sender.capacity(),
        }
    }

    /// Whether an item that is sent now lies in the channel, as far as can be seen.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Mpsc(..) => true,
            Self::Bounded(..) => false,
            Self::Mpmc(sender, _) => !sender.is_full(),
        }
    }

    /// Nobody waits, and the channel is empty: it takes as many items as it has room for, and gives
    /// them back in order.
    pub(crate) fn check_bound(&self, ledger: &Rc<Ledger>) {
        let bound = self.bound().unwrap_or(3);
        let mut numbers = Vec::new();
        for _ in 0..bound {
            let item = ledger.item(None);
            let number = item.number();
            match self.try_send(item) {
                Ok(()) => ledger.sent(number),
                Err(item) => {
                    item.came_back();
                    ledger.fault("an empty channel has no room");
                }
            }
            numbers.push(number);
        }
        if self.bound().is_some() {
            match self.try_send(ledger.item(None)) {
                Ok(()) => ledger.fault("a channel has more room than its bound"),
                Err(item) => item.came_back(),
            }
        }
        for number in numbers {
            match self.try_receive() {
                Some(item) => {
                    if item.number() != number {
                        ledger.fault("items come out of order");
                    }
                    item.received();
                }
                None => ledger.fault("an item that was sent is not there"),
            }
        }
    }
}
