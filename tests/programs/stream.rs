//! Bytes that go through a socket pair or a pipe: none is lost, and none comes twice.

use std::cell::Cell;
use std::io::{self, Read, Write};

use greenlit::io::{PipeReader, PipeWriter, ReadyArm, pipe, readable};
use greenlit::os::unix::net::UnixStream;
use nix::sys::socket::{setsockopt, sockopt};

use super::ledger::Ledger;

/// Bytes that go through a file descriptor.
pub(crate) struct Stream {
    ends: Ends,
    /// How many bytes were written and read, and their sums.
    pub(crate) written: Cell<(usize, u64)>,
    pub(crate) read: Cell<(usize, u64)>,
}

enum Ends {
    Socket(UnixStream, UnixStream),
    Pipe(PipeReader, PipeWriter),
}

impl Stream {
    pub(super) fn new(index: usize) -> Self {
        // Little room, so that writers wait.
        let ends = if index == 0 {
            let (near, far) = UnixStream::pair().expect("a socket pair");
            setsockopt(&near, sockopt::SndBuf, &4096).expect("a small buffer");
            Ends::Socket(near, far)
        } else {
            let (reader, writer) = pipe().expect("a pipe");
            Ends::Pipe(reader, writer)
        };
        Self {
            ends,
            written: Cell::new((0, 0)),
            read: Cell::new((0, 0)),
        }
    }

    pub(super) fn left(&self) -> usize {
        self.written.get().0 - self.read.get().0
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &self.ends {
            Ends::Socket(near, _) => { near }.write(bytes)?,
            Ends::Pipe(_, writer) => { writer }.write(bytes)?,
        };
        add(&self.written, &bytes[..count]);
        Ok(count)
    }

    pub(crate) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = match &self.ends {
            Ends::Socket(_, far) => { far }.read(bytes)?,
            Ends::Pipe(reader, _) => { reader }.read(bytes)?,
        };
        add(&self.read, &bytes[..count]);
        Ok(count)
    }

    pub(crate) fn readable(&self) -> ReadyArm<'_> {
        match &self.ends {
            Ends::Socket(_, far) => readable(far),
            Ends::Pipe(reader, _) => readable(reader),
        }
    }

    /// What was written and not read is there, and nothing else.
    pub(super) fn check_rest(&self, ledger: &Ledger) {
        let mut bytes = [0; 512];
        while self.left() > 0 {
            match self.read(&mut bytes) {
                Ok(count) if count > 0 => {}
                other => {
                    return ledger.fault(format!("{} bytes are missing: {other:?}", self.left()));
                }
            }
        }
        if self.written.get() != self.read.get() {
            ledger.fault("other bytes were read than were written");
        }
    }
}

fn add(sum: &Cell<(usize, u64)>, bytes: &[u8]) {
    let (count, total) = sum.get();
    let more: u64 = bytes.iter().copied().map(u64::from).sum();
    sum.set((count + bytes.len(), total + more));
}
