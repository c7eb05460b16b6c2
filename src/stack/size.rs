//! Stack sizes: what a user may ask for, and the power-of-two slots that serve it.
//! Called by the pool and by everybody who takes a stack size from a user.

use super::sys;
use std::env;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Slots begin below the end of their room by up to this much, so that the tops of stacks use
/// differing cache sets.
pub(super) const COLOUR_BYTES: usize = 2048;

/// A signal may arrive at the deepest point: its frame is 3.4 KiB on CPUs with AVX-512, less on
/// others.
const SIGNAL_FRAME_BYTES: usize = 4096;

/// A green thread that finds nothing runnable takes the reactor's turn on its own stack, however
/// deep it stands.
const TURN_BYTES: usize = 4096;

/// What a slot holds besides its guard page and what the user may use.
const OVERHEAD_BYTES: usize = COLOUR_BYTES + SIGNAL_FRAME_BYTES + TURN_BYTES;

/// The least stack size that is accepted: a panic's message and unwinding need about half of it.
pub(crate) const LEAST_BYTES: usize = 16 * 1024;

/// The smallest slot, 32 KiB, as a power of two.
const LEAST_SHIFT: u32 = 15;

/// The largest slot as a power of two: 1 TiB, which a 47-bit address space still holds a few of.
const MOST_SHIFT: u32 = if usize::BITS == 64 { 40 } else { 30 };

/// The default slot, 256 KiB: its page tables cost half a KiB a thread, and a panic with a
/// backtrace (22 KiB) fits debug builds too.
const DEFAULT_SLOT_BYTES: usize = 256 * 1024;

/// How many size classes there are.
pub(super) const CLASSES: usize = (MOST_SHIFT - LEAST_SHIFT + 1) as usize;

const _: () = assert!(
    LEAST_BYTES + OVERHEAD_BYTES + 4096 <= 1 << LEAST_SHIFT,
    "the least stack fits the smallest slot with a page of 4 KiB"
);

/// One of the power-of-two slot sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeClass {
    /// The slot's size is two to the power of this; from `LEAST_SHIFT` to `MOST_SHIFT`.
    shift: u32,
}

impl SizeClass {
    /// The class whose slots have room for `usable_bytes` of a user's frames.
    ///
    /// # Errors
    ///
    /// A size below 16 KiB or beyond the largest slot is refused.
    pub(crate) fn for_size(usable_bytes: usize) -> Result<SizeClass, StackSizeError> {
        if usable_bytes < LEAST_BYTES {
            return Err(StackSizeError::TooSmall(usable_bytes));
        }
        let slot = usable_bytes
            .checked_add(OVERHEAD_BYTES + sys::page_size())
            .and_then(usize::checked_next_power_of_two)
            .ok_or(StackSizeError::TooLarge(usable_bytes))?;
        let shift = slot.trailing_zeros().max(LEAST_SHIFT);
        if shift > MOST_SHIFT {
            return Err(StackSizeError::TooLarge(usable_bytes));
        }
        Ok(SizeClass { shift })
    }

    /// How many bytes a user's frames may take on a stack of this class.
    pub(crate) fn usable(self) -> usize {
        self.slot_bytes() - sys::page_size() - OVERHEAD_BYTES
    }

    /// The size of a slot: guard, room for the user, overhead.
    pub(super) fn slot_bytes(self) -> usize {
        1 << self.shift
    }

    /// The class's place among all classes, below [`CLASSES`].
    #[inline]
    pub(super) fn index(self) -> usize {
        (self.shift - LEAST_SHIFT) as usize
    }
}

/// How many bytes a stack offers where nobody asked for a size; the environment variable
/// `RUST_MIN_STACK` raises it.
///
/// The environment is read once a process, as std does.
pub(crate) fn default_size() -> usize {
    /// The answer of the first call; zero before it.
    static DEFAULT_BYTES: AtomicUsize = AtomicUsize::new(0);

    let known = DEFAULT_BYTES.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let asked = env::var("RUST_MIN_STACK").ok();
    let bytes = raised_default(asked.as_deref());
    DEFAULT_BYTES.store(bytes, Ordering::Relaxed);
    bytes
}

/// The default size, raised to what `RUST_MIN_STACK` says if that is a number, as std reads it.
fn raised_default(min_stack: Option<&str>) -> usize {
    let built_in = DEFAULT_SLOT_BYTES - sys::page_size() - OVERHEAD_BYTES;
    let asked = min_stack.and_then(|text| text.parse().ok()).unwrap_or(0);
    built_in.max(asked)
}

/// A stack size that no stack can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StackSizeError {
    /// Fewer bytes than the runtime itself needs to start, panic and unwind.
    TooSmall(usize),
    /// More bytes than the largest slot has.
    TooLarge(usize),
}

impl fmt::Display for StackSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StackSizeError::TooSmall(bytes) => write!(
                f,
                "stack size of {bytes} bytes is too small: the least is {LEAST_BYTES}"
            ),
            StackSizeError::TooLarge(bytes) => {
                let most = SizeClass { shift: MOST_SHIFT }.usable();
                write!(
                    f,
                    "stack size of {bytes} bytes is too large: the most is {most}"
                )
            }
        }
    }
}

impl Error for StackSizeError {}

impl From<StackSizeError> for io::Error {
    fn from(error: StackSizeError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAST_BYTES, SizeClass, StackSizeError, raised_default};
    use std::io;

    #[test]
    fn a_class_has_at_least_the_room_asked_for() {
        for bytes in [
            LEAST_BYTES,
            LEAST_BYTES + 1,
            100_000,
            253_952,
            1 << 20,
            3 << 30,
        ] {
            let class = SizeClass::for_size(bytes).expect("an ordinary size");
            assert!(class.usable() >= bytes, "{bytes}");
            assert!(class.slot_bytes().is_power_of_two(), "{bytes}");
            assert!(
                class.slot_bytes() <= (bytes + (16 << 10)).next_power_of_two() || bytes < 32 << 10,
                "{bytes}"
            );
        }
    }

    #[test]
    fn sizes_that_cannot_be_served_are_named() {
        for bytes in [0, 1, LEAST_BYTES - 1] {
            let error = StackSizeError::TooSmall(bytes);
            assert_eq!(SizeClass::for_size(bytes), Err(error));
        }
        assert_eq!(
            SizeClass::for_size(usize::MAX),
            Err(StackSizeError::TooLarge(usize::MAX))
        );
        let error = io::Error::from(SizeClass::for_size(0).expect_err("zero"));
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "stack size of 0 bytes is too small: the least is 16384"
        );
    }

    #[test]
    fn rust_min_stack_raises_the_default_and_nothing_lowers_it() {
        let built_in = raised_default(None);
        assert_eq!(raised_default(Some("nonsense")), built_in);
        assert_eq!(raised_default(Some("1000")), built_in);
        assert_eq!(raised_default(Some("8000000")), 8_000_000);
    }
}
