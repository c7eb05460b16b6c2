//! tracing: events at spawn, park, unpark, exit and turn, and spans that stay with their green
//! thread. A subscriber is user code: it is called when the queues are consistent, and finds itself
//! outside the runtime, so that a blocking call in it blocks the OS thread (rule 8).

use tracing::{Level, dispatcher, event};

use super::Core;
use crate::scheduler::record::flag;
use crate::scheduler::{Reason, Record};

/// Spans that one green thread can have entered at once; a subscriber whose `exit` leaves the
/// current span as it was must not hold us for ever.
const MOST_SPANS: usize = 4096;

impl Core {
    #[cold]
    #[inline(never)]
    pub(super) fn trace_spawn(&self, record: &Record) {
        self.outside(|| {
            event!(target: "greenlit", Level::DEBUG, id = record.id.get(), name = record.name().as_deref(),
                spawned_at = %record.spawned_at.get(), "spawn");
        });
    }

    #[cold]
    #[inline(never)]
    pub(super) fn trace_park(&self, record: &Record, reason: &Reason) {
        self.outside(|| {
            event!(target: "greenlit", Level::TRACE, id = record.id.get(), %reason, "park");
        });
    }

    #[cold]
    #[inline(never)]
    pub(super) fn trace_unpark(&self, record: &Record) {
        self.outside(|| event!(target: "greenlit", Level::TRACE, id = record.id.get(), "unpark"));
    }

    #[cold]
    #[inline(never)]
    pub(super) fn trace_exit(&self, record: &Record) {
        self.outside(|| event!(target: "greenlit", Level::DEBUG, id = record.id.get(), "exit"));
    }

    #[cold]
    #[inline(never)]
    pub(super) fn trace_turn(&self, events: usize, timers: usize) {
        self.outside(|| event!(target: "greenlit", Level::TRACE, events, timers, "turn"));
    }

    /// Exits the spans that the thread has entered, innermost first, and remembers them.
    #[cold]
    #[inline(never)]
    pub(super) fn leave_spans(&self, record: &Record) {
        let mut spans = record.replace_spans(Vec::new());
        self.outside(|| {
            dispatcher::get_default(|dispatch| {
                while spans.len() < MOST_SPANS {
                    let Some(span) = dispatch.current_span().id().cloned() else {
                        break;
                    };
                    dispatch.exit(&span);
                    spans.push(span);
                }
            });
        });
        if !spans.is_empty() {
            record.set(flag::SPANS);
        }
        record.replace_spans(spans);
    }

    /// Enters the spans again that were exited when the thread was switched away from.
    #[cold]
    #[inline(never)]
    pub(super) fn enter_spans(&self, record: &Record) {
        record.clear(flag::SPANS);
        let mut spans = record.replace_spans(Vec::new());
        self.outside(|| {
            dispatcher::get_default(|dispatch| {
                while let Some(span) = spans.pop() {
                    dispatch.enter(&span);
                }
            });
        });
        // The empty vector keeps its capacity for the next switch.
        record.replace_spans(spans);
    }
}
