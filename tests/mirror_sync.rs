//! Every stable item of `std::sync`, `std::sync::mpsc` and `std::sync::atomic` has its name in
//! `greenlit::sync`, so that a program's `use` lines can be replaced.

use std::time::Duration;

// These lists are those of std's pages: its structs, traits, functions, constants and aliases that
// are stable.
#[expect(deprecated, reason = "std has them too")]
use greenlit::sync::atomic::{
    ATOMIC_BOOL_INIT, ATOMIC_ISIZE_INIT, ATOMIC_USIZE_INIT, AtomicBool, AtomicI8, AtomicI16,
    AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
    AtomicUsize, Ordering, compiler_fence, fence, spin_loop_hint,
};
use greenlit::sync::mpsc::{
    IntoIter, Iter, Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryIter,
    TryRecvError, TrySendError, channel, sync_channel,
};
#[expect(deprecated, reason = "std has it too")]
use greenlit::sync::{
    Arc, Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, ONCE_INIT,
    Once, OnceLock, OnceState, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    TryLockError, TryLockResult, WaitTimeoutResult, Weak,
};

/// The types that are std's own.
#[test]
#[expect(unused_qualifications, reason = "that they are the same is the point")]
fn what_is_not_replaced_is_std_s() {
    let shared: std::sync::Arc<u8> = Arc::new(1);
    let _: std::sync::Weak<u8> = Weak::clone(&Arc::downgrade(&shared));
    let _: LockResult<u8> = Err(PoisonError::new(1));
    let would_block: TryLockResult<u8> = Err(TryLockError::WouldBlock);
    let _: Result<u8, std::sync::TryLockError<u8>> = would_block;
    let _: [std::sync::mpsc::RecvError; 1] = [RecvError];
    let _: std::sync::mpsc::TryRecvError = TryRecvError::Empty;
    let _: std::sync::mpsc::RecvTimeoutError = RecvTimeoutError::Timeout;
    let _: std::sync::mpsc::SendError<u8> = SendError(1);
    let _: std::sync::mpsc::TrySendError<u8> = TrySendError::Full(1);
    let _: fn(Ordering) = fence;
    let _: fn(Ordering) = compiler_fence;
    #[expect(deprecated, reason = "std has them too")]
    let old = (
        ATOMIC_BOOL_INIT,
        ATOMIC_ISIZE_INIT,
        ATOMIC_USIZE_INIT,
        spin_loop_hint as fn(),
    );
    let _: (
        std::sync::atomic::AtomicBool,
        AtomicIsize,
        AtomicUsize,
        fn(),
    ) = old;
    let _ = (AtomicBool::new(true), AtomicPtr::<u8>::default());
    let _ = (
        AtomicI8::new(1),
        AtomicI16::new(1),
        AtomicI32::new(1),
        AtomicI64::new(1),
    );
    let _ = (
        AtomicU8::new(1),
        AtomicU16::new(1),
        AtomicU32::new(1),
        AtomicU64::new(1),
    );
}

/// The methods of channels, by their signatures.
#[test]
fn channels_have_std_s_signatures() {
    let _: fn() -> (Sender<u8>, Receiver<u8>) = channel;
    let _: fn(usize) -> (SyncSender<u8>, Receiver<u8>) = sync_channel;
    let _: fn(&Sender<u8>, u8) -> Result<(), SendError<u8>> = Sender::send;
    let _: fn(&SyncSender<u8>, u8) -> Result<(), SendError<u8>> = SyncSender::send;
    let _: fn(&SyncSender<u8>, u8) -> Result<(), TrySendError<u8>> = SyncSender::try_send;
    let _: fn(&Receiver<u8>) -> Result<u8, RecvError> = Receiver::recv;
    let _: fn(&Receiver<u8>) -> Result<u8, TryRecvError> = Receiver::try_recv;
    let _: fn(&Receiver<u8>, Duration) -> Result<u8, RecvTimeoutError> = Receiver::recv_timeout;
    let _: fn(&Receiver<u8>) -> Iter<'_, u8> = Receiver::iter;
    let _: fn(&Receiver<u8>) -> TryIter<'_, u8> = Receiver::try_iter;
    let _: fn(Receiver<u8>) -> IntoIter<u8> = Receiver::into_iter;
    fn traits<T: std::fmt::Debug + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    traits::<Sender<u8>>();
    traits::<SyncSender<u8>>();
    traits::<(Iter<'_, u8>, TryIter<'_, u8>, IntoIter<u8>)>();
    traits::<Receiver<u8>>();
    let _: [Sender<u8>; 2] = [channel().0.clone(), channel().0];
}

/// The other types that stand in for std's.
#[test]
fn locks_have_std_s_signatures() {
    type Waits = for<'a> fn(
        &Condvar,
        MutexGuard<'a, u8>,
        Duration,
    ) -> LockResult<(MutexGuard<'a, u8>, WaitTimeoutResult)>;
    let _: Waits = Condvar::wait_timeout;
    let _: fn(&Mutex<u8>) -> LockResult<MutexGuard<'_, u8>> = Mutex::lock;
    let _: fn(&RwLock<u8>) -> LockResult<RwLockReadGuard<'_, u8>> = RwLock::read;
    let _: fn(&RwLock<u8>) -> LockResult<RwLockWriteGuard<'_, u8>> = RwLock::write;
    let _: fn(&Barrier) -> BarrierWaitResult = Barrier::wait;
    let _: fn(&OnceState) -> bool = OnceState::is_poisoned;
    let _: fn(&OnceLock<u8>) -> Option<&u8> = OnceLock::get;
    let _: fn(&LazyLock<u8>) -> &u8 = LazyLock::force;
    fn traits<T: Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    traits::<(Mutex<u8>, RwLock<u8>, Condvar, Barrier)>();
    traits::<(Once, OnceLock<u8>, LazyLock<u8>)>();
    #[expect(deprecated, reason = "std has it too")]
    static OLD: Once = ONCE_INIT;
    assert!(!OLD.is_completed());
}
