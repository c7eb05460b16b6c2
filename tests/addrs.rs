//! `greenlit::net::ToSocketAddrs`: it resolves whatever std's does, to the same, and look-ups let
//! others run.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::rc::Rc;

use greenlit::net::ToSocketAddrs;
use greenlit::thread;

/// Resolves a value by std's trait and by greenlit's, in and out of a runtime, and compares.
macro_rules! assert_same {
    ($($value:expr),+ $(,)?) => { $({
        let value = $value;
        let expected = seen(std::net::ToSocketAddrs::to_socket_addrs(&value));
        assert_eq!(seen(value.to_socket_addrs()), expected, "outside a runtime");
        assert_eq!(seen(greenlit::run(|| value.to_socket_addrs())), expected, "inside a runtime");
    })+ };
}

fn seen(resolved: io::Result<impl Iterator<Item = SocketAddr>>) -> Result<Vec<SocketAddr>, String> {
    match resolved {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(format!("{:?} {error}", error.kind())),
    }
}

#[test]
fn each_type_that_std_resolves_is_resolved() {
    let v4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 80);
    let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 81, 5, 6);
    let both = [SocketAddr::V4(v4), SocketAddr::V6(v6)];
    assert_same!(
        v4,
        v6,
        SocketAddr::V6(v6),
        (IpAddr::V4(*v4.ip()), 1),
        (IpAddr::V6(*v6.ip()), 2),
        (*v4.ip(), 3),
        (*v6.ip(), 4),
        ("192.0.2.1", 5),
        ("::1", 6),
        ("localhost", 7),
        (String::from("::1"), 8),
        "192.0.2.1:9",
        "[::1]:10",
        "localhost:11",
        String::from("[::1%3]:12"),
        &both[..],
        &&v4,
    );
}

#[test]
fn what_is_no_address_has_the_error_of_std() {
    let none: &[SocketAddr] = &[];
    assert_same!(
        "",
        "127.0.0.1",
        "127.0.0.1:http",
        "localhost:99999",
        "[::1:1",
        "a\0b:1",
        ("a\0b", 1),
        none
    );
}

/// The look-up parks its green thread: the sibling runs before it is back. One that is over before
/// its thread can park has nothing to wait for, so there are some tries.
#[test]
fn a_look_up_lets_other_green_threads_run() {
    let ran_meanwhile = greenlit::run(|| {
        let sibling = thread::spawn(|| ());
        let ran_meanwhile = (0..100).any(|_| {
            assert!("localhost:80".to_socket_addrs().unwrap().next().is_some());
            sibling.is_finished()
        });
        sibling.join().unwrap();
        ran_meanwhile
    });
    assert!(ran_meanwhile);
}

/// Numbers need no look-up: the green thread keeps running.
#[test]
fn numbers_are_converted_in_place() {
    let log = Rc::new(RefCell::new(Vec::new()));
    greenlit::run(|| {
        let sibling = thread::spawn({
            let log = Rc::clone(&log);
            move || log.borrow_mut().push("sibling")
        });
        assert!("127.0.0.1:80".to_socket_addrs().unwrap().next().is_some());
        assert!(("::1", 80).to_socket_addrs().unwrap().next().is_some());
        log.borrow_mut().push("converted");
        sibling.join().unwrap();
    });
    assert_eq!(*log.borrow(), ["converted", "sibling"]);
}
