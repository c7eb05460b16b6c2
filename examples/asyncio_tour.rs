//! Python's asyncio, facility by facility, in the order of its documentation: each line of Python in a
//! comment, greenlit's below it. docs/ASYNCIO.md has the tables.
//!
//! ```text
//! cargo run --example asyncio_tour
//! ```

use greenlit::cancel::{self, Cancelled, Scope};
use greenlit::event_loop::{add_reader, call_at, call_later, call_soon};
use greenlit::future::{self, Promise, block_on};
use greenlit::io::{self, BufRead, BufReader, Read, Write};
use greenlit::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use greenlit::os::unix::net::UnixStream;
use greenlit::process::{Command, Stdio};
use greenlit::signal::{Signal, Signals};
use greenlit::sync::queue::{PriorityQueue, Queue, ShutDown, TryGetError, TryPutError};
use greenlit::sync::{Barrier, Condvar, Event, Mutex, Semaphore};
use greenlit::time::{Duration, Instant};
use greenlit::{Handle, Runtime, blocking, thread, time};
use std::cell::Cell;

/// `0.001`.
const MOMENT: Duration = Duration::from_millis(1);
/// `3600`.
const HOUR: Duration = Duration::from_secs(3600);

type Anything = Result<(), Box<dyn std::error::Error>>;
type Chapter = (&'static str, fn() -> Anything);

pub(crate) fn main() {
    let chapters: [Chapter; 9] = [
        ("Coroutines and Tasks", coroutines_and_tasks),
        ("Many at once", many_at_once),
        ("Streams", streams),
        ("Synchronization Primitives", synchronization),
        ("Subprocesses", subprocesses),
        ("Queues", queues),
        ("Event Loop", event_loop),
        ("Futures", futures),
        ("Introspection", introspection),
    ];
    runners();
    for (title, chapter) in chapters {
        println!("{title}");
        // asyncio.run(chapter())
        greenlit::run(chapter).expect("nothing fails");
    }
}

fn runners() {
    println!("Runners");
    // asyncio.run(main())
    greenlit::run(|| thread::sleep(MOMENT));

    // with asyncio.Runner() as runner:
    let mut runner = Runtime::builder().build().expect("an epoll of its own");
    //     runner.run(main())
    runner.run(|| ());
    //     runner.run(main())
    runner.run(|| block_on(future::sleep(MOMENT)));
}

/// `async def say_after(delay, what)`, as a future.
async fn say_after(delay: Duration, what: &str) -> usize {
    // await asyncio.sleep(delay)
    future::sleep(delay).await;
    // print(what)
    println!("  {what}");
    what.len()
}

fn coroutines_and_tasks() -> Anything {
    // await say_after(0.001, "hello")
    block_on(say_after(MOMENT, "hello"));
    // The same by a green thread, which may block:
    let shouter = thread::spawn(|| {
        thread::sleep(MOMENT);
        println!("  HELLO");
    });
    shouter.join().map_err(|_| "it panicked")?;

    // task = asyncio.create_task(say_after(0.001, "world"), name="speaker")
    let named = future::Builder::new().name("speaker".into());
    let task = named.spawn(say_after(MOMENT, "world"))?;
    // await task
    assert!(matches!(task.join(), Ok(5)));

    // task = asyncio.Task(coro(), loop=loop, eager_start=True)
    let eager = future::Builder::new().eager(true).spawn(async { 42 })?;
    // task.done()
    assert!(eager.is_finished());

    // task = asyncio.create_task(asyncio.sleep(3600)); task.cancel("enough")
    let sleeper = future::spawn(future::sleep(HOUR));
    sleeper.cancel("enough");
    // try: await task
    // except asyncio.CancelledError: ...
    let payload = sleeper.join().expect_err("it was cancelled");
    assert_eq!(
        payload.downcast_ref().map(Cancelled::reason),
        Some("enough")
    );

    // async with asyncio.TaskGroup() as tg:
    let mut said = [0; 2];
    thread::scope(|group| {
        for place in &mut said {
            //     tg.create_task(say_after(0.001, "in a group"))
            group.spawn(|| *place = block_on(say_after(MOMENT, "in a group")));
        }
    });
    assert_eq!(said, [10, 10]);
    // An error in a group cancels the rest, and is raised: except* ValueError
    let failed: Result<(), _> = thread::try_scope(|group| {
        group.spawn(|| Err::<(), _>("no luck"));
        thread::park();
        Ok(())
    });
    assert_eq!(failed, Err("no luck"));

    // async with asyncio.timeout(0.001): await event.wait()
    assert!(time::timeout(MOMENT, thread::park).is_err());
    // await asyncio.wait_for(sleep(3600), 0.001)
    assert!(block_on(future::timeout(MOMENT, future::sleep(HOUR))).is_err());
    // async with asyncio.timeout(None) as cm: cm.reschedule(loop.time() + 0.001); ...
    let scope = Scope::new();
    scope.set_deadline(Some(Instant::now() + MOMENT));
    let late = scope
        .run(thread::park)
        .expect_err("its deadline has passed");
    // cm.expired()
    assert!(late.is_deadline());

    // res = await asyncio.shield(something())
    cancel::shield(|| thread::sleep(MOMENT));

    // await asyncio.to_thread(blocking_io)
    assert_eq!(blocking::unblock(|| 6 * 7), 42);
    // future = asyncio.run_coroutine_threadsafe(coro, loop); future.result()
    let handle = Handle::current();
    let other = std::thread::spawn(move || handle.spawn_future(|| async { 7 }).join());
    assert!(matches!(blocking::unblock(|| other.join()), Ok(Ok(7))));

    // asyncio.current_task().get_name()
    assert_eq!(thread::current().name(), Some("main"));
    // asyncio.all_tasks()
    assert_eq!(thread::all().len(), 1);
    Ok(())
}

fn many_at_once() -> Anything {
    let three = || {
        [3, 1, 2].map(|n| async move {
            future::sleep(n * MOMENT).await;
            n
        })
    };
    // a, b, c = await asyncio.gather(f(3), f(1), f(2))
    let Ok(all) = block_on(future::try_gather(three())) else {
        return Err("one of them panicked".into());
    };
    assert_eq!(all, [3, 1, 2]);
    // await asyncio.gather(f(3), f(1), f(2), return_exceptions=True)
    assert!(block_on(future::gather(three())).iter().all(Result::is_ok));

    // for coro in asyncio.as_completed([f(3), f(1), f(2)]):
    //     print(await coro)
    for n in future::as_completed(three()) {
        println!("  {n}");
    }

    // done, pending = await asyncio.wait(aws, return_when=asyncio.FIRST_COMPLETED)
    let tasks = [thread::spawn(thread::park), thread::spawn(|| ())];
    let (done, pending) = block_on(future::wait(tasks, |_| true));
    assert_eq!((done.len(), pending.len()), (1, 1));
    // done, pending = await asyncio.wait(pending, timeout=0.001)
    let (done, pending) = block_on(future::wait_timeout(pending, MOMENT, |_| false));
    assert!(done.is_empty());
    pending
        .iter()
        .for_each(|task| task.cancel("the example goes on"));

    // What asyncio leaves to recipes: the first, the first success, so many at a time.
    assert_eq!(block_on(future::race(three())), 1);
    let mirrors = [Err("down"), Ok("up")].map(std::future::ready);
    assert_eq!(block_on(future::select_ok(mirrors)), Ok("up"));
    let doubles = future::map_bounded(1..=3, 2, |n| async move { 2 * n });
    assert_eq!(block_on(doubles), [2, 4, 6]);
    Ok(())
}

fn streams() -> Anything {
    // server = await asyncio.start_server(handle_echo, "127.0.0.1", 0)
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = Scope::new();
    let serving = thread::spawn({
        let server = server.clone();
        move || {
            server.run(|| {
                // async with server: await server.serve_forever()
                for stream in listener.incoming() {
                    let stream = stream?;
                    thread::spawn(move || io::copy(&mut &stream, &mut &stream));
                }
                Ok::<_, io::Error>(())
            })
        }
    });

    // reader, writer = await asyncio.open_connection("127.0.0.1", port)
    let stream = TcpStream::connect(address)?;
    let mut reader = BufReader::new(&stream);
    // writer.write(b"hello\nworld"); await writer.drain(); writer.write_eof()
    (&stream).write_all(b"hello\nworld")?;
    stream.shutdown(Shutdown::Write)?;
    // line = await reader.readline()
    let mut line = String::new();
    reader.read_line(&mut line)?;
    // head = await reader.readexactly(2)
    let mut head = [0; 2];
    reader.read_exact(&mut head)?;
    // rest = await reader.read()
    let mut rest = String::new();
    reader.read_to_string(&mut rest)?;
    assert_eq!((&line[..], &head, &rest[..]), ("hello\n", b"wo", "rld"));

    // The same in a task, by futures-io's traits, which futures-util's `read_line` and others are for:
    // await asyncio.open_connection("127.0.0.1", port)
    block_on(TcpStream::connect_async(address))?;

    // server.close(); await server.wait_closed()
    server.cancel("the server closes");
    assert!(serving.join().map_err(|_| "it panicked")?.is_err());

    // loop.create_datagram_endpoint(..., local_addr=("127.0.0.1", 0))
    let (one, two) = (
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    one.send_to(b"ping", two.local_addr()?)?;
    assert_eq!(two.recv_from(&mut [0; 10])?.0, 4);
    Ok(())
}

fn synchronization() -> Anything {
    // lock = asyncio.Lock(); event = asyncio.Event(); cond = asyncio.Condition(lock)
    static LOCK: Mutex<u32> = Mutex::new(0);
    static EVENT: Event = Event::new();
    static COND: Condvar = Condvar::new();

    let waiter = thread::spawn(|| {
        // await event.wait()
        EVENT.wait();
        // async with cond: await cond.wait_for(lambda: count == 2)
        let count = LOCK.lock().map_err(|_| "poisoned")?;
        COND.wait_while(count, |count| *count < 2)
            .map(|count| *count)
            .map_err(|_| "poisoned")
    });
    // event.set()
    EVENT.set();
    // async with lock: count += 1; cond.notify_all()
    *LOCK.lock()? += 1;
    // The same from a future:
    block_on(async { LOCK.lock_async().await.map(|mut count| *count += 1) })?;
    COND.notify_all();
    assert_eq!(waiter.join().map_err(|_| "it panicked")?, Ok(2));

    // sem = asyncio.Semaphore(2)
    let sem = Semaphore::new(2);
    {
        // async with sem:
        let _permits = (sem.acquire(), block_on(sem.acquire_async()));
        // sem.locked()
        assert_eq!(sem.available_permits(), 0);
    }
    // barrier = asyncio.Barrier(2); await barrier.wait()
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| barrier.wait());
        barrier.wait();
    });
    Ok(())
}

