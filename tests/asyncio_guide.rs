//! Keeps the tables of docs/ASYNCIO.md true: each name of Python's asyncio has a row, and what a row
//! names of greenlit occurs in the program below it, which runs as a test of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// `asyncio.__all__` of CPython 3.11 to 3.14. `tests/real` asks the Python that is there.
const PUBLIC: &str = "
    ALL_COMPLETED AbstractChildWatcher AbstractEventLoop AbstractEventLoopPolicy AbstractServer Barrier
    BaseEventLoop BaseProtocol BaseTransport BoundedSemaphore BrokenBarrierError BufferedProtocol
    CancelledError Condition DatagramProtocol DatagramTransport DefaultEventLoopPolicy Event EventLoop
    FIRST_COMPLETED FIRST_EXCEPTION FastChildWatcher FrameCallGraphEntry Future FutureCallGraph Handle
    IncompleteReadError InvalidStateError LifoQueue LimitOverrunError Lock MultiLoopChildWatcher
    PidfdChildWatcher PriorityQueue Protocol Queue QueueEmpty QueueFull QueueShutDown ReadTransport Runner
    SafeChildWatcher SelectorEventLoop Semaphore SendfileNotAvailableError Server StreamReader
    StreamReaderProtocol StreamWriter SubprocessProtocol SubprocessTransport Task TaskGroup
    ThreadedChildWatcher Timeout TimeoutError TimerHandle Transport WriteTransport _enter_task
    _get_running_loop _leave_task _register_task _set_running_loop _swap_current_task _unregister_task
    all_tasks as_completed capture_call_graph create_eager_task_factory create_subprocess_exec
    create_subprocess_shell create_task current_task eager_task_factory ensure_future format_call_graph
    future_add_to_awaited_by future_discard_from_awaited_by gather get_child_watcher get_event_loop
    get_event_loop_policy get_running_loop iscoroutine iscoroutinefunction isfuture new_event_loop
    open_connection open_unix_connection print_call_graph run run_coroutine_threadsafe set_child_watcher
    set_event_loop set_event_loop_policy shield sleep start_server start_unix_server timeout timeout_at
    to_thread wait wait_for wrap_future
";

/// The documented methods, of the same versions.
const METHODS: &str = "
    Runner.run Runner.close Runner.get_loop Task.done Task.result Task.exception Task.cancel
    Task.cancelled Task.cancelling Task.uncancel Task.get_coro Task.get_context Task.get_name
    Task.set_name Task.get_stack Task.print_stack Task.add_done_callback Task.remove_done_callback
    TaskGroup.create_task Timeout.when Timeout.reschedule Timeout.expired
    StreamReader.read StreamReader.readexactly StreamReader.readline StreamReader.readuntil
    StreamReader.at_eof StreamReader.feed_eof StreamWriter.write StreamWriter.writelines
    StreamWriter.drain StreamWriter.write_eof StreamWriter.can_write_eof StreamWriter.close
    StreamWriter.is_closing StreamWriter.wait_closed StreamWriter.get_extra_info StreamWriter.start_tls
    StreamWriter.transport Lock.acquire Lock.release Lock.locked Event.wait Event.set Event.clear
    Event.is_set Condition.wait Condition.wait_for Condition.notify Condition.notify_all
    Condition.acquire Condition.release Condition.locked Semaphore.acquire Semaphore.release
    Semaphore.locked Barrier.wait Barrier.reset Barrier.abort Barrier.parties Barrier.n_waiting
    Barrier.broken Process.wait Process.communicate Process.send_signal Process.terminate Process.kill
    Process.pid Process.stdin Process.stdout Process.stderr Process.returncode Queue.put Queue.get
    Queue.put_nowait Queue.get_nowait Queue.task_done Queue.join Queue.qsize Queue.empty Queue.full
    Queue.maxsize Queue.shutdown Future.result Future.set_result Future.set_exception Future.done
    Future.cancelled Future.add_done_callback Future.remove_done_callback Future.cancel
    Future.exception Future.get_loop Handle.cancel Handle.cancelled TimerHandle.when Server.close
    Server.close_clients Server.abort_clients Server.get_loop Server.start_serving
    Server.serve_forever Server.is_serving Server.wait_closed Server.sockets
    loop.run_until_complete loop.run_forever loop.stop loop.is_running loop.is_closed loop.close
    loop.shutdown_asyncgens loop.shutdown_default_executor loop.call_soon loop.call_soon_threadsafe
    loop.call_later loop.call_at loop.time loop.create_future loop.create_task loop.set_task_factory
    loop.get_task_factory loop.create_connection loop.create_datagram_endpoint
    loop.create_unix_connection loop.create_server loop.create_unix_server
    loop.connect_accepted_socket loop.sendfile loop.start_tls loop.add_reader loop.remove_reader
    loop.add_writer loop.remove_writer loop.sock_recv loop.sock_recv_into loop.sock_recvfrom
    loop.sock_recvfrom_into loop.sock_sendall loop.sock_sendto loop.sock_connect loop.sock_accept
    loop.sock_sendfile loop.getaddrinfo loop.getnameinfo loop.connect_read_pipe
    loop.connect_write_pipe loop.add_signal_handler loop.remove_signal_handler loop.run_in_executor
    loop.set_default_executor loop.set_exception_handler loop.get_exception_handler
    loop.default_exception_handler loop.call_exception_handler loop.get_debug loop.set_debug
    loop.slow_callback_duration loop.subprocess_exec loop.subprocess_shell
