//! A program written against std: a key-value server with a log, its clients, and a pool of workers.
//! tests/ported.rs builds it twice; what differs is this cfg on its imports, and nothing else.

#[cfg(greenlit_ported_std)]
use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError},
    sync::{Arc, Barrier, Condvar, Mutex, Once, OnceLock, RwLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

#[cfg(not(greenlit_ported_std))]
use greenlit::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError},
    sync::{Arc, Barrier, Condvar, Mutex, Once, OnceLock, RwLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use std::collections::{BTreeMap, VecDeque};

/// How long anything may take that is not supposed to take long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients that talk to the server at once.
const CLIENTS: usize = 8;

/// A queue with a bound, of a lock and two conditions.
struct Bounded<T> {
    items: Mutex<VecDeque<T>>,
    capacity: usize,
    not_empty: Condvar,
    not_full: Condvar,
}

impl<T> Bounded<T> {
    fn new(capacity: usize) -> Self {
        Self {
            items: Mutex::new(VecDeque::with_capacity(capacity)),
            capacity,
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
        }
    }

    fn put(&self, item: T) {
        let items = self.items.lock().unwrap();
        let full = |items: &mut VecDeque<T>| items.len() == self.capacity;
        let mut items = self.not_full.wait_while(items, full).unwrap();
        items.push_back(item);
        drop(items);
        self.not_empty.notify_one();
    }

    fn take(&self, patience: Duration) -> Option<T> {
        let items = self.items.lock().unwrap();
        let empty = |items: &mut VecDeque<T>| items.is_empty();
        let waited = self.not_empty.wait_timeout_while(items, patience, empty);
        let (mut items, _) = waited.unwrap();
        let item = items.pop_front();
        drop(items);
        self.not_full.notify_one();
        item
    }
}

/// The server's data, and what it notes about its work.
struct Store {
    values: RwLock<BTreeMap<String, String>>,
    requests: AtomicUsize,
    log: Mutex<Sender<String>>,
}

impl Store {
    fn new() -> (Arc<Self>, Receiver<String>) {
        let (log, lines) = mpsc::channel();
        let store = Self {
            values: RwLock::new(BTreeMap::new()),
            requests: AtomicUsize::new(0),
            log: Mutex::new(log),
        };
        (Arc::new(store), lines)
    }

    fn answer(&self, line: &str) -> String {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("SET"), Some(key), Some(value)) => {
                let mut values = self.values.write().unwrap();
                let old = values.insert(key.to_owned(), value.to_owned());
                if old.is_none() {
                    let log = self.log.lock().unwrap();
                    log.send(format!("new key {key}")).unwrap();
                }
                "OK".to_owned()
            }
            (Some("GET"), Some(key), None) => match self.values.read().unwrap().get(key) {
                Some(value) => format!("VALUE {value}"),
                None => "NONE".to_owned(),
            },
            _ => "ERROR".to_owned(),
        }
    }
}

/// Serves one connection until its end, or until it has said nothing for as long as `patience`.
fn serve(store: &Store, stream: TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let line = match line {
            Ok(line) => line,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                answers.write_all(b"TIMEOUT\n")?;
                return answers.shutdown(Shutdown::Both);
            }
            Err(error) => return Err(error),
        };
        writeln!(answers, "{}", store.answer(&line))?;
    }
    Ok(())
}

/// Accepts so many connections, each with a thread of its own, and joins them all.
fn start_server(
    store: &Arc<Store>,
    connections: usize,
    patience: Duration,
) -> io::Result<(SocketAddr, JoinHandle<io::Result<()>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let store = store.clone();
    let builder = thread::Builder::new().name("server".to_owned());
    let server = builder.spawn(move || {
        let mut handlers = Vec::new();
        for stream in listener.incoming().take(connections) {
            let (stream, store) = (stream?, store.clone());
            handlers.push(thread::spawn(move || serve(&store, stream, patience)));
        }
        for handler in handlers {
            handler.join().expect("a handler panicked")?;
        }
        Ok(())
    })?;
    Ok((address, server))
}

fn ask(stream: &mut BufReader<TcpStream>, question: &str) -> io::Result<String> {
    stream.get_mut().write_all(question.as_bytes())?;
    stream.get_mut().write_all(b"\n")?;
    let mut answer = String::new();
    stream.read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

/// Clients at once, which all begin before any goes on.
fn clients_share_the_store() -> io::Result<String> {
    let (store, log) = Store::new();
    let (address, server) = start_server(&store, CLIENTS, PATIENCE)?;
    let barrier = Barrier::new(CLIENTS);
    let answers = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (barrier, answers) = (&barrier, &answers);
            scope.spawn(move || {
                let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
                let set = ask(&mut stream, &format!("SET key{client} value{client}")).unwrap();
                assert_eq!(set, "OK");
                barrier.wait();
                // Everybody's key is there now.
                let neighbour = (client + 1) % CLIENTS;
                let got = ask(&mut stream, &format!("GET key{neighbour}")).unwrap();
                answers.lock().unwrap().insert(client, got);
            });
        }
    });
    server.join().expect("the server panicked")?;
    let requests = store.requests.load(Ordering::Relaxed);
    drop(store);
    let mut keys: Vec<String> = log.iter().collect();
    keys.sort();
    let answers = answers.into_inner().unwrap();
    Ok(format!(
        "{requests} requests, {} new keys, {answers:?}",
        keys.len()
    ))
}