fn subprocesses() -> Anything {
    // proc = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    let mut cat = Command::new("cat");
    let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // stdout, stderr = await proc.communicate(b"miau")
    child
        .stdin
        .take()
        .ok_or("it is piped")?
        .write_all(b"miau")?;
    assert_eq!(child.wait_with_output()?.stdout, b"miau");
    // proc = await asyncio.create_subprocess_shell("exit 7"); await proc.wait()
    let status = Command::new("sh").args(["-c", "exit 7"]).status()?;
    assert_eq!(status.code(), Some(7));
    // proc.kill()
    let mut sleeper = Command::new("sleep").arg("3600").spawn()?;
    sleeper.kill()?;
    // returncode = await proc.wait()
    assert!(!block_on(sleeper.wait_async())?.success());
    Ok(())
}

fn queues() -> Anything {
    // queue = asyncio.Queue(2)
    let queue = Queue::new().with_bound(2);
    // await queue.put(1); queue.put_nowait(2)
    queue.put(1)?;
    queue.try_put(2)?;
    // except asyncio.QueueFull
    assert_eq!(queue.try_put(3), Err(TryPutError::Full(3)));
    // await queue.get(); queue.get_nowait(); queue.task_done()
    assert_eq!((queue.get()?, block_on(queue.get_async())?), (1, 2));
    queue.task_done();
    queue.task_done();
    // await queue.join()
    queue.join();
    // except asyncio.QueueEmpty
    assert_eq!(queue.try_get(), Err(TryGetError::Empty));
    // queue.shutdown()
    queue.shutdown(false);
    // except asyncio.QueueShutDown
    assert_eq!(queue.get(), Err(ShutDown(())));

    // asyncio.PriorityQueue(), asyncio.LifoQueue()
    let (urgent, stack): (PriorityQueue<u8, &str>, _) = (Queue::priority(), Queue::lifo());
    for (priority, word) in [(2, "second"), (1, "first")] {
        urgent.put((priority, word))?;
        stack.put(word)?;
    }
    assert_eq!((urgent.get()?, stack.get()?), ((1, "first"), "first"));
    Ok(())
}

