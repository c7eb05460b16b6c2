//! The CPU: context-switch primitives, one file each CPU; this file is their contract.
//!
//! Nothing here knows green threads, pools or schedulers: a stack is a range of addresses, an
//! execution is a `Context`. The scheduler and the symmetric coroutines switch through it.
//!
//! # The contract
//!
//! An *execution* is a chain of frames that can be left and continued. A [`Context`] stands for one
//! execution while it is suspended, and is blank while it runs.
//!
//! - [`prepare`] puts the first frame of a new execution on an unused stack. [`switch`] to its
//!   context calls `entry(arg, data)` there.
//! - [`switch`] leaves the running execution, *whatever stack it is on at this moment*, remembers
//!   it in `from`, and continues `to`. It returns when somebody switches back to `from`, with the
//!   `arg` that they passed. An execution that was left while it was inside a corosensei coroutine
//!   continues inside it: the nested stack's position is what was saved.
//! - [`switch_last`] is an execution's last switch. Nothing on its stack runs or is dropped after
//!   it.
//! - [`release`] gives back what a prepared context holds beside its stack. It comes after the
//!   `switch_last`, or for a context that was never switched to, before the stack is used again.
//! - The *root frame*, under `entry`, never returns. Debug information marks it as the outermost
//!   one, so a backtrace ends there; nothing may unwind out of `entry`, which aborts on it.
//! - The stack pointer is a multiple of 16 at the call of `entry`. Integer, vector and
//!   floating-point registers that the ABI asks a callee to keep survive a switch. The control
//!   words of the floating-point unit (MXCSR, x87 CW; FPCR) are *not* part of an execution: a
//!   change of the rounding mode stays with the OS thread.
//! - A context belongs to one OS thread. Contexts of other OS threads are never switched to.
//!
//! # A stack
//!
//! ```text
//!   base of the slot ─►┌──────────────────────────┐ high addresses
//!                      │ colour: 0 … 31 × 64 bytes│ spreads the tops of many stacks over the
//!           ┌─ base ──►├──────────────────────────┤ cache; unused
//!           │          │ closure or entry's data  │ put there by the spawner, or boxed; the
//!           │          ├──────────────────────────┤ rest is what `prepare` counts from its base
//!           │          │ root frame               │ 16 zero bytes: no caller, no frame pointer
//!           │          ├──────────────────────────┤
//!  usable   │          │ frames of `entry` and of │
//!  size     │          │ all that it called       │
//!           │          ├──────────────────────────┤
//!           │          │ saved frame: what        │ x86_64 rbp, rbx; aarch64 x29, x19
//!           │          │ `switch` pushed          │◄── Context::stack_pointer, while suspended
//!           │          ├──────────────────────────┤
//!           │          │ unused; pages never      │
//!           │          │ touched cost nothing     │
//!           └─ limit ─►├──────────────────────────┤
//!                      │ guard: a touch is SIGSEGV│
//!                      └──────────────────────────┘ low addresses
//! ```

// One file a CPU. `portable` keeps the contract on any CPU that corosensei knows, and can be
// chosen on every CPU with `--cfg greenlit_portable`, so that all tests run on it too.
#[cfg(all(target_arch = "x86_64", not(greenlit_portable)))]
#[path = "x86_64.rs"]
mod cpu;
#[cfg(all(target_arch = "aarch64", not(greenlit_portable)))]
#[path = "aarch64.rs"]
mod cpu;
#[cfg(any(
    greenlit_portable,
    not(any(target_arch = "x86_64", target_arch = "aarch64"))
))]
#[path = "portable.rs"]
mod cpu;

mod sanitizer;

/// Announces the switches of a corosensei coroutine where corosensei does not.
pub(crate) use sanitizer::Nested;

#[cfg(test)]
mod tests;

/// The first function of an execution: `arg` comes from the first switch, `data` from [`prepare`].
pub(crate) type Entry = unsafe extern "C" fn(arg: *mut (), data: *mut ()) -> !;

/// A suspended execution; blank while the execution runs.
///
/// It is written through shared references (every field is a `Cell`), and its address must not
/// change from the moment it is left until it is continued.
#[repr(C)]
pub(crate) struct Context {
    /// Where the execution continues.
    saved: cpu::Saved,
    /// What the sanitizer must be told before the execution continues; empty without one.
    mark: sanitizer::Mark,
}

impl Context {
    /// A context for an execution that runs already, such as the OS thread's own.
    pub(crate) const fn new() -> Self {
        Self {
            saved: cpu::Saved::new(),
            mark: sanitizer::Mark::new(),
        }
    }