/// A client that says nothing, and one that sends a question without an answer.
fn silence_times_out() -> io::Result<String> {
    let (store, _log) = Store::new();
    let (address, server) = start_server(&store, 2, Duration::from_millis(20))?;
    let mut silent = TcpStream::connect(address)?;
    let mut said = String::new();
    silent.read_to_string(&mut said)?;
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    let odd = ask(&mut stream, "WHAT")?;
    drop(stream);
    server.join().expect("the server panicked")?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let nobody = TcpStream::connect(listener.local_addr()?)?;
    nobody.set_read_timeout(Some(Duration::from_millis(1)))?;
    let start = Instant::now();
    let error = (&nobody).read(&mut [0]).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(1));
    drop(listener);
    Ok(format!("{said:?} {odd:?} {:?}", error.kind()))
}

/// Producers and consumers on a bounded queue.
fn workers_share_a_queue() -> String {
    let queue = Arc::new(Bounded::new(3));
    let (results, sums) = mpsc::channel();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, results) = (queue.clone(), results.clone());
            thread::spawn(move || {
                let mut sum = 0_u64;
                while let Some(Some(number)) = queue.take(PATIENCE) {
                    sum += number;
                }
                results.send(sum).unwrap();
            })
        })
        .collect();
    drop(results);
    for number in 1..=1000 {
        queue.put(Some(number));
    }
    for _ in &workers {
        queue.put(None);
    }
    for worker in workers {
        worker.join().unwrap();
    }
    let idle = queue.take(Duration::from_millis(1)).is_none();
    format!("sum {} idle {idle}", sums.iter().sum::<u64>())
}

fn fill(sender: &SyncSender<u32>) -> u32 {
    let mut sent = 0;
    loop {
        match sender.try_send(sent) {
            Ok(()) => sent += 1,
            Err(TrySendError::Full(_)) => return sent,
            Err(TrySendError::Disconnected(_)) => unreachable!("the receiver lives"),
        }
    }
}

/// Channels: bounded, unbuffered, timed, and the errors at their ends.
fn channels_end_as_they_should() -> String {
    let (sender, receiver) = mpsc::sync_channel(4);
    let sent = fill(&sender);
    let timed = {
        let (_silent, nothing) = mpsc::channel::<()>();
        nothing.recv_timeout(Duration::from_millis(1))
    };
    assert_eq!(timed, Err(RecvTimeoutError::Timeout));
    let blocked = thread::spawn(move || sender.send(99).is_ok());
    let received: Vec<_> = receiver.iter().collect();
    let (meet, met) = mpsc::sync_channel(0);
    let partner = thread::spawn(move || (met.recv(), met.recv()));
    meet.send("hello").unwrap();
    drop(meet);
    let met = partner.join().unwrap();
    let (orphan, gone) = mpsc::channel();
    drop(gone);
    let returned = orphan.send("nobody").unwrap_err().0;
    let blocked = blocked.join().unwrap();
    format!("{sent} {received:?} {blocked} {met:?} {returned}")
}

/// What happens once, and what goes wrong.
fn panics_and_initialisers() -> String {
    static STARTS: AtomicUsize = AtomicUsize::new(0);
    static START: Once = Once::new();
    static CONFIG: OnceLock<Vec<u32>> = OnceLock::new();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                START.call_once(|| {
                    thread::yield_now();
                    STARTS.fetch_add(1, Ordering::SeqCst);
                });
                CONFIG.get_or_init(|| {
                    thread::sleep(Duration::from_millis(1));
                    vec![1, 2, 3]
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    let shared = Arc::new(Mutex::new(0));
    let poisoner = shared.clone();
    let quiet = thread::Builder::new().name("poisoner".to_owned());
    let payload = quiet
        .spawn(move || {
            let mut held = poisoner.lock().unwrap();
            *held = 7;
            std::panic::resume_unwind(Box::new("on purpose"));
        })
        .unwrap()
        .join()
        .unwrap_err();
    let left_behind = *shared.lock().unwrap_err().into_inner();
    let parked = thread::spawn(|| {
        thread::park();
        "unparked"
    });
    parked.thread().unpark();
    format!(
        "{} {:?} {:?} poisoned {left_behind} {}",
        STARTS.load(Ordering::SeqCst),
        CONFIG.get(),
        payload.downcast_ref::<&str>(),
        parked.join().unwrap()
    )
}

/// Everything, one line each.
pub(crate) fn report() -> io::Result<String> {
    Ok([
        clients_share_the_store()?,
        silence_times_out()?,
        workers_share_a_queue(),
        channels_end_as_they_should(),
        panics_and_initialisers(),
    ]
    .join("\n"))
}

#[allow(
    dead_code,
    reason = "the build as part of a test calls `report` instead"
)]
fn main() -> io::Result<()> {
    println!("{}", report()?);
    Ok(())
}
