//! Introspection: what `all`, `snapshot` and `dump` say of the green threads of a runtime.

use std::rc::Rc;
use std::sync::Arc;

use greenlit::park::{Reason, WaitQueue};
use greenlit::sync::Mutex;
use greenlit::thread::{self, Kind, Snapshot, State};
use greenlit::time::{Duration, Instant};

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

fn find(name: &str) -> Snapshot {
    let mut all = thread::all().into_iter();
    let found = all.find(|one| one.name() == Some(name));
    found.unwrap_or_else(|| panic!("no green thread {name}"))
}

#[test]
fn all_are_there_from_spawn_to_end_in_order() {
    greenlit::run(|| {
        let names = || -> Vec<String> {
            let all = thread::all();
            all.iter()
                .filter_map(|one| one.name().map(str::to_owned))
                .collect()
        };
        let first = named("first").spawn(|| ()).unwrap();
        let second = named("second").spawn(thread::park).unwrap();
        let third = thread::spawn(|| ());
        assert_eq!(names(), ["main", "first", "second"]);
        assert_eq!(thread::all().len(), 4);
        third.join().unwrap();
        first.join().unwrap();
        // A record that is used again stands where it stood before.
        let last = named("last").spawn(|| ()).unwrap();
        assert_eq!(names(), ["main", "second", "last"]);
        assert_eq!(thread::all().len(), 3);
        last.join().unwrap();
        second.thread().unpark();
        second.join().unwrap();
        assert_eq!(names(), ["main"]);
    });
    assert!(thread::all().is_empty());
    assert!(thread::snapshot().is_none());
}

#[test]
fn states_are_running_ready_and_parked() {
    greenlit::run(|| {
        let parked = named("parked").spawn(thread::park).unwrap();
        thread::yield_now();
        let ready = named("ready").spawn(|| ()).unwrap();
        assert_eq!(find("main").state(), State::Running);
        assert_eq!(find("parked").state(), State::Parked);
        assert_eq!(find("ready").state(), State::Ready);
        assert_eq!(find("main").kind(), Kind::GreenThread);
        assert_eq!(ready.snapshot().map(|one| one.state()), Some(State::Ready));
        ready.join().unwrap();
        parked.thread().unpark();
        assert_eq!(parked.snapshot().unwrap().state(), State::Ready);
        thread::yield_now();
        assert!(parked.snapshot().is_none());
    });
}

#[test]
fn a_wait_names_its_object_and_who_holds_it() {
    greenlit::run(|| {
        let mutex = Rc::new(Mutex::new(()));
        let locked = mutex.lock().unwrap();
        let main = thread::current().id();
        let waiter = {
            let mutex = mutex.clone();
            named("waiter").spawn(move || drop(mutex.lock())).unwrap()
        };
        let waits = waiter.thread().id();
        let joiner = named("joiner").spawn(move || waiter.join()).unwrap();
        thread::yield_now();
        assert_eq!(find("waiter").awaits().collect::<Vec<_>>(), [main]);
        assert_eq!(find("joiner").awaits().collect::<Vec<_>>(), [waits]);
        let what = find("waiter").waits_for().unwrap().to_owned();
        assert!(what.contains(", held by thread #"), "{what}");
        let what = find("joiner").waits_for().unwrap().to_owned();
        assert!(what.starts_with("joining green thread #"), "{what}");
        assert_eq!(find("main").waits_for(), None);
        assert_eq!(find("main").awaits().count(), 0);
        drop(locked);
        joiner.join().unwrap().unwrap();
    });
}

/// A holder that is no green thread of this runtime has a number, and no snapshot.
#[test]
fn a_holder_from_outside_is_told_of_in_words_only() {
    let mutex = Mutex::new(());
    let (locked, is_locked) = std::sync::mpsc::channel();
    let (unlock, may_unlock) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let mutex = &mutex;
        scope.spawn(move || {
            let _guard = mutex.lock().unwrap();
            locked.send(()).unwrap();
            may_unlock.recv().unwrap();
        });
        is_locked.recv().unwrap();
        greenlit::run(|| {
            thread::scope(|green| {
                let waiter = green.spawn(|| drop(mutex.lock().unwrap()));
                thread::yield_now();
                let waits = thread::all().pop().unwrap();
                unlock.send(()).unwrap();
                assert_eq!(waits.id(), waiter.thread().id());
                let what = waits.waits_for().unwrap();
                assert!(what.contains(", held by thread #"), "{what}");
                assert_eq!(waits.awaits().count(), 0);
            });
        });
    });
}

#[test]
fn parent_and_place_are_the_spawners() {
    greenlit::run(|| {
        let line = line!() + 1;
        let child = named("child").spawn(|| {
            let inner = named("grandchild").spawn(thread::park);
            drop(inner);
            thread::current().id()
        });
        let child = child.unwrap().join().unwrap();
        let grandchild = find("grandchild");
        // The parent has ended; its number is still known.
        assert_eq!(grandchild.parent(), Some(child));
        assert_eq!(grandchild.spawned_at().line(), line + 1);
        assert_eq!(grandchild.spawned_at().file(), file!());
        assert_eq!(find("main").parent(), None);
    });
}

