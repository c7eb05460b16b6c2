//! Green threads with their own stacks, many on one OS thread.