    /// Where the suspended execution's stack ends: nothing it needs lies more than 128 bytes lower.
    ///
    /// It lies on the stack that was current when the execution was left, which need not be the one
    /// it was prepared on (a coroutine may have been running). Null before the first switch.
    #[inline]
    pub(crate) fn stack_pointer(&self) -> *mut u8 {
        self.saved.stack_pointer()
    }
}

/// Makes `context` start `entry` on the stack `[limit, base)` when it is first switched to.
///
/// # Safety
///
/// `base` is a multiple of 16, and `[limit, base)` is writable memory of 4 KiB at least that
/// nothing else uses until [`release`]. `context` is blank, and stays where it is. `entry` may be
/// called with `data` on this OS thread.
#[inline]
pub(crate) unsafe fn prepare(
    context: &Context,
    base: *mut u8,
    limit: *mut u8,
    entry: Entry,
    data: *mut (),
) {
    // SAFETY: the caller vouches for the range.
    unsafe { sanitizer::prepare(&context.mark, base, limit) };
    let first = sanitizer::first_function(entry);
    // SAFETY: the caller's duties are the callee's. `first` calls `entry`, or is it.
    unsafe { cpu::prepare(&context.saved, base, limit, first, entry, data) };
}

/// Leaves the running execution for `to`; returns when somebody switches back to `from`, with the
/// `arg` they passed.
///
/// It is inlined into its callers, all the way, so that each has a branch prediction of its own.
///
/// # Safety
///
/// `from` and `to` are valid, differ, stay in place, and belong to this OS thread. `from` is blank;
/// `to` was prepared, or was left by `switch` and has not been continued since, and its stack is
/// intact. No exclusive reference and no borrow that `to`'s execution may contradict is alive
/// across the call (invariant 5 of `docs/SAFETY.md`).
#[inline(always)]
pub(crate) unsafe fn switch(from: *const Context, to: *const Context, arg: *mut ()) -> *mut () {
    // SAFETY: it is valid, says the caller.
    let from = unsafe { &*from };
    // SAFETY: the same.
    let to = unsafe { &*to };
    // SAFETY: the very next step is the switch to `to`.
    let left = unsafe { sanitizer::leave(&from.mark, &to.mark) };
    // SAFETY: the caller's duties are the callee's.
    let arg = unsafe { cpu::switch(&from.saved, &to.saved, arg) };
    // SAFETY: `left` is what this execution was given when it left, and it was continued just now.
    unsafe { sanitizer::arrive(left) };
    arg
}

/// The last switch of an execution: its stack is never run again, and `to` may reuse it.
///
/// # Safety
///
/// As for [`switch`]; besides, nothing on the running stack needs to be dropped, the execution is
/// on the stack that it was prepared on, and `arg` does not lead to one of its locals.
#[inline(always)]
pub(crate) unsafe fn switch_last(from: *const Context, to: *const Context, arg: *mut ()) -> ! {
    // SAFETY: it is valid, says the caller.
    let from = unsafe { &*from };
    // SAFETY: the same.
    let to = unsafe { &*to };
    // SAFETY: the very next step is the switch to `to`, and this execution is not continued.
    unsafe { sanitizer::leave_last(&to.mark) };
    // SAFETY: the caller's duties are the callee's.
    unsafe { cpu::switch_last(&from.saved, &to.saved, arg) }
}

/// Gives back what a prepared context holds beside its stack, and makes it blank.
///
/// # Safety
///
/// The context was prepared. Its execution has made its `switch_last`, or was never started, or is
/// given up where it stands with its stack leaked.
#[inline]
pub(crate) unsafe fn release(context: &Context) {
    // SAFETY: the caller's duties are the callee's.
    unsafe { cpu::release(&context.saved) };
    // SAFETY: the same.
    unsafe { sanitizer::release(&context.mark) };
}

/// Asks the CPU to fetch the cache line of `address`, which need not be mapped.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    cpu::prefetch(address);
}

/// Where the running execution's stack ends at this moment.
///
/// It tells which stack the caller is on. The address of a local would not: AddressSanitizer keeps
/// locals elsewhere.
#[inline(always)]
pub(crate) fn stack_pointer() -> *mut u8 {
    cpu::stack_pointer()
}

/// Tells valgrind that `bytes` of memory up to `end` may be written again. It takes what lies below
/// the stack pointer that a stack was left with to be dead, as it is, until somebody stands there.
#[inline]
pub(crate) fn revive(end: *mut u8, bytes: usize) {
    /// `VALGRIND_MAKE_MEM_UNDEFINED` of memcheck.h.
    const MAKE_MEM_UNDEFINED: usize = 0x4D43_0001;
    let start = end.wrapping_sub(bytes);
    cpu::ask_valgrind(&[MAKE_MEM_UNDEFINED, start.addr(), bytes, 0, 0, 0]);
}
