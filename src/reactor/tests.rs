//! Tests of the reactor alone, with no scheduler.

use std::io::Write;
use std::os::unix::net::UnixStream;

use super::*;

/// Behaviour 47: the k-th failure of epoll_create1, eventfd and epoll_ctl, for each k, is an error,
/// and what comes after works.
#[test]
fn every_failing_call_is_an_error_and_the_rest_works() {
    let (mut near, far) = UnixStream::pair().unwrap();
    for k in 0.. {
        sys::fail_after(k);
        let attempt = || -> io::Result<()> {
            let reactor = Reactor::new()?;
            let source = Source::new(true);
            source.register(&reactor, far.as_fd())?;
            Ok(())
        };
        let result = attempt();
        if sys::take_back_failure() {
            result.unwrap();
            assert_eq!(k, 4, "three calls make a reactor, one registers a source");
            break;
        }
        let kind = result.unwrap_err().raw_os_error();
        assert!(matches!(kind, Some(libc::EMFILE | libc::ENOSPC)));
    }

    // The same reactor, before and after a failure.
    let reactor = Reactor::new().unwrap();
    let source = Source::new(true);
    sys::fail_after(0);
    assert!(source.register(&reactor, far.as_fd()).is_err());
    let entry = source.register(&reactor, far.as_fd()).unwrap();
    near.write_all(b"x").unwrap();
    reactor.turn(Timeout::Never, |_| (), |_| ()).unwrap();
    assert!(entry.is_ready(Direction::Read));
}

/// Where the number of the first registration is taken, an alias stands for it; its failure is an
/// error too.
#[test]
fn a_failing_alias_leaves_no_entry_behind() {
    let (_near, far) = UnixStream::pair().unwrap();
    let reactor = Reactor::new().unwrap();
    let (first, second) = (Source::new(true), Source::new(true));
    first.register(&reactor, far.as_fd()).unwrap();
    sys::fail_after(1);
    assert!(second.register(&reactor, far.as_fd()).is_err());
    assert!(second.entry(&reactor).is_none());
    second.register(&reactor, far.as_fd()).unwrap();
    // SAFETY: no other borrow lives.
    assert_eq!(unsafe { (*reactor.entries.get()).len() }, 2);
}

/// Behaviour 35: an event of an entry's former source is not taken for one of its present source.
#[test]
fn a_stale_token_finds_no_entry() {
    let (mut near, far) = UnixStream::pair().unwrap();
    let reactor = Reactor::new().unwrap();
    let mut source = Source::new(true);
    source.register(&reactor, far.as_fd()).unwrap();
    let stale = source::token(0, 0);
    assert!(reactor.entry(stale).is_some());
    near.write_all(b"x").unwrap();
    // Left in epoll's set, as a foreign duplicate of a closed fd would be.
    source.deregister(far.as_fd(), Some(&reactor), true);
    let next = Source::new(true);
    let (_other_near, other_far) = UnixStream::pair().unwrap();
    let entry = next.register(&reactor, other_far.as_fd()).unwrap();
    assert!(reactor.entry(stale).is_none());
    reactor.turn(Timeout::Zero, |_| (), |_| ()).unwrap();
    assert!(!entry.is_ready(Direction::Read));
}

/// An entry freed on another OS thread serves the next source here.
#[test]
fn entries_freed_elsewhere_are_reused() {
    let reactor = Reactor::new().unwrap();
    for _ in 0..3 {
        let (_near, far) = UnixStream::pair().unwrap();
        let mut source = Source::new(false);
        source.register(&reactor, far.as_fd()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| source.deregister(far.as_fd(), None, true));
        });
        drop(far);
    }
    // SAFETY: no other borrow lives.
    assert_eq!(unsafe { (*reactor.entries.get()).len() }, 1);
}

/// The kernel's timeout is neither rounded to milliseconds nor short.
#[test]
fn a_turn_sleeps_as_long_as_it_is_told() {
    let reactor = Reactor::new().unwrap();
    let start = crate::clock::now();
    reactor
        .turn(Timeout::Nanos(200_000), |_| (), |_| ())
        .unwrap();
    assert!(crate::clock::now() - start >= 200_000);
}

#[test]
fn a_notification_before_the_turn_is_not_lost() {
    let reactor = Reactor::new().unwrap();
    for _ in 0..3 {
        let shared = reactor.shared().clone();
        std::thread::spawn(move || shared.notify()).join().unwrap();
        assert!(
            reactor
                .turn(Timeout::Never, |_| (), |_| ())
                .unwrap()
                .notified
        );
    }
}

/// Each waker counts as one that waits, until an event, a drop or the source's end takes it out.
#[test]
fn wakers_count_until_they_are_taken_out() {
    let waker = Waker::noop;
    let (mut near, far) = UnixStream::pair().unwrap();
    let reactor = Reactor::new().unwrap();
    let mut source = Source::new(true);
    let entry = source.register(&reactor, far.as_fd()).unwrap();
    let is_spent = |_: &Waker| false;
    let read = Direction::Read;

    for _ in 0..2 {
        drop(reactor.add_polled(entry, read, waker().clone(), is_spent));
    }
    assert_eq!(reactor.waiting.get(), 1);
    let place = source.place(&reactor, read).unwrap();
    assert!(reactor.add_at(entry, &place, waker().clone()).is_none());
    assert!(reactor.add_at(entry, &place, waker().clone()).is_some());
    let other = source.place(&reactor, read).unwrap();
    assert!(reactor.add_at(entry, &other, waker().clone()).is_none());
    assert_eq!(reactor.waiting.get(), 3);
    assert!(source.forget(&other, Some(&reactor)).is_some());
    assert!(source.forget(&other, Some(&reactor)).is_none());
    assert_eq!(reactor.waiting.get(), 2);

    near.write_all(b"x").unwrap();
    let mut woken = 0;
    reactor
        .turn(Timeout::Never, |_| (), |_| woken += 1)
        .unwrap();
    assert_eq!((woken, reactor.waiting.get()), (2, 0));
    assert!(!entry.is_awaited(read));

    drop(reactor.add_polled(entry, read, waker().clone(), is_spent));
    source.deregister(far.as_fd(), Some(&reactor), true);
    assert_eq!(reactor.take_released().len(), 1);
    assert_eq!(reactor.waiting.get(), 0);
}

/// Wakers of tasks that have ended do not pile up at a source where nothing happens.
#[test]
fn spent_wakers_are_dropped() {
    let mut wakers = wakers::Wakers::default();
    let counts: Vec<Arc<Spent>> = (0..1000).map(|_| Arc::new(Spent)).collect();
    for count in &counts {
        drop(wakers.push(count.clone().into(), |_| true));
        assert!(wakers.len() <= 17);
    }
    // As many as are of use stay.
    for count in &counts {
        drop(wakers.push(count.clone().into(), |_| false));
    }
    assert!(wakers.len() >= 1000);
}

struct Spent;

impl std::task::Wake for Spent {
    fn wake(self: Arc<Self>) {}
}
