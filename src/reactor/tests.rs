//! Tests of the reactor alone, with no scheduler.
