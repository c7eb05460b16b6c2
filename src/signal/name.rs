//! `Signal`: a signal by its number or its name.

use std::fmt;

/// A signal, such as [`Signal::TERM`].
///
/// # Examples
///
/// ```
/// use greenlit::signal::Signal;
///
/// assert_eq!(Signal::INT.to_string(), "SIGINT");
/// assert_eq!(Signal::from_raw(15), Signal::TERM);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

/// Declares the constants, and the table of their names.
macro_rules! names {
    ($($(#[$docs:meta])* $name:ident = $number:ident;)*) => {
        impl Signal {
            $($(#[$docs])* pub const $name: Signal = Signal(libc::$number);)*
        }

        /// Each signal's number and name.
        const NAMES: &[(i32, &str)] = &[$((libc::$number, stringify!($number)),)*];
    };
}

names! {
    /// The terminal was hung up; by custom, read the configuration again.
    HUP = SIGHUP;
    /// Ctrl-C.
    INT = SIGINT;
    /// Ctrl-\.
    QUIT = SIGQUIT;
    /// A breakpoint.
    TRAP = SIGTRAP;
    /// `abort` was called, which ends the process all the same.
    ABRT = SIGABRT;
    /// For the program's own use.
    USR1 = SIGUSR1;
    /// For the program's own use.
    USR2 = SIGUSR2;
    /// Written to a pipe or socket that nobody reads. Rust programs ignore it.
    PIPE = SIGPIPE;
    /// The timer of `alarm(2)`.
    ALRM = SIGALRM;
    /// Asks the process to end.
    TERM = SIGTERM;
    /// A child has ended, stopped or continued.
    CHLD = SIGCHLD;
    /// The process was stopped, and continues.
    CONT = SIGCONT;
    /// Ctrl-Z.
    TSTP = SIGTSTP;
    /// Read from the terminal in the background.
    TTIN = SIGTTIN;
    /// Written to the terminal in the background.
    TTOU = SIGTTOU;
    /// Urgent data on a socket.
    URG = SIGURG;
    /// The limit of CPU time was reached.
    XCPU = SIGXCPU;
    /// The limit of a file's size was reached.
    XFSZ = SIGXFSZ;
    /// A timer of CPU time.
    VTALRM = SIGVTALRM;
    /// A timer of CPU time, the kernel's included.
    PROF = SIGPROF;
    /// The terminal's window has another size.
    WINCH = SIGWINCH;
    /// A file descriptor is ready (`O_ASYNC`).
    IO = SIGIO;
    /// The power fails.
    PWR = SIGPWR;
    /// A system call was refused.
    SYS = SIGSYS;
}

impl Signal {
    /// The signal of this number. Whether there is one is checked by
    /// [`Signals::new`](super::Signals::new).
    #[must_use]
    pub const fn from_raw(number: i32) -> Signal {
        Signal(number)
    }

    /// The `index`th real-time signal, counted from `SIGRTMIN`; `None` beyond `SIGRTMAX`. Of these
    /// the kernel keeps every one that is sent, as far as the process's limit
    /// (`RLIMIT_SIGPENDING`) allows.
    #[must_use]
    pub fn real_time(index: u32) -> Option<Signal> {
        let number = i32::try_from(index).ok()?.checked_add(libc::SIGRTMIN())?;
        (number <= libc::SIGRTMAX()).then_some(Signal(number))
    }

    /// The signal's number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// The name, as `SIGTERM`, `SIGRTMIN+3` or `signal 99`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, name)) = NAMES.iter().find(|(number, _)| *number == self.0) {
            return f.write_str(name);
        }
        match self.0 - libc::SIGRTMIN() {
            0 => f.write_str("SIGRTMIN"),
            index if index > 0 && self.0 <= libc::SIGRTMAX() => write!(f, "SIGRTMIN+{index}"),
            _ => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signal({self})")
    }
}
