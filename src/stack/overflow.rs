//! The report of a stack overflow: a handler of SIGSEGV and SIGBUS that recognises our guard pages
//! by their address, says who overflowed and how to give it more, and aborts. Any other fault goes
//! to the handler that was there before. Called by the pool before the first stack is used.
//!
//! A large frame does not jump over the guard: rustc probes every page of it, and so do C compilers
//! when told to.

use super::slab::{self, Slot};
use super::{Owner, signal_stack};
use std::cell::Cell;
use std::fmt::{self, Write};
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};

/// The signals that a touched guard page raises: SIGSEGV on Linux, and SIGBUS where an emulator or
/// another kernel says so.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// The actions that were there before, in the order of `SIGNALS`; set before our handler can run.
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [const { OnceLock::new() }; 2];

/// A handler that wants to know more than the signal's number.
type InfoHandler = unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// A handler that only wants the signal's number.
type PlainHandler = unsafe extern "C" fn(libc::c_int);

/// Lets overflows of this OS thread's stacks be reported: once a process installs the handler, once
/// an OS thread an alternate stack. Further calls do nothing.
///
/// # Errors
///
/// The alternate stack cannot be allocated; the next call tries again.
pub(crate) fn install_overflow_handler() -> io::Result<()> {
    thread_local! {
        /// Whether this OS thread was seen to, so that a growing pool need not ask the kernel.
        static ENSURED: Cell<bool> = const { Cell::new(false) };
    }
    static INSTALLED: Once = Once::new();

    if ENSURED.get() {
        return Ok(());
    }
    signal_stack::ensure()?;
    INSTALLED.call_once(|| {
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            let before = exchange_action(signal, None);
            let _ = previous.set(before);
            // Whatever else the previous handler was promised still holds when it is called from
            // ours.
            let mut ours = before;
            let handler: InfoHandler = on_fault;
            ours.sa_sigaction = handler as libc::sighandler_t;
            ours.sa_flags &= libc::SA_NODEFER | libc::SA_RESTART;
            ours.sa_flags |= libc::SA_SIGINFO | libc::SA_ONSTACK;
            exchange_action(signal, Some(&ours));
        }
    });
    ENSURED.set(true);
    Ok(())
}

/// What a signal did until now, and does no more if there is a new action.
fn exchange_action(signal: libc::c_int, new: Option<&libc::sigaction>) -> libc::sigaction {
    // SAFETY: all-zero bytes are a valid sigaction: the default action.
    let mut before: libc::sigaction = unsafe { mem::zeroed() };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are null or valid, and handlers installed here are async-signal-safe.
    // It fails only for signals that cannot be handled.
    let result = unsafe { libc::sigaction(signal, new, &raw mut before) };
    debug_assert_eq!(result, 0, "sigaction: {}", io::Error::last_os_error());
    before
}

/// Handles a fault. Everything it calls is async-signal-safe: no allocation, no lock, no lazy
/// thread-local.
///
/// # Safety
///
/// Called by the kernel, or by a handler that passes on what the kernel gave it.
unsafe extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo.
    let fault = unsafe { &*info };
    // Positive codes are the kernel's own; others come from kill and its kin and have no address.
    let is_fault = fault.si_code > 0;
    if is_fault {
        // SAFETY: the kernel fills the address in for its own SIGSEGV and SIGBUS.
        let address = unsafe { fault.si_addr() }.addr();
        if let Some(slot) = slab::slot_guarded_at(address) {
            // SAFETY: slots of this OS thread's slabs are alive (invariant 39).
            report(unsafe { slot.as_ref() });
        }
    }
    // SAFETY: the arguments are the kernel's.
    unsafe { pass_on(signal, is_fault, info, context) };
}

