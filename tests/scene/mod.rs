//! What tests of sockets set up and compare: a socket whose peer never parks, a green thread that
//! has parked, and the same code run on std and on greenlit.

#![allow(dead_code, unused_macros, reason = "no test binary needs all of it")]

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process};

use greenlit::net::{TcpListener, TcpStream};
use greenlit::thread::{self, JoinHandle, yield_now};
use greenlit::time::{Duration, Instant};

/// A stream on the reactor and its peer, a blocking std socket.
pub(crate) fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, peer)
}

/// Yields until the kernel's event for something that was just done over loopback has been served.
/// Loopback delivers within the sending call; the turn is due within 100 µs, and the bound is far
/// above that.
pub(crate) fn settle() {
    let end = Instant::now() + Duration::from_millis(2);
    while Instant::now() < end {
        yield_now();
    }
}

/// Yields until `condition` holds, which it does at once but for a turn and the machine's load.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "it does not come to hold");
        yield_now();
    }
}

/// Spawns a green thread and lets it run until it parks or ends.
pub(crate) fn start<T: 'static>(body: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let handle = thread::spawn(body);
    yield_now();
    handle
}

/// What of a result can be compared between two runs: the value, or the error with its kind, number
/// and message.
pub(crate) fn seen<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?} {:?} {error}", error.kind(), error.raw_os_error()),
    }
}

/// Declares a test whose body, an expression over modules called `net` and `os`, has one value
/// everywhere: on std, on greenlit outside a runtime, and on greenlit inside one.
macro_rules! same_as_std {
    ($(#[$attribute:meta])* fn $name:ident() $body:block) => {
        $(#[$attribute])*
        #[test]
        fn $name() {
            let expected = {
                #[allow(unused_imports, reason = "not each body needs both")]
                use std::{net, os};
                $body
            };
            let outside = {
                #[allow(unused_imports, reason = "not each body needs both")]
                use greenlit::{net, os};
                $body
            };
            let inside = greenlit::run(|| {
                #[allow(unused_imports, reason = "not each body needs both")]
                use greenlit::{net, os};
                $body
            });
            assert_eq!(outside, expected, "outside a runtime");
            assert_eq!(inside, expected, "inside a runtime");
        }
    };
}
#[allow(unused_imports, reason = "not each test program needs it")]
pub(crate) use same_as_std;

/// A folder for the sockets of one test, which goes with all that is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("greenlit-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// The path of what is called `name` in here.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}
