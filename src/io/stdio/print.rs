//! `print!` and its kin. Where the stream is full, the green thread that prints parks.

use std::fmt;
use std::io::Write;

use super::{stderr, stdout};

/// Writes to the standard output, as [`std::print!`].
///
/// std's own goes to another buffer, and blocks the OS thread with all its green threads where the
/// reader of a pipe is slow. What lies in std's buffer is written first.
/// The harness of `cargo test` does not capture this one.
///
/// # Panics
///
/// Where writing fails.
///
/// # Cancellation
///
/// As a write to [`io::stdout`](crate::io::Stdout).
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => {
        $crate::io::_print(::std::format_args!($($arg)*))
    };
}

/// Writes a line to the standard output, as [`std::println!`]; see [`print!`](crate::print).
///
/// # Panics
///
/// Where writing fails.
///
/// # Cancellation
///
/// As a write to [`io::stdout`](crate::io::Stdout).
///
/// # Examples
///
/// ```
/// use greenlit::println;
///
/// greenlit::run(|| println!("{} green threads", 2));
/// ```
#[macro_export]
macro_rules! println {
    () => {
        $crate::io::_print(::std::format_args!("\n"))
    };
    ($($arg:tt)*) => {
        $crate::io::_print(::std::format_args!("{}\n", ::std::format_args!($($arg)*)))
    };
}

/// Writes to the standard error, as [`std::eprint!`], in one piece.
///
/// # Panics
///
/// Where writing fails.
///
/// # Cancellation
///
/// As a write to [`io::stderr`](crate::io::Stderr).
#[macro_export]
macro_rules! eprint {
    ($($arg:tt)*) => {
        $crate::io::_eprint(::std::format_args!($($arg)*))
    };
}

/// Writes a line to the standard error, as [`std::eprintln!`], in one piece.
///
/// # Panics
///
/// Where writing fails.
///
/// # Cancellation
///
/// As a write to [`io::stderr`](crate::io::Stderr).
#[macro_export]
macro_rules! eprintln {
    () => {
        $crate::io::_eprint(::std::format_args!("\n"))
    };
    ($($arg:tt)*) => {
        $crate::io::_eprint(::std::format_args!("{}\n", ::std::format_args!($($arg)*)))
    };
}

/// What `print!` calls.
#[doc(hidden)]
pub fn _print(args: fmt::Arguments<'_>) {
    if let Err(error) = stdout().write_fmt(args) {
        panic!("failed printing to stdout: {error}");
    }
}

/// What `eprint!` calls. The stream has no buffer: one call for each piece of the format would mix
/// lines with other processes'.
#[doc(hidden)]
pub fn _eprint(args: fmt::Arguments<'_>) {
    let result = match args.as_str() {
        Some(text) => stderr().write_all(text.as_bytes()),
        None => stderr().write_all(args.to_string().as_bytes()),
    };
    if let Err(error) = result {
        panic!("failed printing to stderr: {error}");
    }
}
