//! What blocking calls do for a green thread that is cancelled and cannot be unwound: each call, and
//! what it says. Shared by `tests/abort`, a program whose panics abort, and by `tests/no_unwind.rs`, whose
//! frames cannot be unwound; `around` is where they differ.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use greenlit::cancel::{self, Cancelled, Scope};
use greenlit::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use greenlit::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use greenlit::os::unix::net::UnixStream;
use greenlit::process::{Command, Stdio};
use greenlit::signal::{Signal, Signals};
use greenlit::sync::{
    Barrier, Condvar, Event, Mutex, Once, RwLock, Semaphore, WaitGroup, broadcast, mpsc, oneshot,
    watch,
};
use greenlit::time::{Duration, Instant, interval, timeout};
use greenlit::{blocking, fs, run, select, thread};

use super::around;

/// So long that whoever waits for it has not waited.
const LONG: Duration = Duration::from_secs(3600);

const WHY: &str = "told to stop";

/// A name, and what is called.
type Check<R> = (&'static str, fn() -> R);

/// I/O that would wait for ever, or go on for ever without waiting.
const IO: &[Check<io::Result<()>>] = &[
    ("read", || {
        let (mut here, _there) = UnixStream::pair()?;
        here.read(&mut [0]).map(|_| ())
    }),
    ("read_exact", || {
        let (mut here, mut there) = UnixStream::pair()?;
        there.write_all(b"too little")?;
        here.read_exact(&mut [0; 100])
    }),
    ("write_all", || {
        let (mut here, _there) = UnixStream::pair()?;
        here.write_all(&vec![0; 16 << 20])
    }),
    ("io::copy", || {
        let (mut here, mut there) = UnixStream::pair()?;
        there.write_all(b"some of it")?;
        io::copy(&mut here, &mut io::sink()).map(|_| ())
    }),
    ("BufReader::lines", || {
        let (here, mut there) = UnixStream::pair()?;
        there.write_all(b"one line\n")?;
        for line in BufReader::new(here).lines() {
            assert_eq!(line?, "one line");
        }
        Ok(())
    }),
    ("reads and writes that are ready", || {
        let (mut here, mut there) = UnixStream::pair()?;
        loop {
            there.write_all(b"x")?;
            here.read_exact(&mut [0])?;
        }
    }),
    ("accept", || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.accept().map(|_| ())
    }),
    ("incoming", || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        for stream in listener.incoming() {
            stream?;
        }
        Ok(())
    }),
    ("connect, again and again", || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        loop {
            TcpStream::connect(listener.local_addr()?)?;
            listener.accept()?;
        }
    }),
    ("recv_from", || {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.recv_from(&mut [0]).map(|_| ())
    }),
    ("a pipe", || {
        let (mut reader, _writer) = io::pipe()?;
        reader.read(&mut [0]).map(|_| ())
    }),
    ("files, again and again", || {
        let mut zeros = fs::File::open("/dev/zero")?;
        loop {
            zeros.read_exact(&mut [0; 64])?;
        }
    }),
    ("a lock on a file", || {
        let path = std::env::temp_dir().join(format!("greenlit-{}", std::process::id()));
        let [held, wanted] = [fs::File::create(&path)?, fs::File::create(&path)?];
        fs::remove_file(&path)?;
        held.lock()?;
        wanted.lock()
    }),
    ("to_socket_addrs, again and again", || {
        loop {
            ("localhost", 80).to_socket_addrs()?;
        }
    }),
    ("Child::wait", || {
        let mut child = Command::new("sleep").arg("3600").spawn()?;
        let waited = child.wait().map(|_| ());
        child.kill()?;
        cancel::shield(|| child.wait())?;
        waited
    }),
    ("Child::wait_with_output", || {
        let mut command = Command::new("sleep");
        let child = command.arg("3600").stdout(Stdio::piped()).spawn()?;
        let id = child.id();
        let waited = child.wait_with_output().map(|_| ());
        std::process::Command::new("kill")
            .arg(id.to_string())
            .status()?;
        waited
    }),
    ("Signals::recv", || {
        Signals::new([Signal::USR1])?.recv().map(|_| ())
    }),
    ("Signals::recv_timeout", || {
        Signals::new([Signal::USR1])?.recv_timeout(LONG).map(|_| ())
    }),
];

