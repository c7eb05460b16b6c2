//! `select!` between OS threads, with and without a runtime: nothing comes twice, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use greenlit::sync::mpmc;
use greenlit::sync::mpsc::RecvError;
use greenlit::{select, thread};

/// Behaviours 20 and 23: four channels, senders and selects on several OS threads, with and without
/// a runtime: each item comes exactly once.
#[test]
fn cross_thread_every_item_comes_exactly_once() {
    const EACH: usize = 100;
    for bound in [0, 1, 3] {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..4).map(|_| mpmc::sync_channel::<usize>(bound)).unzip();
        let counts: Arc<Vec<AtomicUsize>> =
            Arc::new((0..4 * EACH).map(|_| AtomicUsize::new(0)).collect());
        let receive = {
            let counts = counts.clone();
            move |receivers: Vec<mpmc::Receiver<usize>>| {
                // A closed one goes on being ready: it is replaced by one that is silent.
                let (_silent, never) = mpmc::channel();
                let mut from: [_; 4] = receivers.try_into().unwrap();
                let mut open = 4;
                while open > 0 {
                    let (arm, item) = select! {
                        recv(from[0]) -> item => (0, item),
                        recv(from[1]) -> item => (1, item),
                        recv(from[2]) -> item => (2, item),
                        recv(from[3]) -> item => (3, item),
                    };
                    match item {
                        Ok(item) => drop(counts[item].fetch_add(1, Ordering::Relaxed)),
                        Err(RecvError) => {
                            from[arm] = never.clone();
                            open -= 1;
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for (home, sender) in senders.into_iter().enumerate() {
                let send = move || {
                    for item in 0..EACH {
                        select! { send(sender, home * EACH + item) -> sent => sent.unwrap() }
                    }
                };
                scope.spawn(move || match home % 2 {
                    0 => send(),
                    _ => greenlit::run(|| thread::spawn(send).join().unwrap()),
                });
            }
            let (first, second) = (receive.clone(), receive.clone());
            let (from, also_from) = (receivers.clone(), receivers.clone());
            scope.spawn(move || first(from));
            greenlit::run(|| {
                let threads = [also_from, receivers].map(|from| {
                    let receive = second.clone();
                    thread::spawn(move || receive(from))
                });
                threads
                    .into_iter()
                    .for_each(|thread| thread.join().unwrap());
            });
        });
        assert!(
            counts
                .iter()
                .all(|count| count.load(Ordering::Relaxed) == 1)
        );
    }
}

/// Behaviours 21 and 23: as in the test of this name in `sync_mpmc`, for selects over two channels.
#[test]
fn cross_thread_a_cancelled_select_loses_no_item() {
    const ROUNDS: usize = 100;
    let (first, from_first) = mpmc::sync_channel::<usize>(0);
    let (second, from_second) = mpmc::sync_channel::<usize>(0);
    let received = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let sent = std::thread::scope(|scope| {
        let its_stop = stop.clone();
        let sends = scope.spawn(move || {
            let mut sent = 0;
            for pause in (0..400).cycle() {
                if its_stop.load(Ordering::Relaxed) {
                    break;
                }
                let sender = if pause % 2 == 0 { &first } else { &second };
                sent += usize::from(sender.try_send(1).is_ok());
                (0..pause).for_each(|_| std::hint::spin_loop());
            }
            sent
        });
        for _ in 0..ROUNDS {
            greenlit::run(|| {
                for _ in 0..4 {
                    let from = (from_first.clone(), from_second.clone());
                    let received = received.clone();
                    thread::spawn(move || {
                        loop {
                            let item = select! { recv(from.0) -> item => item, recv(from.1) -> item => item };
                            received.fetch_add(item.unwrap_or(0), Ordering::Relaxed);
                        }
                    });
                }
                thread::yield_now();
            });
        }
        stop.store(true, Ordering::Relaxed);
        sends.join().unwrap()
    });
    let left = from_first.try_iter().count() + from_second.try_iter().count();
    assert_eq!(received.load(Ordering::Relaxed) + left, sent);
}
