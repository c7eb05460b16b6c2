//! On OS threads, with what std has; `select!` is crossbeam's.

use std::hint::black_box;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{select, unbounded};

pub(crate) fn lock(operations: u32) -> Duration {
    let mutex = Mutex::new(0_u32);
    let start = Instant::now();
    for _ in 0..operations {
        *black_box(&mutex).lock().unwrap() += 1;
    }
    start.elapsed()
}

pub(crate) fn send_and_receive(operations: u32) -> Duration {
    send_and_receive_by(operations, |receiver| receiver.recv().ok())
}

/// For both: std has no `timeout` around something else.
pub(crate) fn send_and_receive_timed(operations: u32) -> Duration {
    let patience = Duration::from_secs(60);
    send_and_receive_by(operations, |receiver| receiver.recv_timeout(patience).ok())
}

fn send_and_receive_by(
    operations: u32,
    receive: impl Fn(&mpsc::Receiver<u32>) -> Option<u32>,
) -> Duration {
    let (sender, receiver) = mpsc::channel();
    let start = Instant::now();
    for number in 0..operations {
        sender.send(number).unwrap();
        black_box(receive(&receiver).unwrap());
    }
    start.elapsed()
}

pub(crate) fn ping_pong(operations: u32) -> Duration {
    ping_pong_by(operations, |receiver| receiver.recv().ok())
}

pub(crate) fn ping_pong_timed(operations: u32) -> Duration {
    let patience = Duration::from_secs(60);
    ping_pong_by(operations, move |receiver| {
        receiver.recv_timeout(patience).ok()
    })
}

fn ping_pong_by(
    operations: u32,
    receive: impl Fn(&mpsc::Receiver<u32>) -> Option<u32> + Copy + Send + 'static,
) -> Duration {
    let (ping, pinged) = mpsc::channel();
    let (pong, ponged) = mpsc::channel();
    let other = thread::spawn(move || {
        while let Some(number) = receive(&pinged) {
            pong.send(number).unwrap();
        }
    });
    let start = Instant::now();
    for number in 0..operations / 2 {
        ping.send(number).unwrap();
        assert_eq!(receive(&ponged), Some(number));
    }
    let elapsed = start.elapsed();
    drop(ping);
    other.join().unwrap();
    elapsed
}

pub(crate) fn stream(operations: u32) -> Duration {
    let (sender, receiver) = mpsc::sync_channel(100);
    let start = Instant::now();
    let source = thread::spawn(move || {
        for number in 0..operations {
            sender.send(number).unwrap();
        }
    });
    assert_eq!(receiver.iter().count(), operations as usize);
    source.join().unwrap();
    start.elapsed()
}

pub(crate) fn hand_over(operations: u32) -> Duration {
    let mutex = Mutex::new(0_u32);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                for _ in 0..operations / 100 {
                    let mut held = mutex.lock().unwrap();
                    thread::yield_now();
                    *held += 1;
                }
            });
        }
    });
    assert_eq!(*mutex.lock().unwrap(), operations);
    start.elapsed()
}

pub(crate) fn select(operations: u32) -> Duration {
    let channels = [(); 4].map(|()| unbounded::<u32>());
    let [(a, ra), (b, rb), (c, rc), (d, rd)] = channels;
    let start = Instant::now();
    let source = thread::spawn(move || {
        for number in 0..operations / 4 {
            for sender in [&a, &b, &c, &d] {
                sender.send(number).unwrap();
                thread::yield_now();
            }
        }
    });
    for _ in 0..operations {
        select! {
            recv(ra) -> message => black_box(message.unwrap()),
            recv(rb) -> message => black_box(message.unwrap()),
            recv(rc) -> message => black_box(message.unwrap()),
            recv(rd) -> message => black_box(message.unwrap()),
        };
    }
    source.join().unwrap();
    start.elapsed()
}