fn event_loop() -> Anything {
    // loop = asyncio.get_running_loop()
    let runtime = Handle::current();
    // loop.call_soon(print, "soon")
    call_soon(|| println!("  soon"));
    // handle = loop.call_later(3600, print, "never"); handle.cancel()
    call_later(HOUR, || println!("  never")).cancel();
    // loop.call_at(loop.time() + 0.001, print, "at its time")
    call_at(Instant::now() + MOMENT, || println!("  at its time"));
    thread::sleep(2 * MOMENT);
    // loop.call_soon_threadsafe(callback)
    let other = std::thread::spawn(move || runtime.call_soon(|| println!("  from afar")).join());
    assert!(matches!(blocking::unblock(|| other.join()), Ok(Ok(()))));

    // loop.add_reader(fd, callback); loop.remove_reader(fd)
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let promise = Promise::new();
    let reader = add_reader(theirs.try_clone()?, {
        let promise = promise.clone();
        move |_| promise.set(()).unwrap_or_default()
    })?;
    ours.write_all(b"!")?;
    promise.join()?;
    reader.remove();
    assert_eq!(theirs.read(&mut [0; 10])?, 1);

    // loop.add_signal_handler(signal.SIGUSR1, callback)
    let signals = Signals::new([Signal::USR1])?;
    let own = std::process::id().to_string();
    Command::new("kill").args(["-USR1", &own]).status()?;
    assert_eq!(signals.recv()?, Signal::USR1);

    // await loop.run_in_executor(None, blocking_io)
    assert_eq!(blocking::unblock(|| 1), 1);
    Ok(())
}

