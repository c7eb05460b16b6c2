//! Every blocking call of every module: a cancel unwinds from it while it waits, and before it
//! begins, whether it would wait or not (rules 18 and 19, behaviours 25 and 32).

use std::cell::Cell;
use std::fs as std_fs;
use std::panic;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use greenlit::cancel::{self, Cancelled, Scope};
use greenlit::coroutine::Coroutine;
use greenlit::future::{self, Promise};
use greenlit::io::{self, BufRead, BufReader, Read, Write};
use greenlit::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use greenlit::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use greenlit::park::{Reason, WaitQueue, Waiter};
use greenlit::process::{Command, Stdio};
use greenlit::signal::{Signal, Signals};
use greenlit::sync::queue::Queue;
use greenlit::sync::{
    Barrier, Condvar, Event, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup,
    broadcast, mpmc, mpsc, oneshot, watch,
};
use greenlit::time::{Duration, Instant, interval_at, timeout};
use greenlit::{Handle, blocking, fs, run, select, thread};

const LONG: Duration = Duration::from_secs(3600);

/// A name, and a call.
type Call = (&'static str, fn());

/// Each waits until it is cancelled.
const WAITING: &[Call] = &[
    ("thread::park", thread::park),
    ("thread::park_timeout", || thread::park_timeout(LONG)),
    ("thread::sleep", || thread::sleep(LONG)),
    ("thread::sleep_until", || {
        thread::sleep_until(Instant::now() + LONG)
    }),
    ("yield_now", || {
        loop {
            thread::yield_now();
        }
    }),
    ("checkpoint", || {
        loop {
            cancel::checkpoint();
        }
    }),
    ("Interval::tick", || {
        let _ = interval_at(Instant::now() + LONG, LONG).tick();
    }),
    ("join", || drop(thread::spawn(thread::park).join())),
    ("thread::scope", || {
        thread::scope(|s| drop(s.spawn(thread::park)));
    }),
    ("ScopedJoinHandle::join", || {
        thread::scope(|s| drop(s.spawn(thread::park).join()));
    }),
    ("Mutex::lock", || {
        drop(held(Mutex::new(()), |lock| park_with(lock.lock())).lock())
    }),
    ("Mutex::lock_timeout", || {
        let lock = held(Mutex::new(()), |lock| park_with(lock.lock()));
        let _ = lock.lock_timeout(LONG).is_ok();
    }),
    ("RwLock::read", || {
        drop(held(RwLock::new(()), |lock| park_with(lock.write())).read())
    }),
    ("RwLock::write", || {
        drop(held(RwLock::new(()), |lock| park_with(lock.read())).write())
    }),
    ("RwLock::write_timeout", || {
        let lock = held(RwLock::new(()), |lock| park_with(lock.read()));
        let _ = lock.write_timeout(LONG).is_ok();
    }),
    ("Condvar::wait", || {
        let (lock, condvar) = (Mutex::new(()), Condvar::new());
        drop(condvar.wait(lock.lock().unwrap()));
    }),
    ("Condvar::wait_timeout", || {
        let (lock, condvar) = (Mutex::new(()), Condvar::new());
        drop(condvar.wait_timeout(lock.lock().unwrap(), LONG));
    }),
    ("Semaphore::acquire", || drop(Semaphore::new(0).acquire())),
    ("Barrier::wait", || {
        Barrier::new(2).wait();
    }),
    ("Event::wait", || Event::new().wait()),
    ("WaitGroup::wait", || {
        let group = WaitGroup::new();
        group.add(1);
        group.wait();
    }),
    ("Once::call_once", || {
        let (once, go) = (Rc::new(Once::new()), Rc::new(Event::new()));
        let (busy, goes) = (once.clone(), go.clone());
        let _sets = Sets(go);
        // It is shielded, and ends when the call below has.
        thread::spawn(move || busy.call_once(|| goes.wait()));
        thread::yield_now();
        once.call_once(|| ());
    }),
    ("OnceLock::wait", || {
        OnceLock::<()>::new().wait();
    }),
    ("block_on", || future::block_on(std::future::pending())),
    ("join of a future", || {
        drop(future::spawn(std::future::pending::<()>()).join());
    }),
    ("Promise::wait", || {
        let _ = Promise::<()>::new().wait().is_ok();
    }),
    ("RemoteHandle::join", || {
        let remote = Handle::current().spawn_future(std::future::pending::<()>);
        drop(remote.join());
    }),
    ("Queue::get", || {
        let _ = Queue::<()>::new().get();
    }),
    ("Queue::put", || {
        let queue = Queue::new().with_bound(1);
        queue.put(()).unwrap();
        let _ = queue.put(());
    }),
    ("Queue::join", || {
        let queue = Queue::new();
        queue.put(()).unwrap();
        queue.join();
    }),
    ("mpsc recv", || {
        let (_sender, receiver) = mpsc::channel::<()>();
        let _ = receiver.recv();
    }),
    ("mpsc recv_timeout", || {
        let (_sender, receiver) = mpsc::channel::<()>();
        let _ = receiver.recv_timeout(LONG);
    }),
    ("mpsc iter", || {
        let (_sender, receiver) = mpsc::channel::<()>();
        receiver.iter().for_each(drop);
    }),
    ("mpsc send, full", || {
        let (sender, _receiver) = mpsc::sync_channel(1);
        sender.send(1).unwrap();
        let _ = sender.send(2);
    }),
    ("mpsc send, rendezvous", || {
        let (sender, _receiver) = mpsc::sync_channel(0);
        let _ = sender.send(1);
    }),
    ("mpmc recv", || {
        let (_sender, receiver) = mpmc::channel::<()>();
        let _ = receiver.recv();
    }),
    ("oneshot recv", || {
        let (_sender, receiver) = oneshot::channel::<()>();
        let _ = receiver.recv();
    }),
    ("broadcast recv", || {
        let (_sender, mut receiver) = broadcast::channel::<()>(1);
        let _ = receiver.recv();
    }),
    ("watch changed", || {
        let (_sender, mut receiver) = watch::channel(0);
        let _ = receiver.changed();
    }),
    ("select!", || {
        let (_sender, receiver) = mpsc::channel::<()>();
        let other = thread::spawn(thread::park);
        select! {
            recv(receiver) => {},
            join(other) => {},
        }
    }),
    ("WaitQueue::park", || {
        WaitQueue::new().park(Reason::new("testing"))
    }),
    ("Waiter::park", || {
        Waiter::with(|waiter| waiter.park(Reason::shared("testing"), || false));
    }),
    ("accept", || {
        let _ = TcpListener::bind("127.0.0.1:0").unwrap().accept();
    }),
    ("UnixListener::incoming", || {
        let path = std::env::temp_dir().join(format!("greenlit-{}-{:p}", std::process::id(), &0));
        let _ = std_fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        std_fs::remove_file(&path).unwrap();
        listener.incoming().for_each(drop);
    }),
    ("TcpStream::read", || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _ = stream.read(&mut [0]);
    }),
    ("TcpStream::peek", || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _ = stream.peek(&mut [0]);
    }),
    ("UdpSocket::recv_from", || {
        let _ = UdpSocket::bind("127.0.0.1:0").unwrap().recv_from(&mut [0]);
    }),
    ("UnixDatagram::recv", || {
        let (here, _there) = UnixDatagram::pair().unwrap();
        let _ = here.recv(&mut [0]);
    }),
    ("UnixStream::write_all", || {
        let (mut here, _there) = UnixStream::pair().unwrap();
        let _ = here.write_all(&vec![0; 16 << 20]);
    }),
    ("io::copy", || {
        let (mut here, _there) = UnixStream::pair().unwrap();
        let _ = io::copy(&mut here, &mut io::sink());
    }),
    ("BufReader::lines", || {
        let (here, _there) = UnixStream::pair().unwrap();
        BufReader::new(here).lines().for_each(drop);
    }),
    ("a pipe", || {
        let (mut reader, _writer) = io::pipe().unwrap();
        let _ = reader.read(&mut [0]);
    }),
    ("Child::wait", || {
        let mut child = Kills(Command::new("sleep").arg("3600").spawn().unwrap());
        let _ = child.0.wait();
    }),
    ("a child's stdout", || {
        let mut command = Command::new("sleep");
        let mut child = Kills(command.arg("3600").stdout(Stdio::piped()).spawn().unwrap());
        let _ = child.0.stdout.take().unwrap().read(&mut [0]);
    }),
    ("Signals::recv", || {
        let _ = Signals::new([Signal::USR2]).unwrap().recv();
    }),
    ("blocking::unblock", || {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let _ends_it = sender;
        blocking::unblock(move || {
            let _ = receiver.recv();
        });
    }),
    ("a coroutine's body", || {
        let coroutine = Coroutine::<(), (), ()>::new(|_, ()| thread::park());
        let _ = coroutine.resume(());
    }),
];

