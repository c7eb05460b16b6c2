//! Why a green thread, or a part of it, is to stop: what a cancel tells those whom it ends.

use std::borrow::Cow;
use std::sync::Arc;

/// The reason of a cancel.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// A deadline has passed.
    Deadline,
    /// Somebody said so, in words that are always there.
    Static(&'static str),
    /// Somebody said so, in words that were made for it.
    Text(Arc<str>),
}

impl Cause {
    /// Of threads that remain when the main closure has returned.
    pub(crate) const END_OF_RUN: Self = Self::Static("the run has ended");
    /// Of a scope's threads, whose owner unwinds.
    pub(crate) const OWNER_GONE: Self = Self::Static("the owner of its scope goes on without it");

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Deadline => "the deadline has passed",
            Self::Static(text) => text,
            Self::Text(text) => text,
        }
    }
}

impl From<Cow<'static, str>> for Cause {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Static(text),
            Cow::Owned(text) => Self::Text(text.into()),
        }
    }
}
