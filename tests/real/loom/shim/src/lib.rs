//! std, with loom's atomics and threads in place of its own. loom's atomics cannot be made in constants:
//! those that are, are made when they are first used. The model does that before it spawns, since for
//! loom it is a write.

pub use std::{
    any, borrow, boxed, cell, clone, cmp, convert, default, fmt, iter, marker, mem, ops, option,
    panic, pin, ptr, rc, result, string, task, vec,
};

pub mod prelude {
    pub use std::prelude::v1;
}

pub mod hint {
    pub fn spin_loop() {
        loom::thread::yield_now();
    }
}

pub mod thread {
    pub use loom::thread::yield_now;

    pub fn panicking() -> bool {
        std::thread::panicking()
    }

    pub fn sleep(_: std::time::Duration) {
        loom::thread::yield_now();
    }
}

pub mod time {
    pub use std::time::Duration;
}

pub mod sync {
    pub use std::sync::{Arc, LockResult, OnceLock, PoisonError, TryLockError, TryLockResult};

    pub mod atomic {
        pub use std::sync::atomic::Ordering;

        macro_rules! atomics {
            ($($name:ident: $value:ty, $load:expr);+) => {
                $(pub struct $name {
                    first: $value,
                    inner: std::sync::OnceLock<loom::sync::atomic::$name>,
                }

                impl $name {
                    pub const fn new(first: $value) -> Self {
                        Self { first, inner: std::sync::OnceLock::new() }
                    }

                    fn inner(&self) -> &loom::sync::atomic::$name {
                        self.inner.get_or_init(|| loom::sync::atomic::$name::new(self.first))
                    }

                    pub fn load(&self, order: Ordering) -> $value {

                        $load(self.inner(), order)

                    }

                    pub fn store(&self, value: $value, order: Ordering) {
                        self.inner().store(value, order);
                    }

                    pub fn swap(&self, value: $value, order: Ordering) -> $value {
                        self.inner().swap(value, order)
                    }

                    pub fn compare_exchange(
                        &self, old: $value, new: $value, success: Ordering, failure: Ordering,
                    ) -> Result<$value, $value> {
                        self.inner().compare_exchange(old, new, success, failure)
                    }

                    pub fn compare_exchange_weak(
                        &self, old: $value, new: $value, success: Ordering, failure: Ordering,
                    ) -> Result<$value, $value> {
                        self.inner().compare_exchange(old, new, success, failure)
                    }
                })+
            };
        }
        use loom::sync::atomic;
        atomics!(
            // A spin lock looks until it sees a change, and loom would show it the old value for
            // ever: an exchange sees the newest. It orders nothing else.
            AtomicBool: bool, |atomic: &atomic::AtomicBool, _| atomic.fetch_or(false, Ordering::Relaxed);
            AtomicU32: u32, atomic::AtomicU32::load;
            AtomicU64: u64, atomic::AtomicU64::load
        );
        // Made in no constant, and in each wait: loom's own.
        pub use loom::sync::atomic::AtomicUsize;
    }
}