/// Each is done at once, unless it is cancelled.
const READY: &[Call] = &[
    ("yield_now", thread::yield_now),
    ("checkpoint", cancel::checkpoint),
    ("sleep", || thread::sleep(Duration::ZERO)),
    ("block_on", || future::block_on(async {})),
    ("Mutex::lock", || drop(Mutex::new(()).lock())),
    ("RwLock::read", || drop(RwLock::new(()).read())),
    ("RwLock::write", || drop(RwLock::new(()).write())),
    ("Semaphore::acquire", || drop(Semaphore::new(1).acquire())),
    ("Barrier::wait", || {
        Barrier::new(1).wait();
    }),
    ("Event::wait", || {
        let event = Event::new();
        event.set();
        event.wait();
    }),
    ("WaitGroup::wait", || WaitGroup::new().wait()),
    ("OnceLock::wait", || {
        let cell = OnceLock::from(1);
        cell.wait();
    }),
    ("send", || {
        let _ = mpsc::channel().0.send(());
    }),
    ("try_send leaves room, send takes it", || {
        let (sender, _receiver) = mpsc::sync_channel(1);
        sender.send(()).unwrap();
    }),
    ("files", || drop(fs::metadata("/"))),
    ("File::read", || {
        let _ = fs::File::open("/dev/zero").unwrap().read(&mut [0]);
    }),
    ("names", || {
        drop(
            "127.0.0.1:80"
                .to_socket_addrs()
                .map(drop)
                .and_then(|()| ("localhost", 1).to_socket_addrs()),
        )
    }),
    ("UnixStream::write", || {
        let (mut here, _there) = UnixStream::pair().unwrap();
        let _ = here.write(b"x");
    }),
    ("UdpSocket::send_to", || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = socket.send_to(b"x", socket.local_addr().unwrap());
    }),
    ("unblock", || blocking::unblock(|| ())),
];

