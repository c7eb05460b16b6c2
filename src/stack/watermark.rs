//! How deep a stack was used: a watermark in a page that is resident anyway tells in a few
//! instructions whether the kernel need be asked at all. What lies deeper than is worth keeping
//! goes back to the kernel. Called when a stack goes back to its pool, and by
//! [`Stack::trim`](super::Stack::trim).

use super::slab::Slot;
use super::{poison, sys};
use std::env;
use std::sync::OnceLock;

/// A stack that was used no deeper than this stays as it is: pages that the next thread on it would
/// fault in again. Four pages are a guess between a page (most threads) and the 22 KiB of a panic.
pub(super) const KEEP_BYTES: usize = 16 * 1024;

/// Below a suspended execution's stack pointer compilers may use this much (the red zone of the
/// System V ABI).
const RED_ZONE_BYTES: usize = 128;

/// Marks memory that no frame was written to; its bytes spell `greenlit`.
const WORD: u64 = u64::from_be_bytes(*b"greenlit");

/// One cache line of a stack. A frame may leave holes where it was never written, but hardly four
/// so placed.
#[repr(C, align(64))]
pub(super) struct Line([Mark; 4]);

/// A marked word and its distance to the next.
#[repr(C)]
#[derive(Clone, Copy)]
struct Mark {
    /// `WORD` as long as no frame has reached it.
    word: u64,
    /// Spreads the marks over the line.
    _space: u64,
}

/// Never intact: stands in for the watermark where the real one must not be read.
static ALWAYS_REACHED: Line = Line([Mark { word: 0, _space: 0 }; 4]);

/// Puts the watermark of `slot` into the page at `page`: into its lowest line, which frames reach
/// last.
///
/// # Safety
///
/// The page belongs to the slot's stack, and no live frame holds its lowest line.
pub(super) unsafe fn place(slot: &Slot, page: *mut u8) {
    if memcheck_watches() {
        slot.watermark.set((&raw const ALWAYS_REACHED).cast_mut());
        return;
    }
    let line = page.cast::<Line>();
    slot.watermark.set(line);
    for index in 0..4 {
        // SAFETY: the line is the slot's own, mapped and aligned, and nobody uses it.
        unsafe { word(line, index).cast_mut().write_volatile(WORD) };
    }
}

/// Whether no frame has reached the watermark.
///
/// # Safety
///
/// The slot's stack is mapped, and the OS thread is not on it.
#[inline]
pub(super) unsafe fn is_intact(slot: &Slot) -> bool {
    let line = slot.watermark.get();
    let mut differing = 0;
    for index in 0..4 {
        // SAFETY: the line lies in the slot's stack, which is mapped (invariant 36), or is a
        // static.
        differing |= unsafe { word(line, index).read_volatile() } ^ WORD;
    }
    differing == 0
}

/// Gives back what a stack was used deeper than is worth keeping, and marks it anew. For a stack
/// whose watermark was reached.
///
/// # Safety
///
/// No execution is on the slot's stack or suspended there.
#[cold]
#[inline(never)]
pub(super) unsafe fn settle(slot: &Slot) {
    let page = sys::page_size();
    let keep = keep_line(slot);
    let reached = lowest_resident(slot);

    // SAFETY: the caller says that nothing on the stack is live.
    if reached < keep && unsafe { discard(slot.limit, keep) } {
        // SAFETY: likewise.
        unsafe { place(slot, keep) };
        return;
    }
    // A mark that was reached although nothing below its page was touched goes a page lower: in the
    // same place it would ask the kernel after every such use.
    let marked = slot.watermark.get().cast::<u8>();
    let lower = if reached == marked { page } else { 0 };
    // SAFETY: likewise; the page is not below the limit.
    unsafe { place(slot, reached.wrapping_sub(lower).max(slot.limit)) };
}

