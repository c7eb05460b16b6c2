//! The shortest program: two green threads that take turns on one OS thread.
//!
//! ```text
//! cargo run --release --example hello
//! ```

use greenlit::thread;

fn main() {
    greenlit::run(|| {
        let pong = thread::spawn(|| {
            for n in 1..=2 {
                println!("pong {n}");
                thread::yield_now();
            }
        });
        for n in 1..=2 {
            println!("ping {n}");
            thread::yield_now();
        }
        pong.join().expect("pong does not panic");
    });
}