/// Sets its event when it goes.
struct Sets(Rc<Event>);

impl Drop for Sets {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Something that another green thread has taken, and keeps.
fn held<T: 'static>(it: T, take: fn(&T)) -> Rc<T> {
    let it = Rc::new(it);
    let taken = it.clone();
    thread::spawn(move || take(&taken));
    thread::yield_now();
    it
}

fn park_with<G>(_guard: G) {
    thread::park();
}

/// A child that does not outlive its test.
struct Kills(greenlit::process::Child);

impl Drop for Kills {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        let _ = cancel::shield(|| self.0.wait());
    }
}

/// Counts its drops.
struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// How a call is cancelled.
const WAYS: [&str; 4] = ["scope", "deadline", "handle", "another OS thread"];

/// Cancels a call by `way`, when it waits or, if it is to be `early`, before it begins. Returns
/// whether that unwound it.
fn is_ended(call: fn(), way: &str, early: bool) -> bool {
    let dropped = Rc::new(Cell::new(0));
    let scope = Scope::new();
    let go = Rc::new(Event::new());
    let victim = thread::spawn({
        let (counted, scope, go) = (Counted(dropped.clone()), scope.clone(), go.clone());
        move || {
            scope.run(move || {
                let _counted = counted;
                cancel::shield(|| go.wait());
                call();
            })
        }
    });
    let cancels = || match way {
        "scope" => scope.cancel("enough"),
        "deadline" => scope.set_deadline(Some(Instant::now())),
        "handle" => victim.cancel("enough"),
        _ => {
            let handle = scope.handle();
            std::thread::spawn(move || handle.cancel("enough"))
                .join()
                .unwrap();
        }
    };
    if early {
        cancels();
        go.set();
    } else {
        go.set();
        // It waits by then; if it did not, the cancel would only come earlier.
        for _ in 0..20 {
            thread::yield_now();
        }
        cancels();
    }
    let ended = match victim.join() {
        Ok(result) => result.is_err(),
        Err(payload) => payload.is::<Cancelled>(),
    };
    assert_eq!(dropped.get(), 1, "by {way}");
    ended
}

