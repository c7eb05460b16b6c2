//! The bug that `--cfg greenlit_planted_bug` plants, so that it can be seen whether the property test
//! finds one. `no_planted_bug.rs` stands in its place in ordinary builds.

/// Whether a mutex looks for a cancel once more after it was handed to who has waited for it, and
/// so stays locked where that unwinds.
pub(super) const LOCK_IS_LOST: bool = true;