";

/// One row: asyncio's names, greenlit's, and what is said of them; and the program of its section.
#[derive(Debug)]
struct Row {
    theirs: Vec<String>,
    ours: Vec<String>,
    note: String,
    program: String,
}

#[test]
fn each_name_of_asyncio_has_a_row() {
    let rows = rows(&guide());
    let known: BTreeSet<_> = rows
        .iter()
        .flat_map(|row| &row.theirs)
        .map(String::as_str)
        .collect();
    let names = PUBLIC.split_whitespace().chain(METHODS.split_whitespace());
    let missing: Vec<_> = names.filter(|name| !known.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn each_row_is_shown_by_a_program_or_says_why_not() {
    let faults = faults(&rows(&guide()));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The check is seen to fail.
#[test]
fn the_check_sees_what_is_wrong() {
    let table = |row: &str| {
        let text = format!(
            "| asyncio | greenlit | |\n| --- | --- | --- |\n{row}\n\n```rust\nfoo();\n```\n"
        );
        faults(&rows(&text)).len()
    };
    assert_eq!(table("| `a`, `b` | `x::foo` | |"), 0);
    assert_eq!(table("| `a` | — | because |"), 0);
    assert_eq!(table("| `a` | — | |"), 1);
    assert_eq!(table("| `a` | `fo` | |"), 1);
    assert_eq!(table("| `a` | nothing | |"), 1);
    assert_eq!(table("| a | `foo` | |"), 1);
}

fn faults(rows: &[Row]) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let words: BTreeSet<_> = row.program.split(|c| !is_word(c)).collect();
        for name in &row.ours {
            let last = name.rsplit("::").next().unwrap_or(name);
            let last = last.split(|c| !is_word(c)).next().unwrap_or(last);
            if !words.contains(last) {
                faults.push(format!("{:?}: no program has {name}", row.theirs));
            }
        }
        if row.ours == ["—"] || row.ours.is_empty() && row.note.is_empty() || row.theirs.is_empty()
        {
            faults.push(format!("{row:?} says nothing"));
        }
    }
    faults
}

/// The rows of all tables that begin as those of asyncio do and are followed by a program.
fn rows(guide: &str) -> Vec<Row> {
    let mut all = Vec::new();
    for section in guide.split("| asyncio | greenlit | |\n").skip(1) {
        let program = section.split("```").nth(1).unwrap_or_default().to_owned();
        assert!(
            program.starts_with("rust\n"),
            "a table with no program: {section}"
        );
        for line in section
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with('|'))
        {
            // A bar in code is no border.
            let line = line.replace("|_|", "");
            let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
            let [theirs, ours, note @ ..] = &cells[..] else {
                panic!("no row: {line}");
            };
            let is_reason = ours.trim() == "—";
            all.push(Row {
                theirs: code(theirs),
                ours: match (code(ours), is_reason) {
                    (names, false) if names.is_empty() => vec!["—".to_owned()],
                    (names, _) => names,
                },
                note: note.join(" | ").trim_matches([' ', '|']).to_owned(),
                program: program.clone(),
            });
        }
    }
    assert!(!all.is_empty());
    all
}

/// What stands between backticks.
fn code(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ASYNCIO.md");
    fs::read_to_string(path).expect("the guide")
}
