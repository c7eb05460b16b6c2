//! Signals: one handler that counts what is delivered and rings the bells of those who listen. A
//! bell is an eventfd on the reactor. Not a signalfd, which gives only what is blocked in every OS
//! thread of the process, and a mask would be inherited by children. Called by `signal`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{mem, process};

use nix::errno::Errno;
use nix::sys::eventfd::EventFd;

use super::sys;

type InfoHandler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
type PlainHandler = unsafe extern "C" fn(libc::c_int);

/// Linux has signals 1 to 64 on the CPUs that this crate knows.
const SIGNALS: usize = 65;

/// How often each signal was delivered since it was first watched.
static DELIVERIES: [AtomicUsize; SIGNALS] = [const { AtomicUsize::new(0) }; SIGNALS];

/// What was done about a signal before it was first watched. It is set before our handler is
/// installed, and for ever.
static PREVIOUS: [OnceLock<libc::sigaction>; SIGNALS] = [const { OnceLock::new() }; SIGNALS];

/// The bells: a list that only grows, at its head.
static FIRST: AtomicPtr<Bell> = AtomicPtr::new(ptr::null_mut());

/// What wakes one listener. Bells are never freed and change hands (invariant 62).
struct Bell {
    eventfd: EventFd,
    /// The signals it rings for, a bit each; none while nobody has it.
    signals: AtomicU64,
    /// Whether a listener has it.
    taken: AtomicBool,
    /// The process that made it: a forked child has a copy, but the eventfd is its parent's.
    process: u32,
    /// The one that was made before it.
    next: AtomicPtr<Bell>,
}

/// A bell that is this listener's until it is dropped.
pub(crate) struct SignalListener(&'static Bell);

impl SignalListener {
    /// Takes a free bell, or makes one, and has it rung for `signals`, none of which may be ruled
    /// out by [`check_signal`].
    ///
    /// # Errors
    ///
    /// What `eventfd(2)` says, most often `EMFILE`, and `sigaction(2)`.
    pub(crate) fn new(signals: &[i32]) -> io::Result<Self> {
        let listener = Self(match bells().find(|bell| bell.take()) {
            Some(bell) => bell,
            None => Bell::add()?,
        });
        let mask = signals.iter().fold(0, |mask, &signal| mask | bit(signal));
        listener.0.signals.store(mask, Ordering::SeqCst);
        for &signal in signals {
            watch(signal)?;
        }
        Ok(listener)
    }

    /// Makes the bell readable, as a signal does.
    pub(crate) fn ring(&self) {
        self.0.ring();
    }

    /// Makes it unreadable until it is rung again. What was delivered before must be looked for
    /// after this.
    pub(crate) fn silence(&self) {
        // `EAGAIN` says that it was silent.
        let _ = self.0.eventfd.read();
    }
}

impl AsFd for SignalListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.eventfd.as_fd()
    }
}

impl Drop for SignalListener {
    fn drop(&mut self) {
        self.0.signals.store(0, Ordering::SeqCst);
        self.0.taken.store(false, Ordering::Release);
    }
}

impl Bell {
    /// Makes a bell that the caller has.
    fn add() -> io::Result<&'static Self> {
        let bell = Box::leak(Box::new(Self {
            eventfd: sys::create_eventfd()?,
            signals: AtomicU64::new(0),
            taken: AtomicBool::new(true),
            process: process::id(),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let this = ptr::from_mut(bell);
        let mut first = FIRST.load(Ordering::Relaxed);
        loop {
            // SAFETY: invariant 62: bells are never freed.
            unsafe { &*this }.next.store(first, Ordering::Relaxed);
            match FIRST.compare_exchange_weak(first, this, Ordering::Release, Ordering::Relaxed) {
                // SAFETY: as above.
                Ok(_) => return Ok(unsafe { &*this }),
                Err(newer) => first = newer,
            }
        }
    }

    /// Whether it is the caller's now.
    fn take(&self) -> bool {
        self.process == process::id() && !self.taken.swap(true, Ordering::Acquire)
    }

    fn ring(&self) {
        // The one error is a counter that is full, and then it is readable.
        let _ = self.eventfd.write(1);
    }
}

/// All bells. A signal handler may walk them at any time.
fn bells() -> impl Iterator<Item = &'static Bell> {
    let mut next = FIRST.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: invariant 62: what the list names was whole when it was linked in, and is never
        // freed.
        let bell = unsafe { next.as_ref() }?;
        next = bell.next.load(Ordering::Relaxed);
        Some(bell)
    })
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// How often `signal` was delivered, modulo the size of the count.
pub(crate) fn deliveries(signal: i32) -> usize {
    DELIVERIES[signal as usize].load(Ordering::SeqCst)
}

