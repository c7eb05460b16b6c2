//! Every stable item of `std::thread` and `std::time` has its name in `greenlit::thread` and
//! `greenlit::time`, so that a program's `use` lines can be replaced; and `thread_local!`.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::rc::Rc;

// These lists are those of std's pages: its structs, functions, constants and aliases that are stable.
#[expect(deprecated, reason = "std has them too")]
use greenlit::thread::{
    AccessError, Builder, JoinHandle, LocalKey, Result, Scope, ScopedJoinHandle, Thread, ThreadId,
    available_parallelism, current, panicking, park, park_timeout, park_timeout_ms, scope, sleep,
    sleep_ms, spawn, yield_now,
};
use greenlit::time::{
    Duration, Instant, SystemTime, SystemTimeError, TryFromFloatSecsError, UNIX_EPOCH,
};
use greenlit::{run, thread_local};

/// The types that are std's own.
#[test]
#[expect(unused_qualifications, reason = "that they are the same is the point")]
fn what_is_not_replaced_is_std_s() {
    let result: Result<u8> = Ok(1);
    let _: std::thread::Result<u8> = result;
    let _: fn() -> std::io::Result<std::num::NonZero<usize>> = available_parallelism;
    let _: std::time::Duration = Duration::ZERO;
    let _: std::time::SystemTime = UNIX_EPOCH;
    let error: TryFromFloatSecsError = Duration::try_from_secs_f64(-1.0).unwrap_err();
    let _: std::time::TryFromFloatSecsError = error;
    let later = UNIX_EPOCH + Duration::from_secs(5);
    let error: SystemTimeError = UNIX_EPOCH.duration_since(later).unwrap_err();
    assert_eq!(error.duration(), Duration::from_secs(5));
    assert!(SystemTime::now() > UNIX_EPOCH);
}

/// The types and functions that stand in for std's, by their signatures.
#[test]
#[expect(deprecated, reason = "std has them too")]
fn what_is_replaced_has_std_s_signatures() {
    fn traits<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    traits::<(Thread, ThreadId)>();
    let id = run(|| format!("{:?}", current().id()));
    let number = id.strip_prefix("ThreadId(").unwrap().strip_suffix(')');
    assert!(number.unwrap().parse::<u64>().is_ok(), "{id}");
    let _: fn() -> Thread = current;
    let _: fn(&Thread) -> ThreadId = Thread::id;
    let _: fn(&Thread) -> Option<&str> = Thread::name;
    let _: fn(&Thread) = Thread::unpark;
    let _: fn() -> bool = panicking;
    let _: [fn(); 2] = [park, yield_now];
    let _: [fn(Duration); 2] = [park_timeout, sleep];
    let _: [fn(u32); 2] = [park_timeout_ms, sleep_ms];
    let _: fn(fn() -> u8) -> JoinHandle<u8> = spawn;
    let _: fn(JoinHandle<u8>) -> Result<u8> = JoinHandle::join;
    let _: fn(&JoinHandle<u8>) -> bool = JoinHandle::is_finished;
    let _: fn(&JoinHandle<u8>) -> &Thread = JoinHandle::thread;
    type Spawns = fn(Builder, fn() -> u8) -> std::io::Result<JoinHandle<u8>>;
    let _: Spawns = Builder::spawn;
    let _: fn(Builder, String) -> Builder = Builder::name;
    let _: fn(Builder, usize) -> Builder = Builder::stack_size;

    fn of_a_scope<'s>(handle: ScopedJoinHandle<'s, u8>) -> Result<u8> {
        let _: fn(&ScopedJoinHandle<'s, u8>) -> bool = ScopedJoinHandle::is_finished;
        let _: for<'a> fn(&'a ScopedJoinHandle<'s, u8>) -> &'a Thread = ScopedJoinHandle::thread;
        let join: fn(ScopedJoinHandle<'s, u8>) -> Result<u8> = ScopedJoinHandle::join;
        join(handle)
    }
    fn spawns<'scope, 'env>(s: &'scope Scope<'scope, 'env>) -> ScopedJoinHandle<'scope, u8> {
        s.spawn(|| 3)
    }
    assert_eq!(run(|| scope(|s| of_a_scope(spawns(s)).unwrap())), 3);

    thread_local!(static KEY: Cell<u8> = const { Cell::new(4) });
    let key: &'static LocalKey<Cell<u8>> = &KEY;
    let value: std::result::Result<u8, AccessError> = key.try_with(Cell::get);
    assert_eq!(value, Ok(4));
}

/// The methods of std's that `Instant` has; `net`'s deadlines and ported code rest on them.
#[test]
fn instants_have_std_s_methods() {
    let start = Instant::now();
    let later = start + Duration::from_secs(1);
    assert_eq!(later - start, Duration::from_secs(1));
    assert_eq!(start.checked_duration_since(later), None);
    assert_eq!(start.saturating_duration_since(later), Duration::ZERO);
    assert_eq!(later.duration_since(start), Duration::from_secs(1));
    assert_eq!(start.checked_add(Duration::from_secs(1)), Some(later));
    assert_eq!(later.checked_sub(Duration::from_secs(1)), Some(start));
    assert!(start.elapsed() < Duration::from_secs(60));
    let mut moved = start;
    moved += Duration::from_secs(1);
    moved -= Duration::from_secs(1);
    assert_eq!(moved, start);
}

/// The two that are deprecated park green threads, and not the OS thread.
#[test]
#[expect(deprecated, reason = "std has them too")]
fn the_deprecated_ones_park() {
    run(|| {
        let order = Rc::new(Cell::new(0));
        let other = {
            let order = order.clone();
            spawn(move || order.set(order.get() + 1))
        };
        sleep_ms(1);
        assert_eq!(order.get(), 1);
        park_timeout_ms(1);
        other.join().unwrap();
    });
}

/// Rule 20: whether this green thread unwinds, and not some other of the OS thread that has let it
/// run in the middle of a destructor, by a yield, by a sleep, or after it asked the same.
#[test]
fn panicking_is_the_green_thread_s_own() {
    struct LetsOthersRun(fn(), Rc<Cell<bool>>);
    impl Drop for LetsOthersRun {
        fn drop(&mut self) {
            self.0();
            self.1.set(panicking());
        }
    }
    let ways: [fn(); 4] = [
        yield_now,
        || sleep(Duration::ZERO),
        || sleep(Duration::from_micros(1)),
        || {
            assert!(panicking());
            yield_now();
        },
    ];
    for way in ways {
        run(|| {
            assert!(!panicking());
            let own = Rc::new(Cell::new(false));
            let lets = LetsOthersRun(way, own.clone());
            let child = spawn(move || {
                let _lets = lets;
                resume_unwind(Box::new(()));
            });
            yield_now();
            assert!(std::thread::panicking(), "it has let this one run");
            assert!(!panicking());
            assert!(child.join().is_err());
            assert!(own.get());
            assert!(!panicking());
        });
    }
}

/// A cancel unwinds too, so that a destructor that means to panic only once can ask.
#[test]
fn a_cancel_counts_as_panicking() {
    struct Asks(Rc<Cell<bool>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.set(panicking());
        }
    }
    let answer = Rc::new(Cell::new(false));
    run(|| {
        let asks = Asks(answer.clone());
        spawn(move || {
            let _asks = asks;
            park();
        });
        yield_now();
    });
    assert!(answer.get());
}
