//! The two ends of a channel, which are counted: when the last of one side goes, the other is told.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Channel;

/// A sender's end.
pub(in crate::sync) struct Input<T>(Arc<Channel<T>>);

/// A receiver's end.
pub(in crate::sync) struct Output<T>(Arc<Channel<T>>);

/// A channel's first two ends; no capacity means no bound.
pub(in crate::sync) fn channel<T>(capacity: Option<usize>) -> (Input<T>, Output<T>) {
    let channel = Arc::new(Channel::new(capacity));
    (Input(channel.clone()), Output(channel))
}

impl<T> Input<T> {
    pub(in crate::sync) fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Output<T> {
    pub(in crate::sync) fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Deref for Input<T> {
    type Target = Channel<T>;

    #[inline(always)]
    fn deref(&self) -> &Channel<T> {
        &self.0
    }
}

impl<T> Deref for Output<T> {
    type Target = Channel<T>;

    #[inline(always)]
    fn deref(&self) -> &Channel<T> {
        &self.0
    }
}

impl<T> Clone for Input<T> {
    fn clone(&self) -> Self {
        // Relaxed: whoever clones has an end, so that the last one does not go meanwhile.
        self.inputs.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        // Relaxed: as above.
        self.outputs.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Input<T> {
    fn drop(&mut self) {
        // What was sent before is sent: the channel's lock orders it.
        if self.inputs.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close_for_senders();
        }
    }
}

impl<T> Drop for Output<T> {
    fn drop(&mut self) {
        if self.outputs.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close_for_receivers();
        }
    }
}
