//! What AddressSanitizer and ThreadSanitizer must be told of a switch.
//!
//! The one place that does so. `--cfg greenlit_sanitize="address"` or `"thread"` chooses; rustc's
//! own `cfg(sanitize)` is unstable. The portable switch is announced by corosensei.

#[cfg(all(greenlit_sanitize = "address", not(greenlit_portable)))]
#[path = "address.rs"]
mod chosen;
#[cfg(any(
    greenlit_portable,
    not(any(greenlit_sanitize = "address", greenlit_sanitize = "thread"))
))]
#[path = "none.rs"]
mod chosen;
#[cfg(all(greenlit_sanitize = "thread", not(greenlit_portable)))]
#[path = "thread.rs"]
mod chosen;

pub(crate) use chosen::Nested;
pub(super) use chosen::{Mark, arrive, first_function, leave, leave_last, prepare, release};
