//! Green threads with their own stacks, many on one OS thread.

#[expect(
    unsafe_code,
    reason = "maps, guards and trims the memory of stacks, and handles their overflow"
)]
mod stack;
