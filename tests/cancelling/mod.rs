//! Who cancels, what is cancelled in its middle, and what its streams saw: for the tests of I/O that
//! a cancel ends.

use std::any::Any;
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use greenlit::cancel::{Cancelled, Scope};
use greenlit::net::{TcpListener, TcpStream};
use greenlit::os::unix::net::UnixStream;
use greenlit::process::{Child, Command, Stdio};
use greenlit::thread::yield_now;
use greenlit::time::{self, Duration, Instant};

use crate::scene::start;

/// Who ends the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Scope,
    Deadline,
    Timeout,
    Handle,
    OsThread,
}

pub(crate) const ALL: [By; 5] = [
    By::Scope,
    By::Deadline,
    By::Timeout,
    By::Handle,
    By::OsThread,
];

const REASON: &str = "the test has seen enough";

thread_local! {
    /// How long a timeout is; it is doubled where that was too short to come to the middle.
    static LIMIT: Cell<Duration> = const { Cell::new(Duration::from_millis(20)) };
}

/// The payload of a test whose timeout passed before the call was in its middle.
struct TooEarly;

/// Runs `body` in a green thread of its own and cancels it when `is_due` says that it is in its
/// middle. Returns what the body did; `None` where the cancel has ended it.
pub(crate) fn cancelled_by<R: 'static>(
    by: By,
    mut is_due: impl FnMut() -> bool,
    body: impl FnOnce() -> R + 'static,
) -> Option<R> {
    let scope = Scope::new();
    let inside = scope.clone();
    let because = |cancelled: Cancelled| {
        assert_eq!(cancelled.is_deadline(), by == By::Deadline);
        assert!(by == By::Deadline || cancelled.reason() == REASON);
    };
    let patience = Instant::now() + Duration::from_secs(30);
    let mut wait = || {
        while !is_due() {
            assert!(
                Instant::now() < patience,
                "{by:?}: it does not come to its middle"
            );
            yield_now();
        }
    };
    match by {
        By::Handle => {
            let worker = start(body);
            wait();
            worker.cancel(REASON);
            let payload = |payload: Box<dyn Any + Send>| {
                because(*payload.downcast().expect("no panic"));
            };
            return worker.join().map_err(payload).ok();
        }
        By::Timeout => {
            let limit = LIMIT.get();
            let worker = start(move || time::timeout(limit, body));
            while !is_due() {
                if worker.is_finished() {
                    resume_unwind(Box::new(TooEarly));
                }
                yield_now();
            }
            return worker.join().unwrap().ok();
        }
        By::Scope | By::Deadline | By::OsThread => {}
    }
    let worker = start(move || inside.run(body));
    wait();
    match by {
        By::Deadline => scope.set_deadline(Some(Instant::now())),
        By::OsThread => {
            let handle = scope.handle();
            std::thread::spawn(move || handle.cancel(REASON))
                .join()
                .unwrap();
        }
        _ => scope.cancel(REASON),
    }
    worker.join().unwrap().map_err(because).ok()
}

/// A stream of one direction: what is written here is read there.
pub(crate) struct Ends {
    pub(crate) reader: Watched<Box<dyn Read>>,
    pub(crate) writer: Watched<Box<dyn Write>>,
    /// Whose pipes they are.
    pub(crate) child: Option<Child>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Tcp,
    Unix,
    Pipe,
    Child,
}

impl Kind {
    pub(crate) fn open(self) -> Ends {
        let mut child = None;
        let (reader, writer): (Box<dyn Read>, Box<dyn Write>) = match self {
            Self::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                (Box::new(listener.accept().unwrap().0), Box::new(writer))
            }
            Self::Unix => {
                let (reader, writer) = UnixStream::pair().unwrap();
                (Box::new(reader), Box::new(writer))
            }
            Self::Pipe => {
                let (reader, writer) = greenlit::io::pipe().unwrap();
                (Box::new(reader), Box::new(writer))
            }
            Self::Child => {
                let mut cat = Command::new("cat");
                cat.stdin(Stdio::piped()).stdout(Stdio::piped());
                let cat = child.insert(cat.spawn().unwrap());
                let writer = cat.stdin.take().unwrap();
                (Box::new(cat.stdout.take().unwrap()), Box::new(writer))
            }
        };
        let (reader, writer) = (Watched::new(reader), Watched::new(writer));
        Ends {
            reader,
            writer,
            child,
        }
    }
}

/// Runs `test` for each kind of stream and each way to cancel.
pub(crate) fn each(test: impl Fn(Kind, By)) {
    for kind in [Kind::Tcp, Kind::Unix, Kind::Pipe, Kind::Child] {
        for by in ALL {
            again_if_too_early(|| test(kind, by));
        }
    }
}

/// Runs `test` until no timeout of it has passed too early.
pub(crate) fn again_if_too_early(test: impl Fn()) {
    while let Err(payload) = catch_unwind(AssertUnwindSafe(|| greenlit::run(&test))) {
        match payload.downcast::<TooEarly>() {
            Ok(_) => LIMIT.set(LIMIT.get() * 2),
            Err(payload) => resume_unwind(payload),
        }
    }
}

/// A stream, and what its calls have done.
pub(crate) struct Watched<T> {
    inner: T,
    pub(crate) seen: Rc<Seen>,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// Bytes that came or went.
    pub(crate) bytes: Cell<usize>,
    /// Calls that have begun, and those that have returned.
    pub(crate) begun: Cell<usize>,
    returned: Cell<usize>,
}

impl Seen {
    /// Whether a call is under way: to one who runs meanwhile, that it waits.
    pub(crate) fn waits(&self) -> bool {
        self.begun.get() > self.returned.get()
    }

    fn call(&self, call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        self.begun.set(self.begun.get() + 1);
        let result = call();
        self.returned.set(self.returned.get() + 1);
        self.bytes
            .set(self.bytes.get() + *result.as_ref().unwrap_or(&0));
        result
    }
}

impl<T> Watched<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            seen: Rc::default(),
        }
    }
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.seen.call(|| self.inner.read(buf))
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.seen.call(|| self.inner.write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
