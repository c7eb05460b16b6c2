//! What the reactor asks of the kernel, seen by strace: when a turn blocks, and what an echo costs.

use greenlit_real::{Server, calls, example, is_wait, may_sleep, run, trace_file, under_strace};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

#[test]
fn a_turn_blocks_only_when_nothing_can_run() {
    let trace = trace_file("turns");
    let program = Path::new(env!("CARGO_BIN_EXE_turns"));
    let output = run(&mut under_strace(program, &trace));
    assert!(output.status.success(), "{output:?}");
    let calls = calls(&trace);
    let idle = waits(between(&calls, "phase idle", "phase busy"));
    let busy = waits(between(&calls, "phase busy", "phase end"));

    // Five naps of 20 ms, nothing else to do: each is a sleep in the kernel, and few turns are
    // empty.
    let slept = idle.iter().filter(|wait| may_sleep(wait)).count();
    assert!(slept >= 5, "{slept} of 5 naps in the kernel: {idle:#?}");
    assert!(
        idle.len() <= 20,
        "{} turns for 5 naps: {idle:#?}",
        idle.len()
    );

    // 100 ms beside a thread that always runs: polls only, one each 100 µs at the most, with a
    // margin of 2 for a clock that is read late. Ten at the least: it is looked at the timers and
    // files now and then.
    let slept: Vec<_> = busy.iter().filter(|wait| may_sleep(wait)).collect();
    assert!(
        slept.is_empty(),
        "slept while a thread could run: {slept:#?}"
    );
    assert!((10..=2000).contains(&busy.len()), "{} polls", busy.len());
    let _ = fs::remove_file(trace);
}

#[test]
fn an_echo_over_one_connection_is_read_write_and_a_wait() {
    let echoes = 2000;
    let (waits, others) = echo(1, echoes);
    // Start, accept and end of the server: 200 calls.
    let most = 2 * echoes + 200;
    assert!((2 * echoes..=most).contains(&others), "{others} calls");
    assert!(waits <= echoes + 20, "{waits} waits for {echoes} echoes");
}

#[test]
fn echoes_over_fifty_connections_share_their_waits() {
    let (connections, rounds) = (50, 100);
    let echoes = connections * rounds;
    let (waits, others) = echo(connections, rounds);
    // As above, and 8 calls to accept, register, find at its end and close each connection.
    let most = 2 * echoes + 200 + 8 * connections;
    assert!((2 * echoes..=most).contains(&others), "{others} calls");
    // The client is one thread that writes to all connections before it reads: five echoes share a
    // wait at the least.
    assert!(waits <= echoes / 5, "{waits} waits for {echoes} echoes");
}

/// Sends 64 bytes over each of `connections` and reads them back, `rounds` times; returns how often
/// `echo_server` waited in its life, and how many other system calls it made. Polls are left out:
/// there is one each 100 µs at the most, which is rare, but for a server that strace slows down.
fn echo(connections: usize, rounds: usize) -> (usize, usize) {
    let trace = trace_file(&format!("echo{connections}"));
    let server = Server::start(under_strace(&example("echo_server"), &trace));
    let connect = |_| TcpStream::connect(server.address).expect("the server listens");
    let mut streams: Vec<_> = (0..connections).map(connect).collect();
    let message = [b'x'; 64];
    for _ in 0..rounds {
        for stream in &mut streams {
            stream.write_all(&message).expect("a server that reads");
        }
        for stream in &mut streams {
            stream.read_exact(&mut [0; 64]).expect("an echo");
        }
    }
    drop(streams);
    server.stop();
    let calls = calls(&trace);
    let _ = fs::remove_file(trace);
    let (waits, others): (Vec<_>, Vec<_>) = calls.iter().partition(|call| is_wait(call));
    let slept = waits.iter().filter(|wait| may_sleep(wait)).count();
    (slept, others.len())
}

/// The calls between two marks.
fn between<'a>(calls: &'a [String], from: &str, to: &str) -> &'a [String] {
    let at = |mark: &str| calls.iter().position(|call| call.contains(mark));
    let (from, to) = (at(from).expect("a mark"), at(to).expect("a mark"));
    &calls[from..to]
}

fn waits(calls: &[String]) -> Vec<&String> {
    calls.iter().filter(|call| is_wait(call)).collect()
}

/// The reading of a trace itself: each line is strace's own.
#[test]
fn a_trace_is_read_as_it_is_meant() {
    let sleeping = [
        "epoll_wait(3, [], 64, -1) = 0",
        "epoll_pwait(3, [{events=EPOLLIN, data={u32=1, u64=1}}], 64, 20, NULL, 8) = 1",
        "epoll_pwait2(3, [], 64, {tv_sec=0, tv_nsec=1000}, NULL, 8) = 0",
        "epoll_pwait2(3, [], 64, NULL, NULL, 8) = 0",
    ];
    let polling = [
        "epoll_wait(3, [], 64, 0) = 0",
        "epoll_pwait(3, [{events=EPOLLIN, data={u32=1, u64=1}}], 64, 0, NULL, 8) = 1",
        "epoll_pwait2(3, [], 64, {tv_sec=0, tv_nsec=0}, NULL, 8) = 0",
    ];
    assert!(sleeping.iter().all(|call| is_wait(call) && may_sleep(call)));
    assert!(polling.iter().all(|call| is_wait(call) && !may_sleep(call)));
    assert!(!is_wait("epoll_ctl(3, EPOLL_CTL_ADD, 5, NULL) = 0"));
}
