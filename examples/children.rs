//! Three programs at once, on one OS thread: who ends first is told first.
//!
//! ```text
//! $ cargo run --release --example children
//! sleep 0.1 ended: exit status: 0
//! sleep 0.2 ended: exit status: 0
//! sleep 0.3 ended: exit status: 0
//! ```

use std::io;

use greenlit::process::Command;
use greenlit::thread;

fn main() -> io::Result<()> {
    greenlit::run(|| {
        let children = ["0.3", "0.2", "0.1"].map(|length| {
            thread::spawn(move || {
                let status = Command::new("sleep").arg(length).status()?;
                println!("sleep {length} ended: {status}");
                Ok::<(), io::Error>(())
            })
        });
        for child in children {
            child.join().expect("it does not panic")?;
        }
        Ok(())
    })
}