/// Calls that end early, or return an error of their own: whether they said what they are to say.
const EARLY: &[Check<bool>] = &[
    ("yield_now returns", || {
        thread::yield_now();
        true
    }),
    ("checkpoint returns", || {
        cancel::checkpoint();
        true
    }),
    ("sleep returns early", || {
        let start = Instant::now();
        thread::sleep(LONG);
        start.elapsed() < LONG
    }),
    ("sleep_until returns early", || {
        let end = Instant::now() + LONG;
        thread::sleep_until(end);
        Instant::now() < end
    }),
    ("park returns early", || {
        thread::park();
        true
    }),
    ("park_timeout returns early", || {
        thread::park_timeout(LONG);
        true
    }),
    ("Interval::tick returns early", || {
        let mut ticks = interval(LONG);
        ticks.tick();
        ticks.tick();
        true
    }),
    ("mpsc recv: disconnected", || {
        let (_sender, receiver) = mpsc::channel::<u8>();
        receiver.recv() == Err(mpsc::RecvError)
            && receiver.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Disconnected)
            && receiver.iter().next().is_none()
    }),
    ("mpsc send that would wait: the item comes back", || {
        let (sender, _receiver) = mpsc::sync_channel(1);
        sender.send(1) == Ok(()) && sender.send(2) == Err(mpsc::SendError(2))
    }),
    ("oneshot recv: disconnected", || {
        let (_sender, receiver) = oneshot::channel::<u8>();
        receiver.recv().is_err() && receiver.recv_timeout(LONG).is_err()
    }),
    ("broadcast recv: closed", || {
        let (_sender, mut receiver) = broadcast::channel::<u8>(1);
        receiver.recv() == Err(broadcast::RecvError::Closed)
    }),
    ("watch changed: closed", || {
        let (_sender, mut receiver) = watch::channel(1);
        receiver.changed().is_err() && receiver.changed_timeout(LONG).is_err()
    }),
    ("select! of a receive: disconnected", || {
        let (_sender, receiver) = mpsc::channel::<u8>();
        select! {
            recv(receiver) -> received => received.is_err(),
        }
    }),
    ("Condvar::wait_timeout: timed out, with the lock", || {
        let (condvar, lock) = (Condvar::new(), Mutex::new(7));
        let (guard, over) = condvar.wait_timeout(lock.lock().unwrap(), LONG).unwrap();
        *guard == 7 && over.timed_out() && lock.try_lock().is_err()
    }),
    ("Condvar::wait_timeout_while: timed out", || {
        let (condvar, lock) = (Condvar::new(), Mutex::new(7));
        let guard = lock.lock().unwrap();
        let (_, over) = condvar.wait_timeout_while(guard, LONG, |_| true).unwrap();
        over.timed_out()
    }),
    ("Semaphore::acquire_timeout: none", || {
        Semaphore::new(0).acquire_timeout(LONG).is_none()
    }),
    ("Event::wait_timeout: false", || {
        !Event::new().wait_timeout(LONG)
    }),
    ("WaitGroup::wait_timeout: false", || {
        let group = WaitGroup::new();
        group.add(1);
        !group.wait_timeout(LONG)
    }),
    (
        "thread::scope cancels its threads, and waits for them",
        || {
            let ended = Cell::new(false);
            thread::scope(|s| {
                s.spawn(|| {
                    around(thread::park);
                    ended.set(true);
                });
            });
            ended.get()
        },
    ),
    ("cancel::shield hides it", || {
        cancel::shield(|| timeout(Duration::from_millis(1), around_sleep).is_ok())
    }),
];

/// In a timeout of its own nothing unwinds either: its value is returned.
fn around_sleep() {
    around(|| thread::sleep(LONG));
}

/// Both halves of a call that waits as if nobody had cancelled it: what waits, and what ends it.
type Halves = (Box<dyn FnOnce()>, Box<dyn FnOnce()>);

/// Calls that do not hear of a cancel.
const DEAF: &[Check<Halves>] = &[
    ("Mutex::lock", || {
        let lock = Arc::new(Mutex::new(0));
        let held = hold(&lock);
        (Box::new(move || *lock.lock().unwrap() += 1), held)
    }),
    ("RwLock::write", || {
        let lock = Arc::new(RwLock::new(0));
        let (release, is_released) = mpsc::channel::<()>();
        let reader = lock.clone();
        thread::spawn(move || {
            let _guard = reader.read().unwrap();
            let _ = is_released.recv();
        });
        thread::yield_now();
        let wait = move || *lock.write().unwrap() += 1;
        (Box::new(wait), Box::new(move || drop(release)))
    }),
    ("Condvar::wait_while", || {
        let pair = Arc::new((Condvar::new(), Mutex::new(true)));
        let waiting = pair.clone();
        let wait = move || {
            let guard = waiting.1.lock().unwrap();
            drop(waiting.0.wait_while(guard, |waits| *waits).unwrap());
        };
        let release = move || {
            *pair.1.lock().unwrap() = false;
            pair.0.notify_one();
        };
        (Box::new(wait), Box::new(release))
    }),
    ("Semaphore::acquire", || {
        let semaphore = Arc::new(Semaphore::new(0));
        let waiting = semaphore.clone();
        let wait = move || drop(waiting.acquire());
        (Box::new(wait), Box::new(move || semaphore.add_permits(1)))
    }),
    ("Barrier::wait", || {
        let barrier = Arc::new(Barrier::new(2));
        let other = barrier.clone();
        let wait = move || {
            barrier.wait();
        };
        let release = move || {
            other.wait();
        };
        (Box::new(wait), Box::new(release))
    }),
    ("Event::wait", || {
        let event = Arc::new(Event::new());
        let waiting = event.clone();
        (
            Box::new(move || waiting.wait()),
            Box::new(move || event.set()),
        )
    }),
    ("WaitGroup::wait", || {
        let group = Arc::new(WaitGroup::new());
        group.add(1);
        let waiting = group.clone();
        (
            Box::new(move || waiting.wait()),
            Box::new(move || group.done()),
        )
    }),
    ("Once::wait", || {
        let once = Arc::new(Once::new());
        let waiting = once.clone();
        (
            Box::new(move || waiting.wait()),
            Box::new(move || once.call_once(|| ())),
        )
    }),
    ("JoinHandle::join", || {
        let other = thread::spawn(thread::park);
        let end = other.thread().clone();
        let wait = move || other.join().expect("no panic");
        (Box::new(wait), Box::new(move || end.unpark()))
    }),
    ("blocking::unblock", || {
        let (release, is_released) = std::sync::mpsc::channel::<()>();
        let wait = move || {
            let _ = blocking::unblock(move || is_released.recv());
        };
        (Box::new(wait), Box::new(move || drop(release)))
    }),
];

