//! Introspection of tasks: what they do, whom they await, and where reports name them.

use std::future::pending;

use greenlit::future;
use greenlit::thread::{self, Kind, Snapshot, State};

fn named(name: &str) -> future::Builder {
    future::Builder::new().name(name.to_owned())
}

fn find(name: &str) -> Snapshot {
    let mut all = thread::all().into_iter();
    let found = all.find(|one| one.name() == Some(name));
    found.unwrap_or_else(|| panic!("nobody is called {name}"))
}

fn awaited(name: &str) -> Vec<thread::ThreadId> {
    find(name).awaits().collect()
}

#[test]
fn a_task_is_ready_running_and_parked() {
    greenlit::run(|| {
        let task = named("task")
            .spawn(async {
                let own = thread::snapshot().unwrap();
                assert_eq!(own.kind(), Kind::Task);
                assert_eq!(own.state(), State::Running);
                assert_eq!(own.name(), Some("task"));
                assert_eq!(find("task").state(), State::Running);
                // The green thread that polls is not told of.
                assert_eq!(thread::all().len(), 2);
                thread::set_name("renamed");
                pending::<()>().await;
            })
            .unwrap();
        assert_eq!(find("task").state(), State::Ready);
        assert_eq!(find("task").kind(), Kind::Task);
        assert_eq!(find("task").since(), None);
        thread::yield_now();
        let parked = find("renamed");
        assert_eq!(parked.state(), State::Parked);
        assert_eq!(parked.waits_for(), Some("waiting to be woken"));
        assert!(parked.since().is_some());
        assert_eq!(parked.parent(), Some(thread::current().id()));
        assert_eq!(parked.id(), task.thread().id());
        task.set_name("again");
        assert_eq!(task.snapshot().unwrap().name(), Some("again"));
        assert_eq!(task.snapshot().unwrap().state(), State::Parked);
        task.cancel("no need of it");
        thread::yield_now();
        assert!(task.snapshot().is_none());
        assert_eq!(thread::all().len(), 1);
    });
}

#[test]
fn a_task_that_blocks_in_a_poll_waits_for_what_its_thread_does() {
    greenlit::run(|| {
        let blocks = || {
            let (_, end) = greenlit::sync::mpsc::channel::<()>();
            let other = thread::spawn(thread::park);
            let inner = other.thread().clone();
            drop(end);
            let task = named("blocks").spawn(async move {
                let _ = other.join();
            });
            (task.unwrap(), inner)
        };
        let (task, other) = blocks();
        thread::yield_now();
        thread::yield_now();
        let parked = find("blocks");
        assert_eq!(parked.state(), State::Parked);
        let what = parked.waits_for().unwrap();
        assert!(what.starts_with("joining green thread #"), "{what}");
        assert_eq!(awaited("blocks"), [other.id()]);
        assert_eq!(task.snapshot().unwrap().waits_for(), Some(what));
        other.unpark();
        task.join().unwrap();
    });
}

#[test]
fn who_awaits_whom_is_known_of_tasks_and_of_block_on() {
    greenlit::run(|| {
        let inner = named("inner").spawn(pending::<()>()).unwrap();
        let green = thread::Builder::new().name("green".into());
        let green = green.spawn(thread::park).unwrap();
        let (inner_id, green_id) = (inner.thread().id(), green.thread().clone());
        let outer = named("outer").spawn(async move {
            let _ = green.await;
            let _ = inner.await;
        });
        let outer = outer.unwrap();
        let outer_id = outer.thread().id();
        let waiter = thread::Builder::new().name("waiter".into());
        let waiter = waiter.spawn(move || future::block_on(outer)).unwrap();
        for _ in 0..3 {
            thread::yield_now();
        }
        assert_eq!(awaited("outer"), [green_id.id()]);
        assert_eq!(awaited("waiter"), [outer_id]);
        let what = find("waiter").waits_for().unwrap().to_owned();
        assert!(what.starts_with("awaiting future #"), "{what}");
        let dump = thread::dump().to_string();
        let line = dump
            .lines()
            .find(|line| line.contains("\"green\""))
            .unwrap();
        assert!(line.contains("; awaited by #"), "{line}");
        green_id.unpark();
        for _ in 0..3 {
            thread::yield_now();
        }
        assert_eq!(awaited("outer"), [inner_id]);
        drop(waiter);
    });
}

#[test]
fn a_spawner_that_is_a_task_is_the_parent() {
    greenlit::run(|| {
        let parent = future::spawn(async {
            let green = thread::Builder::new().name("green".into());
            drop(green.spawn(thread::park));
            drop(named("task").spawn(pending::<()>()));
            thread::snapshot().unwrap().id()
        });
        let parent = parent.join().unwrap();
        assert_eq!(find("green").parent(), Some(parent));
        assert_eq!(find("task").parent(), Some(parent));
    });
}

/// An eager task is polled by its spawner itself.
#[test]
fn an_eager_task_runs_in_its_spawner() {
    greenlit::run(|| {
        let eager = named("eager").eager(true);
        let eager = eager.spawn(async {
            let own = find("eager");
            assert_eq!(own.state(), State::Running);
            assert_eq!(thread::snapshot().unwrap().id(), own.id());
            assert_eq!(thread::all().len(), 2);
            thread::yield_now();
        });
        eager.unwrap().join().unwrap();
    });
}

/// What the main green thread says of a deadlock.
fn deadlock(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(|| greenlit::run(f)).expect_err("a deadlock");
    payload.downcast_ref::<String>().expect("a report").clone()
}

/// Behaviour 54: that one awaits another gives nobody else a waker.
#[test]
fn a_deadlock_report_names_tasks_and_whom_they_await() {
    let report = deadlock(|| {
        let stuck = named("stuck").spawn(pending::<()>()).unwrap();
        let waiter = named("waiter").spawn(stuck).unwrap();
        let _ = waiter.join();
    });
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(
        lines[0],
        "deadlock: all 1 green threads and 2 futures are parked and nothing can wake them"
    );
    assert_eq!(lines.len(), 4, "{report}");
    assert!(lines[1].contains("\"main\""), "{report}");
    assert!(lines[1].contains("): joining future #"), "{report}");
    assert!(lines[2].contains("future \"stuck\""), "{report}");
    assert!(lines[2].ends_with("): waiting to be woken"), "{report}");
    assert!(lines[3].contains("future \"waiter\""), "{report}");
    assert!(lines[3].contains("): awaiting future #"), "{report}");
}

/// Behaviour 54.
#[test]
fn a_block_on_of_what_never_ends_is_a_deadlock() {
    let report = deadlock(|| {
        let stuck = named("stuck").spawn(pending::<()>()).unwrap();
        let _ = future::block_on(stuck);
    });
    assert!(report.contains("1 green threads and 1 futures"), "{report}");
}