/// Gives back the pages that lie wholly below what an execution suspended at `stack_pointer` can
/// still use.
///
/// # Safety
///
/// The execution that uses the slot's stack is suspended, and `stack_pointer` is where its frames
/// end.
pub(super) unsafe fn trim(slot: &Slot, stack_pointer: *mut u8) {
    // The lowest page that stays keeps room for a watermark below all that is live.
    let page = sys::page_size();
    let live = stack_pointer.wrapping_sub(RED_ZONE_BYTES + size_of::<Line>());
    let cut = live.wrapping_sub(live.addr() % page);
    if cut <= slot.limit {
        return;
    }
    poison::clear(slot, cut.wrapping_add(size_of::<Line>()));

    // SAFETY: the execution is suspended, so the OS thread is elsewhere.
    let lowest = match unsafe { is_intact(slot) } {
        true => slot.watermark.get().cast(),
        false => slot.limit,
    };
    if lowest >= cut {
        return;
    }
    // SAFETY: the range ends below the red zone of the suspended execution.
    let discarded = unsafe { discard(lowest, cut) };
    // A mark deeper than a pooled stack may stay would hide that depth from `settle`; the mark that
    // was reached stays then.
    if discarded && cut >= keep_line(slot) {
        // SAFETY: the line at `cut` ends at or below `live` plus its own size, which is below the
        // red zone.
        unsafe { place(slot, cut) };
    }
}

/// How many bytes from the slot's end at high addresses down to the lowest page that is resident.
pub(super) fn high_water(slot: &Slot) -> usize {
    slot.top().addr() - lowest_resident(slot).addr()
}

/// The lowest address that a pooled stack keeps resident.
fn keep_line(slot: &Slot) -> *mut u8 {
    let keep = KEEP_BYTES.next_multiple_of(sys::page_size());
    slot.top().wrapping_sub(keep).max(slot.limit)
}

/// The lowest resident page of a slot. Below 64 pages of which none is resident it does not look.
pub(super) fn lowest_resident(slot: &Slot) -> *mut u8 {
    /// Looked at in one system call: all of a default stack.
    const PAGES: usize = 64;

    let page = sys::page_size();
    let mut lowest = slot.top().wrapping_sub(page);
    let mut end = slot.top();
    let mut resident = [0; PAGES];
    while end > slot.limit {
        let count = ((end.addr() - slot.limit.addr()) / page).min(PAGES);
        let start = end.wrapping_sub(count * page);
        // A kernel that does not tell has to be taken to say that all is resident.
        if sys::residency(start, &mut resident[..count]).is_err() {
            return slot.limit;
        }
        let Some(first) = resident[..count].iter().position(|byte| byte & 1 == 1) else {
            break;
        };
        lowest = start.wrapping_add(first * page);
        end = start;
    }
    lowest
}

/// Gives the pages of a range back to the kernel, and says whether it took them. A refusal costs
/// memory and nothing else.
///
/// # Safety
///
/// The range is page-aligned, belongs to one slot's stack, and nothing in it is live.
unsafe fn discard(from: *mut u8, to: *mut u8) -> bool {
    // MADV_FREE costs more (5.3 against 4.0 µs for 11 pages) and leaves the pages in the process's
    // RSS until memory runs short.
    // SAFETY: forwarded from the caller; the guard page lies below the range, and would survive.
    unsafe { sys::advise(from, to.addr() - from.addr(), libc::MADV_DONTNEED) }.is_ok()
}

/// A marked word of a line.
#[inline]
fn word(line: *const Line, index: usize) -> *const u64 {
    line.cast::<Mark>().wrapping_add(index).cast()
}

/// Whether the process runs under valgrind, whose memcheck holds all memory below the stack pointer
/// of a stack for gone: reading a watermark there would be reported. Then none is placed, and each
/// release asks the kernel.
fn memcheck_watches() -> bool {
    /// The answer of the first call.
    static WATCHES: OnceLock<bool> = OnceLock::new();

    *WATCHES.get_or_init(|| {
        // Valgrind puts its tool's library there, and has no other sign that needs no assembly.
        let preloaded = env::var_os("LD_PRELOAD").unwrap_or_default();
        preloaded.to_string_lossy().contains("vgpreload_memcheck")
    })
}

