//! Pipes, child processes, signals and blocking calls as futures.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use futures_core::Stream;
use greenlit::blocking::unblock_async;
use greenlit::future::{block_on, spawn};
use greenlit::io;
use greenlit::process::{Command, Stdio};
use greenlit::signal::{Signal, Signals};
use greenlit::{run, thread};

use crate::polling::{Count, poll_once, poll_with, read, read_exact, write_all};

#[test]
fn pipes_are_polled() {
    const BYTES: usize = 1 << 20;
    run(|| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let writes = spawn(async move {
            assert_eq!(read(&mut reader, &mut []).await.unwrap(), 0);
            let mut buf = vec![0; BYTES];
            read_exact(&reader, &mut buf).await.unwrap();
            assert_eq!(read(&reader, &mut buf).await.unwrap(), 0);
            buf
        });
        block_on(write_all(&mut writer, &vec![3; BYTES])).unwrap();
        drop(writer);
        assert!(writes.join().unwrap() == vec![3; BYTES]);
    });
}

/// A duplicate puts the pipe into the blocking mode; tasks wait for it all the same, and others run.
#[test]
fn shared_pipes_are_polled() {
    run(|| {
        let (reader, writer) = io::pipe().unwrap();
        let (_reader, _writer) = (reader.try_clone().unwrap(), writer.try_clone().unwrap());
        let writes = spawn(async move { write_all(&writer, &[5; 300_000]).await.unwrap() });
        let reads = spawn(async move { read_exact(&reader, &mut vec![0; 300_000]).await.unwrap() });
        writes.join().unwrap();
        reads.join().unwrap();
    });
}

#[test]
fn a_child_is_waited_for_and_its_streams_are_polled() {
    run(|| {
        let piped = Stdio::piped;
        let mut cat = Command::new("cat")
            .stdin(piped())
            .stdout(piped())
            .spawn()
            .unwrap();
        let (input, output) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
        let writes = spawn(async move { write_all(&input, &[b'm'; 200_000]).await.unwrap() });
        let reads = spawn(async move {
            let mut buf = vec![0; 200_000];
            read_exact(&output, &mut buf).await.unwrap();
            assert_eq!(read(&output, &mut [0]).await.unwrap(), 0);
            buf.iter().all(|&byte| byte == b'm')
        });
        writes.join().unwrap();
        assert!(reads.join().unwrap());
        assert!(block_on(cat.wait_async()).unwrap().success());
        assert!(block_on(cat.wait_async()).unwrap().success());

        // Its stdin is closed first, or it would not end.
        let mut cat = Command::new("cat").stdin(piped()).spawn().unwrap();
        let (_count, waker) = Count::new();
        {
            let mut wait = pin!(cat.wait_async());
            let _ = poll_with(&waker, |context| wait.as_mut().poll(context));
        }
        assert!(cat.stdin.is_none());
        assert!(block_on(cat.wait_async()).unwrap().success());
    });
}

/// Both streams are read at once: each is more than a pipe holds.
#[test]
fn the_output_of_a_child_is_collected() {
    run(|| {
        let script = "head -c 300000 /dev/zero >&2; echo out; head -c 200000 /dev/zero; exit 3";
        let child = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = block_on(child.wait_with_output_async()).unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stderr.len(), 300_000);
        assert_eq!(output.stdout.len(), 200_004);
        assert!(output.stdout.starts_with(b"out\n"));
    });
}

/// Behaviour 41: each delivery is received once, by whoever waits.
#[test]
fn signals_are_awaited() {
    run(|| {
        let signals = Rc::new(Signals::new([Signal::URG, Signal::IO]).unwrap());
        let waits = spawn({
            let signals = signals.clone();
            async move {
                let first = signals.recv_async().await.unwrap();
                let mut iter = signals.iter_async();
                let second = poll_fn(|context| Pin::new(&mut iter).poll_next(context)).await;
                (first, second.unwrap().unwrap())
            }
        });
        thread::yield_now();
        let raise = nix::sys::signal::raise;
        raise(nix::sys::signal::SIGURG).unwrap();
        thread::yield_now();
        raise(nix::sys::signal::SIGURG).unwrap();
        assert_eq!(waits.join().unwrap(), (Signal::URG, Signal::URG));
        assert_eq!(signals.try_recv(), None);
    });
}

#[test]
fn a_blocking_call_is_awaited() {
    run(|| {
        let os_thread = std::thread::current().id();
        let (send, receive) = mpsc::channel();
        let job = spawn(async move {
            let value =
                unblock_async(move || (std::thread::current().id(), receive.recv().unwrap()));
            value.await
        });
        // Others run while the job waits for what this thread does.
        thread::yield_now();
        send.send(41).unwrap();
        let (elsewhere, value) = job.join().unwrap();
        assert_ne!(elsewhere, os_thread);
        assert_eq!(value, 41);

        let job = spawn(unblock_async(|| -> () {
            std::panic::panic_any("of the job")
        }));
        let payload = job.join().unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"of the job"));
    });
    // It needs no runtime.
    assert_eq!(block_on(unblock_async(|| 7)), 7);
}

/// A job runs to its end when nobody waits for it any more, and is no deadlock before.
#[test]
fn an_abandoned_blocking_call_runs_to_its_end() {
    struct Tells(mpsc::Sender<&'static str>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send("the result was dropped").unwrap();
        }
    }
    run(|| {
        let (go, may_go) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let mut job = unblock_async(move || {
            may_go.recv().unwrap();
            Tells(tell)
        });
        let (count, waker) = Count::new();
        assert!(poll_once(&mut job, &waker).is_pending());
        drop(job);
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1);
        go.send(()).unwrap();
        assert_eq!(told.recv().unwrap(), "the result was dropped");
    });
}

/// Many jobs at once, each of which wakes its own task.
#[test]
fn many_blocking_calls_are_awaited() {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    run(|| {
        let jobs: Vec<_> = (0..200)
            .map(|number| {
                spawn(async move {
                    unblock_async(move || {
                        RUN.fetch_add(1, Ordering::Relaxed);
                        number
                    })
                    .await
                })
            })
            .collect();
        for (number, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.join().unwrap(), number);
        }
        assert_eq!(RUN.load(Ordering::Relaxed), 200);
    });
}

/// A waker that waits for a source is no deadlock: a child writes what ends the wait.
#[test]
fn a_task_that_waits_for_a_source_is_no_deadlock() {
    run(|| {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 0.2; echo x"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let reads = spawn(async move { read(&output, &mut [0; 2]).await.unwrap() });
        assert_eq!(reads.join().unwrap(), 2);
        child.wait().unwrap();
    });
}