/// Refuses what is no signal, and those that no handler can receive and return from: `SIGKILL`,
/// `SIGSTOP`, and the faults, which would happen again at once.
///
/// # Errors
///
/// `InvalidInput`.
pub(crate) fn check_signal(signal: i32) -> io::Result<()> {
    let why = match signal {
        libc::SIGKILL | libc::SIGSTOP => "cannot be caught",
        libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL => "is a fault",
        1..=64 => return Ok(()),
        _ => "does not exist",
    };
    let message = format!("signal: number {signal} {why}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Installs the handler for `signal`, which stays for ever; the first call alone does something.
fn watch(signal: i32) -> io::Result<()> {
    /// The signals whose handler is ours, a bit each. No handler looks at it.
    static WATCHED: Mutex<u64> = Mutex::new(0);
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if *watched & bit(signal) != 0 {
        return Ok(());
    }
    let before = exchange_action(signal, None)?;
    // What an attempt that failed has left there is the same.
    let _ = PREVIOUS[signal as usize].set(before);
    let mut ours = before;
    let handler: InfoHandler = on_signal;
    ours.sa_sigaction = handler as libc::sighandler_t;
    // What the previous handler was promised still holds when it is called from ours.
    ours.sa_flags &= libc::SA_NODEFER | libc::SA_NOCLDSTOP | libc::SA_NOCLDWAIT;
    ours.sa_flags |= libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    exchange_action(signal, Some(&ours))?;
    *watched |= bit(signal);
    Ok(())
}

/// What a signal did until now, and does no more if there is a new action.
fn exchange_action(signal: i32, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    // SAFETY: all-zero bytes are a valid sigaction: the default action.
    let mut before: libc::sigaction = unsafe { mem::zeroed() };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are null or valid, and the handler that is installed here is
    // async-signal-safe (invariant 63).
    match unsafe { libc::sigaction(signal, new, &raw mut before) } {
        0 => Ok(before),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Counts a delivery and rings the bells. It makes two kinds of system calls, getpid(2) and
/// write(2), and touches nothing but atomics and what never changes (invariant 63).
///
/// # Safety
///
/// Called by the kernel, or by a handler that passes on what the kernel gave it.
unsafe extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let errno = Errno::last_raw();
    DELIVERIES[signal as usize].fetch_add(1, Ordering::SeqCst);
    let process = process::id();
    for bell in bells() {
        if bell.process == process && bell.signals.load(Ordering::SeqCst) & bit(signal) != 0 {
            bell.ring();
        }
    }
    // SAFETY: the arguments are the kernel's.
    unsafe { pass_on(signal, info, context) };
    Errno::set_raw(errno);
}

/// Calls the handler that was there before ours. A signal that was ignored, or ended the process,
/// does neither now.
///
/// # Safety
///
/// The arguments are those of a handler that the kernel called.
unsafe fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(previous) = PREVIOUS[signal as usize].get() else {
        return;
    };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {}
        address if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: with SA_SIGINFO the address is that of a handler with three arguments.
            let handler = unsafe { mem::transmute::<libc::sighandler_t, InfoHandler>(address) };
            // SAFETY: it gets what the kernel would have given it.
            unsafe { handler(signal, info, context) };
        }
        address => {
            // SAFETY: without SA_SIGINFO the address is that of a handler with one argument.
            let handler = unsafe { mem::transmute::<libc::sighandler_t, PlainHandler>(address) };
            // SAFETY: it gets what the kernel would have given it.
            unsafe { handler(signal) };
        }
    }
}
