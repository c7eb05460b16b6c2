//! A million green threads parked at once, each on a guarded stack of its own: what they take, and
//! that every one wakes.
//!
//! ```text
//! cargo run --release --example million            # a million
//! cargo run --release --example million -- 10000   # fewer
//! ```

use greenlit::thread::{self, JoinHandle};
use greenlit::{Runtime, time::Instant};
use std::cell::Cell;
use std::rc::Rc;
use std::{env, error::Error, fs, io};

/// Usable stack for each: the runtime takes slots of 64 KiB for it, of which a parked thread has
/// touched one page.
const STACK_BYTES: usize = 48 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let count: u32 = env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |arg| arg.parse())?;
    let mut runtime = Runtime::builder().stack_size(STACK_BYTES).build()?;
    runtime.run(|| park_and_wake(count))
}

fn park_and_wake(count: u32) -> Result<(), Box<dyn Error>> {
    let before = Memory::now()?;
    let woken = Rc::new(Cell::new(0));

    // Spawn them, and yield once: each runs as far as its park.
    let start = Instant::now();
    let threads = (0..count)
        .map(|_| {
            let woken = woken.clone();
            thread::Builder::new().spawn(move || {
                thread::park();
                woken.set(woken.get() + 1);
            })
        })
        .collect::<io::Result<Vec<JoinHandle<()>>>>()?;
    thread::yield_now();
    println!(
        "made and parked {count} green threads in {:.2?}",
        start.elapsed()
    );

    let after = Memory::now()?;
    println!(
        "resident: {:.3} GB, page tables: {:.3} GB",
        after.resident - before.resident,
        after.page_tables - before.page_tables
    );

    let start = Instant::now();
    for thread in &threads {
        thread.thread().unpark();
    }
    for thread in threads {
        thread.join().expect("the body does not panic");
    }
    println!("woke and joined {} in {:.2?}", woken.get(), start.elapsed());
    assert_eq!(woken.get(), count);
    Ok(())
}

/// What this process takes, in gigabytes (10⁹ bytes).
struct Memory {
    /// Pages of its own: stacks, heap, code.
    resident: f64,
    /// What the kernel needs to find them.
    page_tables: f64,
}

impl Memory {
    /// Asks the kernel.
    fn now() -> io::Result<Memory> {
        let status = fs::read_to_string("/proc/self/status")?;
        let gigabytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let kilobytes =
                line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
            kilobytes.unwrap_or(f64::NAN) * 1024.0 / 1e9
        };
        Ok(Memory {
            resident: gigabytes("VmRSS:"),
            page_tables: gigabytes("VmPTE:"),
        })
    }
}
