//! The public way to park on a wait queue with a reason, and to unpark: what locks, channels and
//! other waits of one OS thread are made of.

use std::fmt;

use super::{Core, Limit, Mask, Outcome, Reason, refuse_in_child};
use crate::clock::Instant;
use crate::scheduler::{Links, WaitNode};

/// A queue of parked green threads of one OS thread, first in, first out.
///
/// It is what a lock or a channel between green threads is made of: who has to wait parks on it
/// with a
/// [`Reason`], who makes room unparks the one that has waited the longest. Since green threads of one OS
/// thread run one at a time and switch only where they park or yield, a condition that was checked
/// still holds when [`park`](Self::park) is called right after.
///
/// # Examples
///
/// ```
/// use greenlit::park::{Reason, WaitQueue};
/// use greenlit::thread;
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// greenlit::run(|| {
///     let seats = Rc::new((Cell::new(0), WaitQueue::new()));
///     let guest = {
///         let seats = seats.clone();
///         thread::spawn(move || {
///             while seats.0.get() == 0 {
///                 seats.1.park(Reason::new("waiting for a seat"));
///             }
///             seats.0.set(seats.0.get() - 1);
///         })
///     };
///     seats.0.set(1);
///     seats.1.unpark_one();
///     guest.join().unwrap();
///     assert_eq!(seats.0.get(), 0);
/// });
/// ```
pub struct WaitQueue {
    links: Links,
}

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: Links::new(),
        }
    }

    /// Parks the current green thread until it is its turn to be unparked. It does not return
    /// early.
    ///
    /// # Panics
    ///
    /// Outside a runtime, where nobody could unpark.
    ///
    /// # Cancellation
    ///
    /// A cancelled green thread leaves the queue and unwinds. If it is unwinding already, the call
    /// returns early.
    #[track_caller]
    pub fn park(&self, reason: Reason) {
        self.park_limited(reason, Limit::None);
    }

    /// As [`park`](Self::park), but not longer than until `deadline`. Returns whether it was
    /// unparked.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Cancellation
    ///
    /// As [`park`](Self::park).
    #[track_caller]
    #[must_use = "false says that the deadline has passed"]
    pub fn park_until(&self, reason: Reason, deadline: Instant) -> bool {
        self.park_limited(reason, Limit::At(deadline.nanos())) == Outcome::Woken
    }

    #[track_caller]
    fn park_limited(&self, reason: Reason, limit: Limit) -> Outcome {
        let Some(core) = Core::current() else {
            refuse_in_child();
            panic!("park: a wait queue needs a running runtime; call it inside greenlit::run");
        };
        // It may let others run, so it comes before this thread stands in the queue.
        let _ = core.check_cancel();
        let node = WaitNode::new(core.running());
        // SAFETY: invariant 43: the node is pinned to this frame, its drop unlinks it, and `self`
        // stays borrowed, hence in place, until then.
        unsafe { self.links.push(&node) };
        core.park(&reason, limit, Mask::No, || !node.is_linked())
    }

    /// Unparks the green thread that has waited the longest. Returns whether there was one.
    pub fn unpark_one(&self) -> bool {
        let record = self.links.pop();
        if record.is_null() {
            return false;
        }
        // There is a runtime wherever somebody waits, unless its run could not stop the thread:
        // then the record says that it has ended.
        if let Some(core) = Core::here() {
            core.unpark(record);
        }
        true
    }

    /// Unparks all that wait now, in order. Returns how many.
    pub fn unpark_all(&self) -> usize {
        let mut count = 0;
        while self.unpark_one() {
            count += 1;
        }
        count
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue")
            .field("is_empty", &self.is_empty())
            .finish_non_exhaustive()
    }
}
