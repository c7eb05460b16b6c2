//! The pool of stacks of an OS thread: a warm free list for each size class, last in, first out,
//! over slabs that grow as needed. Called by whoever starts a green thread or a coroutine.

use super::size::{CLASSES, SizeClass};
use super::slab::{FIRST_SLOTS, Slab, Slot};
use super::{Stack, overflow};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

thread_local! {
    /// The pool of this OS thread, made at its first use.
    static POOL: Rc<Pool> = Pool::new();
}

/// The stacks of one OS thread, shared by all that run on it.
///
/// Stacks may outlive their pool: the slabs they lie in do (invariant 36).
pub(crate) struct Pool {
    /// A free list for each size class.
    lists: [FreeList; CLASSES],
}

/// The stacks of one size class.
#[derive(Default)]
pub(super) struct FreeList {
    /// The slot that came back last; the others hang from it.
    first: Cell<Option<NonNull<Slot>>>,
    /// All slabs of the class, oldest first; only the newest may have slots that were never handed
    /// out.
    slabs: RefCell<Vec<NonNull<Slab>>>,
}

impl Pool {
    /// The pool of this OS thread.
    pub(crate) fn current() -> Rc<Pool> {
        // While the OS thread ends its pool may be gone; a stack that is needed even then gets a
        // pool of its own.
        POOL.try_with(Rc::clone).unwrap_or_else(|_| Pool::new())
    }

    /// Makes an empty pool. It never moves: slabs know its lists by their address (invariant 38).
    pub(super) fn new() -> Rc<Pool> {
        Rc::new(Pool {
            lists: std::array::from_fn(|_| FreeList::default()),
        })
    }

    /// Takes a stack out: the one that came back last, or a new one.
    ///
    /// # Errors
    ///
    /// No stack is free and the kernel refuses a new one: the address space, the commit limit or
    /// `vm.max_map_count` is used up. What was out stays usable, and the next call tries again.
    #[inline]
    pub(crate) fn acquire(&self, class: SizeClass) -> io::Result<Stack> {
        let list = &self.lists[class.index()];
        let slot = match list.pop() {
            Some(slot) => slot,
            None => list.grow(class)?,
        };
        // SAFETY: the slot came out of the list or was just made, so nobody else has it (invariant
        // 35).
        Ok(unsafe { Stack::from_raw(slot) })
    }
}

impl FreeList {
    /// Takes the slot that came back last.
    #[inline]
    fn pop(&self) -> Option<NonNull<Slot>> {
        let slot = self.first.get()?;
        // SAFETY: slots in the list are alive (invariant 36).
        self.first.set(unsafe { slot.as_ref() }.next_free.get());
        Some(slot)
    }

    /// Puts a slot that came back on top.
    #[inline]
    pub(super) fn push(&self, slot: NonNull<Slot>) {
        // SAFETY: the caller hands over a slot that is alive (invariant 36).
        unsafe { slot.as_ref() }.next_free.set(self.first.get());
        self.first.set(Some(slot));
    }

    /// Makes a slot that was never used, in a new slab if need be.
    #[cold]
    #[inline(never)]
    fn grow(&self, class: SizeClass) -> io::Result<NonNull<Slot>> {
        let newest = self.slabs.borrow().last().copied();
        let mut slots = FIRST_SLOTS;
        if let Some(slab) = newest {
            // SAFETY: the pool's slabs are alive while the pool is (invariant 36).
            let slab = unsafe { slab.as_ref() };
            if let Some(slot) = slab.make_slot()? {
                return Ok(slot);
            }
            slots = slab.capacity() * 2;
        }

        // No stack is in use before its overflow can be reported.
        overflow::install_overflow_handler()?;
        let slab = Slab::map(class, slots, NonNull::from(self))?;
        self.slabs.borrow_mut().push(slab);
        // SAFETY: the slab was just made.
        let slot = unsafe { slab.as_ref() }.make_slot()?;
        Ok(slot.expect("a new slab has room for a slot"))
    }
}

