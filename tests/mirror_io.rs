//! Every stable item of `std::io` and its prelude has its place in `greenlit::io`, so that replacing
//! `std::` by `greenlit::` in `use` lines compiles; and what greenlit replaces has std's methods.

#![expect(
    unused_qualifications,
    reason = "std's items are told from ours by their paths"
)]

#[expect(unused_imports, reason = "the list of all names is the test")]
use greenlit::io::{
    BufRead, BufReader, BufWriter, Bytes, Chain, Cursor, Empty, Error, ErrorKind, IntoInnerError,
    IoSlice, IoSliceMut, IsTerminal, LineWriter, Lines, PipeReader, PipeWriter, Read, Repeat,
    Result, Seek, SeekFrom, Sink, Split, Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock,
    Take, Write, WriterPanicked, copy, empty, pipe, prelude, read_to_string, repeat, sink, stderr,
    stdin, stdout,
};
#[expect(
    unused_imports,
    reason = "std's `print!` and its kin stand at the crate's root"
)]
use greenlit::{eprint, eprintln, print, println};

use std::any::TypeId;
use std::fmt::Debug;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::process::Stdio;

mod through_the_prelude {
    #[expect(unused_imports, reason = "the list of all names is the test")]
    use greenlit::io::prelude::{BufRead, Read, Seek, Write};
}

fn same<A: 'static, B: 'static>() -> bool {
    TypeId::of::<A>() == TypeId::of::<B>()
}

#[test]
fn what_waits_is_replaced_and_the_rest_is_stds() {
    assert!(!same::<Stdin, std::io::Stdin>());
    assert!(!same::<StdinLock<'static>, std::io::StdinLock<'static>>());
    assert!(!same::<Stdout, std::io::Stdout>());
    assert!(!same::<StdoutLock<'static>, std::io::StdoutLock<'static>>());
    assert!(!same::<Stderr, std::io::Stderr>());
    assert!(!same::<StderrLock<'static>, std::io::StderrLock<'static>>());
    assert!(!same::<PipeReader, std::io::PipeReader>());
    assert!(!same::<PipeWriter, std::io::PipeWriter>());
    assert!(same::<Error, std::io::Error>());
    assert!(same::<BufReader<Empty>, std::io::BufReader<std::io::Empty>>());
}

/// Each line is a function or a method of std's.
#[test]
fn functions_and_methods_have_stds_signatures() {
    let _: fn() -> Stdin = stdin;
    let _: fn() -> Stdout = stdout;
    let _: fn() -> Stderr = stderr;
    let _: fn() -> Result<(PipeReader, PipeWriter)> = pipe;
    let _: fn(&Stdin) -> StdinLock<'static> = Stdin::lock;
    let _: fn(&Stdin, &mut String) -> Result<usize> = Stdin::read_line;
    let _: fn(Stdin) -> Lines<StdinLock<'static>> = Stdin::lines;
    let _: fn(&Stdout) -> StdoutLock<'static> = Stdout::lock;
    let _: fn(&Stderr) -> StderrLock<'static> = Stderr::lock;
    let _: fn(&PipeReader) -> Result<PipeReader> = PipeReader::try_clone;
    let _: fn(&PipeWriter) -> Result<PipeWriter> = PipeWriter::try_clone;
}

/// Each bound is an `impl` of std's.
#[test]
fn types_have_stds_traits() {
    fn is_a_stream<T: AsFd + AsRawFd + IsTerminal + Debug>() {}
    fn is_shared<T: Send + Sync + Unpin>() {}
    fn reads<T: Read>() {}
    fn writes<T: Write>() {}
    fn is_buffered<T: BufRead>() {}
    fn is_a_childs<T: Into<Stdio>>() {}
    fn is_an_fd<T: FromRawFd + IntoRawFd + From<OwnedFd> + Into<OwnedFd> + Into<Stdio>>() {}

    is_a_stream::<Stdin>();
    is_a_stream::<StdinLock<'static>>();
    is_a_stream::<Stdout>();
    is_a_stream::<StdoutLock<'static>>();
    is_a_stream::<Stderr>();
    is_a_stream::<StderrLock<'static>>();
    is_a_stream::<PipeReader>();
    is_a_stream::<PipeWriter>();
    is_shared::<(Stdin, Stdout, Stderr, PipeReader, PipeWriter)>();
    reads::<Stdin>();
    reads::<&Stdin>();
    reads::<StdinLock<'static>>();
    is_buffered::<StdinLock<'static>>();
    writes::<Stdout>();
    writes::<&Stdout>();
    writes::<StdoutLock<'static>>();
    writes::<Stderr>();
    writes::<&Stderr>();
    writes::<StderrLock<'static>>();
    is_a_childs::<Stdout>();
    is_a_childs::<Stderr>();
    reads::<PipeReader>();
    reads::<&PipeReader>();
    writes::<PipeWriter>();
    writes::<&PipeWriter>();
    is_an_fd::<PipeReader>();
    is_an_fd::<PipeWriter>();
}

/// std's copy takes the kernel's short cuts for std's own types only: it goes through ours.
#[test]
fn copy_goes_through_our_types() {
    greenlit::run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let copies = greenlit::thread::spawn(move || {
            let mut copied = Vec::new();
            copy(&mut reader, &mut copied).unwrap();
            copied
        });
        greenlit::thread::yield_now();
        // More than a pipe holds: both sides park in turn.
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        copy(&mut &bytes[..], &mut writer).unwrap();
        drop(writer);
        assert!(copies.join().unwrap() == bytes);
    });
}
