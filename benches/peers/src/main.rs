//! What greenlit's locks and channels cost beside std's (with OS threads) and tokio's (on its
//! current-thread runtime).
//!
//! Each round runs every contender of a case once, so that what else the machine does hits all of
//! them alike; printed are the medians of all rounds, and a JSON line a contender with `--json`.

mod green;
mod os;
mod tasks;

use std::time::Duration;

/// Rounds of each case, of which the median counts.
const ROUNDS: usize = 15;

/// Runs an operation so many times, and says how long all of them took.
type Run = fn(u32) -> Duration;

struct Case {
    name: &'static str,
    /// Operations of one run of greenlit's and tokio's; OS threads, which are slower by far, do a
    /// twentieth where they have to switch.
    operations: u32,
    os_operations: u32,
    green: Run,
    os: Run,
    tasks: Run,
}

/// A name for each, and what one operation is.
const CASES: &[Case] = &[
    Case {
        name: "lock+unlock, uncontended",
        operations: 200_000,
        os_operations: 200_000,
        green: green::lock,
        os: os::lock,
        tasks: tasks::lock,
    },
    Case {
        name: "mpsc send+recv in one thread",
        operations: 100_000,
        os_operations: 100_000,
        green: green::send_and_receive,
        os: os::send_and_receive,
        tasks: tasks::send_and_receive,
    },
    Case {
        name: "mpsc send+recv_timeout in one thread",
        operations: 100_000,
        os_operations: 100_000,
        green: green::send_and_receive_timed,
        os: os::send_and_receive_timed,
        tasks: tasks::send_and_receive_timed,
    },
    Case {
        name: "mpsc send+recv in a timeout, one thread",
        operations: 100_000,
        os_operations: 100_000,
        green: green::receive_in_timeout,
        os: os::send_and_receive_timed,
        tasks: tasks::send_and_receive_timed,
    },
    Case {
        name: "channel ping-pong, one way",
        operations: 100_000,
        os_operations: 5_000,
        green: green::ping_pong,
        os: os::ping_pong,
        tasks: tasks::ping_pong,
    },
    Case {
        name: "channel ping-pong with a timeout, one way",
        operations: 100_000,
        os_operations: 5_000,
        green: green::ping_pong_timed,
        os: os::ping_pong_timed,
        tasks: tasks::ping_pong_timed,
    },
    Case {
        name: "stream through capacity 100, a message",
        operations: 100_000,
        os_operations: 100_000,
        green: green::stream,
        os: os::stream,
        tasks: tasks::stream,
    },
    Case {
        name: "100 threads on one mutex, a hand-over",
        operations: 100_000,
        os_operations: 5_000,
        green: green::hand_over,
        os: os::hand_over,
        tasks: tasks::hand_over,
    },
    Case {
        name: "select over 4 channels, a message",
        operations: 50_000,
        os_operations: 5_000,
        green: green::select,
        os: os::select,
        tasks: tasks::select,
    },
];

fn main() {
    let json = std::env::args().any(|arg| arg == "--json");
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if !json {
        println!(
            "{:44} {:>9} {:>9} {:>9}",
            "ns, medians", "greenlit", "std", "tokio"
        );
    }
    for case in CASES {
        if !only.is_empty() && !only.iter().any(|part| case.name.contains(part)) {
            continue;
        }
        let [green, os, tasks] = medians(case);
        if json {
            for (who, nanoseconds) in [("greenlit", green), ("std", os), ("tokio", tasks)] {
                println!(
                    r#"{{"name": "{}", "of": "{who}", "ns_per_op": {nanoseconds:.2}}}"#,
                    case.name
                );
            }
        } else {
            println!("{:44} {green:9.1} {os:9.1} {tasks:9.1}", case.name);
        }
    }
}

fn medians(case: &Case) -> [f64; 3] {
    let contenders = [
        (case.green, case.operations),
        (case.os, case.os_operations),
        (case.tasks, case.operations),
    ];
    let mut samples = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for ((run, operations), samples) in contenders.into_iter().zip(&mut samples) {
            samples.push(run(operations).as_nanos() as f64 / f64::from(operations));
        }
    }
    samples.map(|mut samples| {
        samples.sort_unstable_by(f64::total_cmp);
        samples[ROUNDS / 2]
    })
}