/// Has another green thread hold the lock until what is returned is called.
fn hold(lock: &Arc<Mutex<i32>>) -> Box<dyn FnOnce()> {
    let (lock, (release, is_released)) = (lock.clone(), mpsc::channel::<()>());
    thread::spawn(move || {
        let _guard = lock.lock().unwrap();
        let _ = is_released.recv();
    });
    thread::yield_now();
    Box::new(move || drop(release))
}

/// Goes through all of it, and prints what it finds.
pub(crate) fn check() {
    for (what, call) in IO {
        for (way, result) in in_each_way(*call) {
            check_error(what, way, result.expect_err("an error"));
        }
        println!("{what}: an error that says so");
    }
    for (what, call) in EARLY {
        for (way, is_so) in in_each_way(*call) {
            assert!(is_so, "{what}, {way}");
        }
        println!("{what}");
    }
    for (what, call) in DEAF {
        run(|| {
            let (wait, release) = call();
            let worker = thread::spawn(|| around(wait));
            let_it_begin();
            worker.cancel(WHY);
            let_it_begin();
            assert!(!worker.is_finished(), "{what} has ended early");
            release();
            worker.join().expect("it was not unwound");
        });
        println!("{what}: waits as ever");
    }
}

/// What `f` returns to a green thread that is cancelled in each way while it waits, or goes on.
fn in_each_way<R: 'static>(f: fn() -> R) -> [(&'static str, R); 5] {
    let by_handle = run(|| {
        let worker = thread::spawn(move || around(f));
        let_it_begin();
        worker.cancel(WHY);
        worker.join().expect("it was not unwound")
    });
    let by_scope = run(|| {
        let scope = Scope::new();
        let canceller = thread::spawn({
            let scope = scope.clone();
            move || {
                let_it_begin();
                scope.cancel(WHY);
            }
        });
        let result = scope.run(|| around(f)).expect("it was not unwound");
        canceller.join().expect("no panic");
        result
    });
    let before = run(|| {
        let scope = Scope::new();
        scope.cancel(WHY);
        scope.run(|| around(f)).expect("it was not unwound")
    });
    let by_timeout = run(|| timeout(Duration::from_millis(2), || around(f)).expect("no unwinding"));
    let at_the_end = Rc::new(RefCell::new(None));
    run(|| {
        let result = at_the_end.clone();
        drop(thread::spawn(move || {
            result.replace(Some(around(f)));
        }));
        let_it_begin();
    });
    let at_the_end = at_the_end.take().expect("it has come to its end");
    [
        ("handle", by_handle),
        ("scope", by_scope),
        ("scope, before", before),
        ("timeout", by_timeout),
        ("end of the run", at_the_end),
    ]
}

/// Lets a green thread come to its first wait.
fn let_it_begin() {
    (0..20).for_each(|_| thread::yield_now());
}

fn check_error(what: &str, way: &str, error: io::Error) {
    let cancelled = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Cancelled>());
    let cancelled = cancelled.unwrap_or_else(|| panic!("{what}, {way}: {error:?}"));
    let (kind, reason) = match way {
        "timeout" => (ErrorKind::TimedOut, "the deadline has passed"),
        "end of the run" => (ErrorKind::Other, "the run has ended"),
        _ => (ErrorKind::Other, WHY),
    };
    assert_eq!(error.kind(), kind, "{what}, {way}");
    assert_eq!(cancelled.reason(), reason, "{what}, {way}");
}
