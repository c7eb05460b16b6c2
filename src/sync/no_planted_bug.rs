//! No bug is planted: see `planted_bug.rs`.

/// Whether a mutex that was handed over may stay locked.
pub(super) const LOCK_IS_LOST: bool = false;
