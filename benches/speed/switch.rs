//! The bare switch of `arch`, as the scheduler and the symmetric coroutines use it, and nothing
//! around it.

use crate::Measure;
use crate::arch::{self, Context};
use std::cell::Cell;
use std::ptr;

/// Room for the partner's one frame, with much to spare.
const STACK_BYTES: usize = 64 * 1024;

/// The stacks of a ring are this far apart, as the smallest usual slots.
const RING_STACK_BYTES: usize = 64 * 1024;

/// Two executions that switch to each other.
struct Pair {
    main: Context,
    partner: Context,
}

/// Times a switch from one execution to another.
pub(crate) fn one_way(measure: &mut dyn Measure) {
    let pair = Pair {
        main: Context::new(),
        partner: Context::new(),
    };
    let mut stack = vec![0_u128; STACK_BYTES / 16];
    let range = stack.as_mut_ptr_range();
    let data = ptr::from_ref(&pair).cast_mut().cast();
    // SAFETY: the stack is a multiple of 16, and it and the pair outlive the partner, which is left
    // for good below.
    unsafe {
        arch::prepare(
            &pair.partner,
            range.end.cast(),
            range.start.cast(),
            back_and_forth,
            data,
        );
    }
    measure.time(1000, &mut || {
        for _ in 0..500 {
            // SAFETY: the partner was prepared, or left by its own switch.
            unsafe { arch::switch(&pair.main, &pair.partner, ptr::null_mut()) };
        }
    });
    // SAFETY: the partner is not switched to again; its frame owns nothing.
    unsafe { arch::release(&pair.partner) };
}

/// The partner: switches back for ever.
unsafe extern "C" fn back_and_forth(_arg: *mut (), pair: *mut ()) -> ! {
    // SAFETY: `one_way` passes its pair, which lives as long as this execution is switched to.
    let pair = unsafe { &*pair.cast::<Pair>() };
    loop {
        // SAFETY: whoever switched here waits in `main`.
        unsafe { arch::switch(&pair.partner, &pair.main, ptr::null_mut()) };
    }
}

/// An execution of a ring.
struct Member {
    /// Where it was left.
    context: Context,
    /// Who is switched to next.
    next: Cell<*const Member>,
}

/// Times a switch in a ring of executions on coloured stacks: what a yield could cost at best with
/// so many green threads.
pub(crate) fn ring(measure: &mut dyn Measure, members: usize) {
    let mut memory = vec![0_u128; members * RING_STACK_BYTES / 16];
    let ring: Vec<Member> = (0..members)
        .map(|_| Member {
            context: Context::new(),
            next: Cell::new(ptr::null()),
        })
        .collect();
    for (index, member) in ring.iter().enumerate() {
        member.next.set(&raw const ring[(index + 1) % members]);
        let limit = memory
            .as_mut_ptr()
            .cast::<u8>()
            .wrapping_add(index * RING_STACK_BYTES);
        let base = limit.wrapping_add(RING_STACK_BYTES - index % 32 * 64);
        let data = ptr::from_ref(member).cast_mut().cast();
        // The first member is this execution itself.
        if index > 0 {
            // SAFETY: each member has a part of the memory to itself, which ends at a multiple of
            // 16; memory and ring outlive the executions, which are left for good below.
            unsafe { arch::prepare(&member.context, base, limit, pass_on, data) };
        }
    }
    let rounds = (1000 / members).max(1);
    measure.time((rounds * members) as u64, &mut || {
        for _ in 0..rounds {
            switch_to_next(&ring[0]);
        }
    });
    for member in &ring[1..] {
        // SAFETY: nobody switches to it any more; its frame owns nothing.
        unsafe { arch::release(&member.context) };
    }
}

/// A member: passes the CPU on for ever.
unsafe extern "C" fn pass_on(_arg: *mut (), member: *mut ()) -> ! {
    // SAFETY: `ring` passes a member, which lives as long as the ring is gone round.
    let member = unsafe { &*member.cast::<Member>() };
    loop {
        switch_to_next(member);
    }
}

/// Leaves a member for the next, and has the CPU fetch what it will need for the one after that.
#[inline(always)]
fn switch_to_next(member: &Member) {
    // SAFETY: the ring is closed and lives.
    let next = unsafe { &*member.next.get() };
    // SAFETY: likewise.
    let second = unsafe { &*next.next.get() };
    arch::prefetch(second.context.stack_pointer());
    // SAFETY: the next member was prepared, or has been left since.
    unsafe { arch::switch(&member.context, &next.context, ptr::null_mut()) };
}
