//! Two symmetric coroutines that yield to each other by name: the textbook's program, line for
//! line.
//!
//! ```text
//! cargo run --example ping_pong
//! ```
//!
//! It prints A, B, A, B. Nothing runs in between: each `yield_to` goes straight from one to the
//! other.
//!
//! ```text
//! coroutine A {
//!     yield to B   // 2
//!     yield to A   // 4
//! }
//! coroutine B {
//!     yield to A   // 3
//! }
//! yield to A       // 1
//! ```

use greenlit::coroutine::{Family, YieldError};

fn main() -> Result<(), YieldError> {
    let family = Family::new();
    let (a, b) = (family.declare(), family.declare());

    // coroutine A {
    family.define(a, move |here, ()| {
        println!("A");
        here.yield_to(b)?; // 2
        println!("A");
        // The textbook writes "yield to A" here. A is the one that runs, and the order A, B, A, B
        // that it promises needs B.
        here.yield_to(b)?; // 4
        Ok(())
    });

    // coroutine B {
    family.define(b, move |here, ()| {
        println!("B");
        here.yield_to(a)?; // 3
        println!("B");
        Ok(())
    });

    family.yield_to(a)?; // 1

    // B has ended, and with it control came back to here. A still waits at 4: dropping the family
    // unwinds it.
    Ok(())
}
