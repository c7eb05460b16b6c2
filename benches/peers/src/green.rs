//! On green threads.

use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use greenlit::select;
use greenlit::sync::{Mutex, mpsc};
use greenlit::time::timeout;
use greenlit::{run, thread};

pub(crate) fn lock(operations: u32) -> Duration {
    run(|| {
        let mutex = Mutex::new(0_u32);
        let start = Instant::now();
        for _ in 0..operations {
            *black_box(&mutex).lock().unwrap() += 1;
        }
        start.elapsed()
    })
}

/// No wait of these lasts so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn send_and_receive(operations: u32) -> Duration {
    send_and_receive_by(operations, |receiver| receiver.recv().ok())
}

pub(crate) fn send_and_receive_timed(operations: u32) -> Duration {
    send_and_receive_by(operations, |receiver| receiver.recv_timeout(PATIENCE).ok())
}

pub(crate) fn receive_in_timeout(operations: u32) -> Duration {
    send_and_receive_by(operations, |receiver| {
        timeout(PATIENCE, || receiver.recv().ok()).ok()?
    })
}

fn send_and_receive_by(
    operations: u32,
    receive: impl Fn(&mpsc::Receiver<u32>) -> Option<u32>,
) -> Duration {
    run(|| {
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now();
        for number in 0..operations {
            sender.send(number).unwrap();
            black_box(receive(&receiver).unwrap());
        }
        start.elapsed()
    })
}

pub(crate) fn ping_pong(operations: u32) -> Duration {
    ping_pong_by(operations, |receiver| receiver.recv().ok())
}

pub(crate) fn ping_pong_timed(operations: u32) -> Duration {
    ping_pong_by(operations, |receiver| receiver.recv_timeout(PATIENCE).ok())
}

fn ping_pong_by(
    operations: u32,
    receive: impl Fn(&mpsc::Receiver<u32>) -> Option<u32> + Copy + 'static,
) -> Duration {
    run(|| {
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
    })
}

pub(crate) fn stream(operations: u32) -> Duration {
    run(|| {
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
    })
}

pub(crate) fn hand_over(operations: u32) -> Duration {
    run(|| {
        let mutex = Rc::new(Mutex::new(0_u32));
        let start = Instant::now();
        let threads: Vec<_> = (0..100)
            .map(|_| {
                let mutex = mutex.clone();
                thread::spawn(move || {
                    for _ in 0..operations / 100 {
                        let mut held = mutex.lock().unwrap();
                        thread::yield_now();
                        *held += 1;
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*mutex.lock().unwrap(), operations);
        start.elapsed()
    })
}

pub(crate) fn select(operations: u32) -> Duration {
    run(|| {
        let channels = [(); 4].map(|()| mpsc::channel::<u32>());
        let [(a, ra), (b, rb), (c, rc), (d, rd)] = channels;
        let start = Instant::now();
        thread::spawn(move || {
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
        start.elapsed()
    })
}
