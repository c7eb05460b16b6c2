//! Values that live as long as the process: statics that a test makes while it runs. They stay
//! reachable, so that a leak checker does not take them for lost.

use std::sync::Mutex;

static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

pub(crate) fn kept<T>(value: T) -> &'static T {
    let value: &T = Box::leak(Box::new(value));
    let address = std::ptr::from_ref(value).expose_provenance();
    KEPT.lock().unwrap().push(address);
    value
}
