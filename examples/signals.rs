//! Says which signals it gets, and ends at Ctrl-C.
//!
//! ```text
//! $ cargo run --release --example signals
//! process 4711 waits: try `kill -USR1 4711`, then press Ctrl-C
//! SIGUSR1
//! ^CSIGINT
//! ```

use std::io;

use greenlit::process;
use greenlit::signal::{Signal, Signals};

fn main() -> io::Result<()> {
    greenlit::run(|| {
        let signals = Signals::new([Signal::HUP, Signal::USR1, Signal::USR2, Signal::INT])?;
        let id = process::id();
        println!("process {id} waits: try `kill -USR1 {id}`, then press Ctrl-C");
        for signal in &signals {
            let signal = signal?;
            println!("{signal}");
            if signal == Signal::INT {
                break;
            }
        }
        Ok(())
    })
}
