//! `std::os::unix::process`'s shape: the Unix methods of this crate's `Command`.

use std::ffi::OsStr;
use std::io;

use std::os::unix::process::CommandExt as _;
pub use std::os::unix::process::*;

use crate::process::Command;

/// The Unix methods of [`Command`], as std's [trait](std::os::unix::process::CommandExt) of the
/// same name has them. std's deprecated `before_exec` is left out.
///
/// # Examples
///
/// ```
/// use greenlit::os::unix::process::CommandExt;
/// use greenlit::process::Command;
///
/// let output = Command::new("sh").args(["-c", "echo $0"]).arg0("other").output()?;
/// assert_eq!(output.stdout, b"other\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait CommandExt: sealed::Sealed {
    /// Sets the child's user; the child leaves this process's supplementary groups.
    fn uid(&mut self, id: u32) -> &mut Command;

    /// Sets the child's group.
    fn gid(&mut self, id: u32) -> &mut Command;

    /// Has the child call `f` right before it becomes the program. Several are called in order; the
    /// first error is what `spawn` returns.
    ///
    /// # Safety
    ///
    /// The closure runs in a child that was forked from one OS thread of a process that may have
    /// several: it may only do what is async-signal-safe, and in particular neither allocate nor
    /// lock. No runtime runs there: a call that would park panics.
    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static;

    /// Replaces this process by the program, and returns only the error where that fails. No
    /// destructor runs.
    #[must_use]
    fn exec(&mut self) -> io::Error;

    /// Sets the first argument, `argv[0]`, which is the program's name otherwise.
    fn arg0<S>(&mut self, arg: S) -> &mut Command
    where
        S: AsRef<OsStr>;

    /// Sets the child's process group; 0 makes a new one.
    fn process_group(&mut self, pgroup: i32) -> &mut Command;
}

impl CommandExt for Command {
    fn uid(&mut self, id: u32) -> &mut Command {
        self.as_std_mut().uid(id);
        self
    }

    fn gid(&mut self, id: u32) -> &mut Command {
        self.as_std_mut().gid(id);
        self
    }

    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the caller vouches for `f` in the words of std's contract. Our own `atfork`
        // handler, which runs before it, touches thread-locals without destructors only (rule 28).
        unsafe { self.as_std_mut().pre_exec(f) };
        self
    }

    fn exec(&mut self) -> io::Error {
        self.as_std_mut().exec()
    }

    fn arg0<S>(&mut self, arg: S) -> &mut Command
    where
        S: AsRef<OsStr>,
    {
        self.as_std_mut().arg0(arg);
        self
    }

    fn process_group(&mut self, pgroup: i32) -> &mut Command {
        self.as_std_mut().process_group(pgroup);
        self
    }
}

mod sealed {
    /// Only [`Command`](super::Command) has the trait: methods may be added to it.
    pub trait Sealed {}
    impl Sealed for super::Command {}
}
