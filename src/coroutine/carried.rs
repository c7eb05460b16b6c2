//! What belongs to a coroutine's stack and is kept with the green thread that runs on it: the regions
//! that it is in, and that it unwinds. It stays behind when the coroutine is left in the middle, and
//! comes along when it is continued. Nothing is asked while there is none of it.

use std::cell::Cell;
use std::ptr;

use super::Ground;

/// How the upper layer takes up what it has on a stack, and puts it back.
pub(crate) struct Carrier {
    /// Takes out of the running thread's chain what lies where the argument says; null for nothing.
    pub(crate) detach: fn(&dyn Fn(*const ()) -> bool) -> *const (),
    /// Puts back what `detach` gave, into the chain of the thread that runs now, if one does.
    pub(crate) attach: unsafe fn(*const ()),
    /// Whether the running thread unwinds.
    pub(crate) is_marked: fn() -> bool,
    /// Takes off the running thread that it unwinds; 0 where it does not.
    pub(crate) take_mark: fn() -> u64,
    /// Puts that on the running thread, if one runs.
    pub(crate) put_mark: fn(u64),
}

thread_local! {
    /// How much there is on coroutines' stacks of this OS thread.
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// Whose it is; there is one upper layer.
    static CARRIER: Cell<Option<&'static Carrier>> = const { Cell::new(None) };
}

/// Something was put on a coroutine's stack.
#[cold]
pub(crate) fn add(carrier: &'static Carrier) {
    CARRIER.set(Some(carrier));
    COUNT.set(COUNT.get() + 1);
}

/// It is not there any more.
#[cold]
pub(crate) fn remove() {
    COUNT.set(COUNT.get() - 1);
}

/// Whether there is anything on any coroutine's stack.
#[inline(always)]
pub(super) fn is_any() -> bool {
    COUNT.get() != 0
}

/// What belongs to one coroutine while it is suspended.
#[derive(Debug)]
pub(super) struct Baggage {
    /// What `detach` gave; null for nothing.
    piece: Cell<*const ()>,
    /// What `take_mark` gave; 0 for nothing.
    mark: Cell<u64>,
    /// While it runs: whether the thread unwound before, so that the mark is the thread's own.
    was_marked: Cell<bool>,
}

impl Baggage {
    pub(super) const fn new() -> Self {
        Self {
            piece: Cell::new(ptr::null()),
            mark: Cell::new(0),
            was_marked: Cell::new(false),
        }
    }

    /// The coroutine on `ground` is left, or was just now.
    #[inline(always)]
    pub(super) fn pack(&self, ground: Ground) {
        if is_any() {
            self.pack_some(ground);
        }
    }

    #[cold]
    fn pack_some(&self, ground: Ground) {
        let Some(carrier) = CARRIER.get() else {
            return;
        };
        self.piece
            .set((carrier.detach)(&|address| ground.holds(address.addr())));
        if !self.was_marked.replace(false) {
            self.mark.set((carrier.take_mark)());
        }
    }

    /// The coroutine is continued.
    #[inline(always)]
    pub(super) fn unpack(&self) {
        // What is packed counts too.
        if is_any() {
            self.unpack_some();
        }
    }

    #[cold]
    fn unpack_some(&self) {
        let Some(carrier) = CARRIER.get() else {
            return;
        };
        let piece = self.piece.replace(ptr::null());
        if !piece.is_null() {
            // SAFETY: `detach` gave it when the coroutine was left, which has not run since, and it was
            // forgotten just now.
            unsafe { (carrier.attach)(piece) };
        }
        let is_marked = (carrier.is_marked)();
        self.was_marked.set(is_marked);
        // In a thread that unwinds itself there is nothing to add.
        if !is_marked && self.mark.get() != 0 {
            (carrier.put_mark)(self.mark.replace(0));
        }
    }
}