/// Does what would have been done without our handler.
///
/// # Safety
///
/// The arguments are those of a handler that the kernel called.
unsafe fn pass_on(
    signal: libc::c_int,
    is_fault: bool,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let index = usize::from(signal != SIGNALS[0]);
    let Some(previous) = PREVIOUS[index].get() else {
        return;
    };
    match previous.sa_sigaction {
        // A fault cannot be ignored: the kernel ends the process all the same. When this handler
        // returns, the fault happens again.
        libc::SIG_IGN if !is_fault => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: all-zero bytes are a valid sigaction: the default action.
            let default: libc::sigaction = unsafe { mem::zeroed() };
            exchange_action(signal, Some(&default));
            if !is_fault {
                // What somebody sent does not come again by itself.
                // SAFETY: raise takes a number.
                unsafe { libc::raise(signal) };
            }
        }
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

/// Reports that the stack of `slot` has overflown, and aborts.
fn report(slot: &Slot) -> ! {
    /// Whether some OS thread is about to report: its abort ends the others too.
    static REPORTING: AtomicBool = AtomicBool::new(false);

    while REPORTING.swap(true, Ordering::Acquire) {
        // SAFETY: pause waits for a signal.
        unsafe { libc::pause() };
    }
    let mut text = Text {
        bytes: [0; Text::MOST],
        len: 0,
    };
    // A text that is full is printed as far as it goes.
    let _ = describe(slot, &mut text);
    text.print();
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() };
}

/// Writes the report about `slot`.
fn describe(slot: &Slot, text: &mut Text) -> fmt::Result {
    text.write_str("greenlit: stack overflow in ")?;
    match slot.owner.get() {
        // SAFETY: whoever set the owner promised that it can be described until the stack goes
        // back.
        Some(Owner { data, describe }) => unsafe { describe(data, text) }?,
        None => text.write_str("a coroutine")?,
    }
    writeln!(
        text,
        ": its stack of {} bytes is used up",
        slot.class().usable()
    )?;
    text.write_str(
        "help: give it more with thread::Builder::stack_size, Runtime::builder().stack_size, \
         a coroutine's with_stack_size or RUST_MIN_STACK\n",
    )
}

/// Text of a bounded length that is printed in one piece, without allocating.
struct Text {
    /// The text; the first `len` bytes count.
    bytes: [u8; Text::MOST],
    /// How long it is.
    len: usize,
}

impl Text {
    /// A name and a path of ordinary length fit; longer ones are cut.
    const MOST: usize = 1024;

    /// Writes the text to standard error.
    fn print(&self) {
        // SAFETY: the first `len` bytes are initialised. Nobody is left to tell if it fails.
        unsafe { libc::write(libc::STDERR_FILENO, self.bytes.as_ptr().cast(), self.len) };
    }
}

