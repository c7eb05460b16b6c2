//! The items of a channel: none, one in place, a ring that is allocated once, or a chain of blocks
//! that grows. No memory is taken or given back under the channel's lock, but for an item that
//! comes back to a full ring.

use std::collections::VecDeque;
use std::mem::{self, MaybeUninit};
use std::ptr;

/// Items a block: with its two words a block of words is 256 bytes.
const BLOCK: usize = 30;

/// What lies in a channel, first in, first out.
pub(super) enum Items<T> {
    /// At most one item, in place.
    One(Option<T>),
    /// As many items as were allowed for at the beginning.
    Ring(VecDeque<T>),
    Chain(Chain<T>),
}

/// Items without bound, in blocks. It owns the list of blocks from `head` to `tail`, and the items in
/// them from `first` of the head to `end` of the tail.
pub(super) struct Chain<T> {
    len: usize,
    /// Null until a block is needed, and never again after that.
    head: *mut Block<T>,
    first: usize,
    tail: *mut Block<T>,
    end: usize,
    /// A block that was emptied, or brought in advance.
    spare: Memory<T>,
}

pub(super) struct Block<T> {
    items: [MaybeUninit<T>; BLOCK],
    next: *mut Block<T>,
}

/// Memory that a push needs, or a pop leaves behind: it is made before the lock is taken, and
/// dropped after it was let go. No item is in it.
pub(super) type Memory<T> = Option<Box<Block<T>>>;

impl<T> Items<T> {
    pub(super) fn with_capacity(capacity: Option<usize>) -> Self {
        match capacity {
            None => Self::Chain(Chain::new()),
            Some(0 | 1) => Self::One(None),
            Some(capacity) => Self::Ring(VecDeque::with_capacity(capacity)),
        }
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(item) => usize::from(item.is_some()),
            Self::Ring(ring) => ring.len(),
            Self::Chain(chain) => chain.len,
        }
    }

    /// Whether a push needs memory, which `bring` brings.
    #[inline(always)]
    pub(super) fn wants_memory(&self) -> bool {
        match self {
            Self::One(_) | Self::Ring(_) => false,
            Self::Chain(chain) => chain.end == BLOCK && chain.spare.is_none(),
        }
    }

    /// Takes memory in; gives it back where it is of no use.
    pub(super) fn bring(&mut self, memory: Memory<T>) -> Memory<T> {
        match self {
            Self::Chain(chain) if chain.spare.is_none() => {
                chain.spare = memory;
                None
            }
            _ => memory,
        }
    }

    /// Puts an item behind the others. There is room, and no memory is wanted.
    #[inline(always)]
    pub(super) fn push(&mut self, item: T) {
        match self {
            Self::One(place) => {
                debug_assert!(place.is_none(), "a channel of one holds one item");
                // No item is dropped here: there is none.
                mem::forget(place.replace(item));
            }
            Self::Ring(ring) => ring.push_back(item),
            Self::Chain(chain) => chain.push(item),
        }
    }

    /// Puts an item that has been taken out back before the others.
    pub(super) fn push_front(&mut self, item: T) {
        match self {
            Self::One(place) => match place.take() {
                None => *place = Some(item),
                // Its place has been used meanwhile: from here on there are two.
                Some(second) => *self = Self::Ring(VecDeque::from([item, second])),
            },
            Self::Ring(ring) => ring.push_front(item),
            Self::Chain(chain) => chain.push_front(item),
        }
    }

    /// Takes the first item, and memory that is not needed any more.
    #[inline(always)]
    pub(super) fn pop(&mut self, memory: &mut Memory<T>) -> Option<T> {
        match self {
            Self::One(item) => item.take(),
            Self::Ring(ring) => ring.pop_front(),
            Self::Chain(chain) => chain.pop(memory),
        }
    }

    /// Takes everything.
    pub(super) fn take(&mut self) -> Self {
        mem::replace(self, Self::One(None))
    }
}

