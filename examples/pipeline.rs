//! A pipeline of two threads, a ticker, and a main thread that takes what comes until its time is up:
//! channels and `select!`.
//!
//! ```text
//! $ cargo run --release --example pipeline
//! 1 squared is 1
//! tick
//! 2 squared is 4
//! tick
//! 3 squared is 9
//! time is up
//! ```

use greenlit::sync::mpsc;
use greenlit::time::{Duration, Instant};
use greenlit::{select, thread};

fn main() {
    greenlit::run(|| {
        let (numbers, to_square) = mpsc::sync_channel::<u64>(1);
        let (squares, squared) = mpsc::channel();
        let (ticks, ticked) = mpsc::channel();
        // None of the three ends by itself: `run` unwinds them when its closure returns.
        thread::spawn(move || {
            for number in 1.. {
                thread::sleep(Duration::from_millis(200));
                numbers.send(number).expect("the worker lives");
            }
        });
        thread::spawn(move || {
            for number in to_square {
                let pair = (number, number * number);
                squares.send(pair).expect("main listens");
            }
        });
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(250));
                ticks.send(()).expect("main listens");
            }
        });
        let end = Instant::now() + Duration::from_millis(700);
        loop {
            select! {
                recv(squared) -> pair => {
                    let (number, square) = pair.expect("the worker lives");
                    println!("{number} squared is {square}");
                }
                recv(ticked) => println!("tick"),
                at(end) => break println!("time is up"),
            }
        }
    });
}