#[cfg(test)]
mod tests {
    use super::{KEEP_BYTES, is_intact, memcheck_watches, sys};
    use crate::stack::{Pool, SizeClass, Stack, guard};
    use std::rc::Rc;

    fn stack() -> (Rc<Pool>, Stack) {
        let pool = Pool::new();
        let class = SizeClass::for_size(200_000).expect("an ordinary size");
        let stack = pool.acquire(class).expect("a stack");
        (pool, stack)
    }

    /// Writes as frames would that reach `bytes` deep.
    fn use_bytes(stack: &Stack, bytes: usize) {
        let from = stack.slot().top().wrapping_sub(bytes).max(stack.limit());
        let length = stack.base().addr() - from.addr();
        // SAFETY: the range lies in the stack, on which nobody runs.
        unsafe { from.write_bytes(1, length) };
    }

    /// Gives the stack back and takes it out again.
    fn recycle(pool: &Pool, stack: Stack) -> Stack {
        let class = stack.slot().class();
        let base = stack.base();
        drop(stack);
        let again = pool.acquire(class).expect("a warm stack");
        assert_eq!(again.base(), base);
        again
    }

    /// Behaviour 46.
    #[test]
    fn pages_of_a_deeply_used_stack_go_back() {
        let (pool, mut stack) = stack();
        for _ in 0..3 {
            use_bytes(&stack, 150_000);
            assert!(stack.high_water() >= 150_000);
            stack = recycle(&pool, stack);
            assert!(stack.high_water() <= KEEP_BYTES);
        }
        assert!(guard::faults(stack.limit().wrapping_sub(1)).expect("a pipe"));
    }

    #[test]
    fn a_stack_within_the_keep_limit_stays_warm() {
        let (pool, stack) = stack();
        use_bytes(&stack, KEEP_BYTES - 100);
        let stack = recycle(&pool, stack);
        assert_eq!(stack.high_water(), KEEP_BYTES);
        let half_way = stack.base().wrapping_sub(KEEP_BYTES / 2);
        // SAFETY: the byte lies in the stack, on which nobody runs.
        assert_eq!(unsafe { half_way.read() }, 1);
    }

    /// The same use again and again asks the kernel at most once.
    #[test]
    fn a_watermark_is_not_put_where_it_was_reached() {
        let (pool, mut stack) = stack();
        for depth in [4096, 8192, 8192, 12288] {
            use_bytes(&stack, depth);
            stack = recycle(&pool, stack);
            use_bytes(&stack, depth);
            // SAFETY: nobody runs on the stack.
            let intact = unsafe { is_intact(stack.slot()) };
            assert!(intact || memcheck_watches(), "{depth}");
            stack = recycle(&pool, stack);
        }
    }

    #[test]
    fn trimming_spares_what_is_live_and_what_the_red_zone_holds() {
        let (_pool, stack) = stack();
        use_bytes(&stack, 150_000);
        for live in [100_000, 30_000, 8192, 8191, 8092, 5000, 4096, 3000] {
            let pointer = stack.slot().top().wrapping_sub(live);
            // SAFETY: nothing below `pointer` is in use.
            unsafe { stack.trim(pointer) };
            let kept = live + 128;
            assert!(stack.high_water() >= kept, "{live}");
            assert!(stack.high_water() < kept + 2 * sys::page_size(), "{live}");
            let lowest = stack.slot().top().wrapping_sub(kept);
            // SAFETY: the byte lies in the stack, on which nobody runs.
            assert_eq!(unsafe { lowest.read() }, 1, "{live}");
        }
    }

    /// A stack that was trimmed while its thread stood deep is trimmed again when it goes back.
    #[test]
    fn a_trimmed_stack_does_not_keep_its_live_depth_in_the_pool() {
        let (pool, stack) = stack();
        use_bytes(&stack, 150_000);
        let pointer = stack.slot().top().wrapping_sub(100_000);
        // SAFETY: nothing below `pointer` is in use.
        unsafe { stack.trim(pointer) };
        let stack = recycle(&pool, stack);
        assert!(stack.high_water() <= KEEP_BYTES);
    }
}