impl<T> Block<T> {
    pub(super) fn new() -> Box<Self> {
        // In its place: on the way there, so many items might be more than a stack has room for.
        let mut block = Box::<Self>::new_uninit();
        // SAFETY: it is a place in memory that the box owns, and no reference is made.
        let next = unsafe { &raw mut (*block.as_mut_ptr()).next };
        // SAFETY: as above.
        unsafe { next.write(ptr::null_mut()) };
        // SAFETY: `next` was written, and the items may be anything.
        unsafe { block.assume_init() }
    }
}

impl<T> Chain<T> {
    const fn new() -> Self {
        Self {
            len: 0,
            head: ptr::null_mut(),
            first: 0,
            tail: ptr::null_mut(),
            end: BLOCK,
            spare: None,
        }
    }

    #[inline(always)]
    fn push(&mut self, item: T) {
        if self.end == BLOCK {
            self.grow();
        }
        // SAFETY: invariant 80: `grow` has made a tail, if there was none.
        let tail = unsafe { &mut *self.tail };
        tail.items[self.end] = MaybeUninit::new(item);
        self.end += 1;
        self.len += 1;
    }

    /// Links an empty block in behind the others.
    #[cold]
    fn grow(&mut self) {
        let block = Box::into_raw(self.spare.take().unwrap_or_else(Block::new));
        // SAFETY: invariant 80: the tail is a block of the list, or null.
        match unsafe { self.tail.as_mut() } {
            Some(tail) => tail.next = block,
            None => {
                self.head = block;
                self.first = 0;
            }
        }
        self.tail = block;
        self.end = 0;
    }

    #[inline(always)]
    fn pop(&mut self, memory: &mut Memory<T>) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        if self.first == BLOCK {
            *memory = self.leave_block();
        }
        // SAFETY: invariant 80: there is an item, so there is a head.
        let head = unsafe { &mut *self.head };
        // SAFETY: invariant 80: the first item is here; it is read once, since `first` moves on.
        let item = unsafe { head.items[self.first].assume_init_read() };
        self.first += 1;
        self.len -= 1;
        if self.len == 0 {
            // The block begins anew: who sends and receives in turn stays in the same lines.
            self.first = 0;
            self.end = 0;
        }
        Some(item)
    }

    /// Every place of the first block has been read, and the next has items. Returns a block that is
    /// needed no more.
    #[cold]
    fn leave_block(&mut self) -> Memory<T> {
        // SAFETY: invariant 80: the head came from a box, and nothing points at it once the next
        // block is the head.
        let mut used = unsafe { Box::from_raw(self.head) };
        self.head = mem::replace(&mut used.next, ptr::null_mut());
        self.first = 0;
        match self.spare {
            None => {
                self.spare = Some(used);
                None
            }
            Some(_) => Some(used),
        }
    }

    #[cold]
    fn push_front(&mut self, item: T) {
        if self.len == 0 {
            return self.push(item);
        }
        if self.first == 0 {
            let mut block = self.spare.take().unwrap_or_else(Block::new);
            block.next = self.head;
            self.head = Box::into_raw(block);
            self.first = BLOCK;
        }
        self.first -= 1;
        // SAFETY: invariant 80: there is an item, so there is a head.
        let head = unsafe { &mut *self.head };
        head.items[self.first] = MaybeUninit::new(item);
        self.len += 1;
    }
}

impl<T> Drop for Chain<T> {
    fn drop(&mut self) {
        // An item that panics when it is dropped does not keep the others from that.
        struct Rest<'a, T>(&'a mut Chain<T>);
        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                while self.0.pop(&mut None).is_some() {}
                if !self.0.head.is_null() {
                    // SAFETY: invariant 80: the last block, which came from a box.
                    drop(unsafe { Box::from_raw(self.0.head) });
                }
            }
        }
        let rest = Rest(self);
        while rest.0.pop(&mut None).is_some() {}
    }
}
