//! Admission: how many green threads a runtime takes in, and what becomes of what it turns away.

use std::io;
use std::rc::Rc;

use greenlit::Runtime;
use greenlit::thread::{self, TrySpawnError};

/// A closure that can be told by what it holds.
fn work(marker: &Rc<u32>) -> impl FnOnce() -> u32 + 'static {
    let marker = marker.clone();
    move || *marker
}

/// Behaviour 4: it is what comes in that is bounded.
#[test]
fn a_full_runtime_gives_the_closure_back() {
    let mut runtime = Runtime::builder().max_threads(2).build().unwrap();
    runtime.run(|| {
        let marker = Rc::new(7);
        let parked = [thread::spawn(thread::park), thread::spawn(thread::park)];
        let refused = thread::try_spawn(work(&marker)).unwrap_err();
        assert!(refused.is_full());
        assert_eq!(
            refused.to_string(),
            "as many live already as the runtime's max_threads or max_tasks admits"
        );
        assert_eq!(Rc::strong_count(&marker), 2);
        let refused = thread::Builder::new().try_spawn(refused.into_inner());
        let refused = refused.unwrap_err();
        assert_eq!(format!("{refused:?}"), "Full(..)");
        thread::yield_now();
        let [first, second] = parked;
        first.thread().unpark();
        first.join().unwrap();
        // One has ended, so one more may live.
        let admitted = thread::try_spawn(refused.into_inner()).unwrap();
        assert!(thread::try_spawn(|| ()).unwrap_err().is_full());
        assert_eq!(admitted.join().unwrap(), 7);
        assert_eq!(Rc::strong_count(&marker), 1);
        second.thread().unpark();
    });
}

#[test]
fn outside_a_runtime_the_closure_comes_back() {
    let marker = Rc::new(1);
    let refused = thread::try_spawn(work(&marker)).unwrap_err();
    assert!(matches!(refused, TrySpawnError::NoRuntime(_)));
    assert!(!refused.is_full());
    let again = thread::Builder::new().name("worker".into());
    let again = again.try_spawn(refused.into_inner()).unwrap_err();
    assert_eq!(again.into_inner()(), 1);
}

#[test]
fn no_stack_gives_the_closure_back_with_the_reason() {
    greenlit::run(|| {
        let marker = Rc::new(3);
        let huge = thread::Builder::new().stack_size(usize::MAX);
        let refused = huge.try_spawn(work(&marker)).unwrap_err();
        let TrySpawnError::Stack(f, error) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(f(), 3);
    });
}

/// A large closure, which lies in a box and not on the new stack.
#[test]
fn a_large_closure_comes_back_whole() {
    let mut runtime = Runtime::builder().max_threads(1).build().unwrap();
    runtime.run(|| {
        let large = [9_u8; 5000];
        let only = thread::spawn(thread::park);
        let refused = thread::try_spawn(move || large).unwrap_err();
        thread::yield_now();
        only.thread().unpark();
        only.join().unwrap();
        let admitted = thread::try_spawn(refused.into_inner()).unwrap();
        assert_eq!(admitted.join().unwrap(), [9; 5000]);
    });
}

#[test]
fn the_errors_are_those_of_builder_spawn() {
    let kind = |error: TrySpawnError<fn()>| io::Error::from(error).kind();
    let nothing: fn() = || ();
    assert_eq!(
        kind(TrySpawnError::Full(nothing)),
        io::ErrorKind::WouldBlock
    );
    assert_eq!(
        kind(TrySpawnError::NoRuntime(nothing)),
        io::ErrorKind::Unsupported
    );
    let stack = TrySpawnError::Stack(nothing, io::ErrorKind::OutOfMemory.into());
    assert_eq!(kind(stack), io::ErrorKind::OutOfMemory);
}
