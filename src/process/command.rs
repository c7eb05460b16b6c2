//! `Command`: std's builder, whose children are this module's.

use std::ffi::OsStr;
use std::path::Path;
use std::{fmt, io};

use super::{Child, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};

/// Configures and starts a program, as [`std::process::Command`] does.
///
/// # Examples
///
/// A child's output, line by line, while other green threads run:
///
/// ```
/// use greenlit::process::{Command, Stdio};
/// use std::io::{BufRead, BufReader};
///
/// greenlit::run(|| {
///     let mut child = Command::new("seq").arg("3").stdout(Stdio::piped()).spawn()?;
///     let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
///     let lines = stdout.lines().collect::<Result<Vec<_>, _>>()?;
///     assert_eq!(lines, ["1", "2", "3"]);
///     assert!(child.wait()?.success());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    inner: std::process::Command,
    /// Which of stdin, stdout and stderr the caller has chosen: [`output`](Self::output) has
    /// defaults of its own for the others.
    chosen: [bool; 3],
}

impl Command {
    /// A command that runs `program`, which is looked for in `PATH` unless it names a path, with no
    /// arguments, in this process's environment and directory.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        Command {
            inner: std::process::Command::new(program),
            chosen: [false; 3],
        }
    }

    /// Adds an argument. No shell looks at it.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.inner.arg(arg);
        self
    }

    /// Adds several arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.inner.args(args);
        self
    }

    /// Sets an environment variable of the child.
    pub fn env<K, V>(&mut self, key: K, val: V) -> &mut Command
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.env(key, val);
        self
    }

    /// Sets several environment variables of the child.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.envs(vars);
        self
    }

    /// Takes an environment variable away from the child, whether it was set here or is inherited.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.inner.env_remove(key);
        self
    }

    /// Forgets the variables that were set here, and lets the child inherit none.
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// Sets the directory that the child starts in.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.inner.current_dir(dir);
        self
    }

    /// Chooses the child's stdin: this process's own unless chosen, and nothing for
    /// [`output`](Self::output).
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.inner.stdin(cfg);
        self.chosen[0] = true;
        self
    }

    /// Chooses the child's stdout: this process's own unless chosen, and a pipe for
    /// [`output`](Self::output).
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.inner.stdout(cfg);
        self.chosen[1] = true;
        self
    }

    /// Chooses the child's stderr: this process's own unless chosen, and a pipe for
    /// [`output`](Self::output).
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.inner.stderr(cfg);
        self.chosen[2] = true;
        self
    }

    /// Starts the program as a child process. The OS thread is stalled until the child has called
    /// `exec`.
    ///
    /// # Errors
    ///
    /// Those of std: `NotFound` and `PermissionDenied` of the program, `EAGAIN` and `EMFILE` where
    /// processes or file descriptors have run out, and what a `pre_exec` closure returns.
    ///
    /// # Cancellation
    ///
    /// It does not park.
    pub fn spawn(&mut self) -> io::Result<Child> {
        Ok(Child::from_std(self.inner.spawn()?))
    }

    /// Runs the program to its end and collects what it writes. Its stdin is empty unless it was
    /// chosen.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    ///
    /// # Cancellation
    ///
    /// The green thread unwinds; the child goes on, and nobody waits for it.
    pub fn output(&mut self) -> io::Result<Output> {
        self.default_stdio(Stdio::null, Stdio::piped);
        let child = self.spawn();
        // What `spawn` and `status` default to.
        self.default_stdio(Stdio::inherit, Stdio::inherit);
        child?.wait_with_output()
    }

    /// Sets what the caller has not chosen.
    fn default_stdio(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) {
        let [stdin, stdout, stderr] = self.chosen;
        if !stdin {
            self.inner.stdin(input());
        }
        if !stdout {
            self.inner.stdout(output());
        }
        if !stderr {
            self.inner.stderr(output());
        }
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// # Cancellation
    ///
    /// The green thread unwinds; the child goes on, and nobody waits for it.
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// The program, as given to [`new`](Self::new).
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// The arguments, without the program.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// The variables that were set or (`None`) removed here.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// The directory that the child starts in, if it was set here.
    #[must_use]
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }

    /// std's builder, for `os::unix::process`.
    pub(crate) fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }
}

/// The command line, as std shows it.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

const _: () = {
    const fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Command>();
};