/// Panic messages of this process so far; a cancel prints none.
fn count_panics() -> &'static AtomicUsize {
    static PANICS: LazyLock<Arc<AtomicUsize>> = LazyLock::new(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let counts = count.clone();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            counts.fetch_add(1, Ordering::Relaxed);
            before(info);
        }));
        count
    });
    &PANICS
}

#[test]
fn a_cancel_unwinds_from_every_call_that_waits() {
    let panics = count_panics();
    for (name, call) in WAITING {
        for way in WAYS {
            assert!(run(|| is_ended(*call, way, false)), "{name} by {way}");
        }
    }
    assert_eq!(panics.load(Ordering::Relaxed), 0);
}

#[test]
fn a_cancel_unwinds_from_every_call_before_it_waits() {
    for (name, call) in WAITING {
        for way in WAYS {
            assert!(run(|| is_ended(*call, way, true)), "{name} by {way}");
        }
    }
}

/// Rule 19: ready or not.
#[test]
fn a_cancel_unwinds_from_calls_that_are_ready() {
    for (name, call) in READY {
        // As a check of the check: they are done if nobody cancels them.
        run(call);
        for way in WAYS {
            assert!(run(|| is_ended(*call, way, true)), "{name} by {way}");
        }
    }
}

/// Rule 22: a timeout inside an initialiser of a static does not leave it without its value.
#[test]
fn initialisers_are_shielded() {
    static VALUE: LazyLock<u32> = LazyLock::new(|| {
        thread::yield_now();
        thread::sleep(Duration::from_millis(2));
        7
    });
    run(|| {
        let result = timeout(Duration::from_millis(1), || {
            let value = *VALUE;
            thread::yield_now();
            value
        });
        assert!(result.is_err(), "the cancel came behind it");
        assert_eq!(*VALUE, 7);
        let cell = OnceLock::new();
        let result = timeout(Duration::ZERO, || {
            // The wait for others' initialisers is none: it begins at once, and is shielded.
            *cancel::shield(|| cell.get_or_init(|| (thread::yield_now(), 3).1))
        });
        assert_eq!((result, cell.get()), (Ok(3), Some(&3)));
    });
}

/// Rule 21: a call whose memory another OS thread holds is not abandoned.
#[test]
fn a_read_that_borrows_its_buffer_is_waited_for() {
    run(|| {
        let path = std::env::temp_dir().join(format!("greenlit-borrows-{}", std::process::id()));
        std_fs::write(&path, vec![7; 1 << 20]).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let scope = Scope::new();
        let canceller = thread::spawn({
            let scope = scope.clone();
            move || scope.cancel("while the pool reads")
        });
        let read = scope.run(|| fs::File::open(&path)?.read(&mut buffer));
        canceller.join().unwrap();
        std_fs::remove_file(&path).unwrap();
        // It was cancelled before the read, or the read was completed: nobody writes to it later.
        match read {
            Ok(count) => assert!(buffer[..count.unwrap()].iter().all(|byte| *byte == 7)),
            Err(_) => assert!(buffer.iter().all(|byte| [0, 7].contains(byte))),
        }
    });
}
