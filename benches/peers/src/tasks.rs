//! On tokio's current-thread runtime.

use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::timeout;

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, future)
}

pub(crate) fn lock(operations: u32) -> Duration {
    run(async {
        let mutex = Mutex::new(0_u32);
        let start = Instant::now();
        for _ in 0..operations {
            *black_box(&mutex).lock().await += 1;
        }
        start.elapsed()
    })
}

pub(crate) fn send_and_receive(operations: u32) -> Duration {
    run(async {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let start = Instant::now();
        for number in 0..operations {
            sender.send(number).unwrap();
            black_box(receiver.recv().await.unwrap());
        }
        start.elapsed()
    })
}

/// For both: a task's receive has no other time limit than `timeout`.
pub(crate) fn send_and_receive_timed(operations: u32) -> Duration {
    let patience = Duration::from_secs(60);
    run(async move {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let start = Instant::now();
        for number in 0..operations {
            sender.send(number).unwrap();
            black_box(timeout(patience, receiver.recv()).await.unwrap());
        }
        start.elapsed()
    })
}

pub(crate) fn ping_pong(operations: u32) -> Duration {
    run(async {
        let (ping, mut pinged) = mpsc::unbounded_channel();
        let (pong, mut ponged) = mpsc::unbounded_channel();
        let other = spawn_local(async move {
            while let Some(number) = pinged.recv().await {
                pong.send(number).unwrap();
            }
        });
        let start = Instant::now();
        for number in 0..operations / 2 {
            ping.send(number).unwrap();
            assert_eq!(ponged.recv().await, Some(number));
        }
        let elapsed = start.elapsed();
        drop(ping);
        other.await.unwrap();
        elapsed
    })
}

pub(crate) fn ping_pong_timed(operations: u32) -> Duration {
    let patience = Duration::from_secs(60);
    run(async move {
        let (ping, mut pinged) = mpsc::unbounded_channel();
        let (pong, mut ponged) = mpsc::unbounded_channel();
        let other = spawn_local(async move {
            while let Ok(Some(number)) = timeout(patience, pinged.recv()).await {
                pong.send(number).unwrap();
            }
        });
        let start = Instant::now();
        for number in 0..operations / 2 {
            ping.send(number).unwrap();
            assert_eq!(timeout(patience, ponged.recv()).await, Ok(Some(number)));
        }
        let elapsed = start.elapsed();
        drop(ping);
        other.await.unwrap();
        elapsed
    })
}

pub(crate) fn stream(operations: u32) -> Duration {
    run(async move {
        let (sender, mut receiver) = mpsc::channel(100);
        let start = Instant::now();
        let source = spawn_local(async move {
            for number in 0..operations {
                sender.send(number).await.unwrap();
            }
        });
        let mut count = 0;
        while receiver.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, operations);
        source.await.unwrap();
        start.elapsed()
    })
}

pub(crate) fn hand_over(operations: u32) -> Duration {
    run(async move {
        let mutex = Rc::new(Mutex::new(0_u32));
        let start = Instant::now();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let mutex = mutex.clone();
                spawn_local(async move {
                    for _ in 0..operations / 100 {
                        let mut held = mutex.lock().await;
                        yield_now().await;
                        *held += 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*mutex.lock().await, operations);
        start.elapsed()
    })
}

pub(crate) fn select(operations: u32) -> Duration {
    run(async move {
        let channels = [(); 4].map(|()| mpsc::unbounded_channel::<u32>());
        let [(a, mut ra), (b, mut rb), (c, mut rc), (d, mut rd)] = channels;
        let start = Instant::now();
        let source = spawn_local(async move {
            for number in 0..operations / 4 {
                for sender in [&a, &b, &c, &d] {
                    sender.send(number).unwrap();
                    yield_now().await;
                }
            }
        });
        for _ in 0..operations {
            tokio::select! {
                message = ra.recv() => black_box(message.unwrap()),
                message = rb.recv() => black_box(message.unwrap()),
                message = rc.recv() => black_box(message.unwrap()),
                message = rd.recv() => black_box(message.unwrap()),
            };
        }
        source.await.unwrap();
        start.elapsed()
    })
}