impl Write for Text {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let taken = piece.len().min(room.len());
        room[..taken].copy_from_slice(&piece.as_bytes()[..taken]);
        self.len += taken;
        if taken < piece.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, install_overflow_handler};
    use crate::stack::{Pool, SizeClass, Stack};
    use corosensei::Coroutine;
    use std::env;
    use std::fmt::{self, Write};
    use std::hint::black_box;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};
    use std::ptr;
    use std::thread;

    /// Set for the child processes of these tests, to what they should do.
    const ROLE: &str = "GREENLIT_OVERFLOW_TEST";

    /// Runs this test binary again to do what `role` says.
    fn child(role: &str) -> Output {
        let name = format!("{}::dies", module_path!().trim_start_matches("greenlit::"));
        Command::new(env::current_exe().expect("a path"))
            .args(["--exact", &name, "--nocapture"])
            .env(ROLE, role)
            .output()
            .expect("the test binary runs")
    }

    /// The child's part: does nothing unless one of the tests below started it.
    #[test]
    fn dies() {
        if env::var_os(ROLE).is_some() {
            // A fault that is neither reported nor passed on would happen for ever.
            // SAFETY: alarm takes a number; what it raises ends this process.
            unsafe { libc::alarm(60) };
        }
        match env::var(ROLE).as_deref() {
            Ok("overflow") => overflow(),
            // An OS thread that std knows nothing of has no alternate stack.
            Ok("overflow elsewhere") => on_foreign_thread(overflow),
            Ok("std") => on_own_stack(),
            Ok("default") => fault_with(libc::SIG_DFL),
            Ok("ignore") => fault_with(libc::SIG_IGN),
            Ok("handler") => {
                let handler: extern "C" fn(libc::c_int) = exit_with_signal;
                fault_with(handler as libc::sighandler_t);
            }
            _ => {}
        }
    }

    #[test]
    fn an_overflow_names_who_where_and_the_remedy() {
        for role in ["overflow", "overflow elsewhere"] {
            let output = child(role);
            let text = String::from_utf8_lossy(&output.stderr);
            let usable = class().usable();
            let report = format!(
                "greenlit: stack overflow in green thread \"deep\" (#7): its stack of {usable} bytes is used up\n\
                 help: give it more with thread::Builder::stack_size, Runtime::builder().stack_size, \
                 a coroutine's with_stack_size or RUST_MIN_STACK\n"
            );
            assert!(text.contains(&report), "{role}: {text}");
            assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{role}");
        }
    }

    #[test]
    fn other_faults_go_where_they_went_before() {
        let output = child("handler");
        assert_eq!(output.status.code(), Some(100 + libc::SIGSEGV));
        for role in ["default", "ignore"] {
            let output = child(role);
            assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{role}");
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(!text.contains("greenlit: stack overflow"), "{text}");
        }
    }

    #[test]
    fn an_os_thread_that_overflows_is_reported_as_without_us() {
        let output = child("std");
        let text = String::from_utf8_lossy(&output.stderr);
        // By std, or by the sanitizer that this runs under.
        let reports = [
            "has overflowed its stack",
            "AddressSanitizer: stack-overflow",
        ];
        assert!(reports.iter().any(|report| text.contains(report)), "{text}");
        assert!(!text.contains("greenlit: stack overflow"), "{text}");
        assert!(!output.status.success());
    }

    fn class() -> SizeClass {
        SizeClass::for_size(100_000).expect("an ordinary size")
    }

    /// Recurses until something breaks.
    #[expect(unconditional_recursion, reason = "that is what is to be reported")]
    fn recurse(depth: u64) -> u64 {
        black_box(recurse(black_box(depth + 1)) + 1)
    }

    unsafe fn describe(data: *const (), out: &mut dyn Write) -> fmt::Result {
        // SAFETY: `overflow` sets a u64 as the data.
        let id = unsafe { data.cast::<u64>().read() };
        write!(out, "green thread \"deep\" (#{id})")
    }

    fn overflow() {
        static ID: u64 = 7;

        let stack: Stack = Pool::current().acquire(class()).expect("a stack");
        let data = ptr::from_ref(&ID).cast();
        // SAFETY: `describe` reads a static.
        unsafe { stack.set_owner(Owner { data, describe }) };
        let mut coroutine = Coroutine::<(), (), u64, Stack>::with_stack(stack, |_, ()| recurse(0));
        coroutine.resume(());
    }

    fn on_own_stack() {
        install_overflow_handler().expect("an alternate stack");
        thread::Builder::new()
            .stack_size(100_000)
            .spawn(|| {
                install_overflow_handler().expect("an alternate stack");
                recurse(0)
            })
            .expect("an OS thread")
            .join()
            .expect("never");
    }

    fn on_foreign_thread(body: fn()) {
        extern "C" fn start(body: *mut libc::c_void) -> *mut libc::c_void {
            // SAFETY: the pointer is that of the fn() below.
            let body = unsafe { *body.cast::<fn()>() };
            body();
            ptr::null_mut()
        }
        // SAFETY: all-zero bytes are a valid pthread_t.
        let mut thread = unsafe { std::mem::zeroed() };
        let argument = (&raw const body).cast_mut().cast();
        // SAFETY: `body` lives until the thread has been joined.
        unsafe { libc::pthread_create(&raw mut thread, ptr::null(), start, argument) };
        // SAFETY: the thread was created above and is joined once.
        unsafe { libc::pthread_join(thread, ptr::null_mut()) };
    }

    extern "C" fn exit_with_signal(signal: libc::c_int) {
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(100 + signal) };
    }

    /// Has `action` for SIGSEGV installed before ours, and touches an address that is no guard.
    fn fault_with(action: libc::sighandler_t) {
        // SAFETY: the action is a constant or an async-signal-safe handler.
        unsafe { libc::signal(libc::SIGSEGV, action) };
        install_overflow_handler().expect("an alternate stack");
        // SAFETY: there is nothing at this address, which is the point.
        unsafe { ptr::without_provenance_mut::<u8>(8192).write_volatile(1) };
    }
}
