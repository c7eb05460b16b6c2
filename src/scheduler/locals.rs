//! The values that one thread has under its local keys: a table by the keys' numbers. It is pure
//! data: a value is made, used and dropped by its caller, while nothing here is borrowed.

use std::any::Any;
use std::cell::UnsafeCell;
use std::rc::Rc;

/// One thread's values. Whoever uses one counts it, so that it stays for a coroutine that was
/// suspended in the middle of its use and outlives the thread.
pub(crate) struct Locals {
    table: UnsafeCell<Table>,
}

struct Table {
    /// By the keys' numbers.
    slots: Vec<Slot>,
    /// The numbers of values that have a destructor, in the order in which they were made.
    order: Vec<u32>,
}

/// What a thread has under one key.
#[derive(Clone)]
pub(crate) enum Slot {
    /// Nothing yet.
    Empty,
    Value(Rc<dyn Any>),
    /// The thread ends, and the value has gone, or is going.
    Destroyed,
}

impl Locals {
    pub(crate) const fn new() -> Self {
        Self {
            table: UnsafeCell::new(Table::new()),
        }
    }

    /// What is there under a key.
    #[inline(always)]
    pub(crate) fn get(&self, number: u32) -> Slot {
        // SAFETY: invariant 40: the table is used by one OS thread, and no reference into it
        // outlives this function, which runs no code of the user's.
        let table = unsafe { &*self.table.get() };
        match table.slots.get(number as usize) {
            Some(slot) => slot.clone(),
            None => Slot::Empty,
        }
    }

    /// Puts a value there, and returns what was there before: the value of an initialiser inside
    /// this one's. Where the thread has destroyed that key's, nothing is put, and the value comes
    /// back.
    pub(crate) fn put(
        &self,
        number: u32,
        value: Rc<dyn Any>,
        has_destructor: bool,
    ) -> Result<Slot, Rc<dyn Any>> {
        // SAFETY: as in `get`; what is replaced is dropped by the caller.
        let table = unsafe { &mut *self.table.get() };
        let index = number as usize;
        if table.slots.len() <= index {
            table.slots.resize(index + 1, Slot::Empty);
        }
        let slot = &mut table.slots[index];
        if matches!(slot, Slot::Destroyed) {
            return Err(value);
        }
        let old = std::mem::replace(slot, Slot::Value(value));
        if has_destructor && matches!(old, Slot::Empty) {
            table.order.push(number);
        }
        Ok(old)
    }

    /// Exchanges all values with those of `other`.
    pub(crate) fn swap(&self, other: &Self) {
        // SAFETY: as in `get`: the tables are used by one OS thread, and nothing is dropped.
        unsafe { std::ptr::swap(self.table.get(), other.table.get()) };
    }

    /// Takes the youngest value that has a destructor, so that the caller may drop it.
    pub(crate) fn pop(&self) -> Option<Rc<dyn Any>> {
        // SAFETY: as in `get`; nothing is dropped here.
        let table = unsafe { &mut *self.table.get() };
        let number = table.order.pop()? as usize;
        match std::mem::replace(&mut table.slots[number], Slot::Destroyed) {
            Slot::Value(value) => Some(value),
            Slot::Empty | Slot::Destroyed => unreachable!("what is in order has a value"),
        }
    }

    /// Forgets all that is left, which has no destructors, and what was destroyed; keeps the room.
    pub(crate) fn clear(&self) {
        // SAFETY: as in `get`: values without a destructor run no code when they go.
        unsafe { (*self.table.get()).slots.clear() };
    }

    /// As `clear`, and gives the room back.
    pub(crate) fn free(&self) {
        // SAFETY: as in `clear`.
        drop(unsafe { self.table.get().replace(Table::new()) });
    }
}

impl Table {
    const fn new() -> Self {
        Self {
            slots: Vec::new(),
            order: Vec::new(),
        }
    }
}