#[test]
fn since_is_no_later_than_the_park_and_about_then() {
    // What the documentation says of its resolution, and a margin for a machine that is busy.
    const MARGIN: Duration = Duration::from_millis(300);
    greenlit::run(|| {
        // The runtime has been idle, with a timer and without.
        thread::sleep(Duration::from_millis(2));
        greenlit::blocking::unblock(|| std::thread::sleep(2 * MARGIN));
        let before = Instant::now();
        let parked = thread::spawn(thread::park);
        thread::yield_now();
        let after = Instant::now();
        let since = parked.snapshot().unwrap().since().unwrap();
        assert!(since <= after, "{since:?} {after:?}");
        assert!(since + MARGIN >= before, "{since:?} {before:?}");
        assert_eq!(thread::snapshot().unwrap().since(), None);
        // It stays, however long the wait, and a later wait has a later one.
        thread::sleep(MARGIN + Duration::from_millis(1));
        assert_eq!(parked.snapshot().unwrap().since(), Some(since));
        assert!(
            parked
                .snapshot()
                .unwrap()
                .to_string()
                .contains("parked, for ")
        );
        let later = thread::spawn(thread::park);
        thread::yield_now();
        let later_since = later.snapshot().unwrap().since().unwrap();
        assert!(later_since > since, "{later_since:?} {since:?}");
        parked.thread().unpark();
        later.thread().unpark();
    });
}

#[test]
fn a_dump_is_a_tree_by_spawner_with_who_awaits_whom() {
    greenlit::run(|| {
        let acceptor = named("acceptor");
        let acceptor = acceptor.spawn(|| {
            let of_acceptor = named("connection").spawn(thread::park).unwrap();
            let _ = of_acceptor.join();
        });
        let worker = named("worker").spawn(thread::park).unwrap();
        thread::yield_now();
        thread::yield_now();
        let dump = thread::dump();
        assert_eq!(dump.threads().len(), 4);
        // On a machine that is busy the waits may be long enough to be told of.
        let text = dump.to_string();
        let lines = text.lines().map(|line| match line.split_once(", for ") {
            Some((before, rest)) => {
                let after = rest.split_once(';').map_or("", |(_, after)| after);
                format!("{before};{after}").trim_end_matches(';').to_owned()
            }
            None => line.to_owned(),
        });
        let lines: Vec<_> = lines.collect();
        let number = |name: &str| format!("{:?}", find(name).id());
        let number = |name: &str| number(name).replace("ThreadId(", "#").replace(')', "");
        let place = |name: &str| find(name).spawned_at().to_string();
        let line = |name: &str| {
            let (number, place) = (number(name), place(name));
            format!("green thread \"{name}\" ({number}, spawned at {place})")
        };
        let expected = [
            format!("{}: running", line("main")),
            format!(
                "├─ {}: joining green thread {}",
                line("acceptor"),
                number("connection")
            ),
            format!(
                "│  └─ {}: parked; awaited by {}",
                line("connection"),
                number("acceptor")
            ),
            format!("└─ {}: parked", line("worker")),
        ];
        assert_eq!(lines, expected);
        worker.thread().unpark();
        drop(acceptor);
    });
}

/// A chain of spawners as long as memory allows is printed on a small stack, with bounded lines.
#[test]
fn a_long_chain_is_dumped_on_a_small_stack() {
    const LENGTH: usize = 5000;
    fn chain(left: usize) {
        if left > 0 {
            thread::spawn(move || {
                chain(left - 1);
                thread::park();
            });
        }
    }
    greenlit::run(|| {
        chain(LENGTH);
        (0..=LENGTH).for_each(|_| thread::yield_now());
        let small = thread::Builder::new().stack_size(32 * 1024);
        let dump = small.spawn(|| thread::dump().to_string()).unwrap();
        let dump = dump.join().unwrap();
        assert_eq!(dump.lines().count(), LENGTH + 2);
        let longest = dump.lines().map(str::len).max().unwrap();
        assert!(longest < 1000, "{longest}");
    });
}

#[test]
fn a_new_name_is_seen_by_all_but_those_who_know_the_old() {
    greenlit::run(|| {
        let worker = thread::spawn(|| {
            thread::set_name("by itself");
            thread::park();
        });
        worker.set_name(String::from("by its spawner"));
        assert_eq!(worker.snapshot().unwrap().name(), Some("by its spawner"));
        thread::yield_now();
        assert_eq!(find("by itself").id(), worker.thread().id());
        assert_eq!(worker.thread().name(), Some("by itself"));
        let shared: Arc<str> = Arc::from("third");
        worker.set_name(shared);
        assert_eq!(find("third").id(), worker.thread().id());
        assert_eq!(worker.thread().name(), Some("by itself"));
        worker.thread().unpark();
    });
}

#[test]
fn a_lock_of_ones_own_is_named_too() {
    greenlit::run(|| {
        let seats = Rc::new(WaitQueue::new());
        let guest = {
            let seats = seats.clone();
            thread::spawn(move || seats.park(Reason::new("waiting for seat").on(" ", 7)))
        };
        thread::yield_now();
        let waits = guest.snapshot().unwrap();
        assert_eq!(waits.waits_for(), Some("waiting for seat  7"));
        assert_eq!(waits.awaits().count(), 0);
        seats.unpark_one();
        guest.join().unwrap();
    });
}