impl Drop for FreeList {
    fn drop(&mut self) {
        // Slabs whose slots are all here go with the pool; the last slot to come home takes the
        // others along.
        let slabs = self.slabs.take();
        for slab in &slabs {
            // SAFETY: the pool's slabs are alive while the pool is (invariant 36).
            unsafe { slab.as_ref() }.orphan();
        }
        while let Some(slot) = self.pop() {
            // SAFETY: slots in the list are alive (invariant 36).
            let slab = unsafe { slot.as_ref() }.slab;
            // SAFETY: slabs are alive while one of their slots is.
            unsafe { slab.as_ref() }.count_home();
        }
        for slab in slabs {
            // SAFETY: the slab is alive and orphaned, and this list was the last to refer to it.
            unsafe { Slab::unmap_if_idle(slab) };
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST_SLOTS, Pool};
    use crate::stack::size::{COLOUR_BYTES, SizeClass};
    use crate::stack::{Stack, guard, slab, sys};
    use std::collections::HashSet;
    use std::io;
    use std::rc::Rc;

    fn class(usable_bytes: usize) -> SizeClass {
        SizeClass::for_size(usable_bytes).expect("an ordinary size")
    }

    #[test]
    fn the_stack_that_came_back_last_is_handed_out_first() {
        let pool = Pool::new();
        let first = pool.acquire(class(16384)).expect("a stack");
        let second = pool.acquire(class(16384)).expect("a stack");
        let (first_base, second_base) = (first.base(), second.base());
        drop(first);
        drop(second);
        let third = pool.acquire(class(16384)).expect("a stack");
        let fourth = pool.acquire(class(16384)).expect("a stack");
        assert_eq!(third.base(), second_base);
        assert_eq!(fourth.base(), first_base);
    }

    #[test]
    fn stacks_are_apart_aligned_coloured_and_writable() {
        let pool = Pool::new();
        let class = class(20_000);
        let stacks: Vec<Stack> = (0..200)
            .map(|_| pool.acquire(class).expect("a stack"))
            .collect();
        let mut colours = HashSet::new();
        for stack in &stacks {
            assert_eq!(stack.base().addr() % 16, 0);
            assert!(stack.base().addr() - stack.limit().addr() >= class.usable());
            let colour = stack.slot().top().addr() - stack.base().addr();
            assert!(colour < COLOUR_BYTES);
            colours.insert(colour);
            for byte in [stack.base().wrapping_sub(1), stack.limit()] {
                // SAFETY: both bytes lie in the stack, on which nobody runs.
                unsafe { byte.write_volatile(1) };
            }
        }
        assert_eq!(colours.len(), 32);
        let mut limits: Vec<usize> = stacks.iter().map(|stack| stack.limit().addr()).collect();
        limits.sort_unstable();
        for pair in limits.windows(2) {
            assert!(pair[1] - pair[0] >= class.slot_bytes());
        }
    }

    #[test]
    fn every_stack_has_a_guard_that_faults() {
        let pool = Pool::new();
        let stacks: Vec<Stack> = (0..100)
            .map(|_| pool.acquire(class(16384)).expect("a stack"))
            .collect();
        for stack in &stacks {
            let guard = stack.limit().wrapping_sub(sys::page_size());
            for byte in [guard, stack.limit().wrapping_sub(1)] {
                assert!(guard::faults(byte).expect("a pipe"));
                let slot = slab::slot_guarded_at(byte.addr()).expect("a guard of this OS thread");
                // SAFETY: the slot is out and alive.
                assert_eq!(unsafe { slot.as_ref() }.base, stack.base());
            }
            assert!(!guard::faults(stack.limit()).expect("a pipe"));
            assert!(slab::slot_guarded_at(stack.limit().addr()).is_none());
        }
    }

    #[test]
    fn stacks_outlive_their_pool_and_take_their_slab_along() {
        let pool = Pool::new();
        let early = pool.acquire(class(16384)).expect("a stack");
        let late = pool.acquire(class(16384)).expect("a stack");
        let here = pool.acquire(class(16384)).expect("a stack");
        drop(here);
        let guard = late.limit().wrapping_sub(1).addr();
        assert_eq!(Rc::strong_count(&pool), 1);
        drop(pool);

        drop(early);
        assert!(slab::slot_guarded_at(guard).is_some());
        // SAFETY: the byte lies in a stack that is out, on which nobody runs.
        unsafe { late.limit().write_volatile(1) };
        drop(late);
        assert!(slab::slot_guarded_at(guard).is_none());
    }

    #[test]
    fn a_leaked_stack_keeps_its_slab_mapped() {
        let pool = Pool::new();
        let kept = pool.acquire(class(16384)).expect("a stack");
        let other = pool.acquire(class(16384)).expect("a stack");
        let limit = kept.limit();
        let slot = kept.into_raw();
        drop(pool);
        drop(other);
        assert!(slab::slot_guarded_at(limit.wrapping_sub(1).addr()).is_some());
        // SAFETY: the slot came from into_raw and is taken up once.
        drop(unsafe { Stack::from_raw(slot) });
        assert!(slab::slot_guarded_at(limit.wrapping_sub(1).addr()).is_none());
    }

    #[test]
    fn huge_stacks_are_served_or_refused_by_name() {
        let pool = Pool::new();
        match pool.acquire(class(3 << 30)) {
            Ok(stack) => assert!(stack.base().addr() - stack.limit().addr() >= 3 << 30),
            Err(error) => assert!(error.to_string().contains("ulimit -v"), "{error}"),
        }
        // A refusal of the reservation even for one slot, as under `ulimit -v`.
        let pool = Pool::new();
        sys::fail_after(0);
        let error = pool.acquire(class(3 << 30)).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("ulimit -v"), "{error}");
    }

