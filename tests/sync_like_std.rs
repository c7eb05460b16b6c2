//! `sync` has std's signatures and std's traits: the same lines compile against both, and whether a
//! type is `Send`, `Sync`, `UnwindSafe` or `RefUnwindSafe` is asked of both.

use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::kept;
use greenlit::park::{Reason, WaitQueue};
use greenlit::sync::{Mutex, RwLock};
use greenlit::thread;

/// `true` where the type has the trait: the method of the type itself comes before the trait's.
struct Ask<T: ?Sized>(PhantomData<T>);

trait Otherwise {
    const SEND: bool = false;
    const SYNC: bool = false;
    const UNWIND: bool = false;
    const REF_UNWIND: bool = false;
}
impl<T: ?Sized> Otherwise for Ask<T> {}

macro_rules! asks {
    ($($name:ident: $bound:ident),+) => {
        $(impl<T: ?Sized + $bound> Ask<T> {
            const $name: bool = true;
        })+
    };
}
asks!(SEND: Send, SYNC: Sync, UNWIND: UnwindSafe, REF_UNWIND: RefUnwindSafe);

/// Shared by threads, and not to be looked at after a panic.
type SyncNotUnwindSafe = std::sync::mpsc::Receiver<Box<dyn Fn() + Send>>;

macro_rules! traits {
    ($($sync:tt)+) => {{
        use $($sync)+::*;
        let mut traits = Vec::new();
        macro_rules! ask {
            ($of:ty) => {
                traits.push((
                    stringify!($of),
                    Ask::<$of>::SEND,
                    Ask::<$of>::SYNC,
                    Ask::<$of>::UNWIND,
                    Ask::<$of>::REF_UNWIND,
                ));
            };
        }
        macro_rules! ask_of {
            ($inner:ty) => {
                ask!(Mutex<$inner>);
                ask!(MutexGuard<'static, $inner>);
                ask!(RwLock<$inner>);
                ask!(RwLockReadGuard<'static, $inner>);
                ask!(RwLockWriteGuard<'static, $inner>);
                ask!(OnceLock<$inner>);
                ask!(LazyLock<$inner>);
                ask!(LazyLock<u8, $inner>);
            };
        }
        ask_of!(u8);
        ask_of!(Cell<u8>);
        ask_of!(Rc<u8>);
        ask_of!(*const u8);
        ask_of!(&'static Cell<u8>);
        ask_of!(&'static mut u8);
        ask_of!(SyncNotUnwindSafe);
        ask_of!(std::sync::MutexGuard<'static, u8>);
        ask!(Condvar);
        ask!(Barrier);
        ask!(BarrierWaitResult);
        ask!(WaitTimeoutResult);
        ask!(Once);
        traits
    }};
}

#[test]
fn the_traits_are_std_s() {
    let stds = traits!(std::sync);
    // The question itself tells them apart.
    assert!(
        stds.iter()
            .any(|of| (of.1, of.2, of.3, of.4) == (true, false, true, false))
    );
    for (ours, stds) in traits!(greenlit::sync).into_iter().zip(stds) {
        assert_eq!(ours, stds);
    }
}

/// Each line is a method, as std has it.
macro_rules! signatures {
    ($name:ident, $($sync:tt)+) => {
        fn $name<'a, T: 'a + Default + Clone + PartialEq + std::fmt::Debug + std::fmt::Display>() {
            use $($sync)+::*;
            type Guard<'a, T> = MutexGuard<'a, T>;
            type Read<'a, T> = RwLockReadGuard<'a, T>;
            type Write<'a, T> = RwLockWriteGuard<'a, T>;
            let _: fn(T) -> Mutex<T> = Mutex::new;
            let _: fn(&'a Mutex<T>) -> LockResult<Guard<'a, T>> = Mutex::lock;
            let _: fn(&'a Mutex<T>) -> TryLockResult<Guard<'a, T>> = Mutex::try_lock;
            let _: fn(&'a Mutex<T>) -> bool = Mutex::is_poisoned;
            let _: fn(&'a Mutex<T>) = Mutex::clear_poison;
            let _: fn(Mutex<T>) -> LockResult<T> = Mutex::into_inner;
            let _: fn(&'a mut Mutex<T>) -> LockResult<&'a mut T> = Mutex::get_mut;
            let _: fn(T) -> RwLock<T> = RwLock::new;
            let _: fn(&'a RwLock<T>) -> LockResult<Read<'a, T>> = RwLock::read;
            let _: fn(&'a RwLock<T>) -> LockResult<Write<'a, T>> = RwLock::write;
            let _: fn(&'a RwLock<T>) -> TryLockResult<Read<'a, T>> = RwLock::try_read;
            let _: fn(&'a RwLock<T>) -> TryLockResult<Write<'a, T>> = RwLock::try_write;
            let _: fn(&'a RwLock<T>) -> bool = RwLock::is_poisoned;
            let _: fn(&'a RwLock<T>) = RwLock::clear_poison;
            let _: fn(RwLock<T>) -> LockResult<T> = RwLock::into_inner;
            let _: fn(&'a mut RwLock<T>) -> LockResult<&'a mut T> = RwLock::get_mut;
            let _: fn(Write<'a, T>) -> Read<'a, T> = RwLockWriteGuard::downgrade;
            let _: fn() -> Condvar = Condvar::new;
            let _: fn(&'a Condvar, Guard<'a, T>) -> LockResult<Guard<'a, T>> = Condvar::wait;
            let _: fn(&'a Condvar, Guard<'a, T>, Duration) -> LockResult<(Guard<'a, T>, WaitTimeoutResult)> =
                Condvar::wait_timeout;
            let _: fn(&'a Condvar, Guard<'a, T>, fn(&mut T) -> bool) -> LockResult<Guard<'a, T>> =
                Condvar::wait_while;
            let _: fn(&'a Condvar) = Condvar::notify_one;
            let _: fn(&'a Condvar) = Condvar::notify_all;
            let _: fn(&WaitTimeoutResult) -> bool = WaitTimeoutResult::timed_out;
            let _: fn(usize) -> Barrier = Barrier::new;
            let _: fn(&'a Barrier) -> BarrierWaitResult = Barrier::wait;
            let _: fn(&BarrierWaitResult) -> bool = BarrierWaitResult::is_leader;
            let _: fn() -> Once = Once::new;
            let _: fn(&'a Once, fn()) = Once::call_once;
            let _: fn(&'a Once, fn(&OnceState)) = Once::call_once_force;
            let _: fn(&'a Once) -> bool = Once::is_completed;
            let _: fn(&'a Once) = Once::wait;
            let _: fn(&'a Once) = Once::wait_force;
            let _: fn(&OnceState) -> bool = OnceState::is_poisoned;
            let _: fn() -> OnceLock<T> = OnceLock::new;
            let _: fn(&'a OnceLock<T>) -> Option<&'a T> = OnceLock::get;
            let _: fn(&'a mut OnceLock<T>) -> Option<&'a mut T> = OnceLock::get_mut;
            let _: fn(&'a OnceLock<T>, T) -> Result<(), T> = OnceLock::set;
            let _: fn(&'a OnceLock<T>, fn() -> T) -> &'a T = OnceLock::get_or_init;
            let _: fn(&'a OnceLock<T>) -> &'a T = OnceLock::wait;
            let _: fn(OnceLock<T>) -> Option<T> = OnceLock::into_inner;
            let _: fn(&'a mut OnceLock<T>) -> Option<T> = OnceLock::take;
            let _: fn(fn() -> T) -> LazyLock<T> = LazyLock::new;
            let _: fn(&'a LazyLock<T>) -> &'a T = LazyLock::force;
            let _: fn(&'a mut LazyLock<T>) -> &'a mut T = LazyLock::force_mut;
            let _: fn(&'a LazyLock<T>) -> Option<&'a T> = LazyLock::get;
            let _: fn(&'a mut LazyLock<T>) -> Option<&'a mut T> = LazyLock::get_mut;
            let _: (Mutex<T>, RwLock<T>, OnceLock<T>) = (T::default().into(), T::default().into(), T::default().into());
            let _: (Mutex<T>, RwLock<T>, OnceLock<T>, LazyLock<T>, Condvar) = Default::default();
            fn shown<T: std::fmt::Debug + std::fmt::Display>() {}
            shown::<Guard<'a, T>>();
            shown::<Read<'a, T>>();
            shown::<Write<'a, T>>();
            let _: Box<Mutex<[T]>> = Box::new(Mutex::new([T::default()]));
            let _: Box<RwLock<[T]>> = Box::new(RwLock::new([T::default()]));
        }
    };
}
signatures!(of_std, std::sync);
signatures!(of_greenlit, greenlit::sync);

#[test]
fn the_signatures_are_std_s() {
    of_std::<u8>();
    of_greenlit::<u8>();
}

/// Behaviour 54: who holds the lock that nobody will let go of.
#[test]
fn a_deadlock_report_names_who_holds_the_lock() {
    let report = |lock: fn(&'static Mutex<()>, &'static RwLock<()>)| {
        let (mutex, rwlock) = kept::kept(<(Mutex<()>, RwLock<()>)>::default());
        let deadlock = AssertUnwindSafe(|| {
            greenlit::run(|| {
                let holder = thread::Builder::new().name("the holder".into());
                let holder = holder.spawn(|| {
                    let _held = (mutex.lock(), rwlock.write());
                    WaitQueue::new().park(Reason::new("sulking"));
                });
                holder.map(drop).unwrap();
                thread::yield_now();
                lock(mutex, rwlock);
            });
        });
        *catch_unwind(deadlock)
            .unwrap_err()
            .downcast::<String>()
            .unwrap()
    };
    let reports = [
        report(|mutex, _| drop(mutex.lock())),
        report(|_, rwlock| drop(rwlock.read())),
        report(|_, rwlock| drop(rwlock.write())),
    ];
    for report in reports {
        let line = |word: &str| {
            report
                .lines()
                .find(|line| line.contains(word))
                .unwrap_or_default()
        };
        let holder = line("\"the holder\" (#");
        assert!(holder.ends_with("sulking"), "{report}");
        let number = holder.split(['#', ',']).nth(1).unwrap();
        assert!(line("\"main\"").contains(&format!("#{number}")), "{report}");
    }
}
