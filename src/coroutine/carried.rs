//! What an upper layer keeps on the stacks of coroutines, and takes along when one is left in the
//! middle: the regions of a green thread. Nothing is asked while nobody has any there.

use std::cell::Cell;
use std::ptr;

use super::Ground;

/// How the upper layer takes up what it has on a stack, and puts it back.
pub(crate) struct Carrier {
    /// Takes out of the running thread's chain what lies where the argument says; null for nothing.
    pub(crate) detach: fn(&dyn Fn(*const ()) -> bool) -> *const (),
    /// Puts back what `detach` gave, into the chain of the thread that runs now, if one does.
    pub(crate) attach: unsafe fn(*const ()),
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

/// What belongs to one coroutine while it is suspended; null for nothing.
#[derive(Debug)]
pub(super) struct Baggage(Cell<*const ()>);

impl Baggage {
    pub(super) const fn new() -> Self {
        Self(Cell::new(ptr::null()))
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
        if let Some(carrier) = CARRIER.get() {
            self.0
                .set((carrier.detach)(&|address| ground.holds(address.addr())));
        }
    }

    /// The coroutine is continued.
    #[inline(always)]
    pub(super) fn unpack(&self) {
        if !self.0.get().is_null() {
            self.unpack_some();
        }
    }

    #[cold]
    fn unpack_some(&self) {
        let piece = self.0.replace(ptr::null());
        if let Some(carrier) = CARRIER.get() {
            // SAFETY: `detach` gave it when the coroutine was left, which has not run since, and it was
            // forgotten just now.
            unsafe { (carrier.attach)(piece) };
        }
    }
}