    /// No stack is handed out without a guard, and the error says what has run out.
    #[test]
    fn a_guard_that_is_refused_names_the_limit() {
        let pool = Pool::new();
        sys::refuse_pages(true);
        let error = pool.acquire(class(16384)).expect_err("no guard");
        sys::refuse_pages(false);
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        pool.acquire(class(16384)).expect("a stack with a guard");
    }

    #[test]
    fn a_slab_shrinks_where_a_large_reservation_is_refused() {
        let pool = Pool::new();
        let _first: Vec<Stack> = (0..FIRST_SLOTS)
            .map(|_| pool.acquire(class(16384)).expect("a stack"))
            .collect();
        sys::fail_after(0);
        let next = pool.acquire(class(16384)).expect("a stack");
        // SAFETY: the slot is out, so it and its slab are alive.
        let slab = unsafe { next.slot().slab.as_ref() };
        assert_eq!(slab.capacity(), FIRST_SLOTS);
    }

    /// Behaviour 47.
    #[test]
    fn the_failure_of_any_system_call_gives_an_error_and_a_working_pool() {
        // What is found out once a process must not be found out from a failure.
        drop(Pool::new().acquire(class(16384)));
        for calls in 0.. {
            let pool = Pool::new();
            sys::fail_after(calls);
            let mut refused = 0;
            let mut stacks = Vec::new();
            for _ in 0..200 {
                match pool.acquire(class(16384)) {
                    Ok(stack) => stacks.push(stack),
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
            let happened = !sys::take_back_failure();
            assert!(refused <= 1, "a failure costs one stack at most");
            for stack in &stacks {
                assert!(guard::faults(stack.limit().wrapping_sub(1)).expect("a pipe"));
                // SAFETY: the byte lies in the stack, on which nobody runs.
                unsafe { stack.limit().write_volatile(1) };
            }
            drop(stacks);
            pool.acquire(class(16384)).expect("a warm stack");
            if !happened {
                assert!(calls > 10, "200 stacks take more than {calls} system calls");
                return;
            }
        }
    }
}
