//! A `redis-server` of a test's own: on a free port and a Unix socket, with nothing kept on disk.

use greenlit::net::SocketAddr;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

/// Another program may take the port between the look and the use: then it is looked for again.
const ATTEMPTS: usize = 10;

/// A server that runs until it is dropped, or until the OS thread that started it is gone.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: PathBuf,
    /// Held open: what the server says has somewhere to go.
    _says: BufReader<ChildStdout>,
}

impl RedisServer {
    pub(crate) fn start() -> RedisServer {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("greenlit-redis-{}-{number}", process::id()));
        fs::create_dir(&folder).unwrap();
        for _ in 0..ATTEMPTS {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            // The kernel ends it should this process die without a word.
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "redis-server", "--save", ""]);
            command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
            command.arg("--dir").arg(&folder);
            command.arg("--unixsocket").arg(folder.join("socket"));
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut says = BufReader::new(child.stdout.take().unwrap());
            if is_ready(&mut says) {
                return RedisServer {
                    child,
                    address,
                    folder,
                    _says: says,
                };
            }
            child.wait().unwrap();
        }
        panic!("no port for redis-server in {ATTEMPTS} attempts");
    }

    /// The path of its Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    pub(crate) fn kill(&mut self) {
        // One that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Reads until the server takes connections; false where it ends instead.
fn is_ready(says: &mut BufReader<ChildStdout>) -> bool {
    let mut line = String::new();
    while says.read_line(&mut line).unwrap() > 0 {
        // With a Unix socket this comes once for each, that socket's last.
        if line.contains("ready to accept connections at") {
            return true;
        }
        line.clear();
    }
    false
}