fn futures() -> Anything {
    // fut = loop.create_future()
    let promise = Promise::new();
    // fut.add_done_callback(lambda fut: print(fut.result()))
    let called = promise.add_done_callback(|done| println!("  {:?}", done.result()));
    // fut.remove_done_callback(callback)
    promise
        .add_done_callback(|_| println!("never"))
        .cancel("removed");
    // loop.create_task(set_after(fut, 0.001, "... world"))
    thread::spawn({
        let promise = promise.clone();
        move || {
            thread::sleep(MOMENT);
            // fut.set_result("... world")
            promise.set("... world")
        }
    });
    // await fut
    assert_eq!(block_on(promise.clone())?, "... world");
    called.join().map_err(|_| "it panicked")?;
    // fut.done(), fut.cancelled(); fut.set_result(...) raises InvalidStateError
    assert!(promise.is_done() && !promise.is_cancelled() && promise.set("again").is_err());
    // fut.set_exception(ValueError("no luck")); fut.cancel()
    let failed = Promise::<()>::new();
    failed.fail("no luck").map_err(|_| "it was pending")?;
    assert!(failed.wait().is_err() && !failed.cancel("too late"));
    Ok(())
}

greenlit::thread_local! {
    // request = contextvars.ContextVar("request", default=0)
    static REQUEST: Cell<u32> = const { Cell::new(0) };
}

fn introspection() -> Anything {
    // Context variables: each task has its own.
    REQUEST.set(1);
    let child = future::spawn(async { REQUEST.replace(2) });
    assert_eq!(
        (child.join().map_err(|_| "it panicked")?, REQUEST.get()),
        (0, 1)
    );
    // asyncio.print_call_graph(), python -m asyncio pstree
    let parked = thread::spawn(thread::park);
    thread::yield_now();
    print!("{}", thread::dump());
    parked.cancel("the tour ends");
    Ok(())
}
